"""Volumes as VTK image data (``.vti``) for ParaView, PyVista, 3D Slicer: an array per channel, spacing in nm.

VTK's XML format with appended raw data (VTK File Formats, https://docs.vtk.org, "XML File Formats"): the arrays stand
behind an underscore as they lie in memory, each after its length as a 64-bit number.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from napari_diptomo.series.data import Volume
from napari_diptomo.series.reading.saved import swapped


def write_vti(volume: Volume, path: Path) -> None:
    """Write all channels, and their spread where there is one, as point data.

    Parameters
    ----------
    volume : Volume
    path : Path
    """
    arrays = dict(zip(volume.channels, swapped(volume.data, volume.transposed), strict=True))
    if volume.std is not None:
        spreads = swapped(volume.std, volume.transposed)
        arrays |= {f'{name} std': one for name, one in zip(volume.channels, spreads, strict=True)}
    nz, ny, nx = next(iter(arrays.values())).shape
    extent = f'"0 {nx - 1} 0 {ny - 1} 0 {nz - 1}"'
    lines, offset = [], 0
    for name, array in arrays.items():
        lines.append(f'<DataArray type="Float32" Name={quoteattr(name)} format="appended" offset="{offset}"/>')
        offset += 8 + array.nbytes
    spacing = ' '.join([f'{volume.voxel_size:.9g}'] * 3)
    header = (
        '<?xml version="1.0"?>\n'
        '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">\n'
        f'<!-- lengths in nm -->\n<ImageData WholeExtent={extent} Origin="0 0 0" Spacing="{spacing}">\n'
        f'<Piece Extent={extent}>\n<PointData Scalars={quoteattr(volume.channels[0])}>\n'
        + '\n'.join(lines)
        + '\n</PointData>\n</Piece>\n</ImageData>\n<AppendedData encoding="raw">\n_'
    )
    with path.open('wb') as file:
        file.write(header.encode('utf-8'))
        for array in arrays.values():
            file.write(np.uint64(array.nbytes).astype('<u8').tobytes())
            # x runs fastest in VTK, as it does here.
            file.write(np.ascontiguousarray(array, dtype='<f4').data)
        file.write(b'\n</AppendedData>\n</VTKFile>\n')
