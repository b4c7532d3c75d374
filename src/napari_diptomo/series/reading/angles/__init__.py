"""The tilt angles of a series: in names and tables, and which of the sources that speak is taken."""
