"""The adapter to HyperSpy and eXSpy: tables of X-ray lines, weights and absorption; deconvolution of EELS.

The import takes two seconds, so it happens when the table is first asked for.

Formulas: Fourier-log deconvolution of pixels (`fourier_log`); Fourier-ratio deconvolution (`fourier_ratio`);
principal components (`principal_components`).
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from napari_diptomo.spectra.common.energy_axis import channel_width

#: Dock and workers ask at the same time, and HyperSpy's tables keep the place of an iteration in themselves.
_LOCK = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither the warnings nor the log of what is imported or run within."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)


@cache
def _read_elements() -> dict[str, dict[str, Any]]:
    with _quiet():
        from exspy.material import elements
    return {symbol: element.as_dictionary() for symbol, element in elements}


def _elements() -> dict[str, dict[str, Any]]:
    """eXSpy's data of every element, as plain dictionaries."""
    with _LOCK:
        return _read_elements()


@cache
def line_table() -> dict[str, dict[str, tuple[float, float]]]:
    """Energy in keV and weight of every line, e.g. ``line_table()['Fe']['Ka']``.

    Weights are relative to the strongest line of the same family.
    """
    table = {}
    for symbol, element in _elements().items():
        lines = element['Atomic_properties'].get('Xray_lines', {})
        table[symbol] = {name: (line['energy (keV)'], line['weight']) for name, line in lines.items()}
    return table


@cache
def atomic_numbers() -> dict[str, int]:
    """Atomic number of every element of the table, in ascending order."""
    numbers = {symbol: int(element['General_properties']['Z']) for symbol, element in _elements().items()}
    return dict(sorted(numbers.items(), key=lambda item: item[1]))


@cache
def atomic_weights() -> dict[str, float]:
    """Atomic weight of every element of the table, g/mol."""
    return {symbol: float(element['General_properties']['atomic_weight']) for symbol, element in _elements().items()}


@cache
def element_densities() -> dict[str, float]:
    """Density of the pure element at room temperature, g/cm^3, where eXSpy has one; gases are far below 0.1."""
    found = {}
    for symbol, element in _elements().items():
        density = element.get('Physical_properties', {}).get('density (g/cm^3)')
        if density is not None and float(density) > 0:
            found[symbol] = float(density)
    return found


def mass_absorption(element: str, energy: np.ndarray) -> np.ndarray:
    """Mass absorption coefficient in cm^2/g, the tables of Chantler (NIST FFAST); ``energy`` in keV."""
    _elements()
    from exspy.material import mass_absorption_coefficient

    return np.asarray(mass_absorption_coefficient(element, list(np.atleast_1d(energy))), float)


@cache
def edge_onsets() -> dict[str, float]:
    """Energies of all edges in eV by name, e.g. ``edge_onsets()['Fe_L3']``; of M2,3 it is that of the maximum."""
    onsets = {}
    for symbol, element in _elements().items():
        edges = element['Atomic_properties'].get('Binding_energies', {})
        for shell, edge in edges.items():
            onsets[f'{symbol}_{shell}'] = float(edge['onset_energy (eV)'])
    return onsets


@cache
def major_edges() -> frozenset[str]:
    """Names of the edges that eXSpy's table calls major: those that are mapped."""
    return frozenset(
        f'{symbol}_{shell}'
        for symbol, element in _elements().items()
        for shell, edge in element['Atomic_properties'].get('Binding_energies', {}).items()
        if edge.get('relevance') == 'Major'
    )


def edge_cross_section(
    edge: str,
    energy: np.ndarray,
    *,
    beam_energy: float,
    convergence: float,
    collection: float,
    gos_file: str = '',
) -> np.ndarray:
    """Ionisation cross section of an edge per channel, barn: eXSpy's hydrogenic one, or from tabulated oscillator strengths.

    Parameters
    ----------
    edge : str
        E.g. ``'Fe_L3'``. The hydrogenic one of any L subshell is that of the whole shell, L1 to L3.
    energy : ndarray (energy,)
        Evenly spaced, eV.
    beam_energy : float
        keV.
    convergence, collection : float
        Semi-angles, mrad.
    gos_file : str
        A .gosh file; without one K and L edges only. Nothing is downloaded.

    Raises
    ------
    OSError, KeyError, ValueError
        What eXSpy says of an edge without strengths or a file that is none.
    """
    _elements()
    from exspy.components import EELSCLEdge

    strengths = {'GOS': 'dft', 'gos_file_path': gos_file} if gos_file else {'GOS': 'hydrogenic'}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        component = EELSCLEdge(edge, **strengths)
        step = float(energy[1] - energy[0])
        component.set_microscope_parameters(beam_energy, convergence, collection, step)
        return np.asarray(component.function(np.asarray(energy, float)), float) * step


