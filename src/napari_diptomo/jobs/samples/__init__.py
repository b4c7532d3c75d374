"""Published measurements as samples: which there are, their licences, and fetching them with checksums."""

from napari_diptomo.jobs.samples.archives import checked_by_archive
from napari_diptomo.jobs.samples.fetch import fetch, fetched
from napari_diptomo.jobs.samples.published import PublishedFile, PublishedSample, published_sample, published_samples

__all__ = [
    'PublishedFile',
    'PublishedSample',
    'checked_by_archive',
    'fetch',
    'fetched',
    'published_sample',
    'published_samples',
]
