"""The faces of a shot over time, and the choice of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stit_vfx.errors import FacePickError, NoFaceError
from stit_vfx.face.detect import Box, FaceFinder, overlap, square_of
from stit_vfx.face.following import MAX_GAP, Follower, Thread, holds

# A face seen less often than this in a longer shot is a mistake of the detector.
_LEAST_SEEN = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceTrack:
    """One person's face through a shot. Frames without it (away for more than 12) are not in the track.

    id         from 1, by first frame and then by size
    frames     (T,) int64 frame numbers, ascending
    landmarks  (T, 68, 2) float64 plate px, iBUG order
    found      (T,) bool; False where the landmarks are interpolated over a gap
    segment    (T,) int64; changes at a cut and after a long absence. Nothing is smoothed across a change.
    """

    id: int
    frames: np.ndarray
    landmarks: np.ndarray
    found: np.ndarray
    segment: np.ndarray

    @property
    def box(self) -> np.ndarray:
        """(T, 4) x0, y0, x1, y1 plate px around brows to chin."""
        return np.array([square_of(points).box for points in self.landmarks])

    @property
    def side(self) -> float:
        """Median width of the face's box, plate px."""
        return float(np.median([square_of(points).side for points in self.landmarks]))

    def box_at(self, frame: int) -> Box | None:
        """The box in a frame, or None where the face is away."""
        row = int(np.searchsorted(self.frames, frame))
        if row == len(self.frames) or self.frames[row] != frame:
            return None
        return square_of(self.landmarks[row]).box


@dataclass(frozen=True)
class FacePick:
    """Which face: by id, or by a point (x, y) or box (x0, y0, x1, y1) in plate px; nothing: the largest.

    `frame` None: the first frame in which there is a face.
    """

    id: int | None = None
    point: tuple[float, float] | None = None
    box: Box | None = None
    frame: int | None = None


def track_faces(
    images: Iterable[tuple[int, np.ndarray]],
    finder: FaceFinder,
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[FaceTrack, ...]:
    """Follows every face through (frame number, (H, W, 3) uint8 sRGB) pairs in ascending order; () if none.

    Streams: one picture at a time is held. A face missed for up to 12 frames is interpolated; a cut starts a
    new segment; who comes back after a cut or a longer absence is recognised and keeps the id.
    """
    follower, frames = Follower(finder), []
    for frame, image8 in images:
        frames.append(frame)
        follower.step(image8)
        if progress is not None:
            progress(frame)
    least = min(_LEAST_SEEN, len(frames))
    threads = [thread for thread in follower.threads if len(thread.indices) >= least]
    tracks = sorted(
        (_finished(thread, np.array(frames, dtype=np.int64)) for thread in threads),
        key=lambda track: (track.frames[0], -track.side),
    )
    return tuple(_with_id(track, number) for number, track in enumerate(tracks, start=1))


def pick_face(
    tracks: Sequence[FaceTrack], pick: FacePick, *, warn: Callable[[str, str], None] | None = None
) -> FaceTrack:
    """The one face that is meant. `warn(code, message)` hears of W304 if the largest of several was taken.

    Raises NoFaceError for no tracks, FacePickError, which lists the faces, if the pick fits none.
    """
    if not tracks:
        raise NoFaceError(
            "no face was found in any frame",
            hint="Check the colour space of the plate, or give quads by hand",
        )
    if pick.id is not None:
        return _by_id(tracks, pick.id)
    if pick.point is None and pick.box is None:
        return _largest(tracks, warn)
    frame = pick.frame if pick.frame is not None else min(int(t.frames[0]) for t in tracks)
    there = [(track, box) for track in tracks if (box := track.box_at(frame)) is not None]
    if pick.point is not None:
        fit = [(_off_centre(box, pick.point), track) for track, box in there if holds(box, pick.point)]
    else:
        assert pick.box is not None
        shares = [(-overlap(box, pick.box), track) for track, box in there]
        fit = [(share, track) for share, track in shares if share < 0]
    if not fit:
        place = f"point {pick.point}" if pick.point is not None else f"box {pick.box}"
        raise FacePickError(f"no face at {place}", frame=frame, hint=_listed(tracks, frame))
    return min(fit, key=lambda entry: entry[0])[1]


def tracks_to_arrays(tracks: Sequence[FaceTrack]) -> dict[str, np.ndarray]:
    """The tracks as plain arrays, one row for each face and frame, for a file."""
    lengths = [len(track.frames) for track in tracks]
    empty = {"frames": (0,), "landmarks": (0, 68, 2), "found": (0,), "segment": (0,)}
    joined = {
        name: np.concatenate([getattr(track, name) for track in tracks]) if tracks else np.zeros(shape)
        for name, shape in empty.items()
    }
    return {
        "ids": np.array([t.id for t in tracks], np.int64),
        "lengths": np.array(lengths, np.int64),
        **joined,
    }


def tracks_from_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[FaceTrack, ...]:
    """The tracks that `tracks_to_arrays` gave."""
    ends = np.cumsum(arrays["lengths"])
    return tuple(
        FaceTrack(
            id=int(number),
            frames=arrays["frames"][end - length : end].astype(np.int64),
            landmarks=arrays["landmarks"][end - length : end].astype(np.float64),
            found=arrays["found"][end - length : end].astype(bool),
            segment=arrays["segment"][end - length : end].astype(np.int64),
        )
        for number, length, end in zip(arrays["ids"], arrays["lengths"], ends, strict=True)
    )


def _finished(thread: Thread, frames: np.ndarray) -> FaceTrack:
    """The thread with its gaps filled; its id is given later."""
    seen, points = np.array(thread.indices), np.stack(thread.landmarks)
    segment = np.array(thread.segments)
    parts = [_filled(seen[segment == s], points[segment == s]) for s in np.unique(segment)]
    rows = np.concatenate([part[0] for part in parts])
    return FaceTrack(
        id=0,
        frames=frames[rows],
        landmarks=np.concatenate([part[1] for part in parts]),
        found=np.isin(rows, seen),
        segment=np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts]),
    )


