"""`stit packs convert`: public research weights, and one's own, into a pack."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stit_vfx.cli.common import FOLDER, show
from stit_vfx.errors import JobError, PackSourceError

if TYPE_CHECKING:
    from stit_vfx.packs.convert import Conversion
    from stit_vfx.packs.convert.licences import Statement

FAN = "fan"


@click.command("convert", short_help="Make a pack of model files, or add them to one.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--name", help="The pack's name.")
@click.option("--out", type=FOLDER, help="Folder that gets the pack's, or the shot's, folder.")
@click.option("--into", metavar="PACK", help="Add to this pack, or to a copy of it with --name.")
@click.option("--title", default="", help="The pack's name for people.")
@click.option(
    "--licence", "--license", multiple=True, metavar="[PART=]TEXT", help="Terms of your own. Repeatable."
)
@click.option(
    "--commercial",
    multiple=True,
    metavar="[PART=]yes|no|unknown",
    help="Whether the terms allow commercial use. Repeatable.",
)
@click.option("--scale", type=float, help="What strength 1 multiplies a direction by.  [default: 5]")
@click.option(
    "--accept-licence", "--accept-license", "accept", is_flag=True, help="Agree without a question."
)
@click.option("--plate", help="With a tuned checkpoint of STIT: the plate it was tuned to; makes a shot.")
@click.option("--frames", help="With --plate: its frames, one for each that was tuned.")
@click.option("--pack", metavar="PACK", help="With --plate: the pack it was tuned from.")
@click.option("--shot", help="With --plate: the shot's name.")
@click.option("--pack-path", multiple=True, type=FOLDER, help="Folder with model packs, searched first.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def convert(files: tuple[str, ...], as_json: bool, **words: Any) -> int:
    """Make a pack of model FILEs in their public formats. Each is recognised by what it holds.

    \b
    stit packs convert ffhq.pkl e4e_ffhq_encode.pt 79999_iter.pth --name ffhq
    stit packs convert smile.npy age.npy --into ffhq
    stit packs convert fan 2DFAN4-11f355bf06.pth.tar s3fd-619a316812.pth
    stit packs convert model_run.pt --plate sh010.####.exr --frames 1001-1100 --pack ffhq --out shots

    Nothing in a file is ever run. The terms of every part are shown before anything is written.
    docs/models.md says which file is which.
    """
    if words["plate"] is not None:
        return _shot(files, words, as_json=as_json)
    _refuse_shot_words(words)
    only_fan = files[0] == FAN and not Path(FAN).exists()
    conversion = _plan(files[1:] if only_fan else files, words)
    if only_fan and conversion.parts:
        (part, *_) = conversion.parts
        raise PackSourceError(f"is no FAN but {part.what}", where=part.source, hint="Leave out the word fan")
    _agree(conversion.statements, accept=words["accept"], as_json=as_json)
    folder = conversion.write()
    show(_as_json(conversion, folder), _as_text(conversion, folder), as_json=as_json)
    return 0


def _plan(files: tuple[str, ...], words: dict[str, Any]) -> Conversion:
    from stit_vfx.packs.convert import plan

    if not files:
        raise JobError("no files of FAN", hint="stit packs convert fan FILE...")
    names = ("name", "out", "into", "title", "licence", "commercial", "scale")
    return plan(files, search=words["pack_path"], **{name: words[name] for name in names})


def _refuse_shot_words(words: dict[str, Any]) -> None:
    for name in ("frames", "pack", "shot"):
        if words[name] is not None:
            raise JobError(f"--{name} needs --plate", hint="Together they make a shot of a tuned checkpoint")


def _agree(statements: Sequence[Statement], *, accept: bool, as_json: bool) -> None:
    """The terms, then a question. Where nobody can answer, the flag must have been given."""
    from stit_vfx.packs.convert import licences

    click.echo(licences.as_table(statements), err=as_json)
    if not accept and sys.stdin.isatty():
        accept = click.confirm("Go on?", err=as_json)
    licences.require(accept, statements)


def _shot(files: tuple[str, ...], words: dict[str, Any], *, as_json: bool) -> int:
    if len(files) != 1 or words["frames"] is None or words["pack"] is None:
        raise JobError(
            "--plate goes with one tuned checkpoint, --frames and --pack",
            hint="stit packs convert model_run.pt --plate PLATE --frames 1001-1100 --pack ffhq",
        )
    from stit_vfx.packs.convert.shot import plan_shot

    names = ("plate", "frames", "pack", "licence", "commercial")
    conversion = plan_shot(files[0], search=words["pack_path"], **{name: words[name] for name in names})
    _agree(conversion.statements, accept=words["accept"], as_json=as_json)
    job = conversion.write(words["out"] or Path(), shot=words["shot"])
    text = f"wrote {job}\nNext: stit run {shlex.quote(str(job))} --edit NAME=STRENGTH"
    show({"job": str(job)}, text, as_json=as_json)
    return 0


def _as_json(conversion: Conversion, folder: Path) -> dict[str, Any]:
    parts = [row.to_json() for row in conversion.statements]
    return {"name": conversion.name, "folder": str(folder), "parts": parts, "notes": list(conversion.notes)}


def _as_text(conversion: Conversion, folder: Path) -> str:
    lines = [f"note: {note}" for note in conversion.notes]
    lines.append(f"wrote {folder}")
    if conversion.parts:
        lines.append(f"Next: stit packs show {shlex.quote(_pack_words(conversion, folder))}")
    return "\n".join(lines)


def _pack_words(conversion: Conversion, folder: Path) -> str:
    """How to name it: where packs are not looked for, by its folder."""
    from stit_vfx.packs.registry import search_folders

    return conversion.name if folder.parent in search_folders() else str(folder)
