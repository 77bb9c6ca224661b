"""The six steps in order: read this file and you have read the paper.

    align       find, follow and pick the face; smooth the crop's corners; cut the crop, in code space
    invert      landmarks to the face's shape (packs that know it), crop to W+
    tune        fine-tune one generator on the whole shot (PTI)
    edit        move every frame's code along the pack's directions
    stitch      per frame, tune on until the edit meets its surroundings
    composite   carry the change to the plate's own pixels

R. Tzaban, R. Mokady, R. Gal, A. Bermano, D. Cohen-Or, "Stitch it in Time: GAN-Based Facial Editing of Real
Videos", SIGGRAPH Asia 2022. What is done differently, and why: docs/architecture.md.

Every step asks the shot's folder first: what is there under the same content key is not computed again. The
steps themselves (`stit_vfx.steps`) take and return arrays; only this file and `shot.py` know both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stit_vfx import keys
from stit_vfx.alignment import (
    Aligned,
    aligned_from,
    crop_of,
    find_tracks,
    foreground_of,
    track_key,
)
from stit_vfx.bench import Bench, check_size, open_bench
from stit_vfx.cache import Entry, content_key
from stit_vfx.errors import FaceLostError, PlateError, StitError
from stit_vfx.events import Cancel, FrameStatus, Reporter
from stit_vfx.inversion import find_codes, invert_key
from stit_vfx.material import frame_loader, stitch_frame, stitchers_of
from stit_vfx.memory import frames_at_once
from stit_vfx.options import RunOptions
from stit_vfx.packs.terms import terms_used
from stit_vfx.parallel import in_order
from stit_vfx.remembering import mouth_of

if TYPE_CHECKING:
    from stit_vfx.job import Job
    from stit_vfx.packs.model import Code
    from stit_vfx.plate.composite import Change
    from stit_vfx.shape.mouth_memory import MouthMemory
    from stit_vfx.tuned import Tuned

# Relative cost of the steps per frame on a processor; only the progress bar reads them.
COST = {"align": 0.3, "invert": 0.05, "tune": 3.6, "edit": 0.01, "stitch": 4.1, "composite": 0.85}
# The same of a first step of optimisation, where the pack has no encoder.
PROJECT_COST = 20.0


@dataclass(frozen=True)
class RunResult:
    """How a run ended. `outputs` are {kind, path, frames, colorspace}; `measured` is for people and tests."""

    exit_status: int
    version: str
    outputs: list[dict[str, Any]]
    measured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inverted:
    """The face as the generator sees it: a code per frame that has a crop."""

    key: str
    codes: Mapping[int, Code]


@dataclass(frozen=True)
class Edited:
    """A code after the edits. `moved` is False where every strength is zero on this frame."""

    key: str
    code: Code
    moved: bool


def edit_shot(job: Job, *, out: str | Path | None = None, device: str = "auto", **options: Any) -> RunResult:
    """Edit a shot and return when it is done; quiet. Errors are raised as StitError.

    out      folder in which `<shot>.stit` is made; default: the job's own output folder
    options  fields of `RunOptions`
    """
    cancel = Cancel()
    return run(
        job,
        out=Path(out or job.output.folder),
        reporter=Reporter("none", cancel=cancel),
        cancel=cancel,
        options=RunOptions(device=device, **options),
    )


def run(job: Job, *, out: Path, reporter: Reporter, cancel: Cancel, options: RunOptions) -> RunResult:
    """Run a job, or the part of it that `options` asks for, and resume what is already on disk."""
    from stit_vfx.delivery import exit_status, finish, outputs

    bench = open_bench(job, out=out, reporter=reporter, cancel=cancel, options=options)
    reporter.log_to(bench.version.log_path(options.step or "run"))
    steps = options.steps()
    cost = COST if bench.pack.model.encodes else {**COST, "invert": PROJECT_COST}
    reporter.plan({step: cost[step] * max(len(bench.frames), 1) for step in steps})
    aligned = align(bench)
    if "invert" in steps:
        inverted = invert(bench, aligned)
    if "tune" in steps:
        tuned_key = tune(bench, aligned, inverted)
        inverted = hold_fine_layers(bench, inverted)
    if "edit" in steps:
        edited = edit(bench, inverted)
    if "stitch" in steps:
        stitched = stitch(bench, aligned, inverted, edited, tuned_key)
    if "composite" not in steps:
        return RunResult(0, bench.version.name, [])
    failed = composite(bench, aligned, inverted, edited, stitched)
    measured = finish(bench, aligned, failed)
    return RunResult(exit_status(bench, failed), bench.version.name, outputs(bench), measured)


# 1 align ----------------------------------------------------------------------------------------------------


def align(bench: Bench) -> Aligned:
    """Find every face of the shot, pick one, smooth its crop. Frames without it are left out (W303)."""
    bench.reporter.stage("align", "start", total=len(bench.job.read_frames()))
    key = bench.refer("track", track_key(bench))
    aligned = aligned_from(bench, key, find_tracks(bench, key))
    bench.refer("align", aligned.key)
    if not set(bench.job.frame_numbers()) & set(aligned.frames):
        raise FaceLostError(
            "the picked face is away in every frame to deliver",
            where=bench.plate.name,
            hint="Pick another face, or check --frames",
        )
    if away := sorted(set(bench.frames) - set(aligned.frames)):
        from stit_vfx.plate.sequence import format_frames

        told = f"the face is away in {format_frames(away)}: these pass through untouched"
        bench.reporter.warn("STIT-W303", told)
    for frame in aligned.frames:
        crop_of(bench, aligned, frame)
    bench.fingerprints.save()
    bench.reporter.stage("align", "done")
    return aligned


# 2 invert ---------------------------------------------------------------------------------------------------


def invert(bench: Bench, aligned: Aligned) -> Inverted:
    """Shape codes for the whole shot (one person), W+ for every crop."""
    from stit_vfx.steps.invert import codes_from_arrays

    bench.reporter.stage("invert", "start", total=len(aligned.frames))
    if bench.tuned is not None:
        return _given(bench, bench.tuned, aligned)
    key = bench.refer("invert", invert_key(bench, aligned))
    arrays = find_codes(bench, aligned, bench.shot.entry("invert", key))
    bench.reporter.stage("invert", "done")
    return Inverted(key, codes_from_arrays(arrays))


def _given(bench: Bench, tuned: Tuned, aligned: Aligned) -> Inverted:
    """The pivots of a shot that was tuned elsewhere."""
    from stit_vfx.packs.model import Code

    rows = tuned.pivot_by_frame()
    key = content_key("invert", settings={"tuned": bench.tuned_sha256}, upstream=[aligned.key])
    bench.reporter.stage("invert", "done")
    return Inverted(key, {frame: Code(rows[frame]) for frame in aligned.frames})


# 3 tune -----------------------------------------------------------------------------------------------------


def tune(bench: Bench, aligned: Aligned, inverted: Inverted) -> str:
    """Fine-tune the generator on the shot; afterwards the pack's network holds the tuned weights."""
    from stit_vfx.steps.tune import TuneSettings

    key = bench.refer("tune", tune_key(bench, inverted.key))
    entry = bench.shot.entry("tune", key)
    bench.reporter.stage("tune", "start")
    if bench.tuned is not None:
        load_network(bench, bench.tuned.weights)
        bench.reporter.stage("tune", "done")
        return key
    if (state := entry.read()) is None:
        state = _tuned(bench, aligned, inverted, entry, TuneSettings.of(bench.job, bench.pack.model))
    load_network(bench, state)
    bench.reporter.stage("tune", "done")
    return key


