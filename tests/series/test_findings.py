"""Findings: what they say in one line, that they merge, and that files keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from napari_diptomo.series import Finding, InputError, MapSeries, Remedy, Step, Volume, by_weight, load, param

NOTE = Finding('note', 'angles', 'The angles could not be checked; look at the table.', step='Align')
DOUBT = Finding(
    'doubt',
    'field of view',
    'The maps do not end inside the images: 12 % of the mass is cut (µ, Å, "quoted").',
    {'mass cut in %': 12.5, 'third': 1 / 3},
    Remedy('Extend beyond the field', 'DIPmTV', {'beyond_field': True}),
    'DIPmTV',
)
STOP = Finding('stop', 'tilt axis', 'No axis explains these maps; do not use the volume.', step='Align')


def maps(findings: tuple[Finding, ...] = ()) -> MapSeries:
    return MapSeries(np.ones((1, 3, 4, 4)), [-10.0, 0.0, 10.0], ('Fe',), findings=findings)


def volume(findings: tuple[Finding, ...] = ()) -> Volume:
    return Volume(np.ones((1, 2, 3, 4)), ('Fe',), transposed=True, findings=findings)


def edited(path: Path, change: Any) -> Path:
    """The file with what it says of its findings changed, or taken away."""
    with h5py.File(path, 'a') as file:
        (experiment,) = file['Experiments'].values()
        attributes = experiment['metadata/napari_diptomo'].attrs
        if change is None:
            del attributes['findings']
        else:
            attributes['findings'] = change(attributes['findings'])
    return path


def test_a_finding_is_a_readable_line() -> None:
    assert str(NOTE) == 'note (angles, Align): The angles could not be checked; look at the table.'
    assert str(DOUBT).startswith('doubt (field of view, DIPmTV): The maps do not end')
    assert str(DOUBT).endswith('Remedy: set beyond_field to true in DIPmTV.')
    assert str(Finding('stop', 'counts', 'Two\nlines.')) == 'stop (counts): Two lines.'


def test_a_remedy_in_words_has_the_values_of_a_recipe() -> None:
    several = Remedy('Use these', 'EDXMaps', {'elements': ('Ge', 'Te'), 'iterations': np.int64(3), 'weight': None})
    assert str(several) == 'set elements to ["Ge", "Te"], iterations to 3 and weight to null in EDXMaps'
    assert str(Remedy('Use DIPm-TV', 'DIPmTV')) == 'Use DIPm-TV (DIPmTV)'
    with pytest.raises(TypeError, match=r'cannot set a \w*Path'):
        Remedy('Use this', 'EDXMaps', {'table': Path('x')})


def test_the_gravest_come_first_and_equal_ones_once() -> None:
    assert by_weight([NOTE, DOUBT, STOP, DOUBT]) == [STOP, DOUBT, NOTE]


def test_a_step_signs_its_own_and_keeps_those_of_its_input() -> None:
    class Look(Step):
        size: int = param(1, 'Size.')

        def _run(self, data: MapSeries, observer: Any) -> Volume:
            return volume((Finding('note', 'size', 'One.'),))

    found = Look().run(maps((DOUBT,))).findings
    assert found[0] == DOUBT
    assert (found[1].sentence, found[1].step.endswith('Look')) == ('One.', True)


@pytest.mark.parametrize('make', [maps, volume])
def test_a_file_keeps_findings(make: Any, tmp_path: Path) -> None:
    path = make((NOTE, DOUBT, STOP)).save(tmp_path / 'made.hspy')
    assert load(path).findings == (NOTE, DOUBT, STOP)
    assert load(make().save(path)).findings == ()


def test_a_file_keeps_more_findings_than_an_attribute_of_64_kb_holds(tmp_path: Path) -> None:
    many = tuple(Finding('note', f'tilt {i}', 500 * 'x', {'counts': i}) for i in range(300))
    assert load(volume(many).save(tmp_path / 'v.hspy')).findings == many


@pytest.mark.parametrize('make', [maps, volume])
def test_a_file_of_the_first_edition_has_none(make: Any, tmp_path: Path) -> None:
    path = edited(make((DOUBT,)).save(tmp_path / 'made.hspy'), None)
    assert load(path).findings == ()


@pytest.mark.parametrize(
    ('change', 'kept', 'lost'),
    [
        (lambda text: text[: len(text) // 2], (), 1),
        (lambda text: '7', (), 1),
        (lambda text: '[7, null, {}, {"level": "note"}]', (), 4),
        (lambda text: np.arange(3), (), 1),
        (lambda text: text.replace('"stop"', '"alarm"'), (DOUBT,), 1),
        (lambda text: text.replace('"sentence"', '"words"'), (), 2),
        (lambda text: text.replace('{"mass cut in %": 12.5', '{"mass cut in %": "some"'), (STOP,), 1),
    ],
)
def test_a_damaged_finding_becomes_a_note(change: Any, kept: tuple[Finding, ...], lost: int, tmp_path: Path) -> None:
    found = load(edited(volume((DOUBT, STOP)).save(tmp_path / 'v.hspy'), change)).findings
    assert found[:-1] == kept
    assert (found[-1].level, found[-1].evidence['left out']) == ('note', lost)
    assert 'left out' in found[-1].sentence


def test_a_finding_outlives_its_damaged_remedy(tmp_path: Path) -> None:
    path = volume((DOUBT,)).save(tmp_path / 'v.hspy')
    (found,) = load(edited(path, lambda text: text.replace('"changes"', '"change"'))).findings
    assert (found.sentence, found.remedy) == (DOUBT.sentence, None)


def test_an_unknown_level_is_refused_where_it_is_made() -> None:
    with pytest.raises(InputError, match='note, doubt, stop'):
        Finding('alarm', 'angles', 'No.')
