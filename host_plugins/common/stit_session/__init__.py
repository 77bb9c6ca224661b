"""The engine session that all hosts share. Standard library only, Python 3.7 and later.

    command = find_engine(preference, beside=plug_in_folder)
    session = Session(command, ["run", "job.json"], env=clean_environment("nuke"), expects=("comp", "matte"))
    session.start()
    # from the host's timer:
    for event in session.poll(): ...
    session.state, session.progress, session.cancel()
    # when session.finished:
    session.outputs, session.error, session.exit_status

This folder is copied whole into each plug-in's package; it imports nothing from beside it.
"""

from .engine import EngineCommand, find_engine
from .environment import clean_environment
from .jobs import (
    Direction,
    command_text,
    directions,
    edit_of,
    edits_of,
    frame_range,
    run_words,
    write_job,
)
from .lines import Event
from .probe import EngineInfo, Question, ask, doctor, probe
from .session import FINAL_STATES, RUNNING_STATES, Graces, Session
from .story import Notice, Progress
from .trouble import EngineError, EngineMissing, EngineUnfit, Trouble

__all__ = [
    "FINAL_STATES",
    "RUNNING_STATES",
    "Direction",
    "EngineCommand",
    "EngineError",
    "EngineInfo",
    "EngineMissing",
    "EngineUnfit",
    "Event",
    "Graces",
    "Notice",
    "Progress",
    "Question",
    "Session",
    "Trouble",
    "ask",
    "clean_environment",
    "command_text",
    "directions",
    "doctor",
    "edit_of",
    "edits_of",
    "find_engine",
    "frame_range",
    "probe",
    "run_words",
    "write_job",
]
