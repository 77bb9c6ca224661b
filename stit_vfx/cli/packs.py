"""`stit packs`: the model packs on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from stit_vfx.cli.common import FOLDER, show

_SEARCH = click.option(
    "--pack-path", multiple=True, type=FOLDER, help="Folder with model packs, searched first."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


@click.group(short_help="List, show and verify model packs.")
def command() -> None:
    """Model packs: which there are, what they can do, and whether they are whole."""


@command.command("list")
@_SEARCH
@_JSON
def list_(pack_path: tuple[Path, ...], as_json: bool) -> None:
    """The packs on this machine, in the order in which they are searched."""
    from stit_vfx.packs.registry import list_packs

    packs = list_packs(search=pack_path)
    told = [
        {"name": pack.name, "title": pack.title, "licence": pack.licence, "folder": str(pack.folder)}
        for pack in packs
    ]
    lines = [f"{pack['name']}: {pack['title']} ({pack['licence']})\n  {pack['folder']}" for pack in told]
    show(told, "\n".join(lines), as_json=as_json)
