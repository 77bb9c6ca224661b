"""Where the engine session is: in `vendor/` of an installed copy, in `../common` of the project."""

from __future__ import annotations

import os
import sys

FOLDER = os.path.dirname(os.path.realpath(__file__))
_VENDOR = os.path.join(FOLDER, "vendor")
_COMMON = _VENDOR if os.path.isdir(_VENDOR) else os.path.join(os.path.dirname(FOLDER), "common")
if _COMMON not in sys.path:
    # Last: nothing of ours may hide a module of ComfyUI's.
    sys.path.append(_COMMON)

from stit_session import (  # noqa: E402
    EngineCommand,
    EngineError,
    Session,
    clean_environment,
    directions,
    find_engine,
    run_words,
    write_job,
)

__all__ = [
    "FOLDER",
    "EngineCommand",
    "EngineError",
    "Session",
    "clean_environment",
    "directions",
    "find_engine",
    "run_words",
    "write_job",
]
