"""Runs of the engine for strips: start them, look at them, and put what they made into the scene.

Operators (with a timer) and farms (waiting) use the same runs; a run is finished on the main thread alone.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Dict, List, Tuple

import bpy

from . import engine, jobs, prefs, props, strips, words
from .plates import PlateTrouble

POLL_S = 0.2
STALE_LOOK_S = 0.5
# A run that cannot start, in the words of the exit statuses: the job, or the plate.
STATUS_OF = {jobs.JobTrouble: 2, PlateTrouble: 3}

runs: Dict[str, Run] = {}
pictures: Dict[str, str] = {}
_looked: Dict[str, Tuple[float, Tuple[str, str]]] = {}


class Run:
    """One run for one strip. `process` is a Session or a Question of `stit_session`."""

    def __init__(
        self, kind: str, scene: Any, strip: Any, process: Any, finish: Callable[[Run, Any, Any], str]
    ) -> None:
        self.kind = kind
        self.scene_name, self.uuid = scene.name, props.identify(scene, strip)
        self.strip_name = strip.name
        self.process = process
        self._finish = finish
        self.over = False
        self.ok = False
        self.exit_status = 1
        self.message = ""
        self.details = ""
        process.start()
        runs[self.uuid] = self

    @property
    def fraction(self) -> float:
        progress = getattr(self.process, "progress", None)
        return progress.fraction if progress is not None else 0.0

    @property
    def line(self) -> str:
        """What goes on, for the bar."""
        if hasattr(self.process, "progress"):
            return words.status_line(self.process.state, self.process.progress)
        return "Looking for faces"

    def drain(self) -> List[Any]:
        """The engine's events since the last look."""
        return self.process.poll() if hasattr(self.process, "poll") else []

    def conclude(self) -> None:
        """Say how it ended, and take its results into the scene. Main thread only; once."""
        self.over = True
        self.drain()
        error = getattr(self.process, "error", None)
        state = getattr(self.process, "state", "done")
        if state == "cancelled":
            self.exit_status = 130
            self.message = "Cancelled. Frames that are done are kept; Resume goes on where it was."
            return
        if error is not None:
            self._fail(error.exit_status, error.text, error.dialog(log_lines=8))
            return
        found = props.by_uuid(self.scene_name, self.uuid)
        if found is None:
            self._fail(1, "The strip is gone; the result is on disk.", "")
            return
        try:
            self.message = self._finish(self, *found)
        except engine.EngineError as trouble:
            self._fail(trouble.trouble.exit_status, trouble.trouble.text, trouble.dialog())
            return
        except (OSError, ValueError, TypeError, KeyError) as trouble:
            self._fail(1, "The result cannot be used: {}".format(trouble), "")
            return
        self.ok = True
        self.exit_status = getattr(self.process, "exit_status", 0) or 0

    def _fail(self, exit_status: int, message: str, details: str) -> None:
        self.exit_status = exit_status if exit_status > 0 else 1
        self.message, self.details = message, details

    def wait(self, look: Callable[[Run], None] | None = None) -> Run:
        """Wait until it is over; `look` is called five times a second and may cancel it."""
        while not self.process.wait(POLL_S):
            if look is not None:
                look(self)
        self.conclude()
        return self


def running(strip: Any) -> Run | None:
    """The strip's run, if it goes on."""
    run = runs.get(strip.stit_uuid)
    return run if run is not None and not run.over else None


def cook(context: Any, scene: Any, strip: Any) -> Run:
    """Write the job and cook it: a new version, or what is missing of the one that is the same job."""
    job, plate = strips.job_of(scene, strip)
    path = jobs.write_job(job)
    strip.stit_job = path
    return _cook_job(context, scene, strip, path, jobs.fingerprint(job), strips.ocio_for(plate))


def resume(context: Any, scene: Any, strip: Any) -> Run:
    """Go on with the job that was cooked last, even if sliders were moved since."""
    if not strip.stit_job or not os.path.isfile(strip.stit_job):
        raise jobs.JobTrouble("There is no job to go on with. Cook first.")
    with open(strip.stit_job, encoding="utf-8") as file:
        job = json.load(file)
    plate = strips.plate_of(scene, strip)
    if job["frames"] != engine.stit_session.frame_range(plate.frames) or job["plate"] != plate.pattern:
        raise jobs.JobTrouble("The strip shows other frames than its last job had. Cook it anew.")
    return _cook_job(context, scene, strip, strip.stit_job, jobs.fingerprint(job), strips.ocio_for(plate))


def _cook_job(context: Any, scene: Any, strip: Any, path: str, mark: str, ocio: str | None) -> Run:
    def finish(run: Run, scene: Any, strip: Any) -> str:
        session = run.process
        comp, matte = session.output("comp"), session.output("matte")
        version = str((session.result or {}).get("version") or "v001")
        plate = strips.plate_of(scene, strip)
        strips.add_result(scene, strip, plate, comp=comp, matte=matte, version=version)
        strip.stit_cooked, strip.stit_version = mark, version
        _looked.clear()
        warned = sorted(
            {notice.text[:1].upper() + notice.text[1:].rstrip(".") + "." for notice in session.notices}
        )
        run.details = "\n".join(warned)
        left_out = " Some frames were left out." if session.partial else ""
        return "{}: {} cooked.{}".format(version, words.counted(len(plate.frames), "frame"), left_out)

    words_ = engine.cook_words(path, _machine(context, ocio))
    command, env = engine.find(prefs.of(context).engine), engine.environment()
    session = engine.stit_session.Session(command, words_, env=env, expects=("comp", "matte"))
    return Run("cook", scene, strip, session, finish)


