r"""Lines that eXSpy's table leaves out and a spectrum of many counts shows.

*Doublets.* Spin-orbit coupling splits a shell (n, l) by Sommerfeld's

    dE = Ry alpha^2 (Z - s)^4 / (n^3 l (l + 1)),

for n = 2 times 1 + 5/8 alpha^2 (Z - s)^2; s is the screening, 3.5 for 2p, 13
for 3d, 15 for 4p. So Ka2, La2 and Lg2 lie that far below Ka1, La1 and Lg3. Of
the photons of Ka a third belong to Ka2, of those of La a tenth to La2.

*Lines from the outermost shells* of heavy elements, Lb5 and Lg6, end at the
edges of L3 and L2: above Lb2 and Lg1 by the binding energy of 4d.

Their strengths are those of Pt; `calibration.refine_weights` mends them where
the spectrum can tell.
"""

from __future__ import annotations

Lines = dict[str, tuple[float, float]]

_RYDBERG, _ALPHA = 13.6057e-3, 1 / 137.036


def splitting(number: int, n: int, orbital: int, screening: float) -> float:
    """Spin-orbit splitting of a shell, keV."""
    charge = number - screening
    energy = _RYDBERG * _ALPHA**2 * charge**4 / (n**3 * orbital * (orbital + 1))
    return energy * (1 + 0.625 * (_ALPHA * charge) ** 2) if n == 2 else energy


def with_fine_lines(lines: Lines, number: int) -> Lines:
    """The lines of one family, energy in keV and weight by name, with those that the table leaves out.

    Parameters
    ----------
    lines : dict of str to (float, float)
        From eXSpy.
    number : int
        Atomic number.
    """
    lines = dict(lines)
    if 'Ka' in lines and number >= 20:
        _split(lines, 'Ka', 'Ka2', 1 / 3, splitting(number, 2, 1, 3.5))
    if 'La' in lines and number >= 40:
        _split(lines, 'La', 'La2', 0.1, splitting(number, 3, 2, 13.0))
    if 'Lg3' in lines and number >= 40:
        _split(lines, 'Lg3', 'Lg2', 0.4, splitting(number, 4, 1, 15.0))
    if number >= 72 and {'La', 'Lb2', 'Lb1', 'Lg1'} <= set(lines):
        bound = 0.243 + 0.0144 * (number - 74) + 0.00084 * (number - 74) ** 2
        lines['Lb5'] = (lines['Lb2'][0] + bound, 0.03 * lines['La'][1])
        lines['Lg6'] = (lines['Lg1'][0] + bound, 0.04 * lines['Lb1'][1])
    return lines


def _split(lines: Lines, strong: str, weak: str, share: float, distance: float) -> None:
    energy, weight = lines[strong]
    lines[strong] = (energy, (1 - share) * weight)
    lines[weak] = (energy - distance, share * weight)
