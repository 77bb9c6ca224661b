"""`stit packs text`: what a text moves in a pack, beta by beta."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stit_vfx.cli.common import FOLDER, show

if TYPE_CHECKING:
    from stit_vfx.text.direction import BetaRow


@click.command("text", short_help="Show what a text moves, beta by beta.")
@click.argument("pack")
@click.argument("text")
@click.option("--neutral", default="face", show_default=True, help="What the face is now.")
@click.option("--pack-path", multiple=True, type=FOLDER, help="Folder with model packs, searched first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(pack: str, text: str, neutral: str, pack_path: tuple[Path, ...], as_json: bool) -> None:
    """Show how many style channels of PACK a TEXT moves at each beta, to choose --beta by.

    \b
    stit packs text ffhq "a smiling face"

    Many channels change the whole face, few change one thing. Layers are the pack's, coarse to fine.
    """
    from stit_vfx.packs.load import load_pack
    from stit_vfx.text.direction import beta_rows
    from stit_vfx.text.moves import TextPart

    part = TextPart.of(load_pack(pack, search=pack_path))
    rows = beta_rows(part.difference(text, neutral), part.basis, part.layout)
    told = [vars(row) for row in rows]
    show(told, _as_text(rows, text, neutral), as_json=as_json)


def _as_text(rows: list[BetaRow], text: str, neutral: str) -> str:
    lines = [f'"{text}", from "{neutral}"', f"{'beta':>5}{'channels':>10}{'share':>8}  strongest layers"]
    for row in rows:
        layers = ", ".join(map(str, row.layers)) or "nothing is left"
        lines.append(f"{row.beta:>5g}{row.kept:>10}{row.kept / row.channels:>8.1%}  {layers}")
    return "\n".join(lines)