def preview(context: Any, scene: Any, strip: Any, timeline: int) -> Run:
    """Edit the frame at a timeline frame, quick, as a picture."""
    job, plate = strips.job_of(scene, strip)
    path = jobs.write_job(job)
    frame = plate.source_at(timeline)
    picture = os.path.join(bpy.app.tempdir, "stit_preview_{}_{}.png".format(strip.name, time.time_ns()))

    def finish(run: Run, _scene: Any, _strip: Any) -> str:
        pictures[run.uuid] = picture
        return "Preview of frame {}: plate and edit.".format(frame)

    words_ = engine.preview_words(path, frame, picture, _machine(context, strips.ocio_for(plate)))
    command, env = engine.find(prefs.of(context).engine), engine.environment()
    return Run("preview", scene, strip, engine.stit_session.Session(command, words_, env=env), finish)


def analyse(context: Any, scene: Any, strip: Any) -> Run:
    """Find the faces between the strip's handles."""
    plate = strips.plate_of(scene, strip)
    picture = os.path.join(bpy.app.tempdir, "stit_faces_{}_{}.png".format(strip.name, time.time_ns()))

    def finish(run: Run, _scene: Any, strip: Any) -> str:
        faces = jobs.read_faces(run.process.answer())
        strip.stit_face = "0"
        strip.stit_faces = json.dumps(faces)
        pictures[run.uuid] = picture
        return "{} found.".format(words.counted(len(faces), "face"))

    words_ = engine.faces_words(
        plate.pattern,
        engine.stit_session.frame_range(plate.frames),
        picture,
        strips.colourspace_of(strip, plate),
        _machine(context, strips.ocio_for(plate)),
    )
    command, env = engine.find(prefs.of(context).engine), engine.environment()
    return Run("analyse", scene, strip, engine.stit_session.Question(command, words_, env=env), finish)


def write_job(context: Any, scene: Any, strip: Any) -> Tuple[str, str]:
    """Write the job for a farm: its file, and the command that cooks it."""
    job, plate = strips.job_of(scene, strip)
    path = jobs.write_job(job)
    words_ = engine.cook_words(path, _machine(context, strips.ocio_for(plate)))
    return path, engine.stit_session.command_text(engine.stit_session.EngineCommand(("stit",)), words_)


def _machine(context: Any, ocio: str | None) -> List[str]:
    chosen = prefs.of(context)
    folder = bpy.path.abspath(chosen.pack_path) if chosen.pack_path else ""
    return engine.machine_words(chosen.device, ocio, folder)


def freshness(scene: Any, strip: Any) -> Tuple[str, str]:
    """("new" | "fresh" | "stale" | "not yet", words) of a strip; looked up twice a second at most."""
    key = "{}|{}|{}".format(scene.name, strip.name, strip.stit_uuid)
    now = time.monotonic()
    at, told = _looked.get(key, (-STALE_LOOK_S, ("", "")))
    if now - at >= STALE_LOOK_S:
        told = _freshness(scene, strip)
        _looked[key] = (now, told)
    return told


def _freshness(scene: Any, strip: Any) -> Tuple[str, str]:
    try:
        job, _plate = strips.job_of(scene, strip)
    except (jobs.JobTrouble, PlateTrouble) as trouble:
        return "not yet", str(trouble)
    edits = words.summary(job["edits"])
    if not strip.stit_cooked:
        return "new", "{}, {}. Not cooked yet".format(edits, job["frames"])
    if jobs.fingerprint(job) == strip.stit_cooked:
        return "fresh", "{}: {}, {}".format(strip.stit_version, edits, job["frames"])
    return "stale", "Stale: changed since {}".format(strip.stit_version)


# The timer of the user interface ------------------------------------------------------------------------


def watch() -> None:
    """Look at the runs from Blender's timer until all are over. Nothing in the interface waits for them."""
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=POLL_S, persistent=True)


def _tick() -> float | None:
    going = [run for run in runs.values() if not run.over]
    for run in going:
        run.drain()
        if run.process.finished:
            run.conclude()
            _tell(run)
    _redraw()
    return POLL_S if any(not run.over for run in runs.values()) else None


def _tell(run: Run) -> None:
    window = next(iter(bpy.context.window_manager.windows), None)
    if window is None:
        return
    with bpy.context.temp_override(window=window):
        if run.ok and run.kind == "cook":
            bpy.ops.ed.undo_push(message="STIT Cook")
        if not run.ok and run.exit_status != 130:
            bpy.ops.stit_vfx.show_trouble("INVOKE_DEFAULT", run=run.uuid)


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("SEQUENCE_EDITOR", "PROPERTIES"):
                area.tag_redraw()


@bpy.app.handlers.persistent
def stop_all(*_ignored: Any) -> None:
    """Another file is opened, or the add-on goes: end every run. Frames on disk stay."""
    for run in runs.values():
        if not run.over:
            run.process.cancel()
            run.over = True
    runs.clear()
    pictures.clear()
    _looked.clear()
