"""Shots through the engine, as `stit run` would, and what came out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from shots import Shot

from stit_vfx.events import Cancel, Reporter
from stit_vfx.job import Job
from stit_vfx.options import RunOptions
from stit_vfx.plate.colour import CodeSpace
from stit_vfx.plate.exr import read_exr
from stit_vfx.plate.source import open_plate

Array = np.ndarray


@dataclass(frozen=True)
class Effort:
    """How much work goes into a shot: a smaller effort is quicker, and a little worse."""

    tune_steps: int | None = None
    stitch: bool = True


FULL, QUICK = Effort(), Effort(tune_steps=48, stitch=False)


@dataclass(frozen=True)
class Cooked:
    """Frames of a plate and of its edit: code (T, H, W, 3) float32, 8-bit (T, H, W, 3), matte (T, H, W)."""

    plate_code: Array
    edit_code: Array
    plate8: Array
    edit8: Array
    matte: Array


def job_of(shot: Shot, edits: dict[str, float], effort: Effort, pack: str) -> Job:
    tune = {} if effort.tune_steps is None else {"steps": effort.tune_steps}
    return Job.from_options(
        shot=shot.name,
        plate=shot.plate,
        pack=pack,
        edits=[{"direction": name, "strength": strength} for name, strength in edits.items()],
        tune=tune,
        stitch={"enabled": effort.stitch},
        consent="benchmark",
    )


def cook(
    shot: Shot,
    edits: dict[str, float],
    out: Path,
    *,
    frames: tuple[int, ...] | None = None,
    effort: Effort = FULL,
    pack: str = "builtin",
) -> Cooked:
    """Edit some frames of a shot (None: all); what has been done before is read from the disk."""
    from stit_vfx import pipeline

    cancel = Cancel()
    result = pipeline.run(
        job_of(shot, edits, effort, pack),
        out=out,
        reporter=Reporter("none", cancel=cancel),
        cancel=cancel,
        options=RunOptions(frames=frames, allow_partial=True),
    )
    version = out / f"{shot.name}.stit" / "out" / result.version
    return read_cooked(shot, version, frames or shot.frames)


def read_cooked(shot: Shot, version: Path, frames: tuple[int, ...]) -> Cooked:
    plate = open_plate(shot.plate)
    space = CodeSpace.of(plate.colour)
    rows: list[tuple[Any, ...]] = []
    for frame in frames:
        before = plate.read(frame).rgb()
        after = read_exr(_only(version / "comp", frame), frame).rgb()
        matte = read_exr(_only(version / "matte", frame), frame).rgb()[..., 0]
        rows.append(
            (
                space.encode(before),
                space.encode(after),
                space.to_display8(before),
                space.to_display8(after),
                matte,
            )
        )
    return Cooked(*(np.stack(column) for column in zip(*rows, strict=True)))


def _only(folder: Path, frame: int) -> Path:
    return next(folder.glob(f"*.{frame:04d}.exr"))


def reconstructions(shot: Shot, out: Path, *, effort: Effort, pack: str) -> dict[str, Array]:
    """The first frame's crop as the generator sees it, and its picture after invert and after tune:
    {"crop", "invert", "tune"}, each (R, R, 3) code."""
    import torch

    from stit_vfx import pipeline
    from stit_vfx.alignment import crop_of
    from stit_vfx.bench import open_bench
    from stit_vfx.steps.image import resize, to_code

    cancel = Cancel()
    job = job_of(shot, {"smile": 0.8}, effort, pack)
    reporter = Reporter("none", cancel=cancel)
    bench = open_bench(job, out=out, reporter=reporter, cancel=cancel, options=RunOptions())
    aligned = pipeline.align(bench)
    inverted = pipeline.invert(bench, aligned)
    frame, model = shot.frames[0], bench.pack.model
    code = inverted.codes[frame]
    shapes = None if code.shape is None else [code.shape]
    maps = model.maps(shapes, aligned.quads[frame][None])
    found = {"crop": resize(crop_of(bench, aligned, frame).crop_code, model.resolution)}

    def picture() -> Array:
        with torch.no_grad():
            ws = torch.from_numpy(np.asarray(code.ws, np.float32))[None]
            return np.asarray(to_code(model.synthesize(ws, maps))[0])

    found["invert"] = picture()
    pipeline.tune(bench, aligned, inverted)
    found["tune"] = picture()
    return found
