"""From a host's settings to a job and to the words that start the engine on it.

A host samples its curves per frame; the job gets few keys that give the same strengths back. A job is data:
paths, names and numbers. Schema `stit.job/1`: `stit schema job` prints it.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence

from .engine import EngineCommand
from .probe import ask
from .processes import WINDOWS

SCHEMA = "stit.job/1"
DIGITS = 6
# Half of the last digit that is written: a key is left out if the line without it is this near.
TOLERANCE = 5e-7


class Direction(NamedTuple):
    """An edit that a pack offers, for a slider: its name in the job, title, and how far it goes."""

    name: str
    title: str
    low: float
    high: float


def directions(
    command: EngineCommand,
    pack: str = "builtin",
    *,
    pack_path: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> List[Direction]:
    """The edits of a pack, in its own order. Asks the engine: half a second. Raises EngineError."""
    folders = [word for folder in pack_path for word in ("--pack-path", folder)]
    told = ask(command, ["packs", "show", pack, "--json", *folders], env=env)
    named = told.get("directions") if isinstance(told, dict) else None
    return [_direction(name, fields) for name, fields in (named or {}).items()]


def _direction(name: str, fields: Mapping[str, Any]) -> Direction:
    title, limits = fields.get("title"), fields.get("range")
    low, high = limits if isinstance(limits, list) and len(limits) == 2 else (-1.0, 1.0)
    return Direction(name, str(title or name), float(low), float(high))


def edits_of(strengths: Mapping[str, Mapping[int, float]]) -> List[Dict[str, Any]]:
    """The job's `edits` from strengths sampled per frame, by direction.

    What is zero everywhere is left out; if all is, one edit of strength 0 stays, since a job has at least one
    (and its result is the plate, bit for bit).
    """
    moving = [
        name for name, samples in strengths.items() if any(round(value, DIGITS) for value in samples.values())
    ]
    return [edit_of(name, strengths[name]) for name in moving or list(strengths)[:1]]


def edit_of(direction: str, samples: Mapping[int, float]) -> Dict[str, Any]:
    """One edit: a `strength` if it never changes, else `keys` with straight lines between them."""
    frames = sorted(samples)
    if not frames:
        raise ValueError("no samples of {!r}".format(direction))
    values = [float(samples[frame]) for frame in frames]
    if round(min(values), DIGITS) == round(max(values), DIGITS):
        return {"direction": direction, "strength": _rounded(values[0])}
    keys = {str(frame): _rounded(value) for frame, value in _corners(frames, values)}
    return {"direction": direction, "keys": keys}


def _rounded(value: float) -> float:
    return round(value, DIGITS) + 0.0  # -0.0 is 0.0


def _corners(frames: Sequence[int], values: Sequence[float]) -> List[tuple[int, float]]:
    """The fewest samples from the left whose connecting lines pass within TOLERANCE of all the others."""
    kept, start, low, high = [(frames[0], values[0])], 0, -float("inf"), float("inf")
    for n in range(1, len(frames)):
        span = frames[n] - frames[start]
        slope = (values[n] - values[start]) / span
        if not low <= slope <= high:
            start = n - 1
            kept.append((frames[start], values[start]))
            span = frames[n] - frames[start]
            slope, low, high = (values[n] - values[start]) / span, -float("inf"), float("inf")
        low, high = max(low, slope - TOLERANCE / span), min(high, slope + TOLERANCE / span)
    return [*kept, (frames[-1], values[-1])]


def frame_range(frames: Iterable[int]) -> str:
    """Frames as the engine reads them: `1001-1010,1020-1030x2,1040`."""
    left = sorted(set(frames))
    words = []
    while left:
        step = left[1] - left[0] if len(left) > 1 else 1
        count = 1
        while count < len(left) and left[count] - left[count - 1] == step:
            count += 1
        # Two frames that happen to be apart are no range: 1001-1005x4 helps nobody.
        if count == 2 and step > 1:
            count = 1
        first, last = left[0], left[count - 1]
        words.append(str(first) if count == 1 else "{}-{}{}".format(first, last, _by(step)))
        left = left[count:]
    return ",".join(words)


def _by(step: int) -> str:
    return "" if step == 1 else "x{}".format(step)


def write_job(path: str | os.PathLike[str], job: Mapping[str, Any]) -> str:
    """Write a job file whole or not at all; gives its absolute path. Makes the folder.

    The engine checks the job when it runs it and names the field that is wrong; here it need only be JSON.
    """
    place = os.path.abspath(os.fspath(path))
    text = json.dumps({"schema": SCHEMA, **job}, indent=1, allow_nan=False, ensure_ascii=True) + "\n"
    folder = os.path.dirname(place)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, ".stit-{}-{}.tmp".format(os.getpid(), os.urandom(4).hex()))
    # Not mkstemp: its files are for nobody else to read, and a farm runs as somebody else.
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, place)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    return place


def run_words(
    job: str | os.PathLike[str],
    *,
    frames: str | None = None,
    step: str | None = None,
    device: str | None = None,
    ocio: str | None = None,
    pack_path: Sequence[str] = (),
    on_frame_error: str | None = None,
) -> List[str]:
    """The words after the engine's name that cook a job: for `Session`, or a farm's command line."""
    words = ["run", os.fspath(job)]
    options = {
        "--frames": frames,
        "--step": step,
        "--device": device,
        "--ocio": ocio,
        "--on-frame-error": on_frame_error,
    }
    for flag, value in options.items():
        if value:
            # One word: a range that starts with a minus would be taken for a flag.
            words.append("{}={}".format(flag, value))
    return [*words, *("--pack-path={}".format(folder) for folder in pack_path)]


def command_text(command: EngineCommand, words: Sequence[str]) -> str:
    """A command as one line for a terminal or a farm's form, quoted as this system does it."""
    argv = [*command.argv, *words]
    return subprocess.list2cmdline(argv) if WINDOWS else " ".join(shlex.quote(word) for word in argv)
