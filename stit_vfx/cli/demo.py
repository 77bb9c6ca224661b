"""`stit demo`: the demo shot, from nothing to an edited plate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stit_vfx.cli.common import FOLDER, engine_options, run_options, start, stream_options


@click.command(short_help="Make and edit the demo shot, start to end.")
@click.option("--out", type=FOLDER, default=Path("out/demo"), show_default=True)
@engine_options
@stream_options
def command(out: Path, **words: Any) -> int:
    """Make the demo shot (a real face under a camera move), edit it, and say where the result is."""
    session = start(words, job="demo")

    from stit_vfx.demo import run_demo
    from stit_vfx.measure.words import told

    result = run_demo(out, reporter=session.reporter, cancel=session.cancel, options=run_options(words))
    notes = told(result.measured)
    session.reporter.result(result.outputs, version=result.version, measured=result.measured, notes=notes)
    return int(result.exit_status)
