"""The report of a reconstruction: its numbers are those of the functions, what it lacks it says, its pages hold it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from napari_diptomo.assess import consistency, half_resolution, predicted_tilts
from napari_diptomo.assess.reprojection import reprojection
from napari_diptomo.jobs.assess_volume import halving_step
from napari_diptomo.jobs.colours import HUES
from napari_diptomo.jobs.report import pdf_pages
from napari_diptomo.jobs.report.contents import SECTIONS, contents, judge
from napari_diptomo.jobs.report.graphs import convergence_figure
from napari_diptomo.jobs.report.images import busiest, sinogram_figures
from napari_diptomo.jobs.report.style import WIDTH, darkened
from napari_diptomo.jobs.report.words import facts, recipe_in_words
from napari_diptomo.jobs.report.write import blocks_of, report_file, write_report
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import Finding, HAADFSeries, InputError, MapSeries, Recipe, Source, Volume, save
from napari_diptomo.series.reinsertion import Reinsertion
from napari_diptomo.series.showing.images import round_length
from napari_diptomo.simulate import lamella, tilt_series

STEP = SIRT(iterations=8)
FOUND = Finding('doubt', 'angles', 'Two <sources> & one angle disagree.', {'deg': 2.0}, step='Align')


@pytest.fixture(scope='module')
def maps() -> MapSeries:
    made = tilt_series(lamella(20), range(-60, 61, 20), peak_counts=60, seed=1).maps
    return replace(made, recipe=Recipe())


@pytest.fixture(scope='module')
def volume(maps: MapSeries) -> Volume:
    made = STEP.run(maps)
    return replace(made, findings=(*made.findings, FOUND))


@pytest.fixture(scope='module')
def written(volume: Volume, maps: MapSeries, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('report')
    files = save(maps, folder / 'maps.hspy'), save(volume, folder / 'cell.hspy')
    report_file(files[1], files[0], folder / 'cell.html', phases=2)
    return folder / 'cell.html'


def test_a_second_axis_and_haadf_images_are_named(volume: Volume, maps: MapSeries) -> None:
    second = replace(maps, reinsertion=Reinsertion.turned(88.0))
    images = HAADFSeries(np.ones((2, 20, 20), np.float32), np.array([-70.0, 70.0]), 1.0)
    said = dict(facts(volume, replace(maps, second_axis=second, haadf_series=images)))
    assert said['Second axis'] == '7 tilts from -60° to 60°, the specimen turned by 88.0°'
    assert said['HAADF series'].startswith('2 images from -70° to 70°, 2 of them at tilts beyond')
    assert not {'Second axis', 'HAADF series'} & set(dict(facts(volume, maps)))


def table(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open() as file:
        headings = file.readline().strip().split(',')
    return headings, np.loadtxt(path, delimiter=',', skiprows=1)


def test_the_data_beside_the_figures_are_those_of_the_functions(written: Path, volume: Volume, maps: MapSeries) -> None:
    folder = written.with_name('cell_figures')
    found = half_resolution(maps, halving_step(STEP, 'fast'))
    headings, rows = table(folder / 'fsc.csv')
    assert headings == ['frequency_per_nm', 'half_bit', *volume.channels]
    np.testing.assert_allclose(rows[:, 0], found.curves[0].frequency / volume.voxel_size, rtol=1e-5)
    np.testing.assert_allclose(rows[:, 3], found.curves[1].correlation, rtol=1e-5, atol=1e-6)
    misfit = consistency(volume, maps)
    headings, rows = table(folder / 'residuals.csv')
    assert headings[:3] == ['tilt_deg', f'misfit_{volume.channels[0]}', f'standard_error_{volume.channels[0]}']
    np.testing.assert_allclose(rows[:, 0], maps.angles)
    np.testing.assert_allclose(rows[:, 1], misfit.misfit[0], rtol=1e-5)
    name = volume.channels[0]
    predicted = predicted_tilts(maps, halving_step(STEP, 'fast'), misfit)
    headings, rows = table(folder / 'left-out-tilts.csv')
    assert headings[:4] == ['tilt_deg', f'predicted_{name}', f'standard_error_{name}', f'fitted_{name}']
    np.testing.assert_allclose(rows[:, 1], predicted.misfit[0], rtol=1e-5)
    np.testing.assert_allclose(np.loadtxt(folder / f'maps_{name}_-60deg.csv', delimiter=','), maps.data[0, 0])
    at = busiest(volume.data, 0)
    found_slice = np.loadtxt(folder / f'slices_{name}_xy.csv', delimiter=',')
    np.testing.assert_allclose(found_slice, volume.data[0, at], rtol=1e-5, atol=1e-6)
    # Every figure is there as a vector whose text can be edited.
    assert '<text' in (folder / 'fsc.svg').read_text()
    assert {path.stem for path in folder.glob('*.svg')} == {
        'maps', 'sinograms', 'slices', 'fsc', 'fsc-directions', 'residuals', 'left-out-tilts', 'convergence',
    }  # fmt: skip


def test_the_page_holds_everything_and_reaches_for_nothing(written: Path) -> None:
    page = written.read_text(encoding='utf-8')
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    assert page.count('<figure>') == 8 and page.count('data:image/png;base64,') == 8
    for section in SECTIONS:
        assert f'<h2>{section}</h2>' in page
    assert 'Two &lt;sources&gt; &amp; one angle disagree.' in page and 'class="doubt"' in page
    assert 'iterations 8' in page and '20 × 20 × 20 voxels (x, y, z) of 1 nm: 20 × 20 × 20 nm' in page
    assert 'halves agree on the same error' in page and 'napari-diptomo' in page
    assert 'FSC 0.143 (nm)' in page and 'volume (nm³)' in page
    document = written.with_suffix('.pdf').read_bytes()
    assert document.startswith(b'%PDF') and b'/Type3' not in document


def test_what_has_no_data_says_why(volume: Volume, tmp_path: Path) -> None:
    bare = Volume(volume.data[:1], ('Fe',), 2.0)
    found = judge(bare, 'The maps of this volume are gone.')
    made = contents(bare, found, 'bare')
    assert set(made.left_out) == set(SECTIONS) - {'Slices'}
    assert made.left_out['Sinograms'] == 'The maps of this volume are gone.'
    assert made.left_out['Phases and composition'].startswith(
        'Phases are distinguished by the fractions of at least two'
    )
    page, *_ = write_report(made, tmp_path / 'bare.html')
    text = page.read_text(encoding='utf-8')
    assert text.count('Left out: The maps of this volume are gone.') == 5
    assert 'Left out: the volume does not say how it was made.' in text or '<ol class="recipe">' in text


def test_a_composition_is_no_fraction_of_counts(volume: Volume) -> None:
    notes = {'composition': {'units': dict.fromkeys(volume.channels, 'wt.%')}}
    made = contents(replace(volume, notes=notes), judge(replace(volume, notes=notes), 'No maps.'), 'composition')
    (phases,) = [one for one in made.tables if one.section == 'Phases and composition']
    assert phases.headings[4:] == tuple(f'{name} (wt.%)' for name in volume.channels)
    assert phases.caption.endswith(('on the mean.', 'cuts it.')) and 'counts' not in phases.caption
    assert 'are no composition' not in made.notes['Phases and composition']


def test_the_weights_that_were_tried_are_named(volume: Volume) -> None:
    scores = {'iteration': [10.0, 20.0, 30.0, 40.0], 'data': [3.0, 2.0, 1.5, 1.0], 'fit': [0.0, 0.0, 1.0, 1.0]}
    alone = convergence_figure(replace(volume, scores=scores))
    assert alone is not None and 'weight' not in alone.caption
    tried = convergence_figure(replace(volume, scores={**scores, 'weight': [0.7, 0.7, 0.35, 0.35]}))
    assert tried is not None and 'the weight of the total variation that stands above it' in tried.caption
    figure = Figure()
    tried.draw(figure)
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.texts] == ['0.7', '0.35']
    assert [text.get_position()[0] for text in axis.texts] == [15, 30]


def test_maps_of_another_volume_leave_only_their_sections_out(volume: Volume, maps: MapSeries) -> None:
    other = replace(volume, data=volume.data[:, :, :18])
    found = judge(other, maps, halves='none', phases=None)
    assert found.consistency is None and 'take the maps that it was made from' in found.left_out['Residuals']
    assert found.left_out['Resolution'] == 'Halves of the counts were not asked for.'
    assert found.left_out['Phases and composition'] == 'Phases were not asked for.'


def test_names_that_are_taken_or_wrong(written: Path, tmp_path: Path) -> None:
    volume_file, maps_file = written.with_suffix('.hspy'), written.with_name('maps.hspy')
    with pytest.raises(
        InputError, match=r'cell\.html is there already; choose another name, or replace it with --over'
    ):
        report_file(volume_file, maps_file, written)
    with pytest.raises(InputError, match=r'r\.docx is no name for a report; choose one that ends in \.html or \.pdf'):
        report_file(volume_file, maps_file, tmp_path / 'r.docx')
    (tmp_path / 'r_figures').mkdir()
    (tmp_path / 'r_figures' / 'thesis.txt').write_text('years')
    with pytest.raises(InputError, match=r'holds more than figures \(thesis\.txt\)'):
        report_file(volume_file, maps_file, tmp_path / 'r.pdf', halves='none', overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ['r_figures']


def test_no_page_holds_more_than_its_height(volume: Volume, maps: MapSeries) -> None:
    long = replace(volume, findings=(FOUND,) * 60)
    blocks = list(blocks_of(contents(long, judge(long, maps, halves='none'), 'long')))
    pages = pdf_pages._paged(blocks)
    assert sum(map(len, pages)) == len(blocks) and len(pages) > 3
    for page in pages:
        assert sum(block.height for block in page) <= pdf_pages._USABLE
        assert not page[-1].keep, 'a heading or a figure without what belongs to it'


def test_lines_are_no_wider_than_the_page() -> None:
    text = 'A sentence of some length, repeated. ' * 20 + 'x' * 400
    lines = pdf_pages.wrapped(text, WIDTH, 8.5)
    assert ''.join(lines).replace(' ', '') == text.replace(' ', '')
    assert all(pdf_pages._width(line, 8.5, False) <= WIDTH for line in lines)
    assert pdf_pages._width(lines[0], 8.5, False) > 0.8 * WIDTH


def test_curves_are_seen_on_white() -> None:
    for hue in HUES:
        rgb = np.array([int(darkened(hue)[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        # A contrast of three to one with white (WCAG 2.1, 1.4.11).
        assert 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05) >= 2.95
    assert darkened('#000000') == '#000000'


def test_scale_bars_are_round() -> None:
    assert [round_length(most) for most in (0.7, 3.3, 49.9, 50, 1999)] == [0.5, 2, 20, 50, 1000]


def test_a_recipe_in_words_has_its_units() -> None:
    recipe = Recipe(Source(paths=('a/1.bcf', 'a/2.bcf', 'a/3.bcf'), binning=4), (SIRT(iterations=8, thickness=200.0),))
    (opened, step) = recipe_in_words(recipe)
    assert opened[2] == '3 files, 1.bcf to 3.bcf; binning 4'
    assert step[0] == 'SIRT' and 'iterations 8' in step[2] and 'thickness 200 nm' in step[2]


def test_a_sinogram_is_of_the_row_that_shows_most() -> None:
    """Images three rows high and forty wide, the middle row of which alone holds structure."""
    rng = np.random.default_rng(0)
    counts = np.full((1, 5, 3, 40), 2.0)
    counts[0, :, 1] = rng.poisson(20, (5, 40))
    angles = np.array([40.0, -40.0, 0.0, 20.0, -20.0])
    maps = MapSeries(counts, angles, ('Fe',), 1.0, recipe=Recipe())
    (figure,) = sinogram_figures(reprojection(SIRT(iterations=3).run(maps), maps))
    rows = figure.tables['Fe_measured'].rows
    np.testing.assert_array_equal(rows[:, 0], np.sort(angles))
    np.testing.assert_allclose(rows[:, 1:], counts[0, np.argsort(angles), 1])
    assert figure.tables['Fe_measured'].headings[:2] == ('tilt_deg', '-19.5_nm')
    assert 'image row 1 ' in figure.caption
