"""The command line as ``python -m napari_diptomo``, where the command ``diptomo`` is not on the path."""

from napari_diptomo.cli import main

if __name__ == '__main__':
    main('python -m napari_diptomo')
