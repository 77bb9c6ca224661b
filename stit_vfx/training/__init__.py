"""How the built-in pack is made, from a public face model to its weights. Needs the extra "train".

`python -m stit_vfx.training --source PATH --out DIR` does all of it; `training.recipe` lists the stages.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """The whole recipe, from the command line. The stages are imported now: they bring torch and numba."""
    from stit_vfx.training.recipe import command

    command.main(args=None if argv is None else list(argv), prog_name="stit train")
