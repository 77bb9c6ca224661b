"""Public research weights, and a studio's own, into packs: the same numbers under the pack's names.

weight.py      tensors known by shape, read when they are written
states.py      where in a file the tensors are
recognise.py   which model a file is, by its content; refuse.py: what else it is
nvidia.py tensorflow.py rosinality.py tuned.py   generators; generator.py and sizes.py: what they share
encoder.py perception.py styleclip.py directions.py finder.py   the other parts
licences.py    what is known of the terms
base.py choosing.py assemble.py writing.py   from parts to a pack, whole or not at all
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from stit_vfx.packs.convert import licences
from stit_vfx.packs.convert.assemble import Conversion, plan
from stit_vfx.packs.convert.recognise import recognise

__all__ = ["Conversion", "convert", "plan", "recognise"]


def convert(
    sources: Sequence[str | Path],
    *,
    name: str | None = None,
    out: str | Path | None = None,
    into: str | Path | None = None,
    title: str = "",
    licence: Sequence[str] = (),
    commercial: Sequence[str] = (),
    scale: float | None = None,
    search: Sequence[Path] = (),
    accept: bool | Callable[[Conversion], bool] = False,
) -> Path:
    """Make a pack from model files, or add them to one; returns its folder.

    sources     model files in their public formats, recognised by content, or folders of them
    name        the pack's name; may be left out with `into`
    out         the folder that gets the pack's folder (default: the user's own packs)
    into        a pack, by name or folder: its parts stay but for those that the files bring. With another
                `name` or `out` the result is a new pack and the old one stays as it is
    licence     "PART=words", or words for all parts, in place of what is known of the published files
    commercial  "PART=yes", "PART=no", "PART=unknown", or one of them for all parts
    scale       what strength 1 of a direction multiplies it by (default 5: the published factor 10)
    search      folders in which `into` is looked for before all others
    accept      whether the terms are accepted, or what asks; it gets the whole plan
    Raises PackLicenceError if they are not, PackUnsafeError, PackSourceError, OutputError.
    """
    conversion = plan(
        sources,
        name=name,
        out=out,
        into=into,
        title=title,
        licence=licence,
        commercial=commercial,
        scale=scale,
        search=search,
    )
    accepted = accept(conversion) if callable(accept) else accept
    licences.require(accepted, conversion.statements)
    return conversion.write()
