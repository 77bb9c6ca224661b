"""Texts of the panel. Nothing here knows Blender."""

from __future__ import annotations

import textwrap
from typing import Any, List, Sequence

STATES = {
    "starting": "Starting the engine",
    "running": "Cooking",
    "silent": "The engine does not respond",
    "cancelling": "Stopping",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "crashed": "The engine crashed",
}
STEPS = {
    "align": "Finding the face",
    "invert": "Reading the face",
    "tune": "Tuning",
    "edit": "Editing",
    "stitch": "Stitching",
    "composite": "Writing frames",
}


def counted(number: int, thing: str) -> str:
    """`1 frame`, `2 frames`."""
    return "{} {}{}".format(number, thing, "" if number == 1 else "s")


def sentence(text: str) -> str:
    """`the face is away` -> `The face is away.`"""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def as_time(seconds: float) -> str:
    """75 -> `1 min 15 s`."""
    whole = round(seconds)
    if whole < 60:
        return "{} s".format(whole)
    if whole < 3600:
        return "{} min {:02d} s".format(whole // 60, whole % 60)
    return "{} h {:02d} min".format(whole // 3600, whole % 3600 // 60)


def status_line(state: str, progress: Any) -> str:
    """One short line beside the bar: what is done, on which frame, how much longer."""
    if state != "running":
        return STATES.get(state, state)
    words = STEPS.get(progress.step, progress.step or "Cooking")
    if progress.frame is not None:
        words += " {}".format(progress.frame)
    if progress.eta_s is not None:
        words += ", {} left".format(as_time(progress.eta_s))
    return words


def wrapped(text: str, width_px: float, *, limit: int = 12) -> List[str]:
    """Lines for a panel, which does not wrap by itself. About 6.5 px for a letter at the usual scale."""
    columns = max(int(width_px / 6.5), 24)
    lines: List[str] = []
    for paragraph in text.split("\n"):
        lines += textwrap.wrap(paragraph, columns, break_long_words=True) or []
    return lines if len(lines) <= limit else [*lines[: limit - 1], lines[limit - 1] + " ..."]


def summary(edits: Sequence[Any]) -> str:
    """A job's edits in a few words: `age +0.4, smile keyed`."""
    said = []
    for edit in edits:
        name = str(edit.get("direction", "")).replace("_", " ")
        said.append(
            "{} keyed".format(name) if "keys" in edit else "{} {:+.2g}".format(name, edit["strength"])
        )
    return ", ".join(said)
