"""Small valid files of every kind that the program reads, to be damaged.

A kind is a function that writes one file or folder and returns its path. Files
of instruments, which only instruments write, are taken from the shared
measurements where those are there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

REAL = Path(__file__).parents[2].parent / 'shared' / 'data' / 'readers'
ANGLES = (-20.0, 0.0, 15.0)
_RNG_SEED = 7


def _counts(*shape: int) -> np.ndarray:
    return np.random.default_rng(_RNG_SEED).poisson(2.0, shape).astype(np.uint8)


def _axes(shape: tuple[int, ...], tilt: bool) -> list[dict[str, Any]]:
    axes: list[dict[str, Any]] = [{'name': n, 'scale': 2.0, 'units': 'nm'} for n in 'yx']
    axes.append({'name': 'Energy', 'scale': 0.01, 'offset': -0.1, 'units': 'keV'})
    if tilt:
        axes.insert(0, {'name': 'tilt', 'scale': 10.0, 'offset': -10.0, 'units': 'deg'})
    return [{**axis, 'size': size} for axis, size in zip(axes, shape, strict=True)]


def _spectra(folder: Path, name: str, *shape: int, **options: Any) -> Path:
    import hyperspy.api as hs

    signal = hs.signals.Signal1D(_counts(*shape), axes=_axes(shape, tilt=len(shape) == 4))
    signal.metadata.set_item('Acquisition_instrument.TEM.beam_energy', 200.0)
    signal.metadata.set_item('Acquisition_instrument.TEM.Stage.tilt_alpha', 10.0)
    signal.metadata.set_item('Sample.elements', ['Ge', 'Te'])
    signal.save(str(folder / name), overwrite=True, **options)
    return folder / name


def stack_hspy(folder: Path) -> Path:
    return _spectra(folder, 'stack.hspy', 3, 4, 5, 16)


def tilt_hspy(folder: Path) -> Path:
    return _spectra(folder, 'tilt.hspy', 4, 5, 16, compression=None)


def stack_zspy(folder: Path) -> Path:
    return _spectra(folder, 'stack.zspy', 3, 4, 5, 16)


def ncem_emd(folder: Path) -> Path:
    return _spectra(folder, 'ncem.emd', 3, 4, 5, 16, file_format='EMD')


def tomviz_emd(folder: Path) -> Path:
    """Images as tomviz writes them."""
    import h5py

    with h5py.File(folder / 'tomviz.emd', 'w') as file:
        file.attrs.update(version_major=0, version_minor=2)
        group = file.create_group('data/tomography')
        group.attrs['emd_group_type'] = 1
        group['data'] = _counts(6, 5, 3).astype(np.float32)
        for number, (name, size, unit) in enumerate((('x', 6, '[n_m]'), ('y', 5, '[n_m]'), ('angles', 3, '[deg]')), 1):
            dim = group.create_dataset(f'dim{number}', data=np.arange(size, dtype=np.float32) * 2)
            dim.attrs.update(name=np.bytes_(name), units=np.bytes_(unit))
    return folder / 'tomviz.emd'


def edstomo_emd(folder: Path) -> Path:
    """Spectra and images as edstomo writes them."""
    import h5py

    axes = [('angle', '[deg]', ANGLES), ('x', '[m]', np.arange(4) * 2e-9), ('y', '[m]', np.arange(5) * 2e-9)]
    axes.append(('E', '[eV]', np.arange(16) * 100.0))
    with h5py.File(folder / 'edstomo.emd', 'w') as file:
        file.attrs.update(version_major=0, version_minor=2)
        file.create_group('microscope').attrs.update({'BeamVoltage[eV]': 3e5, 'MnKaResolution[eV]': 131.0})
        for name, data in (('HAADF_TiltStack', _counts(3, 4, 5)), ('EDS_TiltStack', _counts(3, 4, 5, 16))):
            group = file.create_group(f'data/{name}')
            group.attrs['emd_group_type'] = 1
            group.create_dataset('data', data=data, chunks=True, compression='gzip')
            for number, (axis, unit, positions) in enumerate(axes[: data.ndim], 1):
                group[f'dim{number}'] = positions
                group[f'dim{number}'].attrs.update(name=np.bytes_(axis), units=np.bytes_(unit))
    return folder / 'edstomo.emd'


def saved_maps(folder: Path) -> Path:
    from napari_diptomo.series import MapSeries, Recipe, Source
    from napari_diptomo.spectra import EDXMaps

    data = _counts(2, 3, 5, 6)
    recipe = Recipe(Source(paths=('a.bcf',)), (EDXMaps(elements=('Ge', 'Te')),))
    maps = MapSeries(data, ANGLES, ('Ge', 'Te'), 2.0, variance=data + 1.0, recipe=recipe, notes={'a': [1, 2.5]})
    maps.save(folder / 'maps.hspy')
    return folder / 'maps.hspy'


def saved_volume(folder: Path) -> Path:
    from napari_diptomo.series import Finding, Volume

    doubt = Finding('doubt', 'angles', 'They disagree.', {'deg': 2.0})
    data = _counts(2, 3, 5, 6)
    Volume(data, ('Ge', 'Te'), 2.0, std=data, scores={'validation': [1.0]}, findings=(doubt,)).save(folder / 'v.hspy')
    return folder / 'v.hspy'


def imagej_tif(folder: Path) -> Path:
    import tifffile

    path = folder / 'Ge.tif'
    metadata = {'axes': 'ZYX', 'unit': 'nm'}
    table_tlt(folder)
    tifffile.imwrite(path, _counts(3, 5, 6).astype(np.uint16), imagej=True, resolution=(0.5, 0.5), metadata=metadata)
    return path


def packed_tiff(folder: Path) -> Path:
    import tifffile

    path = folder / 'Te.tiff'
    data = _counts(3, 16, 16).astype(np.float32)
    table_tlt(folder)
    tifffile.imwrite(path, data, compression='zlib', resolution=(1e7, 1e7), resolutionunit=3, tile=(16, 16))
    return path


def stack_mrc(folder: Path) -> Path:
    import mrcfile

    table_tlt(folder)
    with mrcfile.new(folder / 'Fe.mrc', _counts(3, 5, 6).astype(np.int16)) as file:
        file.voxel_size = 10.0
        file.set_image_stack()
    return folder / 'Fe.mrc'


def bytes_mrc(folder: Path) -> Path:
    """Signed bytes of IMOD, in the order of other machines."""
    import mrcfile

    table_tlt(folder)
    path = folder / 'Fe.st'
    with mrcfile.new(path, (_counts(3, 5, 6).astype(np.int16) - 128).astype(np.int8)) as file:
        file.voxel_size = 10.0
        header, data = file.header.byteswap().tobytes(), file.data.tobytes()
    raw = bytearray(header)
    raw[152:160] = np.array([1146047817, 1], '>i4').tobytes()
    raw[208:216] = b'MAP \x11\x11\0\0'
    path.write_bytes(bytes(raw) + data)
    return path


def spectrum_msa(folder: Path) -> Path:
    import hyperspy.api as hs

    hs.signals.Signal1D(np.arange(32.0)).save(str(folder / 's.msa'), overwrite=True)
    return folder / 's.msa'


def ripple_rpl(folder: Path) -> Path:
    return _spectra(folder, 'r.rpl', 4, 5, 16)


def images_rpl(folder: Path) -> Path:
    """X-rays, one image for each energy."""
    lines = {'width': 5, 'height': 4, 'depth': 16, 'offset': 0, 'data-length': 1, 'data-type': 'unsigned'}
    more = {'byte-order': 'dont-care', 'record-by': 'image', 'signal': 'EDS_TEM', 'ev-per-chan': 10}
    _counts(16, 4, 5).tofile(folder / 'i.raw')
    return _text(folder / 'i.rpl', 'key\tvalue\n' + ''.join(f'{k}\t{v}\n' for k, v in {**lines, **more}.items()))


def table_csv(folder: Path) -> Path:
    return _text(folder / 'angles.csv', 'file,angle\n' + ''.join(f't_{i}.bcf,{a}\n' for i, a in enumerate(ANGLES)))


def table_txt(folder: Path) -> Path:
    return _text(folder / 'tilts.txt', '# tilts\n' + ''.join(f'{i}\t{a:.2f} deg\n' for i, a in enumerate(ANGLES)))


def table_tlt(folder: Path) -> Path:
    return _text(folder / 's.tlt', '\n'.join(f'{a:8.2f}' for a in ANGLES))


def table_rawtlt(folder: Path) -> Path:
    return _text(folder / 's.rawtlt', '\n'.join(str(a) for a in ANGLES))


def table_mdoc(folder: Path) -> Path:
    return _text(folder / 's.mdoc', ''.join(f'[ZValue = {i}]\nTiltAngle = {a}\n' for i, a in enumerate(ANGLES)))


def table_utf16(folder: Path) -> Path:
    path = folder / 'angles.txt'
    rows = ''.join(f't_{i}.bcf\t{a:.2f}\r\n'.replace('.', ',') for i, a in enumerate(ANGLES))
    path.write_bytes(('file\tangle [deg]\r\n' + rows.replace(',bcf', '.bcf')).encode('utf-16'))
    return path


def factors_csv(folder: Path) -> Path:
    return _text(folder / 'factors.csv', 'line;factor\nGe_K;1.32\nTe_L;0.9\nSb_L;1e0\n')


def factors_json(folder: Path) -> Path:
    return _text(folder / 'factors.json', json.dumps({'Ge_K': 1.32, 'Te_L': 0.9}, indent=1))


def recipe_json(folder: Path) -> Path:
    from napari_diptomo.align import Align
    from napari_diptomo.reconstruct import SIRT, DIPmTV
    from napari_diptomo.series import Recipe, Source
    from napari_diptomo.spectra import EDXMaps

    steps = (EDXMaps(elements=('Ge', 'Te')), Align(), SIRT(), DIPmTV())
    Recipe(Source(paths=('a.bcf', 'b.bcf'), angles=(0.0, 10.0), binning=2), steps).save(folder / 'recipe.json')
    return folder / 'recipe.json'


def project_json(folder: Path) -> Path:
    from napari_diptomo.jobs.project import LayerLook, Project, ProjectFolder, RunRecord, ViewRecord
    from napari_diptomo.series import Source

    run = RunRecord(number=1, title='SIRT', status='done', begun='21:00', recipe=checkpoint_recipe().to_dict())
    look = LayerLook(kind='volume', run=1, channel='Ge', contrast_limits=(0.0, 2.0))
    source = Source(paths=('a.hspy',), angles=tuple(float(a) for a in ANGLES)).model_dump(mode='json')
    ProjectFolder(folder).write(
        Project(
            source=source,
            chosen=1,
            settings={'Maps': {'step': 'EDXMaps'}},
            runs=(run,),
            layers=(look,),
            view=ViewRecord(),
        )
    )
    return folder / 'project.json'


def standards_npz(folder: Path) -> Path:
    from napari_diptomo.spectra.eels.standards.stored import Standards

    energy = np.linspace(40.0, 80.0, 41)
    shapes = np.stack([np.exp(-((energy - e) ** 2) / 8) for e in (55.0, 58.0)], axis=1)
    pure = {'FeO': np.ones((3, 2, 2), bool)}
    standards = Standards(
        ('FeO', 'Fe3O4'), energy, shapes, 0.1 * shapes, np.array([1.0, 1.1]),
        thickness=0.4, source='test', pure=pure, tilts=(0, 1, 2), notes={'a': 1.0},
    )  # fmt: skip
    return standards.save(folder / 'standards.npz')


def run_checkpoint(folder: Path) -> Path:
    from napari_diptomo.jobs import Checkpoint

    path = folder / 'v.hspy.checkpoint'
    Checkpoint(path, checkpoint_recipe(), interval=0).save(
        0, checkpoint_maps(), lambda: {'x': np.arange(6.0), 'n': 3, 'losses': [1.0, 2.0], 'inner': {'best': None}}
    )
    return path


def checkpoint_maps() -> Any:
    from napari_diptomo.series import MapSeries

    return MapSeries(_counts(1, 3, 5, 6), ANGLES, ('Ge',), 2.0)


def checkpoint_recipe() -> Any:
    from napari_diptomo.reconstruct import SIRT
    from napari_diptomo.series import Recipe

    return Recipe(steps=(SIRT(),))


def _real(name: str) -> Callable[[Path], Path]:
    def copy(folder: Path) -> Path:
        return Path(shutil.copyfile(REAL / name, folder / name))

    return copy


def _text(path: Path, text: str) -> Path:
    path.write_text(text, encoding='utf-8')
    return path


#: Read by libraries, in a process of their own.
FILES: dict[str, Callable[[Path], Path]] = {
    'hspy stack': stack_hspy, 'hspy tilt': tilt_hspy, 'hspy maps': saved_maps, 'hspy volume': saved_volume,
    'zspy': stack_zspy, 'emd NCEM': ncem_emd, 'emd tomviz': tomviz_emd, 'tif': imagej_tif, 'tiff': packed_tiff,
    'mrc': stack_mrc, 'msa': spectrum_msa, 'rpl': ripple_rpl, 'emd edstomo': edstomo_emd, 'mrc bytes': bytes_mrc,
    'rpl images': images_rpl,
}  # fmt: skip
#: As instruments write them.
INSTRUMENTS = {'bcf': 'test_TEM.bcf', 'dm4': 'EELS_SI.dm4', 'emd Velox': 'EDS-STO.emd', 'mrc FEI': 'HAADFscan.mrc'}
FILES |= {kind: _real(name) for kind, name in INSTRUMENTS.items() if (REAL / name).is_file()}
#: Read by this program itself.
OWN: dict[str, Callable[[Path], Path]] = {
    'table csv': table_csv, 'table txt': table_txt, 'table tlt': table_tlt, 'table rawtlt': table_rawtlt,
    'table mdoc': table_mdoc, 'table utf-16': table_utf16,
    'factors csv': factors_csv, 'factors json': factors_json, 'recipe': recipe_json, 'standards': standards_npz,
    'checkpoint': run_checkpoint, 'project': project_json,
}  # fmt: skip
