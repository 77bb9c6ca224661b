"""One slider per edit that a pack knows: names, labels and ranges. Nothing here knows Blender.

The edits of the built-in pack are in `builtin_pack.json` beside this file, so that a .blend opens with its
sliders on a machine without the engine. Other packs are learnt from the engine and kept in a file of the
user's (`remember`, `recall`).
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import zlib
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, List, Mapping, Tuple

BUILTIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "builtin_pack.json")
PREFIX = "stit_edit_"
# Blender's limit for the name of a property.
MAX_NAME = 60
# Letters that a sidebar of the usual width shows beside a slider.
MAX_LABEL = 14


@dataclass(frozen=True)
class Slider:
    """`prop`: the property on the strip; `direction`: the pack's own name of the edit; `title`: its words."""

    prop: str
    direction: str
    label: str
    title: str
    low: float
    high: float


@dataclass(frozen=True)
class Pack:
    """What a panel needs to know of a pack."""

    name: str
    title: str
    licence: str
    commercial_use: str
    sliders: Tuple[Slider, ...]


def property_name(direction: str) -> str:
    """An edit's property: `smile` -> `stit_edit_smile`. What is no identifier gets a number of its own."""
    plain = re.sub(r"[^a-z0-9_]", "_", direction.lower())
    if plain == direction and len(PREFIX + plain) <= MAX_NAME:
        return PREFIX + plain
    number = "_{:08x}".format(zlib.crc32(direction.encode("utf-8")))
    return (PREFIX + plain)[: MAX_NAME - len(number)] + number


def pack_from(shown: Mapping[str, Any]) -> Pack:
    """A pack from what `stit packs show NAME --json` prints. Raises ValueError if it is something else."""
    directions = shown.get("directions")
    if not isinstance(shown.get("name"), str) or not isinstance(directions, dict):
        raise ValueError("the engine's description of a pack has no name or no directions")
    sliders = [_slider(name, told) for name, told in directions.items() if isinstance(told, dict)]
    return Pack(
        shown["name"],
        str(shown.get("title") or shown["name"]),
        str(shown.get("licence") or ""),
        str(shown.get("commercial_use") or "unknown"),
        tuple(sliders),
    )


def _slider(name: str, told: Mapping[str, Any]) -> Slider:
    low, high = -1.0, 1.0
    limits = told.get("range")
    if isinstance(limits, (list, tuple)) and len(limits) == 2:
        numbers = [value for value in limits if isinstance(value, (int, float)) and math.isfinite(value)]
        if len(numbers) == 2 and numbers[0] < numbers[1]:
            # A job's strengths are -1..1, whatever a pack says.
            low, high = max(float(numbers[0]), -1.0), min(float(numbers[1]), 1.0)
    plain = name.replace("_", " ").capitalize()
    title = str(told.get("title") or plain)
    # `Width of the nose` and `Width of the face` would both be cut to `Width of the`.
    label = title if len(title) <= MAX_LABEL else plain
    return Slider(property_name(name), name, label, title, low, high)


def brief(shown: Mapping[str, Any]) -> Dict[str, Any]:
    """The part of a pack's description that is kept."""
    directions = {
        name: {"title": told.get("title") or "", "range": told.get("range")}
        for name, told in shown["directions"].items()
    }
    return {
        **{name: shown.get(name) for name in ("name", "title", "licence", "commercial_use")},
        "directions": directions,
    }


def builtin() -> Pack:
    """The built-in pack as this plug-in knows it."""
    with open(BUILTIN, encoding="utf-8") as file:
        return pack_from(json.load(file))


def recall(path: str) -> Dict[str, Pack]:
    """Packs by name, the built-in one always among them. A damaged file counts as none."""
    packs = {"builtin": builtin()}
    try:
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
        learnt = [pack_from(shown) for shown in kept]
    except (OSError, ValueError, TypeError, AttributeError):
        learnt = []
    packs.update({pack.name: pack for pack in learnt})
    return packs


def remember(path: str, shown: Iterable[Mapping[str, Any]]) -> None:
    """Keep the packs of this machine's engine. Raises OSError."""
    text = json.dumps([brief(pack) for pack in shown], indent=1, sort_keys=True)
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def all_sliders(packs: Mapping[str, Pack]) -> List[Slider]:
    """One slider per property, over all packs. The widest range wins; a job is limited to its own pack's."""
    merged: Dict[str, Slider] = {}
    for pack in packs.values():
        for slider in pack.sliders:
            known = merged.get(slider.prop, slider)
            low, high = min(known.low, slider.low), max(known.high, slider.high)
            merged[slider.prop] = replace(known, low=low, high=high)
    return list(merged.values())
