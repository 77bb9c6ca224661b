"""Which faces are in a plate: what `stit faces` shows, and what a host's face picker needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stit_vfx.bench import choose_device
from stit_vfx.errors import FacePickError, NoFaceError
from stit_vfx.events import Cancel, Reporter
from stit_vfx.options import RunOptions

if TYPE_CHECKING:
    from stit_vfx.face.detect import Box
    from stit_vfx.face.track import FaceTrack
    from stit_vfx.job import Job
    from stit_vfx.plate.colour import CodeSpace
    from stit_vfx.plate.source import Plate

INK = (255, 196, 0)


@dataclass(frozen=True)
class FoundFace:
    """One person: frames, how many of them were seen (not interpolated), and the box in the middle one."""

    id: int
    frames: str
    count: int
    seen: int
    box: tuple[float, float, float, float]
    box_frame: int


@dataclass(frozen=True)
class FacesReport:
    """Everyone in the plate, ids from 1 by first appearance."""

    plate: str
    finder: str
    licence: str
    faces: tuple[FoundFace, ...]
    picture: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {**vars(self), "faces": [vars(face) for face in self.faces]}

    def to_text(self) -> str:
        """A line per face."""
        lines = [
            f"face {face.id}: frames {face.frames} ({face.seen} of {face.count} seen), "
            f"box {', '.join(f'{value:.0f}' for value in face.box)} at {face.box_frame}"
            for face in self.faces
        ]
        lines.append(f"landmarks: {self.finder} ({self.licence})")
        return "\n".join(lines + ([f"picture: {self.picture}"] if self.picture else []))


def find_faces(
    plate: str,
    frames: Sequence[int] | None = None,
    *,
    colourspace: str | None = None,
    picture: Path | None = None,
    kind: str = "auto",
    reporter: Reporter,
    cancel: Cancel,
    options: RunOptions,
) -> FacesReport:
    """Follow every face through a plate. `picture`: a PNG of the frame with most faces, boxes and ids drawn.

    `kind`: the face finder, as in `make_finder`.
    Raises NoFaceError if there is none.
    """
    from stit_vfx.face.detect import make_finder
    from stit_vfx.face.track import track_faces
    from stit_vfx.plate.colour import CodeSpace
    from stit_vfx.plate.source import open_plate

    opened = open_plate(plate, colourspace=colourspace, config=options.ocio)
    wanted = tuple(frames or opened.frames)
    opened.check(wanted)
    finder = make_finder(kind, choose_device(options))
    code = CodeSpace.of(opened.colour)
    tracks = track_faces(_pictures(opened, code, wanted, reporter, cancel), finder)
    if not tracks:
        raise NoFaceError("no face in any frame", where=opened.name, hint="Check --colourspace")
    if picture is not None:
        shown = _busiest(tracks)
        draw_faces(picture, code.to_display8(opened.read(shown).rgb()), tracks, shown)
    told = tuple(_found(track) for track in tracks)
    return FacesReport(
        opened.name, finder.name, finder.licence, told, None if picture is None else str(picture)
    )


def face_on(job: Job, frame: int, *, reporter: Reporter, cancel: Cancel, options: RunOptions) -> Box:
    """The box of the job's picked face on one frame, by following it from where it was picked.

    A point or a box is followed from its own frame; ids are counted over all of the job's frames, so an id
    has to look at them all. Raises FacePickError where the picked face is away.
    """
    from stit_vfx.face.detect import make_finder
    from stit_vfx.face.track import FacePick, pick_face, track_faces
    from stit_vfx.plate.colour import CodeSpace
    from stit_vfx.plate.source import open_plate

    plate = open_plate(job.plate, colourspace=job.colourspace, config=options.ocio)
    frames = job.with_defaults(frames=plate.frames).read_frames()
    pick = FacePick(**job.face.model_dump())
    if pick.id is None and pick.frame is not None:
        first, last = min(pick.frame, frame), max(pick.frame, frame)
        frames = tuple(each for each in frames if first <= each <= last)
    code, finder = CodeSpace.of(plate.colour), make_finder(job.align.finder, choose_device(options))
    track = pick_face(track_faces(_pictures(plate, code, frames, reporter, cancel), finder), pick)
    box = track.box_at(frame)
    if box is None:
        raise FacePickError("the picked face is away here", frame=frame, hint="Look at another frame")
    return box


def _pictures(
    plate: Plate, code: CodeSpace, frames: Sequence[int], reporter: Reporter, cancel: Cancel
) -> Iterator[tuple[int, np.ndarray]]:
    for number, frame in enumerate(frames):
        cancel.check()
        yield frame, code.to_display8(plate.read(frame).rgb())
        reporter.progress("align", number + 1, len(frames), frame=frame)


def draw_faces(path: Path, picture8: np.ndarray, tracks: Sequence[FaceTrack], frame: int) -> None:
    """Write a frame (H, W, 3) uint8 with each face's box and id."""
    from PIL import Image, ImageDraw, ImageFont

    from stit_vfx.review.sheet import write_png

    image = Image.fromarray(picture8)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(16, picture8.shape[0] // 30))
    for track in tracks:
        if (box := track.box_at(frame)) is not None:
            draw.rectangle(box, outline=INK, width=max(2, picture8.shape[0] // 400))
            draw.text((box[0] + 4, box[1] + 2), str(track.id), fill=INK, font=font)
    write_png(path, np.asarray(image))


def _busiest(tracks: Sequence[FaceTrack]) -> int:
    """The frame with most faces; of those the middle one."""
    frames, counts = np.unique(np.concatenate([track.frames for track in tracks]), return_counts=True)
    best = frames[counts == counts.max()]
    return int(best[len(best) // 2])


def _found(track: FaceTrack) -> FoundFace:
    from stit_vfx.plate.sequence import format_frames

    middle = int(track.frames[len(track.frames) // 2])
    box = track.box_at(middle)
    assert box is not None
    return FoundFace(
        id=track.id,
        frames=format_frames(int(frame) for frame in track.frames),
        count=len(track.frames),
        seen=int(track.found.sum()),
        box=(box[0], box[1], box[2], box[3]),
        box_frame=middle,
    )