def tune_key(bench: Bench, inverted_key: str) -> str:
    from stit_vfx.steps.tune import TuneSettings

    job, models = bench.job, keys.part_keys(bench.pack.spec, keys.TUNE)
    if bench.tuned is not None:
        given = {"tuned": bench.tuned_sha256}
        return content_key("tune", settings=given, upstream=[inverted_key], models=models)
    how = TuneSettings.of(job, bench.pack.model).decide(len(job.tune_frames()))
    settings = {**job.settings_for("tune"), "how": how}
    return content_key("tune", settings=settings, upstream=[inverted_key], models=models)


def _tuned(
    bench: Bench, aligned: Aligned, inverted: Inverted, entry: Entry, settings: Any
) -> dict[str, np.ndarray]:
    from stit_vfx.steps.tune import state_from_arrays, state_to_arrays
    from stit_vfx.steps.tune import tune as tune_generator

    frames = [frame for frame in bench.job.tune_frames() if frame in aligned.quads]
    checkpoint = entry.load_checkpoint()

    def on_step(step: int, total: int, losses: Mapping[str, float], state: Any) -> None:
        bench.reporter.progress("tune", step, total)
        if state is not None:
            entry.save_checkpoint(step, state_to_arrays(state))

    result = tune_generator(
        bench.pack.model,
        frames=frames,
        load=frame_loader(bench, aligned, inverted),
        settings=settings,
        perceptual=bench.pack.perceptual,
        resume=None if checkpoint is None else state_from_arrays(checkpoint[1]),
        on_step=on_step,
        stop=bench.cancel.requested,
    )
    bench.cancel.check()
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in result.weights.items()}
    entry.store(arrays, meta={"losses": result.losses, "steps": result.steps})
    entry.drop_checkpoints()
    return arrays


