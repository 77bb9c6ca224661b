"""`stit measure`: how good an edit is, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from stit_vfx.cli.common import engine_options, run_options, start, stream_options
from stit_vfx.errors import NoFaceError, PlateMissingError, PlateSizeError

if TYPE_CHECKING:
    from stit_vfx.cli.session import Session
    from stit_vfx.measure.report import Pair, Report
    from stit_vfx.plate.source import Plate


@click.command(short_help="Measure an edit against its plate.")
@click.argument("plate")
@click.argument("edit")
@click.option("--matte", help="Matte sequence: also check that the plate is untouched where it is 0.")
@click.option("--frames", help="Only these frames (default: all that both have).")
@click.option("--face", help="x,y on the face in the first frame (default: the largest).")
@click.option("--colourspace", "--colorspace", help="The plate's colour space, if its header does not say.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
@engine_options
@stream_options
def command(plate: str, edit: str, as_json: bool, **words: Any) -> int:
    """Measure an edit against its plate: identity over time, steadiness, strength, and plate safety.

    Exit status 3 if the plate was touched where the matte is 0.
    """
    session = start(words, job=edit)
    session.reporter.plan({"measure": 1.0})

    from stit_vfx.face.detect import make_finder
    from stit_vfx.measure.report import report
    from stit_vfx.plate.source import open_plate

    ocio = run_options(words).ocio
    before, after = (
        open_plate(path, colourspace=words["colourspace"], config=ocio) for path in (plate, edit)
    )
    matte = open_plate(words["matte"], colourspace="data", config=ocio) if words["matte"] else None
    frames = _frames(before, after, words["frames"])
    told = report(
        _pairs(before, after, matte, frames, session), make_finder("auto"), near=_point(words["face"])
    )
    if told.measured == 0 and matte is None:
        raise NoFaceError("no face in both plate and edit", where=edit, hint="Give --face or --colourspace")
    click.echo(told.to_json() if as_json else _as_text(told))
    return 3 if told.unsafe else 0


def _frames(before: Plate, after: Plate, text: str | None) -> tuple[int, ...]:
    from stit_vfx.plate.sequence import parse_frames

    shared = sorted(set(before.frames) & set(after.frames))
    wanted = parse_frames(text) if text else shared
    if absent := sorted(set(wanted) - set(shared)):
        raise PlateMissingError("is not in both plate and edit", where=after.name, frame=absent[0])
    if not wanted:
        raise PlateMissingError("plate and edit have no frame in common", where=after.name)
    return tuple(wanted)


def _point(face: str | None) -> tuple[float, float] | None:
    from stit_vfx.errors import JobFieldError
    from stit_vfx.words import parse_face

    if face is None:
        return None
    point = parse_face(face).get("point")
    if point is None:
        raise JobFieldError(f"--face {face}: is not a point", hint="For example --face 960,400")
    return (point[0], point[1])


def _pairs(
    before: Plate, after: Plate, matte: Plate | None, frames: tuple[int, ...], session: Session
) -> Iterator[Pair]:
    from stit_vfx.delivery import colour_names
    from stit_vfx.measure.plate_safety import plate_safety
    from stit_vfx.measure.report import Pair
    from stit_vfx.plate.colour import CodeSpace

    code, edit_code = CodeSpace.of(before.colour), CodeSpace.of(after.colour)
    for done, frame in enumerate(frames, 1):
        session.cancel.check()
        source, edited = before.read(frame), after.read(frame)
        if source.shape != edited.shape:
            raise PlateSizeError("is not as large as its plate", where=after.path(frame), frame=frame)
        safety = None
        if matte is not None:
            grey = matte.read(frame).grey()
            safety = plate_safety(source.channels, edited.channels, grey, rgb=colour_names(source))
        yield Pair(
            frame=frame,
            source8=code.to_display8(source.rgb()),
            edit8=edit_code.to_display8(edited.rgb()),
            safety=safety,
        )
        session.reporter.progress("measure", done, len(frames), frame=frame)


def _as_text(told: Report) -> str:
    """A line per number, with what it should be."""
    numbers = (
        ("TL-ID", told.tl_id, "neighbouring frames as alike as in the plate: 1"),
        ("TG-ID", told.tg_id, "all frames as alike as in the plate: 1"),
        ("identity distance", told.descriptor_distance, "the same person: below 0.6"),
        ("jitter, edit over plate", told.jitter_ratio, "as steady as the plate: 1"),
    )
    lines = [f"{told.measured} of {told.frames} frames measured, landmarks by {told.finder}"]
    lines += [f"{name:24} {value:8.4f}   {meaning}" for name, value, meaning in numbers if value is not None]
    lines += [
        f"{name.replace('_', ' '):24} {value:+8.4f}   eye distances" for name, value in told.strength.items()
    ]
    if told.checked:
        unsafe = f"touched outside the matte in frames {list(told.unsafe)}" if told.unsafe else "untouched"
        lines.append(f"plate outside the matte: {unsafe} ({told.checked} frames compared bit by bit)")
    return "\n".join(lines)
