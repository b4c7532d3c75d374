"""Composition, oxidation state and quality of a volume, by the data alone or by a known truth."""

from napari_diptomo.assess.composition import Composition
from napari_diptomo.assess.composition_values import (
    ChannelValues,
    carried_voxels,
    channel_values,
    percent_channels,
    units_of,
)
from napari_diptomo.assess.consistency import Consistency, consistency
from napari_diptomo.assess.data_correlation import (
    ceiling_excess,
    correlation_error,
    count_ceiling,
    half_ceiling,
    projection_correlation,
)
from napari_diptomo.assess.dose_halves import DoseHalves, dose_halves
from napari_diptomo.assess.error_bar_quality import SpreadQuality, away_from_edges, band, judge_spread, reliability
from napari_diptomo.assess.factor_calibration import CalibratedFactors, StandardSettings, calibrate_factors
from napari_diptomo.assess.half_volumes import HalfResolution, correlate_halves, half_bit, half_resolution
from napari_diptomo.assess.mass_density import Dose
from napari_diptomo.assess.oxidation_state import FractionMaps, OxidationState, fraction_maps
from napari_diptomo.assess.phases import (
    Phases,
    Region,
    measure,
    particles_of,
    phase_by_threshold,
    phases_by_clustering,
    write_regions,
)
from napari_diptomo.assess.profiles import Profile, line_profile
from napari_diptomo.assess.regions import RegionComposition, region_composition, region_compositions
from napari_diptomo.assess.resolution import (
    FSC,
    WedgeFSC,
    elongation,
    fsc,
    fsc_wedge,
    measured_frequencies,
    wedge_elongation,
)
from napari_diptomo.assess.ternary import mix_colours, triangle
from napari_diptomo.assess.ternary_diagram import TernaryPoints, off_plane, on_plane, ternary_points, triangle_of
from napari_diptomo.assess.tilt_prediction import TiltPrediction, predicted_tilts
from napari_diptomo.assess.truth_scores import CompositionError, compare, composition_error, psnr, ssim
from napari_diptomo.assess.voxel_classes import voxel_classes

__all__ = [
    'FSC',
    'CalibratedFactors',
    'ChannelValues',
    'Composition',
    'CompositionError',
    'Consistency',
    'Dose',
    'DoseHalves',
    'FractionMaps',
    'HalfResolution',
    'OxidationState',
    'Phases',
    'Profile',
    'Region',
    'RegionComposition',
    'SpreadQuality',
    'StandardSettings',
    'TernaryPoints',
    'TiltPrediction',
    'WedgeFSC',
    'away_from_edges',
    'band',
    'calibrate_factors',
    'carried_voxels',
    'ceiling_excess',
    'channel_values',
    'compare',
    'composition_error',
    'consistency',
    'correlate_halves',
    'correlation_error',
    'count_ceiling',
    'dose_halves',
    'elongation',
    'fraction_maps',
    'fsc',
    'fsc_wedge',
    'half_bit',
    'half_ceiling',
    'half_resolution',
    'judge_spread',
    'line_profile',
    'measure',
    'measured_frequencies',
    'mix_colours',
    'off_plane',
    'on_plane',
    'particles_of',
    'percent_channels',
    'phase_by_threshold',
    'phases_by_clustering',
    'predicted_tilts',
    'projection_correlation',
    'psnr',
    'region_composition',
    'region_compositions',
    'reliability',
    'ssim',
    'ternary_points',
    'triangle',
    'triangle_of',
    'units_of',
    'voxel_classes',
    'wedge_elongation',
    'write_regions',
]
