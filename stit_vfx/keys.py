"""What of a pack is in content keys: the parts that a step computes with, and no others.

So a direction that is added to a pack leaves the shots that it was tuned to as they are.
"""

from __future__ import annotations

from collections.abc import Iterable

from stit_vfx.canonical import canonical_json
from stit_vfx.job import Job
from stit_vfx.packs.schema import PackSpec

INVERT = ("generator", "shape", "encoder")
PROJECT = (*INVERT, "perceptual")
TUNE = ("generator", "shape", "perceptual")
# Masks and mattes are the parser's, or the reader's.
STITCH = ("parser", "reader")
COMPOSITE = ("shape", "parser", "reader")
_TEXT = ("text", "style_basis")


def part_keys(spec: PackSpec, names: Iterable[str]) -> dict[str, str]:
    """Contents and settings of the named parts, where the pack has them."""
    parts = {name: getattr(spec, name) for name in names}
    return {
        name: f"{spec.sha256[part.file]} {canonical_json(part.model_dump(mode='json', exclude={'file'}))}"
        for name, part in parts.items()
        if part is not None
    }


def edit_keys(spec: PackSpec, job: Job, frame: int) -> dict[str, str]:
    """Contents and settings of what a frame's edits move along; edits at zero do not count."""
    moving = [edit for edit in job.edits if edit.at(frame) != 0]
    found = part_keys(spec, _TEXT) if any(edit.text is not None for edit in moving) else {}
    for name in {edit.direction for edit in moving if edit.direction is not None}:
        each = spec.directions[name]
        said = each.model_dump(mode="json", exclude={"file", "title", "range", "measured"})
        found[f"directions.{name}"] = f"{spec.sha256.get(each.file or '', '')} {canonical_json(said)}"
    return found
