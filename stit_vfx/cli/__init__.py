"""The command line, `stit`. One small file per command; nothing heavy is imported before it is used."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from stit_vfx._version import __version__
from stit_vfx.cli.boundary import guarded, set_verbose

COMMANDS = (
    *("demo", "run", "faces", "preview", "packs", "directions", "measure", "review"),
    *("submit", "verify", "gc", "doctor", "schema", "train"),
)


class Commands(click.Group):
    """Commands that are imported when they are named, so that each starts in the time of its own imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"stit_vfx.cli.{name}").command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="stit_vfx", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, envvar="STIT_DEBUG", help="Show the traceback of an error.")
def stit(verbose: bool) -> None:
    """Edit a face for a whole shot, and leave the rest of the plate as it is, bit for bit."""
    set_verbose(verbose)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit status."""
    # Read once, when torch's threads start: spinning ones made an update four times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    args = list(sys.argv[1:] if argv is None else argv)
    sys.exit(guarded(lambda: stit.main(args=args, prog_name="stit", standalone_mode=False), args))
