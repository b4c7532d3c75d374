"""Reference spectra as people bring them: columns in any form, sampled coarsely, with gaps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_diptomo.series import InputError
from napari_diptomo.simulate.eels import eels_tilt_series
from napari_diptomo.simulate.eels_shapes import edge_shape
from napari_diptomo.simulate.nanocube import oxide_nanocube
from napari_diptomo.spectra.common.column_tables import read_curves
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.standards.doubts import standards_findings
from napari_diptomo.spectra.eels.standards.phase_maps import map_phases
from napari_diptomo.spectra.eels.standards.stored import Standards, read_references

ENERGY = np.arange(690.0, 745.0, 0.1)
STATES = ('FeO', 'Fe3O4')


def written(path: Path, text: str, encoding: str = 'utf-8') -> Path:
    path.write_bytes(text.encode(encoding))
    return path


FORMS = {
    'plain': ('energy,FeO,Fe3O4\n700,1.5,4\n701,2,3\n', 'utf-8'),
    'semicolons and decimal commas': ('Energie (eV);FeO;Fe3O4\n700;1,5;4\n701;2;3\n', 'cp1252'),
    'tabs of a spreadsheet': ('Energy\tFeO\tFe3O4\r\n700\t1.5\t4\r\n701\t2\t3\r\n', 'utf-16'),
    'blanks': ('# digitised\nE FeO Fe3O4\n700  1.5  4\n701  2  3\n', 'utf-8'),
    'blanks and decimal commas': ('E FeO Fe3O4\n700,0 1,5 4,0\n701,0 2,0 3,0\n', 'utf-8'),
    'energies last and falling': ('FeO,Fe3O4,energy\n2,3,701\n1.5,4,700\n', 'utf-8'),
    'keV': ('energy [keV],FeO,Fe3O4\n0.7,1.5,4\n0.701,2,3\n', 'utf-8'),
    'keV that nothing calls so': ('energy,FeO,Fe3O4\n0.7,1.5,4\n0.701,2,3\n', 'utf-8'),
    'twice': ('energy,FeO,Fe3O4\n700,1.5,4\n700,1.5,4\n701,2,3\n', 'utf-8-sig'),
    'other words in the names': ('energy (eV),FeO (L23),Fe3O4 (L23)\n700,1.5,4\n701,2,3\n', 'utf-8'),
}


@pytest.mark.parametrize('form', FORMS)
def test_columns_in_any_form(tmp_path, form):
    text, encoding = FORMS[form]
    found = read_references(written(tmp_path / 'references.csv', text, encoding), STATES)
    np.testing.assert_allclose(found['FeO'], [[700, 701], [1.5, 2]])
    np.testing.assert_allclose(found['Fe3O4'], [[700, 701], [4, 3]])


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('700,1,2\n701,1,2\n', 'a first line names the columns'),
        ('energy,FeO,Fe3O4\n700,1,2\n701,nan,2\n', 'a row "701 nan 2" where its 3 columns want numbers'),
        ('energy,FeO,Fe3O4\n700,1\n701,1,2\n', 'a row "700 1" where'),
        ('energy,FeO,Fe2O3\n700,1,2\n701,1,2\n', 'named energy, FeO, Fe3O4; it has FeO, Fe2O3 beside'),
    ],
)
def test_what_is_no_table_of_references(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read_references(written(tmp_path / 'references.csv', text), STATES)


def test_a_curve_that_two_names_could_mean_is_none(tmp_path):
    curves = read_curves(written(tmp_path / 'a.csv', 'energy,FeO a,FeO b\n700,1,2\n701,1,2\n'))
    assert curves.called('FeO') is None and curves.called('FeO b') is not None


@pytest.fixture(scope='module')
def made():
    return eels_tilt_series(oxide_nanocube(32, ligand=1.0), [0.0], seed=3, read_noise=0.0)


@pytest.fixture(scope='module')
def calibrated(made):
    return calibrate(made.series)


def references(variation, keep, fwhm: float = 0.8) -> dict[str, np.ndarray]:
    shapes = {state: edge_shape(ENERGY, state, 'L', variation) for state in STATES}
    sharp = {state: ndimage.gaussian_filter1d(shape, fwhm / 2.3548 / 0.1) for state, shape in shapes.items()}
    return {state: np.stack([ENERGY, shape])[:, keep] for state, shape in sharp.items()}


@pytest.mark.parametrize(
    ('step', 'fwhm', 'doubted'), [(1, 0.8, False), (5, 0.8, False), (10, 0.8, True), (10, 2.0, False), (9, 0.8, True)]
)
def test_references_coarser_than_their_lines_are_doubted(made, calibrated, step, fwhm, doubted):
    """In steps of 1 eV the Fe2+ fraction came out .07 to .1 low, with an error of .02 and without a word."""
    given = references(made.variation, slice(None, None, step), fwhm)
    phases = map_phases(calibrated, method='references', references=given)
    standards = Standards(STATES, ENERGY, np.zeros((0, 2)), np.zeros((0, 2)), np.ones(2), notes=phases.notes)
    (finding,) = [one for one in standards_findings(standards) if one.about == 'references']
    assert ('finer steps' in finding.sentence) == doubted
    assert finding.level == 'doubt' or not doubted
    older = {**phases.notes['references']}
    older.pop('sampling')
    (before,) = standards_findings(replace(standards, notes={'references': older}))
    assert 'finer steps' not in before.sentence


def test_a_gap_in_l3_is_refused_and_one_beside_it_is_not(made, calibrated):
    with pytest.raises(InputError, match=r'FeO has no values between 707\.9 and 710\.0 eV, within its L3'):
        keep = (ENERGY < 707.95) | (ENERGY > 709.95)
        map_phases(calibrated, method='references', references=references(made.variation, keep))
    keep = (ENERGY < 713.95) | (ENERGY > 717.95)
    phases = map_phases(calibrated, method='references', references=references(made.variation, keep))
    assert phases.notes['references']['chi2'] < 2
