"""Frame ranges and file patterns: which frames a text means, and which files they are.

A range is what a compositor types: `1001-1100`, `1001-1100x2`, `1001,1005-1007`, `-5-5`. A colon is refused:
it means "every n-th" to some programs and "n frames per chunk" to others; Open Job Description's own meaning
has its own function. A plate is named by a pattern (`plate.####.exr`, `plate.%04d.exr`, `plate.@@@@.exr`,
`plate.$F4.exr`), by one file of a sequence, or by a folder that holds one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stit_vfx.errors import FrameRangeError, PlateMissingError, PlateUnsupportedError

MAX_FRAMES = 100_000
# Frames far beyond any timecode are typing errors, and pattern widths must stay sane.
MAX_NUMBER = 10**9

_TERM = re.compile(r"(-?\d+)(?:-(-?\d+)(?:([xy])(-?\d+))?)?", re.ASCII)
_TERM_OPENJD = re.compile(r"(-?\d+)(?:\s*-\s*(-?\d+)(?:\s*:\s*(-?\d+))?)?", re.ASCII)

# A frame's number stands before the last dot: after a separator, or as four digits that touch the name. Fewer
# digits are part of the name (`sh010`), and `v0003` is a version.
_NUMBERED = re.compile(r"((?:.*[._-])?)(\d+)(\.[A-Za-z0-9]+)", re.ASCII)
_TOUCHING = re.compile(r"(.*[^0-9._\-vV])(\d{4,})(\.[A-Za-z0-9]+)", re.ASCII)
_PADDING = re.compile(r"#+|@+|%0?\d*d|\$F\d*")

PICTURES = (".exr", ".dpx", ".tif", ".tiff", ".png", ".jpg", ".jpeg")


def parse_frames(text: str) -> tuple[int, ...]:
    """The frames a text means, sorted and without doubles.

    `a-b`, `a-bxn` (every n-th), `a-byn` (all but every n-th), lists with commas, negative numbers, either
    direction. Raises FrameRangeError for anything else, and for more than MAX_FRAMES.
    """
    if ":" in text:
        raise FrameRangeError(
            f"':' in the frames {text!r} means different things in different programs",
            hint="Write 1001-1100x2 for every second frame; chunks are the farm's business",
        )
    return _collect(text, lambda term: _term(term, text))


def parse_frames_openjd(text: str) -> tuple[int, ...]:
    """The frames of an Open Job Description range expression, where `1-100:10` steps by ten.

    https://github.com/OpenJobDescription/openjd-specifications, "IntRangeExpr".
    """
    return _collect(text, lambda term: _term_openjd(term, text))


def format_frames(frames: Iterable[int]) -> str:
    """The shortest text that `parse_frames` reads as these frames: equal sets give equal texts."""
    import fileseq

    return str(fileseq.framesToFrameRange(sorted(set(frames)), sort=False))


@dataclass(frozen=True)
class Sequence:
    """Numbered files, or one. `pattern` is a file name in %04d form, or plain for a single file."""

    pattern: str
    folder: Path
    frames: tuple[int, ...]

    @classmethod
    def find(cls, text: str | Path) -> Sequence:
        """The files that a pattern, a file of the sequence or a folder stands for.

        Raises PlateMissingError if there are none, PlateUnsupportedError if a folder holds several.
        """
        path = Path(text).expanduser()
        if path.is_dir():
            return _only_one_in(path)
        if (padded := _padded(path.name)) is not None:
            return _on_disk(path.parent, *padded)
        if not path.is_file():
            raise PlateMissingError("there is no such file", where=path, hint=_hint_for(path))
        numbered = _numbered(path.name)
        if numbered is None:
            return cls(path.name, path.parent, (1,))
        head, number, tail = numbered
        return _on_disk(path.parent, head, _width(number, path), tail)

    @property
    def name(self) -> str:
        """Folder and pattern, as a person would write them."""
        return str(self.folder / self.pattern)

    def path(self, frame: int) -> Path:
        """Where a frame is, or would be."""
        return self.folder / (self.pattern % frame if self._is_pattern else self.pattern)

    def missing(self, frames: Iterable[int] | None = None) -> tuple[int, ...]:
        """Which of these frames are not on disk; without `frames`, the gaps."""
        wanted = range(self.frames[0], self.frames[-1] + 1) if frames is None else frames
        return tuple(sorted(set(wanted) - set(self.frames)))

    @property
    def _is_pattern(self) -> bool:
        return re.search(r"%0\d+d", self.pattern) is not None


# ranges -----------------------------------------------------------------------------------------------------


def _collect(text: str, read: Callable[[str], Collection[int]]) -> tuple[int, ...]:
    found: set[int] = set()
    for term in text.split(","):
        frames = read(term.strip())
        if len(found) + len(frames) > MAX_FRAMES:
            raise FrameRangeError(
                f"the frames {text!r} are more than {MAX_FRAMES}", hint="Split the shot into several jobs"
            )
        found.update(frames)
    return tuple(sorted(found))


def _term(term: str, text: str) -> Collection[int]:
    """One term, by Fileseq; what it would take further than a compositor means is refused here."""
    import fileseq

    match = _TERM.fullmatch(term)
    if match is None:
        raise _unreadable(term, text)
    first, last, kind, step = match.groups()
    start, end, stride = _number(first, text), _number(last or first, text), _number(step or "1", text)
    if stride == 0:
        raise FrameRangeError(f"the frames {text!r} step by 0", hint="Use a step of 1 or more")
    if abs(end - start) // (1 if kind == "y" else abs(stride)) >= MAX_FRAMES:
        return range(min(start, end), max(start, end) + 1)
    # The direction of a step is the direction of the range, whatever its sign says.
    plain = term if step is None else f"{start}-{end}{kind}{abs(stride)}"
    return tuple(int(frame) for frame in fileseq.FrameSet(plain))


def _term_openjd(term: str, text: str) -> range:
    match = _TERM_OPENJD.fullmatch(term)
    if match is None:
        raise _unreadable(term, text)
    first, last, step = match.groups()
    start, end, stride = _number(first, text), _number(last or first, text), _number(step or "1", text)
    if stride == 0 or (end - start) * stride < 0:
        raise FrameRangeError(f"the frames {text!r} step away from their end", hint="Turn the step round")
    return range(start, end + (1 if stride > 0 else -1), stride)


def _number(text: str, whole: str) -> int:
    value = int(text) if len(text) < 12 else MAX_NUMBER + 1
    if abs(value) > MAX_NUMBER:
        raise FrameRangeError(f"the frames {whole!r} hold a number beyond {MAX_NUMBER}")
    return value


def _unreadable(term: str, text: str) -> FrameRangeError:
    what = "no frames are given" if not text.strip() else f"the frames {text!r} cannot be read at {term!r}"
    return FrameRangeError(what, hint="Write 1001-1100, 1001-1100x2 or 1001,1005-1007")


# files ------------------------------------------------------------------------------------------------------


def _padded(name: str) -> tuple[str, int, str] | None:
    """Head, width and tail of a pattern in any of the usual spellings, by Fileseq; None for a plain name."""
    import fileseq

    found = list(_PADDING.finditer(name))
    if not found:
        return None
    match = found[-1]
    # By default Fileseq counts four digits for each hash; Nuke and Blender count one.
    width = fileseq.FileSequence.getPaddingNum(match[0], pad_style=fileseq.PAD_STYLE_HASH1)
    return name[: match.start()], max(width, 1), name[match.end() :]


def _numbered(name: str) -> tuple[str, str, str] | None:
    """Head, number and tail of one file of a sequence; None if the name holds no frame number."""
    match = _NUMBERED.fullmatch(name) or _TOUCHING.fullmatch(name)
    if match is None:
        return None
    head, number, tail = match.groups()
    if re.search(r"[._]-$", head):
        return head[:-1], f"-{number}", tail
    return head, number, tail


def _width(number: str, path: Path) -> int:
    """Digits that the frames of a file's sequence are padded to."""
    digits = number.lstrip("-")
    if digits.startswith("0") and len(digits) > 1:
        return len(number)
    # 999 and 1001 side by side are not padded; 1001 alone could be either, and either finds it.
    return 1 if any(len(each) < len(digits) for each in _neighbours(path)) else len(number)