def principal_components(spectra: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Leading components of spectra whose noise is that of counts: HyperSpy's decomposition.

    Parameters
    ----------
    spectra : ndarray (pixel, energy)
        No row and no column empty.
    count : int
        Fewer than there are pixels or energies.

    Returns
    -------
    components : ndarray (energy, count)
        In counts.
    explained : ndarray (count,)
        Share of the scaled variance.
    """
    with _quiet():
        import hyperspy.api as hs

        signal = hs.signals.Signal1D(np.array(spectra, float))
        # 'auto' picks a solver by the size of the data; this one is the fastest for few components.
        signal.decomposition(
            normalize_poissonian_noise=True, output_dimension=count, svd_solver='arpack', print_info=False
        )
    results = signal.learning_results
    return np.asarray(results.factors)[:, :count], np.asarray(results.explained_variance_ratio)[:count]


def fourier_log(spectra: np.ndarray, zero_loss: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Single losses of low-loss spectra by Fourier-log deconvolution, still as broad as the zero loss.

    Parameters
    ----------
    spectra, zero_loss : ndarray (pixel, energy)
        Spectra that fall to nothing at both ends, and their zero loss.
    energy : ndarray (energy,)
        eV, evenly spaced.

    Returns
    -------
    ndarray (pixel, energy)
        The area is that of the zero loss times t/lambda.
    """
    with _quiet():
        signal, zero = (_eels(values, energy) for values in (spectra, zero_loss))
        return np.asarray(signal.fourier_log_deconvolution(zero).data)


def fourier_ratio(
    edges: np.ndarray, low_loss: np.ndarray, core_energy: np.ndarray, energy: np.ndarray, end: float, fwhm: float
) -> np.ndarray:
    """Edges without plural scattering by Fourier-ratio deconvolution.

    Parameters
    ----------
    edges : ndarray (pixel, core energy)
        Core loss without its background, falling to nothing at both ends.
    low_loss : ndarray (pixel, energy)
        Of the same pixels, falling to nothing at both ends.
    core_energy, energy : ndarray
        eV, evenly spaced by the same step.
    end : float
        Where the zero loss ends, eV.
    fwhm : float
        Of the Gaussian that takes the place of the zero loss, eV.

    Returns
    -------
    ndarray (pixel, core energy)
        The area is that of the edges times the share of the zero loss in the low loss.
    """
    # eXSpy 0.3.2 returns counts per eV where later ones may not: a single peak behind a zero loss alone, whose area must
    # stay, shows which unit it is.
    probe, passed = np.zeros((1, len(core_energy))), np.zeros((1, len(energy)))
    probe[0, len(core_energy) // 2] = passed[0, np.abs(energy).argmin()] = 1.0
    with _quiet():
        core, low = _eels(np.vstack([edges, probe]), core_energy), _eels(np.vstack([low_loss, passed]), energy)
        found = core.fourier_ratio_deconvolution(
            low, fwhm=fwhm, threshold=end, extrapolate_lowloss=False, extrapolate_coreloss=False
        )
        areas = np.asarray(found.data)
        return areas[:-1] / areas[-1].sum()


def _eels(spectra: np.ndarray, energy: np.ndarray) -> Any:
    import exspy

    axes = [
        {'name': 'pixel', 'size': len(spectra), 'navigate': True},
        {
            'name': 'Energy loss',
            'size': len(energy),
            'scale': channel_width(energy),
            'offset': float(energy[0]),
            'units': 'eV',
        },
    ]
    return exspy.signals.EELSSpectrum(np.array(spectra, float), axes=axes)
