"""Low losses of which the stored offsets differ open on one axis; what cannot be brought together names both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.series import InputError, load_tilt_series
from napari_diptomo.spectra.eels.calibration import calibrate

STEP = 0.1
OFFSETS = {-20: -9.8, -10: -10.4, 0: -10.0, 10: -11.1}


def low_loss(offset: float, size: int = 1024, seed: int = 0, step: float = STEP) -> np.ndarray:
    """A zero loss at 0 eV of the stored axis, and a plasmon."""
    energy = offset + step * np.arange(size)
    mean = 4000 * np.exp(-0.5 * (energy / 0.4) ** 2) + 60 * np.exp(-0.5 * ((energy - 22) / 5) ** 2)
    return np.random.default_rng(seed).poisson(np.broadcast_to(mean, (6, 6, size))).astype(np.uint16)


def write(path: Path, signals: list[tuple[np.ndarray, float, float]], order: str = '<') -> Path:
    """One file with signals of (data, offset, step)."""
    import h5py
    import hyperspy.api as hs

    for number, (data, offset, step) in enumerate(signals):
        space = [{'name': n, 'size': 6, 'scale': 2.0, 'units': 'nm'} for n in 'yx']
        axis = {'name': 'Energy loss', 'size': data.shape[-1], 'scale': step, 'offset': offset, 'units': 'eV'}
        signal = hs.signals.Signal1D(data.astype(data.dtype.newbyteorder(order)), axes=[*space, axis])
        part = path.with_suffix('.part.hspy') if number else path
        signal.save(str(part), overwrite=True)
        if number:
            with h5py.File(part) as file, h5py.File(path, 'a') as whole:
                (name,) = file['Experiments']
                file.copy(file['Experiments'][name], whole['Experiments'], name='core loss')
            part.unlink()
    return path


@pytest.fixture(params=['<', '>'])
def folder(tmp_path, request):
    for seed, (tilt, offset) in enumerate(OFFSETS.items()):
        write(tmp_path / f'{tilt}.hspy', [(low_loss(offset, seed=seed), offset, STEP)], order=request.param)
    return tmp_path


def test_every_zero_loss_lies_at_zero_of_the_one_axis(folder):
    series = load_tilt_series(folder)
    assert series.angles.tolist() == [-20, -10, 0, 10]
    assert (series.energy[0], len(series.energy)) == (pytest.approx(-9.8), 1024 - 13)
    spectra = series.counts.compute().sum((1, 2))
    np.testing.assert_allclose(series.energy[spectra.argmax(axis=1)], 0, atol=0.15)
    (note,) = series.findings
    assert (note.level, note.about) == ('note', 'energy axes')
    assert 'up to 1.3 eV apart' in note.sentence and '13 channels' in note.sentence
    binned = load_tilt_series(folder, binning=2)
    assert binned.counts.sum().compute() == spectra.sum()


def test_the_calibration_of_eels_takes_it_from_there(folder):
    place = calibrate(load_tilt_series(folder), remove_dark=False).zero_loss
    assert np.abs(place).max() < 0.1


def test_other_steps_name_both_calibrations(folder):
    write(folder / '20.hspy', [(low_loss(-10, step=0.05), -10.0, 0.05)])
    with pytest.raises(InputError) as caught:
        load_tilt_series(folder)
    assert '20.hspy has another energy calibration (from -10 eV in steps of 0.05)' in str(caught.value)
    assert 'than -20.hspy (from -9.8 eV in steps of 0.1)' in str(caught.value)


def test_without_a_zero_loss_in_range_both_calibrations_are_named(tmp_path):
    for tilt, offset in ((-5, 30.0), (5, 32.0)):
        write(tmp_path / f'{tilt}.hspy', [(low_loss(offset), offset, STEP)])
    with pytest.raises(InputError) as caught:
        load_tilt_series(tmp_path)
    assert '5.hspy has another energy calibration (from 32 eV in steps of 0.1) than -5.hspy (from 30 eV' in str(
        caught.value
    )
    assert 'there is no zero loss in range' in str(caught.value)


def test_ranges_that_hardly_overlap_are_refused(tmp_path):
    for tilt, offset in ((-5, -10.0), (5, -80.0)):
        write(tmp_path / f'{tilt}.hspy', [(low_loss(offset), offset, STEP)])
    with pytest.raises(InputError, match='they share 324 of 1024 channels only'):
        load_tilt_series(tmp_path)


def test_offsets_of_x_rays_are_a_contradiction(tmp_path):
    from series_files import counts, write_spectra

    for tilt, offset in ((-5, -0.1), (5, -0.2)):
        write_spectra(tmp_path / f'{tilt}.hspy', counts(), energy={'scale': 0.01, 'offset': offset, 'units': 'keV'})
    with pytest.raises(InputError, match=r'from -0\.2 keV in steps of 0\.01\) than -5\.hspy \(from -0\.1 keV'):
        load_tilt_series(tmp_path)


@pytest.mark.parametrize('follows', [True, False])
def test_the_core_loss_of_dual_eels_moves_with_its_low_loss(tmp_path, follows):
    core = np.arange(6 * 6 * 1024, dtype=np.uint32).reshape(6, 6, 1024)
    for k, (tilt, offset) in enumerate(((-5, -10.0), (5, -11.0))):
        moved = 40.0 + (offset + 10) * (1 if follows else 0.3)
        write(tmp_path / f'{tilt}.hspy', [(low_loss(offset, seed=k), offset, STEP), (core, moved, STEP)])
    if not follows:
        with pytest.raises(InputError, match='has another energy calibration'):
            load_tilt_series(tmp_path)
        return
    series = load_tilt_series(tmp_path)
    assert series.core_loss is not None and series.core_loss.energy[0] == pytest.approx(40)
    np.testing.assert_array_equal(series.core_loss.counts.compute(), [core[..., :1014], core[..., 10:]])