def load_network(bench: Bench, arrays: Mapping[str, np.ndarray]) -> None:
    """Give the pack's network the tuned weights."""
    state = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    bench.pack.model.network.load_state_dict(state, strict=True)


def hold_fine_layers(bench: Bench, inverted: Inverted) -> Inverted:
    """Fine rows held still over the shot, where the job asks for it; for after the tuning."""
    from stit_vfx.steps.edit import freeze_fine_layers

    first = bench.job.freeze_fine_layers
    if first is None:
        return inverted
    frames = sorted(inverted.codes)
    held = freeze_fine_layers(np.stack([inverted.codes[frame].ws for frame in frames]), first)
    codes = {f: replace(inverted.codes[f], ws=ws) for f, ws in zip(frames, held, strict=True)}
    key = content_key("edit", settings={"freeze_fine_layers": first}, upstream=[inverted.key])
    return Inverted(key, codes)


# 4 edit -----------------------------------------------------------------------------------------------------


def edit(bench: Bench, inverted: Inverted) -> dict[int, Edited]:
    """Move the codes of the frames to deliver. Cheap and exact, so nothing of it is cached."""
    bench.reporter.stage("edit", "start", total=len(bench.frames))
    for move in bench.texts.values():
        bench.reporter.log("info", move.line())
    edited = {}
    for frame in bench.frames:
        if frame in inverted.codes:
            settings = bench.job.settings_for("edit", frame=frame)
            models = keys.edit_keys(bench.pack.spec, bench.job, frame)
            key = content_key("edit", settings=settings, upstream=[inverted.key], models=models)
            moves = bench.moves_at(frame)
            code = inverted.codes[frame]
            edited[frame] = Edited(key, bench.pack.model.move(code, moves) if moves else code, bool(moves))
    bench.reporter.stage("edit", "done")
    return edited


# 5 stitch ---------------------------------------------------------------------------------------------------


def stitch(
    bench: Bench, aligned: Aligned, inverted: Inverted, edited: Mapping[int, Edited], tuned_key: str
) -> dict[int, Entry]:
    """Per frame, tune on until the edit meets its surroundings; frames without an edit have no entry."""
    todo = [frame for frame, each in edited.items() if each.moved]
    bench.reporter.stage("stitch", "start", total=len(todo))
    entries = {frame: stitch_entry(bench, edited[frame], tuned_key, frame) for frame in todo}
    for entry in entries.values():
        bench.refer("stitch", entry.key)
    workers = frames_at_once(bench)
    stitchers = stitchers_of(bench, max(workers, 1))

    def work(frame: int) -> None:
        entry = entries[frame]
        if entry.is_done():
            return
        stitcher = stitchers.get()
        try:
            result = stitcher.stitch(stitch_frame(bench, aligned, inverted, edited[frame], frame))
        finally:
            stitchers.put(stitcher)
        pictures = {"recon": result.recon.astype(np.float16), "edited": result.edited.astype(np.float16)}
        entry.store(pictures, meta=result.losses)

    # Closed even where the loop is left early: no frame is written after the run has said its last word.
    with closing(in_order(work, todo, workers=workers, stop=bench.cancel.check)) as done:
        for number, (frame, _) in enumerate(done):
            bench.progress("stitch", number + 1, len(todo), frame=frame)
    bench.reporter.stage("stitch", "done")
    return entries


def stitch_entry(bench: Bench, edited: Edited, tuned_key: str, frame: int) -> Entry:
    """Where a frame's stitched pictures lie, or will lie."""
    from stit_vfx.steps.stitch import StitchSettings

    how = StitchSettings.of(bench.job, bench.pack.model).decide()
    settings = {**bench.job.settings_for("stitch"), "how": how}
    models = keys.part_keys(bench.pack.spec, keys.STITCH)
    key = content_key("stitch", settings=settings, upstream=[tuned_key, edited.key], models=models)
    return bench.shot.entry("stitch", key, frame=frame)


# 6 composite ------------------------------------------------------------------------------------------------


