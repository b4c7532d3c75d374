from __future__ import annotations

import base64
import io
import os
import re
import sys

import dask.array as da
import numpy as np
import pytest
from matplotlib import pyplot as plt

from napari_diptomo import Align, DIPmTV, EDXMaps, MapSeries, Recipe, Source, SpectralTiltSeries, Volume
from napari_diptomo.series import Finding, InputError, UnknownStep
from napari_diptomo.series.showing.images import blend, bright
from napari_diptomo.series.showing.pictures import bytes_read, nearest, of_maps, of_volume

ANGLES = (-40.0, 0.0, 40.0)
FINDINGS = (
    Finding('note', 'angles', 'Nobody checked them.'),
    Finding('doubt', 'width', 'It is <b>narrow</b>.', step='SIRT'),
)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close('all')


@pytest.fixture
def maps():
    data = np.zeros((2, 3, 8, 12), np.float32)
    data[0, 1, :4] = 10
    data[1, 1, 4:] = 20
    return MapSeries(data, ANGLES, ('Ge', 'Te'), pixel_size=2.0, findings=FINDINGS)


@pytest.fixture
def volume():
    data = np.zeros((2, 6, 8, 12), np.float32)
    data[0, 3], data[1, :, 5] = 1, 2
    return Volume(data, ('Ge', 'Te'), voxel_size=1.5, findings=FINDINGS[:1])


def forbidden(shape, chunks):
    """Lazy counts that nobody may read."""

    def read(block_info=None):
        raise AssertionError('the counts were read')

    return da.map_blocks(read, chunks=chunks, dtype=np.uint16, meta=np.zeros((0,) * 4, np.uint16))


def large_series():
    tilts, edge, energies = 15, 448, 1024
    counts = forbidden(None, ((1,) * tilts, (edge,), (edge,), (energies,)))
    return SpectralTiltSeries(counts, 0.01 * np.arange(energies), np.linspace(-70, 70, tilts), 1.5)


def picture_in(html):
    found = re.search(r'base64,([^"]+)"', html)
    return plt.imread(io.BytesIO(base64.b64decode(found.group(1)))) if found else None


def test_maps_in_two_lines(maps):
    assert repr(maps) == (
        'MapSeries (channel 2, tilt 3, y 8, x 12): Ge, Te; counts\n'
        '  3 tilts, -40° to 40°; 2 nm per pixel; findings: 1 doubt, 1 note'
    )


def test_a_volume_in_two_lines(volume):
    assert repr(volume) == (
        'Volume (channel 2, z 6, y 8, x 12): Ge, Te; counts per voxel of path\n  1.5 nm per voxel; findings: 1 note'
    )


def test_a_series_of_six_gigabytes_is_shown_without_reading_it():
    series = large_series()
    assert repr(series) == (
        'SpectralTiltSeries (tilt 15, y 448, x 448, energy 1024): EDX, 0 to 10.23 keV, 6.17 GB, lazy\n'
        '  15 tilts, -70° to 70°; 1.5 nm per pixel; findings: none'
    )
    html = series._repr_html_()
    assert 'No picture' in html and '6.17 GB, lazy' in html


def test_its_haadf_is_shown_without_reading_the_spectra():
    series = large_series()
    haadf = np.zeros((15, 448, 448), np.float32)
    haadf[:, :200] = 5
    shown = SpectralTiltSeries(series.counts, series.energy, series.angles, series.pixel_size, haadf=haadf)
    picture = picture_in(shown._repr_html_())
    assert picture[20, 50, :3].min() > 0.9 and picture[-60, 50, :3].max() < 0.1


def test_what_reading_one_tilt_takes_is_its_chunks():
    together = da.zeros((6, 4, 4, 8), chunks=(3, 4, 2, 8), dtype=np.uint16)
    assert bytes_read(together, 4) == 3 * 4 * 4 * 8 * 2
    assert bytes_read(np.zeros((6, 4, 4, 8)), 4) == 0


def test_a_recipe_shows_its_steps_and_what_differs_from_the_defaults():
    recipe = Recipe(
        Source(paths=('/data/a/tilt_1.emd', '/data/a/tilt_2.emd'), binning=4),
        (
            EDXMaps(elements=('Ge', 'Te')),
            Align().stopping_at(3),
            DIPmTV(seed=7),
            UnknownStep('Lab:Filter', {'width': 2}),
        ),
    )
    assert repr(recipe) == (
        'Recipe of tilt_1.emd and 1 more (binning=4)\n'
        "  EDXMaps(elements=('Ge', 'Te')) > Align(stopped_at=3) > DIPmTV(seed=7) > Lab:Filter(width=2)"
    )
    assert '<li>DIPmTV(seed=7)</li>' in recipe._repr_html_()
    assert repr(Recipe()) == 'Recipe of data that are handed over\n  no steps'


