"""Everything that can be measured about an edited shot, in one pass over it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stit_vfx.face.detect import Detection, FaceFinder, overlap
from stit_vfx.measure.edits import edit_strength
from stit_vfx.measure.identity import Embed, descriptor_distance, tg_id, tl_id
from stit_vfx.measure.plate_safety import PlateSafety
from stit_vfx.measure.stability import jitter_ratio, landmark_jitter


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A frame of the plate and of its edit, (H, W, 3) uint8 sRGB each, and what `plate_safety` said of it."""

    frame: int
    source8: np.ndarray
    edit8: np.ndarray
    safety: PlateSafety | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Numbers of a whole shot; None where there was too little to measure. Modules of the same name say more.

    Jitter is in pixels, `strength` in eye distances. `unsafe` lists frames whose plate was touched where it
    should not have been; `checked` counts the frames that were compared for that.
    """

    finder: str
    frames: int
    measured: int
    tl_id: float | None
    tg_id: float | None
    descriptor_distance: float | None
    source_jitter: float | None
    edit_jitter: float | None
    jitter_ratio: float | None
    strength: dict[str, float]
    checked: int
    unsafe: tuple[int, ...]

    def to_json(self) -> str:
        """Strict JSON: what is infinite or undefined becomes null."""
        told: dict[str, Any] = {"schema": "stit.measure/1", **dataclasses.asdict(self)}
        return json.dumps({key: _plain(value) for key, value in told.items()}, indent=2, allow_nan=False)


def report(
    pairs: Iterable[Pair],
    finder: FaceFinder,
    *,
    embed: Embed | None = None,
    near: tuple[float, float] | None = None,
) -> Report:
    """Measures a shot frame by frame, holding one pair at a time.

    embed  the identity embedding; None takes the finder's own descriptor
    near   a point (x, y) plate px on the face in the first frame; None takes the largest
    """
    seen, frames, checked, unsafe = _Seen(), 0, 0, []
    for pair in pairs:
        frames += 1
        if pair.safety is not None:
            checked += 1
            unsafe += [] if pair.safety.safe else [pair.frame]
        seen.take(pair, finder, embed or finder.describe, near)
    return Report(finder=finder.name, frames=frames, checked=checked, unsafe=tuple(unsafe), **seen.numbers())


class _Seen:
    """The faces of the frames so far: landmarks and embeddings, no pictures."""

    def __init__(self) -> None:
        self._source: list[np.ndarray] = []
        self._edit: list[np.ndarray] = []
        self._vectors: list[tuple[np.ndarray, np.ndarray]] = []
        self._last: Detection | None = None
        self._run = 0
        self._runs: list[int] = []

    def take(self, pair: Pair, finder: FaceFinder, embed: Embed, near: tuple[float, float] | None) -> None:
        """Adds a frame if the face is in both pictures; a frame without it interrupts what is steady."""
        face = self._chosen(finder.find(pair.source8, describe=False), near)
        edited = finder.follow(pair.edit8, face.landmarks) if face is not None else None
        if face is None or edited is None:
            self._run += 1
            return
        self._last = face
        self._source.append(face.landmarks)
        self._edit.append(edited.landmarks)
        self._runs.append(self._run)
        before, after = embed(pair.source8, face.landmarks), embed(pair.edit8, edited.landmarks)
        if before is not None and after is not None:
            self._vectors.append((before, after))

    def _chosen(self, found: list[Detection], near: tuple[float, float] | None) -> Detection | None:
        """The face of the last frame; at first the one nearest to the point, or the largest."""
        if not found:
            return None
        if self._last is not None:
            before = self._last.box
            best = max(found, key=lambda d: overlap(d.box, before))
            return best if overlap(best.box, before) > 0.1 else None
        if near is None:
            return found[0]
        return min(found, key=lambda d: math.dist(d.landmarks[27:36].mean(axis=0), near))

    def numbers(self) -> dict[str, Any]:
        """The fields of a Report that come from faces."""
        before, after = (np.array(v).reshape(-1, 68, 2) for v in (self._source, self._edit))
        runs = np.array(self._runs)
        several = len(self._vectors) > 1
        source, edit = (np.array([v[side] for v in self._vectors]) for side in (0, 1))
        return {
            "measured": len(before),
            "tl_id": tl_id(source, edit) if several else None,
            "tg_id": tg_id(source, edit) if several else None,
            "descriptor_distance": descriptor_distance(source, edit) if self._vectors else None,
            "source_jitter": landmark_jitter(before, runs) if len(before) > 2 else None,
            "edit_jitter": landmark_jitter(after, runs) if len(before) > 2 else None,
            "jitter_ratio": jitter_ratio(before, after, runs) if len(before) > 2 else None,
            "strength": edit_strength(before, after) if len(before) else {},
        }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
