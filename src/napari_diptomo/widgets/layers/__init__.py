"""Data as napari layers: made, arranged, shown, read back."""