@pytest.mark.parametrize('name', ['maps', 'volume'])
def test_a_page_has_a_table_a_picture_and_no_markup_of_others(name, request):
    html = request.getfixturevalue(name)._repr_html_()
    assert '<th' in html and 'Ge, Te' in html
    assert '<b>narrow</b>' not in html
    assert ('It is &lt;b&gt;narrow&lt;/b&gt;.' in html) == (name == 'maps')
    picture = picture_in(html)
    assert picture.shape[1] == 190


def test_the_picture_has_the_colours_of_the_elements_where_they_are(maps):
    picture = picture_in(maps._repr_html_())
    top, bottom = picture[20, 95, :3], picture[85, 150, :3]
    # Ge is sky blue, Te reddish purple.
    assert top[2] > top[1] > top[0]
    assert bottom[0] > bottom[2] > bottom[1]


def test_colours_add_up():
    images = np.array([[[1.0, 0.0, 2.0]], [[0.0, 3.0, 3.0]]])
    shown = blend(images, ('#800000', '#008000'))
    np.testing.assert_allclose(shown[0, 1], [0, 128 / 255, 0], atol=2e-3)
    np.testing.assert_allclose(shown[0, 2], [128 / 255, 128 / 255, 0], atol=2e-3)
    assert bright(np.zeros((2, 2))) > 0


def test_what_was_transposed_on_loading_is_shown_as_in_the_files(maps, volume):
    turned = MapSeries(np.swapaxes(maps.data, -1, -2), ANGLES, maps.channels, 2.0, transposed=True)
    np.testing.assert_array_equal(of_maps(turned).images, of_maps(maps).images)
    solid = Volume(np.swapaxes(volume.data, -1, -2), volume.channels, transposed=True)
    np.testing.assert_array_equal(of_volume(solid, axis='y').images, volume.data[:, :, 4])


def test_the_tilt_that_is_shown_is_the_nearest(maps):
    assert nearest(np.array(ANGLES), 27.0) == 2
    assert of_maps(maps).view == 'counts at 0°'
    assert of_maps(maps, -35).view == 'counts at -40°'


def test_a_figure_of_maps_has_all_together_then_each_with_a_scale_bar(maps):
    figure = maps.plot()
    assert [axis.get_title() for axis in figure.axes[:3]] == ['Ge, Te', 'Ge', 'Te']
    image = figure.axes[1].images[0]
    assert image.get_clim() == (0, 10)
    np.testing.assert_array_equal(image.get_array(), maps.data[0, 1])
    assert image.get_cmap()(1.0)[:3] == pytest.approx((0x2A / 255, 0xB0 / 255, 1.0), abs=1e-3)
    for axis in figure.axes[:3]:
        (bar,) = axis.lines
        # 5 nm is the longest round length within a third of 24 nm, at 2 nm per pixel.
        assert np.ptp(bar.get_xdata()) == pytest.approx(5 / 2)
        assert [text.get_text() for text in axis.texts] == ['5 nm']


def test_a_figure_of_a_volume_is_the_slice_that_was_asked_for(volume):
    np.testing.assert_array_equal(volume.plot().axes[1].images[0].get_array(), volume.data[0, 3])
    figure = volume.plot(axis='x', index=-1, channels='Te')
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), volume.data[1, :, :, 11])
    assert 'slice 11 of 12 along x' in figure.get_suptitle()


def test_a_figure_of_spectra_reads_one_tilt_alone():
    asked = []

    def read(block_info=None):
        asked.append(block_info[None]['chunk-location'][0])
        return np.full((1, 4, 4, 6), 2, np.uint16)

    counts = da.map_blocks(
        read, chunks=((1, 1, 1), (4,), (4,), (6,)), dtype=np.uint16, meta=np.zeros((0,) * 4, np.uint16)
    )
    figure = SpectralTiltSeries(counts, np.arange(6.0), ANGLES, 1.0).plot(tilt=35)
    assert set(asked) == {2}
    assert figure.axes[1].lines[0].get_ydata() == pytest.approx([32.0] * 6)
    assert figure.axes[1].get_xlabel() == 'Energy / keV'


