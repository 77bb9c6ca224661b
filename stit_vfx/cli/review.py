"""`stit review`: what a person looks at before it goes to comp."""

from __future__ import annotations

from pathlib import Path

import click

from stit_vfx.cli.common import EXISTING


@click.command(short_help="Make the pictures of a version again.")
@click.argument("shot_folder", metavar="SHOT.stit", type=EXISTING)
@click.option("--version", "name", help="v003 (default: the latest).")
def command(shot_folder: Path, name: str | None) -> None:
    """Make the contact sheet and the preview movie of a version again, and print their paths."""
    from stit_vfx.review import write_review
    from stit_vfx.shot import Shot

    version = Shot.at(shot_folder).find_version(name)
    for path in write_review(shot_folder, version.name).values():
        click.echo(path)
