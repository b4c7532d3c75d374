"""The plots of the dock, in the colours of napari's theme."""
