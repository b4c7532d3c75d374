"""From files to a `SpectralTiltSeries` or a `MapSeries`.

`tilt_series` opens any of them, a module reads each kind. Before a library touches a file, `inspection` looks at what
it would unpack, follow or execute; `library_errors` turns what the library raises into a sentence. HyperSpy and
RosettaSciIO stand behind `hyperspy_adapter` alone, which is imported by name and imports them when a file is read,
never before.
"""
