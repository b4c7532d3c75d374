"""Common ground of all tests: a screen if one can be had, settled threads, the shared measurements."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from pathlib import Path

# Before Qt, torch and napari are imported: one Qt, software OpenGL that a
# virtual screen can do, the same number of threads on every machine (sums in
# another order give other last digits), and nobody's own settings touched.
os.environ.setdefault('QT_API', 'pyqt6')
os.environ.setdefault('LIBGL_ALWAYS_SOFTWARE', '1')
os.environ.setdefault('OMP_NUM_THREADS', '1')
# Threads that spin while they wait stop everything on a busy machine.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
# OpenBLAS knows no such policy: on matrices as small as ours its threads mostly wait for each other.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
os.environ.setdefault('MPLBACKEND', 'agg')
os.environ['XDG_CONFIG_HOME'] = tempfile.mkdtemp(prefix='diptomo-test-config-')
os.environ['XDG_CACHE_HOME'] = tempfile.mkdtemp(prefix='diptomo-test-cache-')
os.environ['XDG_STATE_HOME'] = tempfile.mkdtemp(prefix='diptomo-test-state-')

import numpy as np
import pytest

SHARED_DATA = Path(__file__).parents[1].parent / 'shared' / 'data'


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    # pytest-xvfb has had its turn: whoever has no screen now has no Xvfb either. Not so the process that
    # only hands out the tests: each of its workers has an Xvfb of its own, and inherits what is set here.
    hands_out = getattr(config.option, 'numprocesses', None) and not hasattr(config, 'workerinput')
    if not hands_out and not _has_screen():
        os.environ.setdefault('QT_QPA_PLATFORM', 'offscreen')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if _has_screen():
        return
    skip = pytest.mark.skip(reason='no screen and no Xvfb; `make system` installs it')
    for item in items:
        if {'make_napari_viewer', 'make_napari_viewer_proxy'} & set(getattr(item, 'fixturenames', ())):
            item.add_marker(skip)


_frozen_modules = 0


def pytest_runtest_setup() -> None:
    # napari's fixture collects garbage four times around each window. What all imports have brought is none, and made
    # that a fifth of the time of the tests with windows. Many modules are imported by tests only, torch and plots among them.
    global _frozen_modules
    if len(sys.modules) > _frozen_modules + 50:
        gc.collect()
        gc.freeze()
        _frozen_modules = len(sys.modules)


def _has_screen() -> bool:
    return not sys.platform.startswith('linux') or bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """A test that forgets to seed still does the same every time."""
    np.random.seed(0)  # noqa: NPY002
    # A thread that the test before left behind may be importing it just now.
    if hasattr(sys.modules.get('torch'), 'manual_seed'):
        sys.modules['torch'].manual_seed(0)


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """The folder with real measurements; tests that ask for it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip('the shared measurements are not beside this checkout')
    return SHARED_DATA
