"""The shot's cache: what a step made, named by everything that it was made from.

A result is a data file and, after it, a record. It is done when the record is there, its key is the one asked
for and the file has the recorded size; anything else counts as not there, and is made again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stit_vfx.atomic import TEMP_PREFIX, atomic_bytes
from stit_vfx.canonical import canonical_data, canonical_json
from stit_vfx.errors import StorageError

if TYPE_CHECKING:
    import numpy as np

RECORD_SCHEMA = "stit.record/1"
KEY_DIGITS = 12

# Raised by hand when a step's output changes for the same input; the code itself is never hashed, so that a
# comment does not cost a night of rendering.
STEP_REVISION = {"align": 1, "invert": 1, "tune": 1, "edit": 8, "stitch": 1, "mouth": 6, "composite": 10}

Arrays = Mapping[str, "np.ndarray"]


def content_key(
    step: str,
    *,
    settings: Mapping[str, Any],
    upstream: Iterable[str] = (),
    inputs: Mapping[str, Any] | Iterable[str] = (),
    models: Mapping[str, str] | Iterable[str] = (),
) -> str:
    """The sha256 hex that names a step's result by everything that it depends on.

    settings  `Job.settings_for(step)`: validated and normalised, since 3 and 3.0 would differ
    upstream  keys of the results that it is made from, in a fixed order
    inputs    fingerprints of the plate's frames and other files
    models    sha256 of the weights used
    """
    parts = [step, STEP_REVISION[step], settings, *(_listed(part) for part in (upstream, inputs, models))]
    return sha256(canonical_json(parts).encode()).hexdigest()


def _listed(part: Mapping[str, Any] | Iterable[str]) -> Any:
    return dict(part) if isinstance(part, Mapping) else list(part)


def file_sha256(path: Path) -> str:
    """sha256 hex of a file's bytes, read in pieces."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class Entry:
    """One result in the cache: a data file, and after it its record.

    `key` is the whole content key; the folder carries its first 12 digits and the record all of them.
    """

    folder: Path
    step: str
    key: str
    frame: int | None = None

    @property
    def stem(self) -> str:
        return self.step if self.frame is None else f"{self.step}.{self.frame:04d}"

    @property
    def data_path(self) -> Path:
        return self.folder / f"{self.stem}.safetensors"

    @property
    def record_path(self) -> Path:
        return self.folder / f"{self.stem}.json"

    def record(self) -> dict[str, Any] | None:
        """The record, or None if there is none, or it is damaged, or of another key."""
        record = read_json(self.record_path)
        whole = record is not None and record.get("schema") == RECORD_SCHEMA and record.get("key") == self.key
        return record if whole else None

    def is_done(self) -> bool:
        """Whether the result is there and its size is right (its content is checked when it is read)."""
        record = self.record()
        return record is not None and size_of(self.data_path) == record.get("size")

    def meta(self) -> dict[str, Any]:
        """What was stored as `meta`; empty if there is no record."""
        return dict((self.record() or {}).get("meta", {}))

    def store(self, arrays: Arrays, *, meta: Mapping[str, Any] | None = None) -> None:
        """Write arrays, then the record. Float images stay float; nothing is compressed or rounded.

        `meta`: JSON that belongs to the result. Raises DiskFullError and its like.
        """
        data = _pack(arrays)
        atomic_bytes(self.data_path, data)
        record = {
            **{"schema": RECORD_SCHEMA, "step": self.step, "frame": self.frame, "key": self.key},
            **{"file": self.data_path.name, "size": len(data), "sha256": sha256(data).hexdigest()},
            "meta": canonical_data(meta or {}),
        }
        write_json(self.record_path, record)

    def read(self) -> dict[str, np.ndarray] | None:
        """The arrays, or None if the result is not there or not what was stored: then do it again."""
        record = self.record()
        if record is None:
            return None
        try:
            data = self.data_path.read_bytes()
        except OSError:
            return None
        return _unpack(data) if sha256(data).hexdigest() == record.get("sha256") else None

    def load(self) -> dict[str, np.ndarray]:
        """The arrays of a result that must be there. A damaged one is forgotten: the next run redoes it."""
        arrays = self.read()
        if arrays is None:
            self.forget()
            raise StorageError(
                "this intermediate result is absent or damaged",
                where=self.data_path,
                frame=self.frame,
                hint="Run the job again; the step will be redone",
            )
        return arrays

    def forget(self) -> None:
        """Drop the record: the result counts as not done."""
        self.record_path.unlink(missing_ok=True)

    def save_checkpoint(self, number: int, arrays: Arrays) -> None:
        """Keep the state of a long step after `number` of its own steps. The last two are kept."""
        atomic_bytes(self._checkpoint_path(number), _sealed(_pack(arrays)))
        for old in sorted(self._checkpoints())[:-2]:
            self._checkpoint_path(old).unlink(missing_ok=True)

    def load_checkpoint(self) -> tuple[int, dict[str, np.ndarray]] | None:
        """(number, arrays) of the newest checkpoint that is whole, or None."""
        for number in sorted(self._checkpoints(), reverse=True):
            data = _unsealed(self._checkpoint_path(number))
            if data is not None and (arrays := _unpack(data)) is not None:
                return number, arrays
        return None

    def drop_checkpoints(self) -> None:
        """Remove the checkpoints; for when the result itself is stored."""
        for number in self._checkpoints():
            self._checkpoint_path(number).unlink(missing_ok=True)

    def _checkpoint_path(self, number: int) -> Path:
        return self.folder / ".checkpoints" / f"{self.stem}.{number:07d}.safetensors"

    def _checkpoints(self) -> list[int]:
        pattern = re.compile(re.escape(self.stem) + r"\.(\d{7})\.safetensors")
        names = (path.name for path in children_of(self.folder / ".checkpoints"))
        return [int(match[1]) for name in names if (match := pattern.fullmatch(name))]


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; None if it is absent or damaged."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON object for people to read as well; whole or not at all."""
    atomic_bytes(path, pretty_json(data))


def pretty_json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def children_of(folder: Path) -> Iterator[Path]:
    """Children in name order, without temporary files; none if there is no such folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    return (folder / name for name in names if not name.startswith(TEMP_PREFIX))


def _pack(arrays: Arrays) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    # safetensors writes an array's memory as it lies, strides or not.
    return save({name: np.asarray(array, order="C") for name, array in arrays.items()})


def _unpack(data: bytes) -> dict[str, np.ndarray] | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except SafetensorError:
        return None


def _sealed(data: bytes) -> bytes:
    return sha256(data).digest() + data


def _unsealed(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[32:] if sha256(data[32:]).digest() == data[:32] else None
