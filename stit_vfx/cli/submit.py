"""`stit submit`: a job for a farm."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from stit_vfx.cli.common import EXISTING, FOLDER, show

DEFAULT_GPU_MB = 8192


@click.command(short_help="Make a job ready for a farm, or send it there.")
@click.argument("job_file", metavar="JOB.json", type=EXISTING)
@click.option(
    "--to",
    required=True,
    type=click.Choice(["openjd", "opencue", "commands"]),
    help="An Open Job Description bundle, OpenCue's XML, or plain command lines.",
)
@click.option("--send", is_flag=True, help="Also send it: to Deadline Cloud (openjd) or to Cuebot (opencue).")
@click.option(
    "--chunk", type=click.IntRange(min=1), default=8, show_default=True, help="Frames for each task."
)
@click.option("--engine", default="stit", show_default=True, help="What starts the engine on a worker.")
@click.option("--device", help="For the workers: auto, cpu, cuda or cuda:N.")
@click.option("--pack-path", multiple=True, type=FOLDER, help="Folder with model packs, as workers see it.")
@click.option("--ocio", help="OCIO config, as workers see it.")
@click.option("--gpu", is_flag=True, help=f"Ask for workers with a graphics card of {DEFAULT_GPU_MB} MB.")
@click.option(
    "--gpu-memory", type=click.IntRange(min=1), metavar="MB", help="Like --gpu, with so much memory."
)
@click.option("--show", envvar="SHOW", default="", help="OpenCue's show (default: $SHOW).")
@click.option("--no-check", is_flag=True, help="Do not look at plate and pack first: only workers have them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(job_file: Path, as_json: bool, **words: Any) -> None:
    """Make a job ready for a farm: one task that tunes, then a task per chunk of frames.

    \b
    stit submit sh010.json --to openjd             a bundle, and the commands that run or send it
    stit submit sh010.json --to opencue --send     straight to Cuebot
    stit submit sh010.json --to commands           a command line per task, for any other farm

    The job becomes a version now. What is written lies in SHOT.stit/farm/v###. Any task may be started again.
    """
    from stit_vfx.farm.submit import Wishes, submit
    from stit_vfx.job import Job

    gpu_mb = words["gpu_memory"] or (DEFAULT_GPU_MB if words["gpu"] else None)
    wishes = Wishes(
        engine=tuple(shlex.split(words["engine"])) or ("stit",),
        chunk=words["chunk"],
        device=words["device"],
        pack_path=words["pack_path"],
        ocio=words["ocio"],
        gpu_mb=gpu_mb,
        show=words["show"],
        check=not words["no_check"],
    )
    made = submit(Job.load(job_file), to=words["to"], wishes=wishes, send=words["send"])
    show(made.to_json(), made.to_text(), as_json=as_json)
