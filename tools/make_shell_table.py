"""Write ``spectra/edx/shells.csv``: edge, dipole strength and photons per vacancy of every K, L and M subshell.

Needs ``xraydb``, which the package itself does without. The numbers come from
the tables of W. T. Elam, B. D. Ravel and J. R. Sieber, Radiat. Phys. Chem. 63
(2002) 121: photoabsorption, jump ratios, fluorescence yields, Coster-Kronig
probabilities. K yields are those of the fit of W. Bambynek (1984), quoted by
J. H. Hubbell et al., J. Phys. Chem. Ref. Data 23 (1994) 339, because Elam's
are too low for light elements (by 45 % for carbon).

Strength: the integral of (E_edge / E) df over the shell's own part of the
photoabsorption, in electrons. The part is the total times 1 - 1 / jump, over
the jumps of all deeper edges passed. The jumps of M4 and M5 scatter from
element to element (the absorption rises late above these edges): half an
electron per electron stands in for them.

Photons per vacancy: fluorescence of the subshell, and of those that
Coster-Kronig transitions fill the vacancy from.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xraydb

OUTPUT = Path(__file__).parents[1] / 'src/napari_diptomo/spectra/edx/shells.csv'
_ELECTRONS = {'M4': 4, 'M5': 6}
#: cm^2 eV: photoabsorption cross section per oscillator strength per eV.
_CROSS_SECTION = 1.09761e-16
_AVOGADRO = 6.02214076e23


def main() -> None:
    warnings.filterwarnings('ignore')
    with OUTPUT.open('w', newline='', encoding='utf-8') as file:
        rows = csv.writer(file, lineterminator='\n')
        rows.writerow(('element', 'shell', 'edge_keV', 'strength', 'photons'))
        for number in range(4, 93):
            element = xraydb.atomic_symbol(number)
            edges = {n: e for n, e in xraydb.xray_edges(element).items() if n[0] in 'KLM' and e.energy > 50}
            for name, edge in edges.items():
                photons = bambynek(number) if name == 'K' else photons_per_vacancy(element, name, edges)
                if photons > 0:
                    strength = _ELECTRONS[name] / 2 if name in _ELECTRONS else integral(element, name, edges)
                    rows.writerow((element, name, f'{edge.energy / 1000:.5g}', f'{strength:.4g}', f'{photons:.4g}'))


def integral(element: str, name: str, edges: dict[str, Any]) -> float:
    edge = edges[name]
    energy = np.geomspace(edge.energy * (1 + 1e-7), min(300 * edge.energy, 8e5), 1500)
    per_atom = xraydb.mu_elam(element, energy, kind='photo') * xraydb.atomic_mass(element) / _AVOGADRO
    share = np.full(len(energy), 1 - 1 / edge.jump_ratio)
    for deeper in edges.values():
        if deeper.energy > edge.energy:
            share[energy > deeper.energy] /= deeper.jump_ratio
    return float(np.trapezoid(edge.energy / energy * per_atom * share / _CROSS_SECTION, energy))


def photons_per_vacancy(element: str, name: str, edges: dict[str, Any]) -> float:
    own = edges[name].fyield
    for other, edge in edges.items():
        if other[0] == name[0] and other > name:
            # The total counts the vacancies that reach a subshell by way of others as well.
            own += (xraydb.ck_probability(element, name, other, total=True) or 0.0) * edge.fyield
    return own


def bambynek(number: int) -> float:
    root = 0.0370 + 0.03112 * number + 5.44e-5 * number**2 - 1.25e-6 * number**3
    return root**4 / (1 + root**4)


if __name__ == '__main__':
    main()
