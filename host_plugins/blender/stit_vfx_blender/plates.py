"""What a strip shows, as the engine's plate: a pattern, and which source frame each timeline frame shows.

Pure arithmetic on names and numbers; nothing here knows Blender.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

MOVIES = (".mov", ".mp4", ".mxf", ".mkv", ".m4v", ".avi")
STILLS = (".exr", ".png", ".tif", ".tiff", ".dpx", ".jpg", ".jpeg")
_NUMBERED = re.compile(r"^(?P<head>.*?)(?P<number>\d+)(?P<tail>\.[A-Za-z0-9]+)$")


class PlateTrouble(Exception):
    """A strip that cannot be a plate. Says what is wrong and what to do; shown as it is."""


@dataclass(frozen=True)
class StripPlate:
    """A strip's trimmed range.

    pattern   the plate as a job names it, an absolute path: `.../sh010.####.exr`, one file, or a movie
    start     first timeline frame
    sources   the source frame that is shown on each timeline frame from `start` on; a held frame comes again
    """

    pattern: str
    start: int
    sources: Tuple[int, ...]
    movie: bool = False

    @property
    def frames(self) -> Tuple[int, ...]:
        """Source frames to edit, sorted, each once."""
        return tuple(sorted(set(self.sources)))

    def timeline_of(self) -> Dict[int, int]:
        """Source frame -> the first timeline frame that shows it, where its strengths are read."""
        first: Dict[int, int] = {}
        for offset, source in enumerate(self.sources):
            first.setdefault(source, self.start + offset)
        return first

    def source_at(self, timeline: int) -> int:
        """The source frame at a timeline frame; the nearest end outside of the strip."""
        return self.sources[min(max(timeline - self.start, 0), len(self.sources) - 1)]


def plate_of_images(folder: str, names: Sequence[str], start: int) -> StripPlate:
    """`names`: the file shown on each timeline frame from `start` on. Raises PlateTrouble."""
    if not names:
        raise PlateTrouble("The strip shows no frames. Trim it so that at least one is left.")
    suffix = os.path.splitext(names[0])[1].lower()
    if suffix not in STILLS:
        kinds = " ".join(kind[1:] for kind in STILLS)
        raise PlateTrouble("{} is no kind of image the engine reads ({}).".format(names[0], kinds))
    if len(set(names)) == 1 and not _NUMBERED.match(names[0]):
        return StripPlate(os.path.join(folder, names[0]), start, (1,) * len(names))
    split = [_split(name) for name in names]
    heads = {(head, tail) for head, _number, tail in split}
    if len(heads) != 1:
        raise PlateTrouble(
            "The strip mixes files of different names ({} and others). One sequence, please.".format(names[0])
        )
    head, tail = heads.pop()
    return StripPlate(
        os.path.join(folder, head + "#" * _width([number for _h, number, _t in split]) + tail),
        start,
        tuple(int(number) for _head, number, _tail in split),
    )


def plate_of_movie(path: str, start: int, length: int, *, content_start: int, trimmed: int) -> StripPlate:
    """`content_start`: timeline frame of the first frame that is left; `trimmed`: frames cut off before it.

    The engine counts a movie's frames from 1 in the order in which they are shown. Beyond its content a strip
    holds its first frame; what it holds at the end is beyond the movie, and an error of the engine's.
    """
    if os.path.splitext(path)[1].lower() not in MOVIES:
        kinds = " ".join(kind[1:] for kind in MOVIES)
        raise PlateTrouble(
            "{} is no kind of movie the engine reads ({}).".format(os.path.basename(path), kinds)
        )
    if length < 1:
        raise PlateTrouble("The strip shows no frames. Trim it so that at least one is left.")
    numbers = [max(frame - content_start, 0) + trimmed + 1 for frame in range(start, start + length)]
    return StripPlate(path, start, tuple(numbers), movie=True)


def _split(name: str) -> Tuple[str, str, str]:
    match = _NUMBERED.match(name)
    if match is None:
        raise PlateTrouble("{} has no frame number before its suffix, such as plate.1001.exr.".format(name))
    # plate.0010_v2.exr has its number elsewhere; what matters is the one next to the suffix.
    head, number, tail = match.group("head", "number", "tail")
    while head and head[-1].isdigit():
        head, number = head[:-1], head[-1] + number
    return head, number, tail


def _width(numbers: Sequence[str]) -> int:
    """Padding of a pattern: the width of numbers with leading zeros, or of the shortest."""
    padded = [len(number) for number in numbers if number.startswith("0") and len(number) > 1]
    return padded[0] if padded else min(len(number) for number in numbers)


def shot_name(pattern: str) -> str:
    """A shot's name from its plate: `/plates/sh010_bg.####.exr` is `sh010_bg`."""
    stem = re.split(r"[._-]?#+\.[A-Za-z0-9]+$|\.[A-Za-z0-9]+$", os.path.basename(pattern))[0]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")
    return stem[:64] or "shot"


def file_of(pattern: str, frame: int) -> str:
    """A frame's file: `sh010_comp_v001.####.exr` and 1001 give `sh010_comp_v001.1001.exr`."""
    folder, name = os.path.split(pattern)
    return os.path.join(folder, re.sub(r"#+", lambda m: str(frame).zfill(len(m.group())), name, count=1))
