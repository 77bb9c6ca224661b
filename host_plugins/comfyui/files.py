"""Sequences on disk, as far as a node must know them: which frames, where one is, and has anything changed.

The engine reads the files and is the judge; here only names are looked at.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Dict, List, NamedTuple, Tuple

_PADDING = re.compile(r"#+|@+|%0?\d*d|\$F\d*")
_NUMBERED = re.compile(r"(.*?)(-?\d+)(\.[A-Za-z][A-Za-z0-9]*)")
ROOTS_VARIABLE = "STIT_VFX_OUTPUT_ROOTS"


class Found(NamedTuple):
    """Files of a sequence by frame; a movie or a still has the one frame 1."""

    files: Dict[int, str]

    @property
    def first(self) -> int:
        return min(self.files)

    @property
    def last(self) -> int:
        return max(self.files)


def find(text: str) -> Found:
    """The files of a pattern (`sh010.####.exr`, `%04d`), of one of them, or of a folder.

    Raises FileNotFoundError with a sentence for people.
    """
    path = os.path.abspath(os.path.expanduser(text.strip()))
    files = _in_folder(path) if os.path.isdir(path) else _like(path)
    if not files and os.path.isfile(path):
        files = {1: path}
    if not files:
        raise FileNotFoundError("{}: no file has this name".format(path))
    return Found(files)


def _like(path: str) -> Dict[int, str]:
    folder, name = os.path.split(path)
    matches = list(_PADDING.finditer(name))
    if matches:
        head, tail = name[: matches[-1].start()], name[matches[-1].end() :]
    else:
        numbered = _NUMBERED.fullmatch(name)
        if numbered is None or not os.path.isfile(path):
            return {}
        head, tail = numbered.group(1), numbered.group(3)
    number = re.compile(re.escape(head) + r"(-?\d+)" + re.escape(tail))
    found = {}
    for each in _names(folder):
        match = number.fullmatch(each)
        if match:
            found[int(match.group(1))] = os.path.join(folder, each)
    return found


def _in_folder(folder: str) -> Dict[int, str]:
    heads: Dict[Tuple[str, str], Dict[int, str]] = {}
    for name in _names(folder):
        match = _NUMBERED.fullmatch(name)
        if match and not name.startswith("."):
            heads.setdefault((match.group(1), match.group(3)), {})[int(match.group(2))] = os.path.join(
                folder, name
            )
    return max(heads.values(), key=len) if heads else {}


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def frame_path(pattern: str, frame: int) -> str:
    """The file of a frame. Raises FileNotFoundError if it is not there."""
    found = find(pattern)
    if frame not in found.files:
        words = "{}: frame {} is not there; there are {} to {}"
        raise FileNotFoundError(words.format(pattern, frame, found.first, found.last))
    return found.files[frame]


def state_of(text: str) -> str:
    """A short text that changes when a file of the sequence does: names, sizes and times, not contents."""
    digest = hashlib.sha256()
    try:
        files = find(text).files
    except FileNotFoundError:
        return "nothing there"
    for frame in sorted(files):
        status = os.stat(files[frame])
        words = "{} {} {}\n".format(files[frame], status.st_size, status.st_mtime_ns)
        digest.update(words.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def output_place(wish: str, output_folder: str) -> str:
    """Where a shot's folder may be made: in ComfyUI's output folder, or below STIT_VFX_OUTPUT_ROOTS.

    A ComfyUI that others can reach must not write wherever a workflow says. Raises PermissionError.
    """
    place = os.path.realpath(os.path.join(output_folder, os.path.expanduser(wish.strip())))
    named = os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep)
    for root in (output_folder, *(root for root in named if root.strip())):
        real = os.path.realpath(root)
        if place == real or place.startswith(real.rstrip(os.sep) + os.sep):
            return place
    words = (
        "{}: this folder is outside of ComfyUI's output folder. Name it, or one above it, in {} of ComfyUI's "
    )
    raise PermissionError((words + "environment").format(place, ROOTS_VARIABLE))
