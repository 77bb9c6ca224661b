"""`stit verify`: is a version whole?"""

from __future__ import annotations

from pathlib import Path

import click

from stit_vfx.cli.common import EXISTING, show


@click.command(short_help="Check that a version's files are whole and as recorded.")
@click.argument("shot_folder", metavar="SHOT.stit", type=EXISTING)
@click.option("--version", "name", help="v003 (default: the latest).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(shot_folder: Path, name: str | None, as_json: bool) -> int:
    """Open every frame of a version and compare it with what was recorded.

    Exit status 3 if a frame is absent, damaged or not the one that was recorded.
    """
    from stit_vfx.shot import Shot
    from stit_vfx.upkeep import verify

    report = verify(Shot.at(shot_folder).find_version(name))
    show(report.to_json(), report.to_text(), as_json=as_json)
    return 0 if report.ok else 3
