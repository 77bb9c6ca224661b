"""Ways of working that have a name: a job's fields, laid under what the user says.

A job that is made with a preset says every field itself; the name is not kept, so that a record needs no
table to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stit_vfx.errors import JobFieldError

# "Stitch it in Time" as published: constant rates, the generator's own pixels, a matte without softening.
_PAPER: dict[str, Any] = {
    "tune": {"schedule": "paper"},
    "putback": "replace",
    "matte": {"grow": 0.0, "soften": 0.0},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": _PAPER,
    # Drawn faces: landmarks jump with the drawing, and the generator has further to go.
    "animation": {
        **_PAPER,
        "align": {"centre_sigma": 0.0},
        "tune": {"schedule": "paper", "steps": 240},
    },
    # The edit without stitching tuning, put back within the face's own edge.
    "naive": {**_PAPER, "stitch": {"enabled": False, "outer": 0}},
}


def preset_fields(name: object) -> dict[str, Any]:
    """The fields of a preset. Raises JobFieldError for a name that is none."""
    if not isinstance(name, str) or name not in PRESETS:
        raise JobFieldError(f"preset: there is none called {name!r}", hint=f"Known: {', '.join(PRESETS)}")
    return dict(PRESETS[name])
