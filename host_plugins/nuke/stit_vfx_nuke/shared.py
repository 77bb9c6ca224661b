"""Where things are: `vendor/` and `gizmos/` of an installed copy, else the project's own folders."""

from __future__ import annotations

import json
import os
import sys
from typing import Dict

FOLDER = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_PROJECT = os.path.dirname(os.path.dirname(FOLDER))
_VENDOR = os.path.join(FOLDER, "vendor")
_COMMON = _VENDOR if os.path.isdir(_VENDOR) else os.path.join(_PROJECT, "host_plugins", "common")
if _COMMON not in sys.path:
    # Last: nothing of ours may hide a module of Nuke's.
    sys.path.append(_COMMON)

from stit_session import (  # noqa: E402
    Direction,
    EngineCommand,
    EngineError,
    Question,
    Session,
    clean_environment,
    command_text,
    directions,
    doctor,
    edits_of,
    find_engine,
    frame_range,
    probe,
    run_words,
    write_job,
)

__all__ = [
    "FOLDER",
    "Direction",
    "EngineCommand",
    "EngineError",
    "Question",
    "Session",
    "clean_environment",
    "command_text",
    "directions",
    "doctor",
    "edits_of",
    "engine",
    "environment",
    "find_engine",
    "frame_range",
    "gizmo_folder",
    "probe",
    "remember",
    "run_words",
    "write_job",
]


def gizmo_folder() -> str:
    """The folder with our gizmos."""
    beside = os.path.join(FOLDER, "gizmos")
    return beside if os.path.isdir(beside) else os.path.join(_PROJECT, "gizmos")


def preference_file() -> str:
    """Where the engine's place is kept. Never in a script: opening one must not choose a program to run."""
    return os.path.join(os.path.expanduser("~"), ".nuke", "stit_vfx.json")


def preference() -> str:
    """The engine's place that the user chose, or ""."""
    try:
        with open(preference_file(), encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return ""
    place = told.get("engine") if isinstance(told, dict) else None
    return place if isinstance(place, str) else ""


def remember(place: str) -> None:
    """Keep the engine's place for this user."""
    path = preference_file()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"engine": place}, file)


def engine() -> EngineCommand:
    """The engine: the preference, STIT_VFX_ENGINE, beside the plug-in, PATH. Raises EngineError."""
    return find_engine(preference(), FOLDER)


def environment(*, ocio: bool, host_folder: str | None = None) -> Dict[str, str]:
    """The engine's environment: nothing of Nuke's Python, Qt or libraries.

    `ocio`: does the script use OCIO? If not, $OCIO is not what its pixels are in, and stays out.
    """
    result = clean_environment("nuke", host_folder=host_folder)
    if not ocio:
        result.pop("OCIO", None)
    return result
