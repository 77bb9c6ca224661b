"""`stit gc`: free what no job needs."""

from __future__ import annotations

from pathlib import Path

import click

from stit_vfx.cli.common import EXISTING, show


@click.command(short_help="Remove cached results that no version needs.")
@click.argument("shot_folder", metavar="SHOT.stit", type=EXISTING)
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(shot_folder: Path, dry_run: bool, as_json: bool) -> None:
    """Remove temporary files and cached results older than 24 h that no version's job refers to.

    Outputs and jobs are never touched.
    """
    from stit_vfx.shot import Shot
    from stit_vfx.upkeep import gc

    report = gc(Shot.at(shot_folder), dry_run=dry_run)
    show(report.to_json(), report.to_text(), as_json=as_json)
