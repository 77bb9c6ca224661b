"""The shot's folder on disk: content keys, records, versions, resume, verify, clean-up.

    sh010.stit/
      shot.json                                  schema stit.shot/1
      jobs/v003/job.json                         what was asked for; never changed
      jobs/v003/keys/                            the cache keys that this version uses, for `gc`
      cache/<step>/<key12>/<step>.1001.*         shared by all versions; may be deleted at any time
      out/v003/{comp,matte,preview}/             what artists load
      out/v003/records/1001.json                 one per finished frame
      out/v003/{frames,provenance}.json
      logs/v003/

Rules that make it safe to kill at any moment and to run in pieces on many machines:

* Every file appears by a rename, whole. The record of a file appears after the file.
* Done means: the record is there, its key is the one asked for, and the file has the recorded size.
* There is no lock and no file that two tasks write, except with the same content.
* A record that cannot be read, or does not fit its file, is as good as none: the work is done again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stit_vfx._version import __version__
from stit_vfx.atomic import TEMP_PREFIX, atomic_bytes, host_name
from stit_vfx.cache import (
    KEY_DIGITS,
    RECORD_SCHEMA,
    STEP_REVISION,
    Entry,
    children_of,
    content_key,
    file_sha256,
    pretty_json,
    read_json,
    size_of,
    write_json,
)
from stit_vfx.canonical import canonical_data, canonical_json
from stit_vfx.errors import JobError, OutputError

if TYPE_CHECKING:
    from stit_vfx.job import Job

__all__ = ["STEP_REVISION", "Entry", "Shot", "Version", "content_key", "host_name"]

SHOT_SCHEMA = "stit.shot/1"
FRAMES_SCHEMA = "stit.frames/1"

FrameOutcome = Literal["edited", "untouched", "failed"]


@dataclass(frozen=True)
class Version:
    """One version of a shot: one distinct job, and what was made from it."""

    shot: Shot
    name: str

    @property
    def job_path(self) -> Path:
        return self.shot.path / "jobs" / self.name / "job.json"

    @property
    def out(self) -> Path:
        return self.shot.path / "out" / self.name

    @property
    def frames_path(self) -> Path:
        return self.out / "frames.json"

    @property
    def provenance_path(self) -> Path:
        return self.out / "provenance.json"

    def job(self) -> Job:
        """The job this version was made from."""
        from stit_vfx.job import Job

        return Job.load(self.job_path)

    def comp_path(self, frame: int) -> Path:
        return self._frame_path("comp", frame)

    def matte_path(self, frame: int) -> Path:
        return self._frame_path("matte", frame)

    def _frame_path(self, kind: str, frame: int) -> Path:
        return self.out / kind / f"{self.shot.name}_{kind}_{self.name}.{frame:04d}.exr"

    def pattern(self, kind: str) -> str:
        """`.../sh010_comp_v003.####.exr`, as hosts take it."""
        return str(self.out / kind / f"{self.shot.name}_{kind}_{self.name}.####.exr")

    def preview_path(self, name: str) -> Path:
        return self.out / "preview" / name

    def log_path(self, what: str) -> Path:
        """A log of its own for this process: `what` is e.g. `stitch.1001-1008`."""
        place = re.sub(r"[^A-Za-z0-9.-]", "_", f"{what}.{host_name()}.{os.getpid()}")
        return self.shot.path / "logs" / self.name / f"{place}.jsonl"

    def finish_frame(
        self,
        frame: int,
        *,
        key: str,
        files: Mapping[str, Path],
        outcome: FrameOutcome = "edited",
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that a frame's files ({"comp": path, "matte": path}) are whole. Call it after they are."""
        record = {
            **{"schema": RECORD_SCHEMA, "frame": frame, "key": key, "outcome": outcome},
            "files": {kind: self._file_record(path) for kind, path in files.items()},
            "meta": canonical_data(meta or {}),
        }
        write_json(self._record_path(frame), record)

    def _file_record(self, path: Path) -> dict[str, Any]:
        name = path.relative_to(self.out).as_posix()
        return {"path": name, "size": path.stat().st_size, "sha256": file_sha256(path)}

    def frame_done(self, frame: int, key: str) -> bool:
        """Whether the frame was finished from this very content, and its files have their sizes."""
        record = self.frame_record(frame)
        if record is None or record["key"] != key or record["outcome"] == "failed":
            return False
        return all(size_of(self.out / file["path"]) == file["size"] for file in record["files"].values())

    def frame_record(self, frame: int) -> dict[str, Any] | None:
        """The frame's record; None if it is not there or damaged."""
        record = read_json(self._record_path(frame))
        if record is None or record.get("schema") != RECORD_SCHEMA:
            return None
        return record if {"frame", "key", "outcome", "files"} <= record.keys() else None

    def forget_frame(self, frame: int) -> None:
        """Drop the record: the frame counts as not done."""
        self._record_path(frame).unlink(missing_ok=True)

    def _record_path(self, frame: int) -> Path:
        return self.out / "records" / f"{frame:04d}.json"

    def records(self) -> dict[int, dict[str, Any]]:
        """Every frame's record, by frame, in order."""
        names = (path.stem for path in children_of(self.out / "records") if path.suffix == ".json")
        frames = sorted(int(name) for name in names if re.fullmatch(r"-?\d+", name))
        found = ((frame, self.frame_record(frame)) for frame in frames)
        return {frame: record for frame, record in found if record is not None}

    def write_frames(self) -> Path:
        """Rebuild frames.json from the records: {frame: {outcome, key, files}}."""
        kept = ("outcome", "key", "files")
        frames = {
            str(frame): {name: record[name] for name in kept} for frame, record in self.records().items()
        }
        write_json(
            self.frames_path,
            {"schema": FRAMES_SCHEMA, "shot": self.shot.name, "version": self.name, "frames": frames},
        )
        return self.frames_path

    def refer(self, keys: Iterable[str]) -> None:
        """Say that this version uses these cache keys, so that `gc` keeps them. Idempotent."""
        names = sorted({key[:KEY_DIGITS] for key in keys})
        name = sha256(canonical_json(names).encode()).hexdigest()[:KEY_DIGITS]
        write_json(self.job_path.parent / "keys" / f"{name}.json", {"keys": names})

    def referred(self) -> set[str]:
        """First 12 digits of every cache key that this version uses."""
        lists = (read_json(path) for path in children_of(self.job_path.parent / "keys"))
        return {str(key) for listed in lists if listed for key in listed.get("keys", ())}


