"""`stit run`: edit a shot, from a job file or from flags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stit_vfx.cli.common import EXISTING, FOLDER, engine_options, run_options, show, start, stream_options
from stit_vfx.errors import FrameRangeError, JobError, JobFieldError
from stit_vfx.options import STEPS

if TYPE_CHECKING:
    from stit_vfx.job import Job


@click.command(short_help="Edit a shot, from a job file or from flags.")
@click.argument("job_file", metavar="[JOB.json]", type=EXISTING, required=False)
@click.option("--plate", help="The plate: plate.####.exr, a folder, one frame of it, or a movie.")
@click.option("--frames", help="1001-1100, 1001-1100x2, lists. With JOB.json: only these of its frames.")
@click.option("--frames-openjd", help="Like --frames, in Open Job Description's spelling.")
@click.option("--edit", "edits", multiple=True, help="smile=0.6, or keys age=0@1001,-0.5@1040. Repeatable.")
@click.option("--edit-text", "texts", multiple=True, help="'a smiling face=0.6', or with keys. Repeatable.")
@click.option("--text-neutral", help="What the face is now (default: face). For every --edit-text.")
@click.option("--beta", type=float, help="Relevance up to which style channels stay (default: 0.12).")
@click.option("--text-amount", type=float, help="The published factor at strength 1 (default: 8).")
@click.option("--face", help="x,y@frame, a box x0,y0,x1,y1@frame, or an id from `stit faces`.")
@click.option(
    "--finder", type=click.Choice(["auto", "builtin", "dlib", "fan", "fan-3d"]), help="Who finds the face."
)
@click.option("--preset", help="Fields by name: paper, animation, naive. Other flags win.")
@click.option("--pack", help="Model pack: a name or a folder.")
@click.option("--colourspace", "--colorspace", help="The plate's colour space, if its header does not say.")
@click.option("--shot", help="Name of the shot (default: from the plate).")
@click.option("--out", type=FOLDER, help="Folder that gets the shot's .stit folder.")
@click.option("--putback", type=click.Choice(["detail", "delta", "replace"]), help="How the edit goes back.")
@click.option("--matte-grow", type=float, metavar="PX", help="Grow the matte; negative shrinks it.")
@click.option("--matte-soften", type=float, metavar="PX", help="Soften the matte's edge.")
@click.option("--holdout", type=str, help="Matte whose white keeps the plate.")
@click.option("--feather", type=int, metavar="PX", help="Published feathering, px of a 1024 crop.")
@click.option("--quads", type=str, help="Hand-made crop corners, JSON.")
@click.option("--centre-sigma", type=float, help="Smoothing of the crop's centre, in frames (1).")
@click.option("--axes-sigma", type=float, help="Smoothing of its size and roll, in frames (3).")
@click.option("--crop-scale", type=float, help="Wider (above 1) or tighter crop.")
@click.option("--tuned", type=str, help="A shot tuned elsewhere (stit packs convert --plate).")
@click.option("--layers/--no-layers", default=None, help="Also write matte and edit as layers of the comp.")
@click.option("--compression", type=click.Choice(["auto", "none", "rle", "zips", "zip", "piz"]))
@click.option("--schedule", type=click.Choice(["default", "paper"]), help="How the generator is tuned.")
@click.option("--tune-frames", help="Frames that the generator is tuned to (default: all).")
@click.option("--tune-steps", type=int, help="Rounds (schedule paper) or updates.")
@click.option("--tune-lr", type=float, help="Learning rate of the tuning.")
@click.option("--locality/--no-locality", default=None, help="Keep the generator as it was off the pivots.")
@click.option("--freeze-fine-layers", type=int, metavar="K", help="Hold rows from K on still over the shot.")
@click.option("--stitch/--no-stitch", default=None, help="Tune each frame's border.")
@click.option("--stitch-steps", type=int, help="Most updates per frame.")
@click.option("--inner", type=int, metavar="PX", help="Grow the edited part, px of a 1024 crop.")
@click.option("--outer", type=int, metavar="PX", help="Width of the ring around it (50).")
@click.option("--l1/--l2", default=None, help="Distances in the stitching: absolute or squared.")
@click.option("--border-threshold", type=float, help="A frame is stitched below this loss; 0: never.")
@click.option("--content-weight", type=float, help="Weight of the loss inside the face (0.01).")
@click.option("--whole-image-border/--ring-border", default=None, help="All around the face is border.")
@click.option("--quality", type=click.Choice(["draft", "final"]))
@click.option("--seed", type=int)
@click.option("--consent", help="Production's own reference to the performer's consent.")
@click.option("--step", type=click.Choice(STEPS), help="Stop when this step is done.")
@click.option(
    "--on-frame-error",
    type=click.Choice(["stop", "skip", "plate"]),
    default="stop",
    help="A frame that fails: stop, leave it out, or write the plate's own pixels.",
)
@click.option("--allow-partial", is_flag=True, help="Exit 0, not 5, when frames were left out.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result, or the plan, as JSON on stdout.")
@engine_options
@stream_options
def command(job_file: Path | None, **words: Any) -> int:
    """Edit a shot, from a job file or from flags.

    \b
    stit run JOB.json
    stit run --plate plates/sh010.####.exr --frames 1001-1100 --edit smile=0.6 --out renders

    Flags change what JOB.json says, except --frames, which picks frames of it to do now. Run again, it goes
    on where it was: what is on disk and whole is not computed twice.
    """
    session = start(words, job=str(job_file or words["plate"] or "") or None)
    job = _job(job_file, words)
    options = run_options(
        words,
        frames=_picked(job, job_file, words),
        step=words["step"],
        on_frame_error=words["on_frame_error"],
        allow_partial=words["allow_partial"],
    )
    out = Path(job.output.folder)
    session.logs = out / f"{job.shot}.stit" / "logs"

    if words["dry_run"]:
        from stit_vfx.plan import plan

        planned = plan(job, out=out, options=options)
        show(planned.to_json(), planned.to_text(), as_json=words["as_json"])
        return 0

    from stit_vfx import pipeline
    from stit_vfx.measure.words import told

    result = pipeline.run(job, out=out, reporter=session.reporter, cancel=session.cancel, options=options)
    notes = told(result.measured)
    session.reporter.result(result.outputs, version=result.version, measured=result.measured, notes=notes)
    if words["as_json"]:
        show(vars(result), "", as_json=True)
    return result.exit_status


def _job(job_file: Path | None, words: dict[str, Any]) -> Job:
    from stit_vfx.job import Job

    changes = _changes(words)
    if job_file is not None:
        return Job.load(job_file, changes=changes)
    if not words["plate"]:
        raise JobError("no job", hint="Give a JOB.json, or --plate and --edit. See stit run --help")
    if "edits" not in changes:
        raise JobError("no edit", hint="For example --edit smile=0.6; stit packs show builtin lists them")
    frames = _frames(words)
    return Job.from_options(**changes, **({"frames": frames} if frames else {}))


def _changes(words: dict[str, Any]) -> dict[str, Any]:
    """The job's fields that flags were given for, nested as in JSON."""
    from stit_vfx.words import parse_face

    plain = (
        *("plate", "preset", "pack", "colourspace", "shot", "putback", "quads", "quality", "seed"),
        *("consent", "tuned", "freeze_fine_layers"),
    )
    changes: dict[str, Any] = {name: words[name] for name in plain if words[name] is not None}
    for section, fields in _SECTIONS.items():
        if given := {name: words[flag] for name, flag in fields.items() if words[flag] is not None}:
            changes[section] = given
    if words["out"] is not None:
        changes.setdefault("output", {})["folder"] = str(words["out"])
    if edits := _edits(words):
        changes["edits"] = edits
    if words["face"]:
        changes["face"] = parse_face(words["face"])
    return changes


