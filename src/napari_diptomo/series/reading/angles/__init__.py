"""The tilt angles of a series: in names, tables and metadata, compared with each other."""
