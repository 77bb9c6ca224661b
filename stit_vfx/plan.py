"""What a run would do, before it does it: frames per step, what is cached, time and memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stit_vfx import alignment, pipeline
from stit_vfx.bench import Bench, open_bench
from stit_vfx.events import Cancel, Reporter
from stit_vfx.inversion import invert_key
from stit_vfx.job import Job
from stit_vfx.memory import memory_need_mb
from stit_vfx.options import STEPS, RunOptions
from stit_vfx.steps.invert import codes_from_arrays

# Seconds per frame (tune: in all) for the built-in pack on two processor cores and a 960x540 plate,
# measured with `stit demo`; a plate's own size weighs on align and composite only.
SECONDS = {"align": 0.3, "invert": 0.05, "tune": 90.0, "edit": 0.001, "stitch": 4.1, "composite": 0.85}
SECONDS_PIXELS = 960 * 540
# One image of a plain StyleGAN2 of 1024 px (config-f) through an update with LPIPS, on two processor cores;
# an update of the stitching does without LPIPS. Smaller ones take less by their number of pixels.
UPDATE_SECONDS, STITCH_SHARE = 15.0, 0.8


@dataclass(frozen=True)
class StepPlan:
    """`todo` and `cached` count frames; the tune step counts as one. `seconds` is a rough estimate."""

    step: str
    todo: int
    cached: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """The whole run, step by step."""

    shot_folder: str
    version: str
    steps: tuple[StepPlan, ...]
    memory_mb: int
    disk_mb: int
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        steps = [vars(step) for step in self.steps]
        whole = {name: value for name, value in vars(self).items() if name != "steps"}
        return {**whole, "notes": list(self.notes), "steps": steps, "seconds": round(self.seconds, 1)}

    def to_text(self) -> str:
        """A table for people."""
        lines = [f"{self.shot_folder}  {self.version}", f"{'step':<11}{'to do':>7}{'cached':>8}{'about':>13}"]
        lines += [
            f"{step.step:<11}{step.todo:>7}{step.cached:>8}{_duration(step.seconds):>13}"
            for step in self.steps
        ]
        lines.append(f"{'in all':<26}{_duration(self.seconds):>13}")
        lines.append(f"memory about {self.memory_mb} MB, disk about {self.disk_mb} MB")
        return "\n".join([*lines, *self.notes])


def plan(job: Job, *, out: Path, options: RunOptions) -> Plan:
    """Look at a job, its plate, pack and cache, and say what a run would do. Writes nothing.

    Raises what the run itself would refuse at its start. Times are rough, and for two processor cores.
    """
    cancel = Cancel()
    reporter = Reporter("none", cancel=cancel)
    bench = open_bench(job, out=out, reporter=reporter, cancel=cancel, options=options, dry=True)
    done = finished(bench)
    height, width = bench.plate.shape
    per_frame_mb = (height * width * 8 + bench.pack.model.crop_size**2 * 16) / 2**20
    return Plan(
        shot_folder=str(bench.shot.path),
        version=bench.version.name,
        steps=tuple(_step(bench, step, done) for step in options.steps()),
        memory_mb=memory_need_mb(bench.plate, bench.pack, bench.job),
        disk_mb=int(per_frame_mb * len(bench.frames)) + 50,
        notes=_notes(bench),
    )


def finished(bench: Bench) -> dict[str, int]:
    """Frames of each step that are on disk under the keys this job would use (tune: 0 or 1)."""
    done = {**dict.fromkeys(STEPS, 0), "tune": int(bench.tuned is not None)}
    key = alignment.track_key(bench)
    tracks = bench.shot.entry("align", key)
    if not (tracks.is_done() or bench.crops_known):
        return done
    aligned = alignment.aligned_from(bench, key, alignment.find_tracks(bench, key))
    crops = (bench.shot.entry("align", aligned.key, frame=frame) for frame in aligned.frames)
    done["align"] = sum(crop.is_done() for crop in crops)
    inverted_key = invert_key(bench, aligned)
    if bench.tuned is not None:
        inverted = pipeline.invert(bench, aligned)
    else:
        arrays = bench.shot.entry("invert", inverted_key).read()
        if arrays is None:
            return done
        inverted = pipeline.Inverted(inverted_key, codes_from_arrays(arrays))
    tuned_key = pipeline.tune_key(bench, inverted.key)
    edited = pipeline.edit(bench, pipeline.hold_fine_layers(bench, inverted))
    entries = {
        f: pipeline.stitch_entry(bench, each, tuned_key, f) for f, each in edited.items() if each.moved
    }
    records = {
        f: pipeline.composite_key(bench, aligned, edited.get(f), entries.get(f), f) for f in bench.frames
    }
    return {
        **done,
        "invert": len(inverted.codes),
        "tune": int(bench.tuned is not None or bench.shot.entry("tune", tuned_key).is_done()),
        "stitch": sum(entry.is_done() for entry in entries.values()),
        "composite": sum(bench.version.frame_done(frame, key) for frame, key in records.items()),
    }


def _step(bench: Bench, step: str, done: dict[str, int]) -> StepPlan:
    reads = len(bench.job.read_frames())
    wanted = {"align": reads, "invert": reads, "tune": 1}.get(step, len(bench.frames))
    cached = min(done.get(step, 0), wanted)
    height, width = bench.plate.shape
    size = height * width / SECONDS_PIXELS if step in ("align", "composite") else 1.0
    seconds = _learning(bench).get(step, SECONDS[step])
    return StepPlan(step, wanted - cached, cached, round((wanted - cached) * seconds * max(size, 0.25), 1))


def _learning(bench: Bench) -> dict[str, float]:
    """Seconds of the tune step, and of the stitch step per frame, for plain packs; they differ widely."""
    from stit_vfx.gan.stylegan2 import Generator
    from stit_vfx.steps.stitch import StitchSettings
    from stit_vfx.steps.tune import TuneSettings

    model = bench.pack.model
    if not isinstance(model.network, Generator):
        return {}
    update = UPDATE_SECONDS * (model.resolution / 1024) ** 2
    tune, stitch = TuneSettings.of(bench.job, model), StitchSettings.of(bench.job, model)
    updates = tune.updates(len(bench.job.tune_frames())) * tune.batch
    return {"tune": updates * update, "stitch": (stitch.steps + 1) * STITCH_SHARE * update}


def _notes(bench: Bench) -> tuple[str, ...]:
    notes = [f"colour space {bench.plate.colour.space} ({bench.plate.colour.why})", f"device {bench.device}"]
    notes.append(f"pack {bench.pack.name}, licence {bench.pack.spec.licence}")
    notes += [move.line() for move in bench.texts.values()]
    notes += [f"warning: {move.advice()}" for move in bench.texts.values() if move.odd]
    return tuple(notes)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 100:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.0f} s"
