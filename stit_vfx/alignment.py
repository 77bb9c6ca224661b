"""Where the picked face is, and its crops: the pipeline's first step, and what the later ones ask of it.

Tracks of all faces are cached apart from the pick, so that picking again is free; crops one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stit_vfx.bench import Bench, check_size, quads_fingerprint
from stit_vfx.cache import content_key
from stit_vfx.errors import InternalError, NoFaceError, PlateError

if TYPE_CHECKING:
    from stit_vfx.face.track import FaceTrack
    from stit_vfx.steps.align import Crop


@dataclass(frozen=True)
class Aligned:
    """Where the face is: the picked track, and the crop's corners by frame, (4, 2) plate px, NW SW SE NE.

    There is no track where the crops came from elsewhere and nobody looked for the face.
    """

    key: str
    found: FaceTrack | None
    quads: Mapping[int, np.ndarray]

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames that have a crop; in all others the face is away."""
        return tuple(sorted(self.quads))

    @property
    def track(self) -> FaceTrack:
        """The picked track, where the face was looked for."""
        if self.found is None:
            raise InternalError("landmarks were asked for, and nobody has looked for the face")
        return self.found


def track_key(bench: Bench) -> str:
    """What the tracks of all faces depend on; the pick is not among it, so that picking again is free."""
    frames = bench.job.read_frames()
    prints = {str(frame): bench.fingerprints.of(frame) for frame in frames}
    if bench.crops_known:
        return content_key("align", settings={"tuned": bench.tuned_sha256}, inputs=prints)
    settings = {"colour": bench.plate.colour.space, "finder": bench.finder.name}
    return content_key("align", settings=settings, inputs=prints, models=bench.finder.sha256)


def find_tracks(bench: Bench, key: str) -> Sequence[FaceTrack]:
    """Every face of the shot, followed through it; from the cache if they are there.

    None are looked for where the crops came from elsewhere.
    """
    from stit_vfx.face.track import track_faces, tracks_from_arrays, tracks_to_arrays

    if bench.crops_known:
        return ()
    entry, frames = bench.shot.entry("align", key), bench.job.read_frames()
    if (arrays := entry.read()) is not None:
        return tracks_from_arrays(arrays)

    def pictures() -> Iterator[tuple[int, np.ndarray]]:
        for number, frame in enumerate(frames):
            if (picture8 := seen8(bench, frame)) is not None:
                yield frame, picture8
            bench.progress("align", number + 1, len(frames), frame=frame)

    tracks = track_faces(pictures(), bench.finder)
    entry.store(tracks_to_arrays(tracks), meta={"finder": bench.finder.name, "licence": bench.finder.licence})
    return tracks


def seen8(bench: Bench, frame: int) -> np.ndarray | None:
    """The frame as a face finder sees it; None if it cannot be read and the run may go on without it."""
    try:
        return bench.seen8(frame)
    except PlateError as error:
        if bench.options.on_frame_error == "stop":
            raise
        bench.unreadable[frame] = error
        return None


def aligned_from(bench: Bench, tracks_key: str, tracks: Sequence[FaceTrack]) -> Aligned:
    """The picked face and its crop's corners. Raises NoFaceError, FacePickError, QuadFileError."""
    from stit_vfx.face.track import FacePick, pick_face

    track = None
    if not bench.crops_known:
        track = pick_face(tracks, FacePick(**bench.job.face.model_dump()), warn=bench.reporter.warn)
    settings = {**bench.job.settings_for("align"), "crop_size": bench.pack.model.crop_size}
    if bench.tuned is not None:
        settings["tuned"] = bench.tuned_sha256
    key = content_key("align", settings=settings, upstream=[tracks_key], inputs=quads_fingerprint(bench.job))
    quads = crop_quads(bench, track)
    if not quads:
        raise NoFaceError("the picked face is in none of the job's frames", where=bench.plate.name)
    return Aligned(key, track, quads)


