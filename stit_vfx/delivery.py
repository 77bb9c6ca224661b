"""The end of a run: records, contact sheet, preview movie, measurements, provenance, exit status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stit_vfx.errors import PartialError, StitError

if TYPE_CHECKING:
    from stit_vfx.bench import Bench

# Measuring looks for the face in plate and comp again, a second per frame on a processor.
MEASURED_FRAMES = 12


def finish(bench: Bench, *, failed: Mapping[int, StitError], finder: Mapping[str, str]) -> dict[str, Any]:
    """Write what belongs to a version as a whole and return what was measured.

    A farm's chunk only refreshes frames.json; the chunk that completes the version does the rest.
    finder  {"name": ..., "licence": ...} of the landmarks
    """
    from stit_vfx.review import write_review

    bench.version.write_frames()
    if set(bench.job.frame_numbers()) - set(bench.version.records()) - set(failed):
        return {}
    measured = measure(bench)
    review = write_review(bench.shot.path, bench.version.name, plate=bench.plate, code=bench.code, measured=measured)
    for kind, path in review.items():
        bench.reporter.preview(path, frame=bench.frames[0], kind=kind)
    _write_provenance(bench, measured, finder)
    return measured


def outputs(bench: Bench) -> list[dict[str, Any]]:
    """{kind, path, frames, colorspace} of the sequences, as the `result` event names them."""
    frames = str(bench.job.frames)
    space = bench.plate.colour.space
    version = bench.version
    named = [
        {"kind": "comp", "path": version.pattern("comp"), "frames": frames, "colorspace": space},
        {"kind": "matte", "path": version.pattern("matte"), "frames": frames, "colorspace": "data"},
    ]
    for kind, name in (("sheet", "contact_sheet.png"), ("movie", f"{bench.job.shot}_{version.name}.mp4")):
        if version.preview_path(name).exists():
            named.append({"kind": kind, "path": str(version.preview_path(name)), "frames": frames})
    return named


def exit_status(bench: Bench, failed: Mapping[int, StitError]) -> int:
    """0, or 5 where frames were left out or left as the plate and the job does not allow that."""
    return PartialError.exit_status if failed and not bench.options.allow_partial else 0
