"""What was measured of a version, in a few lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stit_vfx.measure.identity import SAME_PERSON, SAME_TAKE

# Changes of the face below this, in eye distances, are within the landmarks' own noise.
SHOWN_FROM = 0.005


def told(measured: Mapping[str, Any]) -> list[str]:
    """Lines of plain text from a report's fields; empty if nothing was measured."""
    lines = [_safety(measured), _identity(measured), _steadiness(measured), _strength(measured)]
    return [line for line in lines if line]


def _safety(measured: Mapping[str, Any]) -> str:
    if not measured.get("checked"):
        return ""
    if unsafe := measured.get("unsafe"):
        return f"plate safety: CHANGED OUTSIDE THE MATTE in frames {', '.join(map(str, unsafe))}"
    count = measured["checked"]
    frames = "1 frame" if count == 1 else f"{count} frames"
    return f"plate safety: {frames} compared, not one bit outside the matte changed"


def _identity(measured: Mapping[str, Any]) -> str:
    parts = []
    if (distance := measured.get("descriptor_distance")) is not None:
        parts.append(
            f"distance {distance:.2f} (same take below {SAME_TAKE}, same person below {SAME_PERSON})"
        )
    parts += [
        f"{title} {measured[name]:.3f}"
        for name, title in (("tl_id", "TL-ID"), ("tg_id", "TG-ID"))
        if measured.get(name) is not None
    ]
    return f"identity: {', '.join(parts)}" if parts else ""


def _steadiness(measured: Mapping[str, Any]) -> str:
    ratio = measured.get("jitter_ratio")
    return (
        "" if ratio is None else f"steadiness: landmarks move {ratio:.2f} times as restlessly as the plate's"
    )


def _strength(measured: Mapping[str, Any]) -> str:
    shown = [
        f"{name.replace('_', ' ')} {value:+.3f}"
        for name, value in measured.get("strength", {}).items()
        if abs(value) >= SHOWN_FROM
    ]
    return f"the face, in eye distances: {', '.join(shown)}" if shown else ""
