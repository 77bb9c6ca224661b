"""What a run writes: frames, and at its end records, pictures, measurements, provenance, exit status."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stit_vfx.errors import InternalError, PartialError, StitError

if TYPE_CHECKING:
    from stit_vfx.alignment import Aligned
    from stit_vfx.bench import Bench
    from stit_vfx.face.detect import FaceFinder
    from stit_vfx.plate.composite import Composite
    from stit_vfx.plate.exr import Frame

# Measuring looks for the face in plate and comp again, a second per frame on a processor.
MEASURED_FRAMES = 12


def write_frame(
    bench: Bench, plate: Frame, result: Composite, files: Mapping[str, Path], frame: int
) -> dict[str, Any]:
    """Write comp and matte of one frame, each whole or not at all; returns what to record of it."""
    from stit_vfx.plate.exr import write_exr, write_matte
    from stit_vfx.provenance import exr_attributes

    check_outside(plate, result)
    _warn_of(bench, plate, result, frame)
    comp = result.frame.with_attributes(
        exr_attributes(bench.job, bench.version.name, frame, pack=bench.pack.spec)
    )
    if bench.job.output.layers:
        comp = comp.with_layers(layers_of(result))
    write_exr(files["comp"], comp, compression=bench.job.output.compression)
    write_matte(files["matte"], result.matte, plate)
    return {"changed_px": result.changed_px, "matte_px": result.matte_px}


def layers_of(result: Composite) -> dict[str, np.ndarray]:
    """`stit_matte.A` and `stit_edit.R G B A`, half: plate * (1 - A) + edit is the comp.

    Two-level names in one part are what Nuke and Blender both show as layers.
    """
    matte = result.matte.astype(np.float16)
    edit = np.clip(result.edit_lin, -65504, 65504).astype(np.float16)
    names = {f"stit_edit.{name}": np.ascontiguousarray(edit[..., i]) for i, name in enumerate("RGB")}
    return {"stit_matte.A": matte, "stit_edit.A": matte, **names}


def check_outside(plate: Frame, result: Composite) -> None:
    """The promise that is never broken, looked at in every frame before it is written.

    Raises InternalError if a bit of any channel differs where the matte is zero.
    """
    outside = result.matte <= 0
    for name, before in plate.channels.items():
        after = result.frame.channels[name]
        if after is before or after.shape != outside.shape:
            continue
        bits = np.dtype(f"u{before.dtype.itemsize}")
        if (before.view(bits) != after.view(bits))[outside].any():
            raise InternalError(
                "a pixel outside the matte would have changed; nothing was written",
                where=plate.path,
                frame=plate.frame,
            )


def _warn_of(bench: Bench, plate: Frame, result: Composite, frame: int) -> None:
    if result.bad_px:
        told = f"{result.bad_px} pixels that are not finite were left as they are"
        bench.reporter.warn("STIT-W301", told, frame=frame)
    if result.limited_px:
        bench.reporter.warn("STIT-W305", frame=frame)
    if plate.lossy and bench.job.output.compression == "auto":
        bench.reporter.warn("STIT-W306")


def finish(bench: Bench, aligned: Aligned, failed: Mapping[int, StitError]) -> dict[str, Any]:
    """Write what belongs to a version as a whole and return what was measured.

    A farm's chunk only refreshes frames.json; the chunk that completes the version does the rest.
    """
    from stit_vfx.review import write_review

    bench.version.write_frames()
    if set(bench.job.frame_numbers()) - set(bench.version.records()) - set(failed):
        return {}
    measured = measure(bench, aligned)
    pictures = write_review(bench.shot.path, bench.version.name, measured=measured)
    for kind, path in pictures.items():
        bench.reporter.preview(path, frame=bench.frames[0], kind=kind)
    _write_provenance(bench, measured)
    bench.fingerprints.save()
    return measured


def outputs(bench: Bench) -> list[dict[str, Any]]:
    """{kind, path, frames, colorspace} of what the version holds, as the `result` event names them."""
    from stit_vfx.review.version import SHEET_NAME, movie_name

    frames, space, version = str(bench.job.frames), bench.plate.colour.space, bench.version
    named = [
        {"kind": "comp", "path": version.pattern("comp"), "frames": frames, "colorspace": space},
        {"kind": "matte", "path": version.pattern("matte"), "frames": frames, "colorspace": "data"},
    ]
    pictures = {"sheet": SHEET_NAME, "movie": movie_name(version)}
    there = {kind: version.preview_path(name) for kind, name in pictures.items()}
    return named + [
        {"kind": kind, "path": str(path), "frames": frames} for kind, path in there.items() if path.exists()
    ]


def exit_status(bench: Bench, failed: Mapping[int, StitError]) -> int:
    """0, or 5 where frames were left out and the run was not allowed to."""
    return PartialError.exit_status if failed and not bench.options.allow_partial else 0


def colour_names(plate: Frame) -> list[str]:
    """The edited channels' keys in `plate.channels`, which names parts where there are several."""
    number, names = plate.rgb_place
    return list(names) if len(plate.parts) == 1 else [f"{plate.parts[number].name}/{name}" for name in names]


def measure(bench: Bench, aligned: Aligned) -> dict[str, Any]:
    """Identity, steadiness and strength over a few neighbouring frames of the version; see docs/measures.md.

    Looks at finished files, as an independent judge would: the plate's frames and the comp's.
    """
    from stit_vfx.measure.plate_safety import plate_safety
    from stit_vfx.measure.report import Pair, report
    from stit_vfx.plate.exr import read_exr

    done = [frame for frame in bench.version.records() if frame in aligned.quads]
    start = max((len(done) - MEASURED_FRAMES) // 2, 0)

    def pairs() -> Any:
        for frame in done[start : start + MEASURED_FRAMES]:
            plate, comp = bench.read(frame), read_exr(bench.version.comp_path(frame), frame)
            matte = read_exr(bench.version.matte_path(frame), frame).rgb()[..., 0]
            pictures = [bench.code.to_display8(each.rgb()) for each in (plate, comp)]
            safety = plate_safety(plate.channels, comp.channels, matte, rgb=colour_names(plate))
            yield Pair(frame=frame, source8=pictures[0], edit8=pictures[1], safety=safety)

    if not done or (finder := judge(bench)) is None:
        return {}
    middle = aligned.quads[done[start]].mean(axis=0)
    told = report(pairs(), finder, near=(float(middle[0]), float(middle[1])))
    return {name: value for name, value in vars(told).items() if value is not None}


def judge(bench: Bench) -> FaceFinder | None:
    """Who looks for the face in what was made; None where the run needed nobody, and nobody is there."""
    try:
        return bench.finder
    except StitError:
        if not bench.crops_known:
            raise
        return None


def _write_provenance(bench: Bench, measured: Mapping[str, Any]) -> None:
    from stit_vfx.provenance import build_record, pack_record, write_record

    pack = bench.pack
    models: dict[str, dict[str, Any]] = {f"pack {pack.name}": pack_record(pack.spec, bench.job)}
    if (finder := judge(bench)) is not None:
        terms = {"licence": finder.licence, "commercial_use": finder.commercial_use}
        models[f"landmarks {finder.name}"] = {**terms, "sha256": dict(finder.sha256)}
    colour = bench.plate.colour
    record = build_record(
        bench.version,
        bench.job,
        models=models,
        plate={frame: bench.fingerprints.of(frame) for frame in bench.job.frame_numbers()},
        colour={"space": colour.space, "why": colour.why, "guessed": colour.guessed},
        device=bench.device,
        measured=measured,
        texts=[move.record() for move in bench.texts.values()],
    )
    write_record(bench.version, record)