def crop_quads(bench: Bench, track: FaceTrack | None) -> dict[int, np.ndarray]:
    """Corners by frame: smoothed from the landmarks, or the user's own where the job brings a quad file.

    Those of a shot that was tuned elsewhere come before its landmarks' and after the user's own.
    """
    from stit_vfx.face.align import load_quads

    quads = {} if track is None else _quads_of(bench, track)
    if bench.tuned is not None:
        given = bench.tuned.quad_by_frame()
        quads = {frame: given[frame] for frame in quads or bench.job.read_frames()}
    if bench.job.quads is not None:
        own = load_quads(bench.job.quads, frames=bench.job.read_frames())
        quads.update({frame: quad for frame, quad in own.items() if frame in quads})
    return {frame: quad for frame, quad in quads.items() if frame not in bench.unreadable}


def _quads_of(bench: Bench, track: FaceTrack) -> dict[int, np.ndarray]:
    from stit_vfx.face.align import track_quads

    how = bench.job.align
    smoothed = track_quads(track, scale=how.scale, center_sigma=how.centre_sigma, xy_sigma=how.axes_sigma)
    return dict(zip((int(frame) for frame in track.frames), smoothed, strict=True))


def crop_of(bench: Bench, aligned: Aligned, frame: int) -> Crop:
    """The crop of a frame, from the cache or the plate."""
    from stit_vfx.steps.align import Crop, cut

    entry = bench.shot.entry("align", aligned.key, frame=frame)
    if (arrays := entry.read()) is not None:
        return Crop(**arrays)
    plate = bench.read(frame)
    check_size(plate, bench.plate)
    size = bench.pack.model.crop_size
    crop = cut(plate.rgb(), aligned.quads[frame], size=size, code=bench.code)
    entry.store({"crop_code": crop.crop_code, "valid": crop.valid})
    return crop


def landmarks_of(aligned: Aligned) -> np.ndarray:
    """(T, 68, 2) plate px of the frames that have a crop."""
    kept = [n for n, frame in enumerate(aligned.track.frames) if int(frame) in aligned.quads]
    return aligned.track.landmarks[kept]


def weights_of(aligned: Aligned) -> np.ndarray:
    """(T,) how far each frame's landmarks may be trusted: found ones fully, interpolated ones little."""
    kept = [n for n, frame in enumerate(aligned.track.frames) if int(frame) in aligned.quads]
    return np.where(aligned.track.found[kept], 1.0, 0.1)


def cuts_of(aligned: Aligned) -> list[int]:
    """Rows at which a new unbroken stretch of the track begins."""
    kept = [n for n, frame in enumerate(aligned.track.frames) if int(frame) in aligned.quads]
    return [int(row) + 1 for row in np.flatnonzero(np.diff(aligned.track.segment[kept]))]


def foreground_of(bench: Bench, aligned: Aligned, frame: int, size: int) -> np.ndarray:
    """The face in the crop, (size, size) 0..1: from the pack's parser, or from landmarks without one.

    A pack that reads crops adds hair, ears and neck to what the landmarks say.
    """
    from stit_vfx.face.matte import foreground_from_landmarks, foreground_from_parts
    from stit_vfx.packs.geometry import GeometryModel
    from stit_vfx.plate.warp import apply_matrix, crop_matrix
    from stit_vfx.steps.image import resize, to_network

    model = bench.pack.model
    if bench.pack.parser is not None:
        crop = to_network(crop_of(bench, aligned, frame).crop_code, 512, device=bench.device)
        return resize(bench.pack.parser.foreground(crop)[0].float().cpu().numpy(), size)
    row = int(np.searchsorted(aligned.track.frames, frame))
    landmarks = aligned.track.landmarks[row]
    if isinstance(model, GeometryModel) and model.reader is not None:
        crop_code = crop_of(bench, aligned, frame).crop_code
        points = apply_matrix(crop_matrix(aligned.quads[frame], len(crop_code)), landmarks)
        parts = model.reader.parts_at_edges(crop_code)
        return resize(foreground_from_parts(parts, points), size)
    return foreground_from_landmarks(apply_matrix(crop_matrix(aligned.quads[frame], size), landmarks), size)
