"""`stit faces`: which faces are in a plate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stit_vfx.cli.common import engine_options, run_options, show, start, stream_options


@click.command(short_help="List the faces in a plate.")
@click.argument("plate")
@click.option("--frames", help="Only these frames (default: all).")
@click.option("--colourspace", "--colorspace", help="The plate's colour space, if its header does not say.")
@click.option("--finder", default="auto", type=click.Choice(["auto", "builtin", "dlib", "fan", "fan-3d"]))
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture of them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
@engine_options
@stream_options
def command(plate: str, as_json: bool, **words: Any) -> int:
    """List the faces in a plate: id, frames and box. `stit run --face ID` edits one of them."""
    session = start(words, job=plate)
    session.reporter.plan({"align": 1.0})

    from stit_vfx.plate.sequence import parse_frames
    from stit_vfx.survey import find_faces

    found = find_faces(
        plate,
        parse_frames(words["frames"]) if words["frames"] else None,
        colourspace=words["colourspace"],
        picture=words["picture"],
        kind=words["finder"],
        reporter=session.reporter,
        cancel=session.cancel,
        options=run_options(words),
    )
    told = found.to_json()
    if session.reporter.form == "jsonl":
        # Stdout belongs to the events then, so the answer is one of them.
        drawn = [] if found.picture is None else [{"kind": "faces", "path": found.picture}]
        session.reporter.result(drawn, **{name: told[name] for name in ("faces", "finder", "licence")})
    show(told, found.to_text(), as_json=as_json)
    return 0
