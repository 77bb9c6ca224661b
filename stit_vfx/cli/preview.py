"""`stit preview`: one frame, quick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stit_vfx.cli.common import EXISTING, engine_options, run_options, start, stream_options


@click.command(short_help="Edit one frame, quick, to look at.")
@click.argument("job_file", metavar="JOB.json", type=EXISTING)
@click.option("--frame", type=int, required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The picture (default: a PNG).")
@engine_options
@stream_options
def command(job_file: Path, frame: int, out: Path | None, **words: Any) -> int:
    """Edit one frame as a draft, and write plate and edit in one picture. No version is made."""
    session = start(words, job=str(job_file))

    from stit_vfx.job import Job
    from stit_vfx.preview import preview

    job = Job.load(job_file)
    target = out or Path(f"{job.shot}_preview.{frame:04d}.png")
    path = preview(job, frame, target, run_options(words), reporter=session.reporter)
    session.reporter.preview(path, frame=frame, kind="preview")
    session.reporter.result([{"kind": "preview", "path": str(path), "frames": str(frame)}])
    return 0