def _neighbours(path: Path) -> Iterator[str]:
    """The digits of every file of the same sequence, however padded."""
    ours = _numbered(path.name)
    for theirs in map(_numbered, _names(path.parent)):
        if ours and theirs and (theirs[0], theirs[2]) == (ours[0], ours[2]):
            yield theirs[1].lstrip("-")


def _names(folder: Path) -> list[str]:
    """File names in a folder, without hidden ones: those are other programs' and our own temporaries."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise PlateMissingError(f"the folder cannot be read: {error.strerror}", where=folder) from error


def _on_disk(folder: Path, head: str, width: int, tail: str) -> Sequence:
    """The sequence of that name, from what is in the folder now."""
    exact = re.compile(re.escape(head) + r"(-?\d+)" + re.escape(tail))
    pattern = f"{head.replace('%', '%%')}%0{width}d{tail.replace('%', '%%')}"
    matches = (exact.fullmatch(name) for name in _names(folder))
    numbers = {int(match[1]) for match in matches if match and match[1] == f"{int(match[1]):0{width}d}"}
    if not numbers:
        shown = folder / f"{head}{'#' * width}{tail}"
        raise PlateMissingError("no file has this name", where=shown, hint=_hint_for(shown))
    return Sequence(pattern, folder, tuple(sorted(numbers)))


def _only_one_in(folder: Path) -> Sequence:
    pictures = [name for name in _names(folder) if name.lower().endswith(PICTURES)]
    if not pictures:
        raise PlateMissingError("the folder holds no pictures", where=folder, hint="Name the plate's files")
    found: dict[str, Sequence] = {}
    left = set(pictures)
    while left:
        sequence = Sequence.find(folder / min(left))
        found[sequence.pattern] = sequence
        left -= {sequence.path(frame).name for frame in sequence.frames} | {min(left)}
    if len(found) > 1:
        listed = ", ".join(sorted(found)[:4]) + (" ..." if len(found) > 4 else "")
        raise PlateUnsupportedError(
            f"the folder holds {len(found)} sequences: {listed}", where=folder, hint="Name one"
        )
    return next(iter(found.values()))


def _hint_for(path: Path) -> str | None:
    from difflib import get_close_matches

    if not path.parent.is_dir():
        return f"The folder {path.parent} does not exist"
    close = get_close_matches(path.name, _names(path.parent), n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else None
