"""One colour per element, the same in maps, spectra, volumes, figures and movies."""

from napari_diptomo.series.channel_colours import HUES, colours, opacity

__all__ = ['HUES', 'colours', 'opacity']
