"""Options that several commands share, and the objects that they become."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from stit_vfx.cli.session import Session, open_session
from stit_vfx.options import RunOptions, threads_from

EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

_ENGINE = (
    click.option("--device", default="auto", envvar="STIT_DEVICE", help="auto, cpu, cuda or cuda:N."),
    click.option(
        "--pack-path", multiple=True, type=FOLDER, help="Folder with model packs, searched first. Repeatable."
    ),
    click.option("--ocio", envvar="STIT_OCIO", help="OCIO config instead of $OCIO."),
    click.option("--threads", type=click.IntRange(min=1), help="Processor threads.", default=threads_from),
    click.option(
        "--memory-limit", type=click.IntRange(min=256), metavar="MB", help="Stop rather than use more."
    ),
)
_STREAM = (
    click.option(
        "--events",
        type=click.Choice(["jsonl", "openjd", "text", "none"]),
        default="text",
        envvar="STIT_EVENTS",
        help="How to tell what happens: for hosts, OpenJD, or people.",
    ),
    click.option(
        "--control",
        type=click.Choice(["none", "stdin"]),
        default="none",
        help="stdin: cancel when told so there, or when it closes. For hosts only, never on a farm.",
    ),
    click.option(
        "--heartbeat", type=click.FloatRange(min=0.1), metavar="S", help="Seconds of silence before a sign."
    ),
)


def engine_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--device, --pack-path, --ocio, --threads, --memory-limit."""
    return _with(function, _ENGINE)


def stream_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--events, --control, --heartbeat."""
    return _with(function, _STREAM)


def _with(function: Callable[..., Any], options: tuple[Callable[[Any], Any], ...]) -> Callable[..., Any]:
    for option in reversed(options):
        function = option(function)
    return function


def start(words: Mapping[str, Any], *, job: str | None) -> Session:
    """Open the session that a command's words ask for."""
    return open_session(
        words["events"],
        job=job,
        device=words["device"],
        control=words["control"],
        heartbeat_s=words["heartbeat"],
    )


def run_options(words: Mapping[str, Any], **more: Any) -> RunOptions:
    """The run's options from a command's words."""
    return RunOptions(
        device=words["device"],
        pack_path=words["pack_path"],
        ocio=words["ocio"],
        threads=words["threads"],
        memory_limit_mb=words["memory_limit"],
        **more,
    )


def show(data: Mapping[str, Any] | list[Any], text: str, *, as_json: bool) -> None:
    """A command's answer on stdout, for machines or for people."""
    click.echo(json.dumps(data, indent=2, allow_nan=False, default=str) if as_json else text)
