"""Ways of working that have a name: a job's fields, laid under what the user says.

A job that is made with a preset says every field itself; the name is not kept, so that a record needs no
table to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stit_vfx.errors import JobFieldError

# "Stitch it in Time" as published: constant rates, the generator's own pixels, a matte without softening.
_ALIGN = {"centre_sigma": 1.0, "axes_sigma": 3.0, "scale": 1.0}
_TUNE = {"schedule": "paper", "steps": 80, "lr": 3e-5, "locality": False}
_STITCH = {
    **{"enabled": True, "steps": 100, "lr": 3e-4, "content": 0.01, "threshold": 0.0},
    **{"l1": False, "whole_image_border": False, "inner": 0, "outer": 50},
}
_PAPER: Mapping[str, Any] = {
    **{"align": _ALIGN, "tune": _TUNE, "stitch": _STITCH},
    **{"putback": "replace", "matte": {"grow": 0.0, "soften": 0.0, "feather": 0}},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": _PAPER,
    # Drawn faces: landmarks jump with the drawing, and the generator has further to go.
    "animation": {**_PAPER, "align": {**_ALIGN, "centre_sigma": 0.0}, "tune": {**_TUNE, "steps": 240}},
    # The edit without stitching tuning, put back within the face's own edge.
    "naive": {**_PAPER, "stitch": {**_STITCH, "enabled": False, "outer": 0}},
}


def preset_fields(name: object) -> dict[str, Any]:
    """The fields of a preset. Raises JobFieldError for a name that is none."""
    if not isinstance(name, str) or name not in PRESETS:
        raise JobFieldError(f"preset: there is none called {name!r}", hint=f"Known: {', '.join(PRESETS)}")
    return dict(PRESETS[name])
