"""`stit packs`: the model packs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stit_vfx.cli.common import FOLDER, show
from stit_vfx.cli.packs_convert import convert as convert_
from stit_vfx.cli.packs_fetch import fetch as fetch_
from stit_vfx.cli.packs_fetch import index as index_
from stit_vfx.cli.packs_text import command as text_

if TYPE_CHECKING:
    from stit_vfx.packs.registry import PackEntry
    from stit_vfx.packs.schema import PackSpec

_search = click.option(
    "--pack-path", multiple=True, type=FOLDER, help="Folder with model packs, searched first."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


@click.group(short_help="List, show and verify model packs.")
def command() -> None:
    """Model packs: which there are, what they can do, and whether they are whole."""


@command.command("list")
@_search
@_json
def list_(pack_path: tuple[Path, ...], as_json: bool) -> None:
    """List the packs on this machine, in the order in which they are searched."""
    from stit_vfx.packs.registry import absent_folders, list_packs

    packs = list_packs(search=pack_path)
    lines = [line for pack in packs for line in _entry_lines(pack)]
    lines += [f"not there: {folder}" for folder in absent_folders(pack_path)]
    show([vars(pack) for pack in packs], "\n".join(lines) or "no packs", as_json=as_json)


def _entry_lines(pack: PackEntry) -> list[str]:
    problem = [f"  {pack.problem}"] if pack.problem else []
    return [f"{pack.name}: {pack}", *problem, *(f"  hides {folder}" for folder in pack.hides)]


@command.command("show")
@click.argument("name")
@_search
@_json
def show_(name: str, pack_path: tuple[Path, ...], as_json: bool) -> None:
    """Show a pack: licence, size and the edits it knows. NAME is a name or a folder."""
    from stit_vfx.packs.registry import find_pack
    from stit_vfx.packs.schema import read_spec

    folder = find_pack(name, search=pack_path)
    spec = read_spec(folder)
    told: dict[str, Any] = {"folder": str(folder), **spec.model_dump(mode="json", by_alias=True)}
    show(told, _as_text(spec, folder), as_json=as_json)


def _as_text(spec: PackSpec, folder: Path) -> str:
    lines = [
        f"{spec.name}: {spec.title}",
        f"  folder      {folder}",
        f"  licence     {spec.licence}; commercial use: {spec.commercial_use}",
        f"  resolution  {spec.generator.resolution} ({spec.generator.arch})",
    ]
    if spec.encoder is None:
        lines.append("  encoder     none: a face's code is found by optimisation, which takes longer")
    if spec.notice:
        lines.append(f"  notice      {spec.notice}")
    for part, terms in sorted(spec.licences.items()):
        source = f" <- {terms.source}" if terms.source else ""
        lines.append(f"  part        {part}{source}: {terms.licence}; commercial use: {terms.commercial_use}")
    width = max((len(name) for name in spec.directions), default=0)
    for name, direction in sorted(spec.directions.items()):
        low, high = direction.range
        lines.append(f"  --edit {name:<{width}}  {low:g} to {high:g}  {direction.title}".rstrip())
    if spec.text is not None and spec.style_basis is not None:
        lines.append(f'  --edit-text "..."  any text; stit packs text {spec.name} "..." shows what it moves')
    return "\n".join(lines)


@command.command("verify")
@click.argument("names", nargs=-1)
@_search
@_json
def verify_(names: tuple[str, ...], pack_path: tuple[Path, ...], as_json: bool) -> int:
    """Compare every file of packs (default: of all) with the sum that was recorded. Exit status 4 if not."""
    from stit_vfx.packs.registry import find_pack, list_packs, verify_pack

    folders = [find_pack(name, search=pack_path) for name in names]
    folders = folders or [pack.folder for pack in list_packs(search=pack_path)]
    found = {str(folder): verify_pack(folder) for folder in folders}
    lines = [f"{folder}: {'; '.join(problems) or 'whole'}" for folder, problems in found.items()]
    show(found, "\n".join(lines) or "no packs", as_json=as_json)
    return 4 if any(found.values()) else 0


command.add_command(convert_)
command.add_command(fetch_)
command.add_command(index_)
command.add_command(text_)