def _filled(seen: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All frames from the first to the last seen, and the landmarks there: smooth, without overshoot."""
    from scipy.interpolate import PchipInterpolator

    assert len(seen) == 1 or np.diff(seen).max() <= MAX_GAP + 1
    rows = np.arange(seen[0], seen[-1] + 1)
    if len(rows) == len(seen):
        return rows, points
    filled = PchipInterpolator(seen, points, axis=0)(rows)
    # What was seen keeps its own numbers, not the interpolator's rounding of them.
    filled[seen - seen[0]] = points
    return rows, filled


def _with_id(track: FaceTrack, number: int) -> FaceTrack:
    return FaceTrack(
        id=number,
        frames=track.frames,
        landmarks=track.landmarks,
        found=track.found,
        segment=track.segment,
    )


def _by_id(tracks: Sequence[FaceTrack], wanted: int) -> FaceTrack:
    for track in tracks:
        if track.id == wanted:
            return track
    raise FacePickError(f"there is no face {wanted}", hint=_listed(tracks, None))


def _largest(tracks: Sequence[FaceTrack], warn: Callable[[str, str], None] | None) -> FaceTrack:
    largest = max(tracks, key=lambda track: track.side)
    if len(tracks) > 1 and warn is not None:
        warn("STIT-W304", f"{len(tracks)} faces; the largest, face {largest.id}, was taken")
    return largest


def _off_centre(box: Box, point: tuple[float, float]) -> float:
    return float(np.hypot((box[0] + box[2]) / 2 - point[0], (box[1] + box[3]) / 2 - point[1]))


def _listed(tracks: Sequence[FaceTrack], frame: int | None) -> str:
    """Words for every face: id, frames, and where it is in `frame` or in its first frame."""
    told = []
    for track in tracks:
        box = track.box_at(frame) if frame is not None else square_of(track.landmarks[0]).box
        place = "away then" if box is None else "at " + ", ".join(f"{v:.0f}" for v in box)
        told.append(f"face {track.id} (frames {track.frames[0]} to {track.frames[-1]}, {place})")
    return "There are: " + "; ".join(told)
