"""A job's JSON before it is checked: a preset below, changes above, and paths that start somewhere.

Values of a wrong type are let through, for the schema to refuse.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stit_vfx.presets import preset_fields

# Section ("": the job itself) and field of every path.
_PATHS = (
    *(("", field) for field in ("plate", "quads", "pack", "tuned")),
    ("matte", "holdout"),
    ("output", "folder"),
)


def with_preset(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of the preset that is named, if one is, under all others. Raises JobFieldError."""
    if "preset" not in data:
        return data
    rest = {name: value for name, value in data.items() if name != "preset"}
    return merged(preset_fields(data["preset"]), rest)


def with_folder(data: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The default output folder written in, so that it too starts at the job file."""
    output = data.get("output", {})
    if not isinstance(output, Mapping) or "folder" in output:
        return dict(data)
    return {**data, "output": {**output, "folder": folder}}


def resolved(data: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Relative paths made absolute."""
    data = dict(data)
    for section, field in _PATHS:
        holder = data.get(section) if section else data
        if not isinstance(holder, dict):
            continue
        path = holder.get(field)
        # A pack without a slash is a name to search for, not a place.
        if (
            not isinstance(path, str)
            or not path.strip()
            or (field == "pack" and not re.search(r"[/\\]", path))
        ):
            continue
        holder = {**holder, field: os.path.normpath(os.path.join(base, path))}
        data = {**data, section: holder} if section else holder
    return data


def merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A nested mapping of changes laid over another."""
    whole = dict(data)
    for name, value in changes.items():
        # A face is one choice, not a set of settings: a new point does not keep an old box.
        nested = isinstance(value, Mapping) and isinstance(whole.get(name), Mapping) and name != "face"
        whole[name] = merged(whole[name], value) if nested else value
    return whole
