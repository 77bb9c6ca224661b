"""Looking after a shot's folder: is what it holds whole (`verify`), and what may go (`gc`)."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stit_vfx.atomic import TEMP_PREFIX
from stit_vfx.cache import children_of, file_sha256, read_json, size_of
from stit_vfx.errors import StitError

if TYPE_CHECKING:
    from stit_vfx.shot import Shot, Version

GRACE_S = 24 * 3600


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a version. `frame` and `path` where it has them."""

    problem: str
    frame: int | None = None
    path: str | None = None


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found: number of frames and files looked at, and every problem."""

    version: str
    frames: int
    files: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        problems = [vars(problem) for problem in self.problems]
        counts = {"frames": self.frames, "files": self.files}
        return {"version": self.version, "ok": self.ok, **counts, "problems": problems}

    def to_text(self) -> str:
        lines = [f"{self.version}: {self.frames} frames, {self.files} files, {len(self.problems)} problems"]
        for problem in self.problems:
            at = f"frame {problem.frame}: " if problem.frame is not None else ""
            lines.append(f"  {at}{problem.problem}" + (f" ({problem.path})" if problem.path else ""))
        return "\n".join(lines)


@dataclass(frozen=True)
class GcReport:
    """What `gc` removed, or with `dry_run` would remove."""

    paths: tuple[str, ...]
    bytes: int
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        return {"paths": list(self.paths), "bytes": self.bytes, "dry_run": self.dry_run}

    def to_text(self) -> str:
        would = "would free" if self.dry_run else "freed"
        return "\n".join([*self.paths, f"{would} {self.bytes / 1e6:.1f} MB in {len(self.paths)} places"])


def verify(version: Version) -> VerifyReport:
    """Open every EXR of a version, all of it, and compare it with frames.json.

    Checks that each decompresses, has the sha256 that was recorded, and has the windows and channels of the
    first of its kind; that every frame of the job is there; and that no file lies there that nobody recorded.
    """
    known = read_json(version.frames_path)
    if known is None:
        return VerifyReport(version.name, 0, 0, (Problem("frames.json is absent or damaged"),))
    frames: dict[int, Any] = {int(frame): record for frame, record in known.get("frames", {}).items()}
    problems = [*_absent(version, frames), *_strangers(version, frames)]
    first: dict[str, tuple[int, object]] = {}
    for frame, record in sorted(frames.items()):
        for kind, file in record["files"].items():
            problems += _file_problems(version.out / file["path"], kind, frame, file, first)
    files = sum(len(record["files"]) for record in frames.values())
    return VerifyReport(version.name, len(frames), files, tuple(problems))


def _absent(version: Version, frames: dict[int, Any]) -> Iterator[Problem]:
    for frame in version.job().frame_numbers():
        if frame not in frames:
            yield Problem("was not made", frame)
        elif frames[frame]["outcome"] == "failed":
            yield Problem("failed", frame)


def _strangers(version: Version, frames: dict[int, Any]) -> Iterator[Problem]:
    listed = {file["path"] for record in frames.values() for file in record["files"].values()}
    for kind in ("comp", "matte"):
        for path in children_of(version.out / kind):
            if (name := path.relative_to(version.out).as_posix()) not in listed:
                yield Problem("is not in frames.json", path=name)


def _file_problems(
    path: Path, kind: str, frame: int, file: dict[str, Any], first: dict[str, tuple[int, object]]
) -> Iterator[Problem]:
    if not path.exists():
        yield Problem("is missing", frame, file["path"])
        return
    if file_sha256(path) != file["sha256"]:
        yield Problem("is not the file that was recorded", frame, file["path"])
    if path.suffix != ".exr":
        return
    try:
        shape = _shape(path)
    except StitError as error:
        yield Problem(error.problem, frame, file["path"])
        return
    at, expected = first.setdefault(kind, (frame, shape))
    if shape != expected:
        yield Problem(f"has other windows or channels than frame {at}", frame, file["path"])


def _shape(path: Path) -> object:
    """Windows and channels of an EXR, every pixel of which was read."""
    from stit_vfx.plate.exr import read_exr

    image = read_exr(path)
    channels = [(name, str(pixels.dtype)) for name, pixels in sorted(image.channels.items())]
    return repr((image.data_window, image.display_window, channels))


def gc(shot: Shot, *, dry_run: bool = False, now: float | None = None) -> GcReport:
    """Remove temporary files older than 24 h, and cached results that no version's job refers to.

    Results younger than 24 h stay too: a run that has just begun may not have said yet what it uses. Outputs
    and jobs are never touched; to drop a version, delete its folders below jobs/ and out/, then run this.
    """
    before = (time.time() if now is None else now) - GRACE_S
    doomed = [*_old_temporaries(shot.path, before), *_unreferred(shot, before)]
    sizes = [_bytes_in(path) for path in doomed]
    for path in doomed if not dry_run else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return GcReport(tuple(str(path) for path in doomed), sum(sizes), dry_run)


def _old_temporaries(folder: Path, before: float) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if name.startswith(TEMP_PREFIX) and _newest(path) < before:
                yield path


def _unreferred(shot: Shot, before: float) -> Iterator[Path]:
    referred = {key for version in shot.versions() for key in version.referred()}
    for step in children_of(shot.path / "cache"):
        for folder in children_of(step):
            if folder.name not in referred and _newest(folder) < before:
                yield folder


def _newest(path: Path) -> float:
    """Time of the last change in a file or folder; now, if it is just being removed by another."""
    try:
        return max(place.lstat().st_mtime for place in (path, *path.rglob("*")))
    except OSError:
        return time.time()


def _bytes_in(path: Path) -> int:
    places = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(size_of(place) or 0 for place in places if place.is_file())