@pytest.mark.parametrize(
    ('wrong', 'sentence'),
    [
        ({'axis': 'w'}, "no axis 'w'; choose"),
        ({'index': 99}, 'no slice 99 along z; give a whole number from 0 to 5'),
        ({'index': 'a'}, "no slice 'a' along z"),
        ({'channels': ('Xe',)}, 'no channel Xe; choose among Ge, Te'),
        ({'channels': ()}, 'choose among Ge, Te'),
    ],
)
def test_a_view_that_is_not_there_is_one_sentence(volume, wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        volume.plot(**wrong)


def test_a_tilt_that_is_no_number_is_one_sentence(maps):
    with pytest.raises(InputError, match="'flat' is no tilt angle; give degrees"):
        maps.plot(tilt='flat')


def test_a_notebook_shows_a_figure_once_as_the_value_of_its_cell(tmp_path):
    """In a kernel: the figure was once text alone, since nothing had taught the kernel to show figures."""
    manager = pytest.importorskip('jupyter_client.manager')
    pytest.importorskip('ipykernel')
    environment = {name: value for name, value in os.environ.items() if name != 'MPLBACKEND'}
    kernel, client = manager.start_new_kernel(kernel_name='python3', env=environment, cwd=str(tmp_path))
    try:
        shown = {}
        for code in (
            'import numpy as np; from napari_diptomo import Volume; v = Volume(np.ones((1, 4, 4, 4)), ("Ge",))',
            'v.plot()',
            'f = v.plot()',
            'v',
        ):
            shown[code] = []
            client.execute_interactive(code, output_hook=shown[code].append, timeout=60)
    finally:
        kernel.shutdown_kernel(now=True)
        client.stop_channels()
    kinds = {code: [list(m['content']['data']) for m in out if 'data' in m['content']] for code, out in shown.items()}
    assert len(kinds['v.plot()']) == 1 and 'image/png' in kinds['v.plot()'][0], shown['v.plot()']
    assert kinds['f = v.plot()'] == []
    assert 'text/html' in kinds['v'][0]


def test_there_and_back_by_hyperspy(maps, volume):
    back = Volume.from_hyperspy(volume.to_hyperspy())
    np.testing.assert_array_equal(back.data, volume.data)
    assert (back.channels, back.voxel_size) == (volume.channels, volume.voxel_size)
    again = MapSeries.from_hyperspy(maps.to_hyperspy())
    np.testing.assert_array_equal(again.data, maps.data)
    assert (again.channels, again.pixel_size, tuple(again.angles)) == (maps.channels, 2.0, ANGLES)


def test_a_signal_of_something_else_is_one_sentence(maps, volume):
    with pytest.raises(InputError, match=r'holds maps; use MapSeries.from_hyperspy'):
        SpectralTiltSeries.from_hyperspy(maps.to_hyperspy())
    with pytest.raises(InputError, match=r'axes channel, z, y, x in the order of the array, not channel, tilt, y, x'):
        Volume.from_hyperspy(maps.to_hyperspy())
    with pytest.raises(InputError, match='takes a HyperSpy signal, not str'):
        MapSeries.from_hyperspy('maps.hspy')
    signal = volume.to_hyperspy()
    signal.axes_manager['z'].scale = 3.0
    with pytest.raises(InputError, match='not cubes of a known size'):
        Volume.from_hyperspy(signal)


def test_without_xarray_one_sentence_says_how_to_get_it(maps, monkeypatch):
    monkeypatch.setitem(sys.modules, 'xarray', None)
    with pytest.raises(
        InputError, match=r'xarray, which is not installed; run: pip install "napari-diptomo\[xarray\]"'
    ):
        maps.to_xarray()


def test_datasets_of_xarray_have_named_axes_in_units(maps, volume):
    pytest.importorskip('xarray')
    found = maps.to_xarray()
    assert found.counts.dims == ('channel', 'tilt', 'y', 'x')
    np.testing.assert_array_equal(found.counts.sel(channel='Te', tilt=0), maps.data[1, 1])
    assert (found.tilt.attrs['units'], found.x.attrs['units']) == ('deg', 'nm')
    assert float(found.x[-1]) == pytest.approx(22.0)
    assert Recipe.from_json(found.attrs['recipe']) == maps.recipe
    solid = volume.to_xarray()
    assert solid.counts.dims == ('channel', 'z', 'y', 'x') and 'std' not in solid
    lazy = large_series().to_xarray()
    assert lazy.counts.dims == ('tilt', 'y', 'x', 'energy') and lazy.energy.attrs['units'] == 'keV'
    assert lazy.counts.chunks is not None
