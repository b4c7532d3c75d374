"""The report of a reconstruction: one HTML page, the same as PDF, every figure as SVG with its data as csv."""