@dataclass(frozen=True)
class Shot:
    """The folder `<name>.stit`. Any number of processes on any number of machines may have it open."""

    path: Path
    name: str

    @classmethod
    def open(cls, folder: str | Path, name: str) -> Shot:
        """The shot's folder below `folder`, made if it is not there. Raises OutputError, ReadOnlyError."""
        shot = cls(Path(folder) / f"{name}.stit", name)
        marker = shot.path / "shot.json"
        known = read_json(marker)
        if known is None:
            if shot.path.exists() and not shot.path.is_dir():
                raise OutputError("is a file where the shot's folder should be", where=shot.path)
            known = {"schema": SHOT_SCHEMA, "shot": name, "created_by": f"stit_vfx {__version__}"}
            write_json(marker, known)
        _check_shot(known, marker)
        return shot

    @classmethod
    def at(cls, path: str | Path) -> Shot:
        """An existing `<name>.stit` folder. Raises OutputError if it is none."""
        path = Path(path)
        known = read_json(path / "shot.json")
        if known is None:
            raise OutputError("is not a shot's folder", where=path, hint="Give the folder that ends in .stit")
        _check_shot(known, path / "shot.json")
        return cls(path, str(known["shot"]))

    def entry(self, step: str, key: str, *, frame: int | None = None) -> Entry:
        """Where the result of a step with this content key lies, or will lie, in the cache."""
        return Entry(self.path / "cache" / step / key[:KEY_DIGITS], step, key, frame)

    def versions(self) -> tuple[Version, ...]:
        """Versions that have a job, oldest first."""
        return tuple(version for version in self._numbered() if version.job_path.exists())

    def find_version(self, name: str | None = None) -> Version:
        """A version by name (`v003`, or `3`); None: the latest. Raises OutputError."""
        versions = self.versions()
        wanted = f"v{int(name):03d}" if name is not None and name.isdecimal() else name
        found = [version for version in versions if wanted in (None, version.name)]
        if not found:
            known = ", ".join(version.name for version in versions) or "none"
            raise OutputError(
                f"has no version {wanted or ''}".rstrip(), where=self.path, hint=f"Known: {known}"
            )
        return found[-1]

    def version(self, job: Job) -> Version:
        """The version of this job: the one it already has, else the next number. Never one of another job.

        Give the job with its defaults filled in. Tasks that start at the same moment agree on the number,
        since job.json appears whole and only once.
        """
        text = canonical_json(job.to_data())
        for version in self._numbered():
            if self._holds(version, text):
                return version
        # A folder without job.json may belong to a task that starts now with the same job: try it first.
        taken = [version for version in self._numbered() if version.job_path.exists() or version.out.exists()]
        number = max((int(version.name[1:]) for version in taken), default=0) + 1
        while True:
            version = Version(self, f"v{number:03d}")
            if _create(version.job_path, pretty_json(job.to_data())) or self._holds(version, text):
                return version
            number += 1

    def _holds(self, version: Version, text: str) -> bool:
        data = read_json(version.job_path)
        return data is not None and canonical_json(data) == text

    def _numbered(self) -> list[Version]:
        folders = (*children_of(self.path / "jobs"), *children_of(self.path / "out"))
        names = {path.name for path in folders}
        numbers = sorted((int(name[1:]), name) for name in names if re.fullmatch(r"v\d{3,}", name))
        return [Version(self, name) for _, name in numbers]


def _check_shot(known: Mapping[str, Any], marker: Path) -> None:
    if known.get("schema") != SHOT_SCHEMA:
        raise JobError(
            f"schema {known.get('schema')!r} is not one that this engine reads",
            where=marker,
            hint="Update stit_vfx, or use another output folder",
        )


def _create(path: Path, data: bytes) -> bool:
    """Make a read-only file with this content if there is none of that name; whether it was made here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f"{TEMP_PREFIX}{host_name()}-{os.getpid()}-{os.urandom(6).hex()}.json")
    atomic_bytes(whole, data)
    whole.chmod(0o444)
    try:
        os.link(whole, path)  # unlike a rename, it fails where a name exists
    except FileExistsError:
        return False
    except OSError:
        # No hard links here (some shares): nothing better than to look and then rename.
        if path.exists():
            return False
        os.replace(whole, path)
    finally:
        whole.unlink(missing_ok=True)
    return True
