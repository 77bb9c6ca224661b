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
from .lines import Event
from .probe import EngineInfo, ask, doctor, probe
from .session import FINAL_STATES, RUNNING_STATES, Graces, Session
from .story import Notice, Progress
from .trouble import EngineError, EngineMissing, EngineUnfit, Trouble

__all__ = [
    "FINAL_STATES",
    "RUNNING_STATES",
    "EngineCommand",
    "EngineError",
    "EngineInfo",
    "EngineMissing",
    "EngineUnfit",
    "Event",
    "Graces",
    "Notice",
    "Progress",
    "Session",
    "Trouble",
    "ask",
    "clean_environment",
    "doctor",
    "find_engine",
    "probe",
]
