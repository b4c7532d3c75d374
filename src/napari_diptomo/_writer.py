"""Writer for chemical volumes and maps: ``.hspy`` with everything; volumes also as OME-Zarr, MRC, TIFF and VTK."""

from __future__ import annotations

from typing import Any

FullLayerData = tuple[Any, dict[str, Any], str]


def write_layers(path: str | None = None, layer_data: list[FullLayerData] | None = None) -> list[str]:
    """Write image layers as one volume, or as one series of maps.

    Parameters
    ----------
    path : str, optional
        Ends in ``.hspy``, ``.zarr``, ``.mrc``, ``.tif`` or ``.vti``; asked for where it is not given, as from the command palette.
    layer_data : list of (data, meta, type), optional
        By default the selected layers of the viewer.
        3-D layers of one shape become the channels of a volume, 4-D layers
        with the tilt first those of a series of maps.

    Returns
    -------
    list of str
        What was written; nothing when it could not be, which is said in a notification.
    """
    from napari_diptomo.series import DiptomoError
    from napari_diptomo.widgets.layers import reader_and_writer as layer_files

    if path is None or layer_data is None:
        from napari_diptomo.widgets.palette import choose_and_save

        chosen = choose_and_save()
        if chosen is None:
            return []
        path, layer_data = chosen
    try:
        written = layer_files.gather(layer_data).save(path)
    except DiptomoError as error:
        from napari_diptomo.widgets.notifications import say_error

        say_error(str(error))
        return []
    return [str(p) for p in (written if isinstance(written, tuple) else (written,))]
