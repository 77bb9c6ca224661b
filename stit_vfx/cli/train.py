"""`stit train`: how the built-in pack is made."""

from __future__ import annotations

import click


@click.command(
    short_help="Make the built-in pack: see stit train --help.",
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(args: tuple[str, ...]) -> None:
    """Hand everything to the training room's own command line."""
    from stit_vfx.training import main

    main(list(args))
