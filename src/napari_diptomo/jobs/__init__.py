"""Running a recipe: in this process or in one of its own; progress, pause, cancel, checkpoints."""

from napari_diptomo.jobs.checkpoint import Checkpoint
from napari_diptomo.jobs.child_job import ChildJob, JobState
from napari_diptomo.jobs.error_sentences import explain
from napari_diptomo.jobs.messages import CancelledRun, Failure, FrameReady, Log, Message, Noted, Result, Stage
from napari_diptomo.jobs.reading.isolated import ReadingFailed, load_isolated, open_isolated
from napari_diptomo.jobs.recipe_run import run

__all__ = [
    'CancelledRun',
    'Checkpoint',
    'ChildJob',
    'Failure',
    'FrameReady',
    'JobState',
    'Log',
    'Message',
    'Noted',
    'ReadingFailed',
    'Result',
    'Stage',
    'explain',
    'load_isolated',
    'open_isolated',
    'run',
]
