"""``diptomo demo``: the whole work once, and what is written beside its volume."""

from napari_diptomo.jobs.demo.workflow import DemoSettings, run_demo

__all__ = ['DemoSettings', 'run_demo']
