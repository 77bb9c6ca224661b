"""`stit doctor`: is this machine fit?"""

from __future__ import annotations

from pathlib import Path

import click

from stit_vfx.cli.common import FOLDER, show


@click.command(short_help="Check this machine, and say how to mend it.")
@click.option("--out", type=FOLDER, default=Path(), help="Folder that output would go to (default: here).")
@click.option("--pack-path", multiple=True, type=FOLDER, help="Folder with model packs, searched first.")
@click.option("--ocio", envvar="STIT_OCIO", help="OCIO config instead of $OCIO.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(out: Path, pack_path: tuple[Path, ...], ocio: str | None, as_json: bool) -> int:
    """Check libraries, device, packs, colour, storage and memory. Exit status 4 if anything fails."""
    from stit_vfx.doctor import examine, summary

    checks = examine(out, pack_path=pack_path, ocio=ocio)
    told = summary(checks)
    show(told, "\n".join(check.to_text() for check in checks), as_json=as_json)
    return 0 if told["ok"] else 4
