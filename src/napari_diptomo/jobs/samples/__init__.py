"""Published measurements as samples: which there are, their licences, and fetching them with checksums."""

from napari_diptomo.jobs.samples.fetch import fetch, fetched
from napari_diptomo.jobs.samples.published import PublishedFile, PublishedSample, published_sample, published_samples

__all__ = ['PublishedFile', 'PublishedSample', 'fetch', 'fetched', 'published_sample', 'published_samples']
