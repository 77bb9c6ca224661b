"""A shot that was tuned elsewhere: weights, pivots and crops in one file, and a job that takes them up.

The file is safetensors, schema `stit.tuned/1` in its metadata: `weights/<name>` (the generator's state),
`pivots` (T, num_ws, w_dim), `quads` (T, 4, 2) plate px, `frames` (T,).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stit_vfx.atomic import atomic_bytes
from stit_vfx.cache import write_json
from stit_vfx.errors import FrameRangeError, PackDamagedError, PackFormatError

if TYPE_CHECKING:
    from torch import nn

SCHEMA = "stit.tuned/1"
FOLDER = "imported"
_WEIGHT = "weights/"


@dataclass(frozen=True)
class Tuned:
    """weights {name: array} of the tuned generator; pivots (T, num_ws, w_dim) float32, the rows of each
    frame; quads (T, 4, 2) float64 plate px, rows NW SW SE NE; frames (T,) their numbers."""

    weights: Mapping[str, np.ndarray]
    pivots: np.ndarray
    quads: np.ndarray
    frames: Sequence[int]

    def quad_by_frame(self) -> dict[int, np.ndarray]:
        return dict(zip(self.frames, np.asarray(self.quads, np.float64), strict=True))

    def pivot_by_frame(self) -> dict[int, np.ndarray]:
        return dict(zip(self.frames, np.asarray(self.pivots, np.float32), strict=True))


def save_tuned(path: Path, tuned: Tuned) -> None:
    """Write the file, whole or not at all."""
    from safetensors.numpy import save

    arrays = {_WEIGHT + name: np.asarray(array, order="C") for name, array in tuned.weights.items()}
    arrays |= {
        "pivots": np.ascontiguousarray(tuned.pivots, np.float32),
        "quads": np.ascontiguousarray(tuned.quads, np.float64),
        "frames": np.array(tuned.frames, np.int64),
    }
    atomic_bytes(path, save(arrays, metadata={"schema": SCHEMA}))


def load_tuned(path: str | Path) -> Tuned:
    """Read such a file. Raises PackDamagedError if it cannot be read, PackFormatError if it is another."""
    arrays = _read(Path(path))
    if lacking := [name for name in ("pivots", "quads", "frames") if name not in arrays]:
        raise PackFormatError(f"has no tensor {lacking[0]}", where=path)
    weights = {name.removeprefix(_WEIGHT): a for name, a in arrays.items() if name.startswith(_WEIGHT)}
    pivots, quads, frames = arrays["pivots"], arrays["quads"], arrays["frames"]
    count = len(frames) if frames.ndim == 1 else 0
    if not count or pivots.ndim != 3 or len(pivots) != count or quads.shape != (count, 4, 2):
        shapes = f"pivots {pivots.shape}, quads {quads.shape}, frames {frames.shape}"
        raise PackFormatError(f"pivots, quads and frames do not belong together: {shapes}", where=path)
    if not (np.isfinite(pivots).all() and np.isfinite(quads).all()):
        raise PackFormatError("holds pivots or quads that are not finite", where=path)
    return Tuned(weights, pivots.astype(np.float32), quads, tuple(int(frame) for frame in frames))


def _read(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            if (file.metadata() or {}).get("schema") != SCHEMA:
                raise PackFormatError(f"is not a tuned shot ({SCHEMA})", where=path)
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise PackDamagedError(
            f"cannot be read: {error}", where=path, hint="Convert the tuned checkpoint again"
        ) from None


def check_weights(tuned: Tuned, network: nn.Module, *, where: str | Path) -> None:
    """Raise PackFormatError naming the first tensor that the pack's generator has not, or has otherwise."""
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    hint = "Name the pack that this shot was tuned from"
    for name in sorted({*wanted, *tuned.weights}):
        if name not in tuned.weights:
            raise PackFormatError(
                f"has no weights for {name} of the pack's generator", where=where, hint=hint
            )
        shape = tuned.weights[name].shape
        if name not in wanted:
            raise PackFormatError(
                f"has weights for {name}, which the pack's generator lacks", where=where, hint=hint
            )
        if shape != wanted[name]:
            told = f"{name} is {shape} here and {wanted[name]} in the pack's generator"
            raise PackFormatError(told, where=where, hint=hint)


def import_tuned(
    tuned: Tuned,
    *,
    plate: str,
    frames: str,
    pack: str,
    out: Path,
    shot: str | None = None,
    edits: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Put a tuned shot into its folder below `out`; returns its job file, whose run tunes nothing.

    plate, frames  what it was tuned to; as many frames as pivots, in order. A job without `edits` waits for
                   flags: `stit run JOB.json --edit smile=0.6`
    Raises FrameRangeError where the numbers differ.
    """
    from stit_vfx.plate.sequence import parse_frames
    from stit_vfx.shot import Shot
    from stit_vfx.words import shot_name_of

    numbers = parse_frames(frames)
    if len(numbers) != len(tuned.pivots):
        raise FrameRangeError(
            f"{len(numbers)} frames for {len(tuned.pivots)} pivots",
            hint="Give the frames that it was tuned to, in order",
        )
    name = shot or shot_name_of(plate)
    folder = Shot.open(out, name).path / FOLDER
    save_tuned(folder / "tuned.safetensors", Tuned(tuned.weights, tuned.pivots, tuned.quads, numbers))
    job = {
        **{"schema": "stit.job/1", "shot": name, "plate": str(Path(plate).absolute()), "frames": frames},
        **{"pack": _pack_name(pack), "tuned": "tuned.safetensors"},
        "output": {"folder": str(Path(out).absolute())},
    }
    if edits:
        job["edits"] = json.loads(json.dumps([dict(edit) for edit in edits]))
    write_json(folder / "job.json", job)
    return folder / "job.json"


def _pack_name(pack: str) -> str:
    """A path made absolute, since it is read from another folder; a name as it is."""
    return str(Path(pack).absolute()) if "/" in pack or "\\" in pack else pack
