"""`stit schema`: the job's JSON Schema, for editors and other tools."""

from __future__ import annotations

import click

from stit_vfx.cli.common import show


@click.command(short_help="Print the JSON Schema of a job file.")
def command() -> None:
    """Print the JSON Schema of a job file."""
    from stit_vfx.job import json_schema

    show(json_schema(), "", as_json=True)