def composite(
    bench: Bench,
    aligned: Aligned,
    inverted: Inverted,
    edited: Mapping[int, Edited],
    stitched: Mapping[int, Entry],
) -> dict[int, StitError]:
    """Write comp and matte of every frame; returns the frames that failed, where the run may go on."""
    bench.reporter.stage("composite", "start", total=len(bench.frames))
    failed: dict[int, StitError] = {}

    lock = Lock()

    @lru_cache(maxsize=1)
    def made() -> MouthMemory | None:
        return mouth_of(bench, aligned, inverted.codes, inverted.key)

    def mouth() -> MouthMemory | None:
        with lock:
            return made()

    def work(frame: int) -> FrameStatus | PlateError:
        try:
            pair = edited.get(frame), stitched.get(frame)
            return _composite_frame(bench, aligned, inverted, *pair, frame, mouth)
        except PlateError as error:
            if bench.options.on_frame_error == "stop":
                raise
            return error

    workers, frames = frames_at_once(bench), bench.frames
    with closing(in_order(work, frames, workers=workers, stop=bench.cancel.check)) as done:
        for number, (frame, outcome) in enumerate(done):
            if isinstance(outcome, PlateError):
                failed[frame] = outcome
                bench.reporter.error(outcome, fatal=False)
                bench.reporter.frame(frame, "failed")
            else:
                bench.reporter.frame(frame, outcome, outputs_of(_files(bench, frame)))
            bench.progress("composite", number + 1, len(frames), frame=frame)
    bench.reporter.stage("composite", "done")
    return failed


def _composite_frame(
    bench: Bench,
    aligned: Aligned,
    inverted: Inverted,
    edited: Edited | None,
    stitched: Entry | None,
    frame: int,
    mouth: Callable[[], MouthMemory | None],
) -> FrameStatus:
    """One frame, from the plate to files on disk and their record; "skipped" if they are there already."""
    from stit_vfx.delivery import write_frame
    from stit_vfx.plate.composite import composite as put_back

    version, files = bench.version, _files(bench, frame)
    key = composite_key(bench, aligned, edited, stitched, frame)
    if version.frame_done(frame, key):
        return "skipped"
    plate = bench.read(frame)
    check_size(plate, bench.plate)
    change = _change(bench, aligned, inverted, edited, stitched, frame, mouth)
    matte = bench.job.matte
    result = put_back(
        plate, change, bench.code, holdout=bench.holdout_at(frame), grow=matte.grow, soften=matte.soften
    )
    meta = write_frame(bench, plate, result, files, frame)
    if frame in aligned.quads:
        meta["quad"] = aligned.quads[frame].tolist()
    moved = edited is not None and edited.moved
    version.finish_frame(frame, key=key, files=files, outcome="edited" if moved else "untouched", meta=meta)
    return "ok"


def _files(bench: Bench, frame: int) -> dict[str, Path]:
    return {"comp": bench.version.comp_path(frame), "matte": bench.version.matte_path(frame)}


def composite_key(
    bench: Bench, aligned: Aligned, edited: Edited | None, stitched: Entry | None, frame: int
) -> str:
    upstream = [aligned.key, edited.key if edited else "", stitched.key if stitched else ""]
    inputs = {"plate": bench.fingerprints.of(frame), "holdout": bench.holdout_fingerprint(frame)}
    # Every comp carries the pack's terms.
    terms = {"pack": bench.pack.name, "terms": list(terms_used(bench.pack.spec, bench.job))}
    settings = {**bench.job.settings_for("composite"), **terms, "trust": bench.pack.spec.trust}
    models = keys.part_keys(bench.pack.spec, keys.COMPOSITE)
    return content_key("composite", settings=settings, upstream=upstream, inputs=inputs, models=models)


def _change(
    bench: Bench,
    aligned: Aligned,
    inverted: Inverted,
    edited: Edited | None,
    stitched: Entry | None,
    frame: int,
    mouth: Callable[[], MouthMemory | None],
) -> Change | None:
    """What to carry to the plate; None where the face is away."""
    from stit_vfx.steps.composite import change_of, no_change
    from stit_vfx.steps.masks import matte_from_foreground

    if frame not in aligned.quads or edited is None:
        return None
    crop, quad = crop_of(bench, aligned, frame), aligned.quads[frame]
    size = crop.crop_code.shape[0]
    ring = bench.job.stitch
    matte = matte_from_foreground(
        foreground_of(bench, aligned, frame, size),
        outer=ring.outer,
        inner=ring.inner,
        feather=bench.job.matte.feather,
    )
    if stitched is None:
        return no_change(quad, crop.crop_code, matte)
    pictures = stitched.load()
    return change_of(
        bench.pack.model,
        inverted.codes[frame],
        edited.code,
        mode=bench.job.putback,
        quad=quad,
        crop_code=crop.crop_code,
        recon=pictures["recon"].astype(np.float32),
        edited=pictures["edited"].astype(np.float32),
        matte=matte,
        mouth=mouth(),
    )


def outputs_of(files: Mapping[str, Path]) -> list[dict[str, str]]:
    """{kind, path} of a frame's files, as events name them."""
    return [{"kind": kind, "path": str(path)} for kind, path in files.items()]
