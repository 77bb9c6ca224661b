"""The pictures of a version: contact sheet and preview movie, from what is on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stit_vfx.measure.words import told
from stit_vfx.plate.colour import CodeSpace
from stit_vfx.plate.exr import read_exr
from stit_vfx.plate.source import Plate, open_plate
from stit_vfx.review.movie import write_movie
from stit_vfx.review.sheet import SheetFrame, contact_sheet, write_png
from stit_vfx.shot import Shot, Version

SHEET_FRAMES = 4
FACE_SHARE = 0.6
SHEET_NAME = "contact_sheet.png"


def movie_name(version: Version) -> str:
    """`sh010_v003.mp4`."""
    return f"{version.shot.name}_{version.name}.mp4"


def write_review(
    shot_folder: str | Path, version_name: str | None = None, *, measured: Mapping[str, Any] | None = None
) -> dict[str, Path]:
    """Write the contact sheet and the preview movie of a version; {"sheet": path, "movie": path}.

    The plate must still be where the job says. Frames that are not finished are left out.
    """
    version = Shot.at(shot_folder).find_version(version_name)
    job = version.job()
    plate = open_plate(job.plate, colourspace=job.colourspace)
    code = CodeSpace.of(plate.colour)
    records = {frame: record for frame, record in version.records().items() if record["files"]}
    sheet, movie = version.preview_path(SHEET_NAME), version.preview_path(movie_name(version))
    shown = [_sheet_frame(version, plate, code, frame, records[frame]) for frame in _spread(records)]
    if shown:
        write_png(sheet, contact_sheet(shown, title=_title(version), notes=told(measured or {})))
    write_movie(movie, _comps(version, code, list(records)), fps=plate.fps or _fps(version, records))
    return {"sheet": sheet, "movie": movie}


def _spread(records: Mapping[int, Any]) -> list[int]:
    """A few frames with a face, first to last."""
    with_face = [frame for frame, record in records.items() if "quad" in record.get("meta", {})]
    if not with_face:
        return []
    places = np.linspace(0, len(with_face) - 1, min(SHEET_FRAMES, len(with_face)))
    return sorted({with_face[round(place)] for place in places})


def _sheet_frame(
    version: Version, plate: Plate, code: CodeSpace, frame: int, record: Mapping[str, Any]
) -> SheetFrame:
    quad = np.array(record["meta"]["quad"])
    # The crop takes in hair and shoulders; the face fills its inner half.
    face = quad.mean(axis=0) + (quad - quad.mean(axis=0)) * FACE_SHARE
    return SheetFrame(
        frame=frame,
        plate8=code.to_display8(plate.read(frame).rgb()),
        edit8=code.to_display8(read_exr(version.comp_path(frame), frame).rgb()),
        matte=read_exr(version.matte_path(frame), frame).rgb()[..., 0],
        face_box=(*face.min(axis=0), *face.max(axis=0)),
    )


def _comps(version: Version, code: CodeSpace, frames: list[int]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield code.to_display8(read_exr(version.comp_path(frame), frame).rgb())


def _fps(version: Version, records: Mapping[int, Any]) -> float:
    for frame in records:
        rate = read_exr(version.comp_path(frame), frame).header.get("framesPerSecond")
        return float(rate) if rate else 24.0
    return 24.0


def _title(version: Version) -> str:
    job = version.job()
    edits = ", ".join(
        f"{edit.name} {edit.strength:+.2f}" if edit.keys is None else f"{edit.name} (keyed)"
        for edit in job.edits
    )
    return f"{job.shot} {version.name}: {edits}"
