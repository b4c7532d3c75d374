"""Writer for chemical volumes and maps: ``.hspy`` with everything; volumes also as OME-Zarr, MRC, TIFF and VTK."""

from __future__ import annotations

from typing import Any

FullLayerData = tuple[Any, dict[str, Any], str]


def write_layers(path: str, layer_data: list[FullLayerData]) -> list[str]:
    """Write image layers as one volume, or as one series of maps.

    Parameters
    ----------
    path : str
        Ends in ``.hspy``, ``.zarr``, ``.mrc``, ``.tif`` or ``.vti``.
    layer_data : list of (data, meta, type)
        3-D layers of one shape become the channels of a volume, 4-D layers
        with the tilt first those of a series of maps.

    Returns
    -------
    list of str
        What was written; nothing when it could not be, which is said in a notification.
    """
    from napari_diptomo.series import DiptomoError
    from napari_diptomo.widgets.layers import reader_and_writer as layer_files

    try:
        written = layer_files.gather(layer_data).save(path)
    except DiptomoError as error:
        from napari_diptomo.widgets.notifications import say_error

        say_error(str(error))
        return []
    return [str(p) for p in (written if isinstance(written, tuple) else (written,))]
