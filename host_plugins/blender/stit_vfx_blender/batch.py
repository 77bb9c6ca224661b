"""Cook strips without a window, for farms.

    blender -b file.blend -c stit_vfx [options]                                    Blender 4.2 and later
    blender -b file.blend --python .../stit_vfx_blender/farm.py -- [options]       any

Exit status as `stit run`: 0, 2 options or job, 3 plate or face, 4 machine or no engine, 5 partial, 75 try
again, 130 cancelled (SIGTERM, SIGINT), 1 a bug.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from typing import Any, List, Sequence

import bpy

from . import compat, engine, jobs, props, strips, tasks
from .plates import PlateTrouble

SAY_EVERY_S = 5.0


def main(argv: Sequence[str]) -> int:
    """Do what the words say; the exit status."""
    try:
        words = _parser().parse_args(list(argv))
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return _main(words)
    except (jobs.JobTrouble, PlateTrouble) as trouble:
        _say("error: {}".format(trouble))
        return tasks.STATUS_OF[type(trouble)]
    except engine.EngineError as trouble:
        _say("error: {}".format(trouble))
        return int(trouble.trouble.exit_status)
    except OSError as trouble:
        _say("error: {}".format(trouble))
        return 4
    except Exception:
        traceback.print_exc()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("stit_vfx", description="Cook the face edits of a .blend's strips.")
    parser.add_argument(
        "--strip",
        action="append",
        default=[],
        help="Name of a strip. Repeatable. Default: every strip with an edit.",
    )
    parser.add_argument("--scene", help="Scene (default: the file's own).")
    parser.add_argument("--out", help="Output folder in place of the strips' own.")
    parser.add_argument(
        "--write-job", action="store_true", help="Only write the jobs and print how to run them."
    )
    parser.add_argument("--save", action="store_true", help="Save the .blend with the new strips.")
    parser.add_argument("--save-as", metavar="FILE", help="Save to another .blend.")
    return parser


def _main(words: argparse.Namespace) -> int:
    scene = _scene(words.scene)
    chosen = _chosen(scene, words.strip)
    for strip in chosen:
        if words.out:
            strip.stit_output = words.out
    if words.write_job:
        for strip in chosen:
            path, command = tasks.write_job(bpy.context, scene, strip)
            _say("{}\n{}".format(path, command))
        return 0
    status = 0
    for strip in chosen:
        run = _cook(scene, strip)
        _say("{}: {}".format(run.strip_name, run.message))
        if run.details:
            _say(run.details)
        if run.exit_status not in (0, 5):
            return run.exit_status
        status = max(status, run.exit_status)
    if words.save or words.save_as:
        bpy.ops.wm.save_as_mainfile(filepath=words.save_as or bpy.data.filepath)
    return status


def _scene(name: str | None) -> Any:
    scene = bpy.data.scenes.get(name) if name else compat.edit_scene(bpy.context)
    if scene is None:
        raise jobs.JobTrouble("There is no scene {!r} in this file.".format(name))
    if scene.sequence_editor is None:
        raise jobs.JobTrouble("The scene {!r} has no strips.".format(scene.name))
    return scene


def _chosen(scene: Any, names: Sequence[str]) -> List[Any]:
    plates = {
        strip.name: strip for strip in compat.all_strips(scene.sequence_editor) if strips.is_plate(strip)
    }
    unknown = [name for name in names if name not in plates]
    if unknown:
        known = ", ".join(sorted(plates)) or "none"
        raise jobs.JobTrouble("There is no plate strip {!r}. There are: {}.".format(unknown[0], known))
    if names:
        return [plates[name] for name in names]
    edited = [strip for strip in plates.values() if _is_edited(scene, strip)]
    if not edited:
        raise jobs.JobTrouble("No strip of {!r} has a face edit.".format(scene.name))
    return edited


def _is_edited(scene: Any, strip: Any) -> bool:
    """Whether a slider is off 0 or keyed. Looks at no files."""
    pack = props.pack_of(strip)
    known = [pack] if pack else list(props.packs().values())
    names = [slider.prop for each in known for slider in each.sliders]
    path = strip.path_from_id()
    keyed = {curve.data_path for curve in compat.fcurves_of(scene)}
    return any(getattr(strip, name) != 0 or "{}.{}".format(path, name) in keyed for name in names)


def _cook(scene: Any, strip: Any) -> tasks.Run:
    """Cook one strip; SIGTERM and SIGINT cancel it."""
    stopped: List[int] = []
    said = [0.0]

    def on_signal(number: int, _frame: Any) -> None:
        stopped.append(number)

    def look(run: tasks.Run) -> None:
        run.drain()
        if stopped:
            run.process.cancel()
        elif time.monotonic() - said[0] >= SAY_EVERY_S:
            said[0] = time.monotonic()
            _say("{:3.0f} %  {}".format(100 * run.fraction, run.line))

    before = [(number, signal.signal(number, on_signal)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        return tasks.cook(bpy.context, scene, strip).wait(look)
    finally:
        for number, handler in before:
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _say(text: str) -> None:
    for line in text.split("\n"):
        print("stit: " + line)
    sys.stdout.flush()