# The job's sections: field and the flag that sets it.
_SECTIONS = {
    "align": {
        **{"finder": "finder", "scale": "crop_scale"},
        **{"centre_sigma": "centre_sigma", "axes_sigma": "axes_sigma"},
    },
    "matte": {"grow": "matte_grow", "soften": "matte_soften", "feather": "feather", "holdout": "holdout"},
    "tune": {
        **{"schedule": "schedule", "frames": "tune_frames", "steps": "tune_steps", "lr": "tune_lr"},
        "locality": "locality",
    },
    "stitch": {
        **{"enabled": "stitch", "steps": "stitch_steps", "inner": "inner", "outer": "outer", "l1": "l1"},
        **{"threshold": "border_threshold", "content": "content_weight"},
        "whole_image_border": "whole_image_border",
    },
    "output": {"layers": "layers", "compression": "compression"},
}


def _edits(words: dict[str, Any]) -> list[dict[str, Any]]:
    """Named edits, then texts; what is said of texts is said of all of them."""
    from stit_vfx.words import parse_edit, parse_text_edit

    flags = {"neutral": "text_neutral", "beta": "beta", "amount": "text_amount"}
    said = {field: words[flag] for field, flag in flags.items() if words[flag] is not None}
    if said and not words["texts"]:
        flag = flags[next(iter(said))].replace("_", "-")
        raise JobError(f"--{flag} is said of no text", hint='Give --edit-text "a smiling face=0.6"')
    texts = [{**parse_text_edit(word), **said} for word in words["texts"]]
    return [*(parse_edit(word) for word in words["edits"]), *texts]


def _frames(words: dict[str, Any]) -> str | None:
    """--frames or --frames-openjd in our own spelling."""
    from stit_vfx.plate.sequence import format_frames, parse_frames_openjd

    if words["frames_openjd"] is None:
        return words["frames"]
    if words["frames"] is not None:
        raise JobFieldError("--frames: given twice", hint="Give one of --frames and --frames-openjd")
    return format_frames(parse_frames_openjd(words["frames_openjd"]))


def _picked(job: Job, job_file: Path | None, words: dict[str, Any]) -> tuple[int, ...] | None:
    """The frames of a job file to do now. The job, and so its version, stays the same for every chunk."""
    from stit_vfx.plate.sequence import format_frames, parse_frames

    text = _frames(words)
    if job_file is None or text is None:
        return None
    picked = parse_frames(text)
    strangers = tuple(sorted(set(picked) - set(job.read_frames()))) if job.frames else ()
    if strangers:
        raise FrameRangeError(
            f"--frames: the job does not have {format_frames(strangers)}",
            where=job_file,
            hint=f"It has {job.frames}",
        )
    return picked
