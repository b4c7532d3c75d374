"""From a `MapSeries` or a `Volume` to a file."""
