"""The short words of the command line, turned into a job's fields."""

from __future__ import annotations

import re
from typing import Any

from stit_vfx.errors import JobFieldError


def parse_edit(word: str) -> dict[str, Any]:
    """`smile=0.6` or `age=0@1001,-0.5@1040`."""
    direction, equals, amount = word.partition("=")
    if not equals or not direction.strip():
        raise JobFieldError(f"--edit {word}: is not NAME=STRENGTH", hint="For example --edit smile=0.6")
    return {"direction": direction.strip(), **_amounts(amount, f"--edit {word}")}


def parse_text_edit(word: str) -> dict[str, Any]:
    """`a smiling face=0.6`, or with keys `a smiling face=0@1001,0.6@1040`. The last `=` counts."""
    text, equals, amount = word.rpartition("=")
    if not equals or not text.strip():
        raise JobFieldError(
            f"--edit-text {word}: is not TEXT=STRENGTH", hint='For example --edit-text "a smiling face=0.6"'
        )
    return {"text": text.strip(), **_amounts(amount, f"--edit-text {word}")}


def _amounts(amount: str, where: str) -> dict[str, Any]:
    """`0.6` as `strength`, `0@1001,-0.5@1040` as `keys`."""
    if "@" not in amount:
        return {"strength": _number(amount, where)}
    keys: dict[str, float] = {}
    for key in amount.split(","):
        strength, _, frame = key.partition("@")
        if not re.fullmatch(r"-?[0-9]+", frame.strip()):
            raise JobFieldError(
                f"{where}: {key!r} is not STRENGTH@FRAME", hint="For example age=0@1001,-0.5@1040"
            )
        keys[str(int(frame))] = _number(strength, where)
    return {"keys": keys}


def parse_face(word: str) -> dict[str, Any]:
    """`960,400@1001`, `x0,y0,x1,y1@1001`, or an id."""
    place, at, frame = word.partition("@")
    if at and not re.fullmatch(r"-?[0-9]+", frame.strip()):
        raise JobFieldError(
            f"--face {word}: {frame!r} is not a frame", hint="For example --face 960,400@1001"
        )
    numbers = [_number(part, f"--face {word}") for part in place.split(",")]
    frames = {"frame": int(frame)} if at else {}
    match len(numbers):
        case 1 if place.strip().isdecimal():
            return {"id": int(place), **frames}
        case 2:
            return {"point": numbers, **frames}
        case 4:
            return {"box": numbers, **frames}
    raise JobFieldError(
        f"--face {word}: is neither an id, a point nor a box", hint="For example --face 960,400@1001"
    )


def shot_name_of(plate: str) -> str:
    """A shot name from a plate's file name: `plates/sh010_bg.####.exr` is `sh010_bg`."""
    name = re.split(r"[/\\]", plate.rstrip("/\\"))[-1]
    stem = re.split(r"[._](?:#+|@+|%0?\d*d|\$F\d*|-?\d+)\.[A-Za-z0-9]+$|\.[A-Za-z0-9]+$", name)[0]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")
    return stem[:64] or "shot"


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise JobFieldError(f"{where}: {text!r} is not a number") from None
