"""A checkpoint of the published STIT as a shot that goes on where that left off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from stit_vfx.errors import JobFieldError, PackSourceError
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.recognise import recognise
from stit_vfx.packs.convert.sizes import GeneratorSizes
from stit_vfx.packs.reading import read_model_file
from stit_vfx.packs.registry import find_pack
from stit_vfx.packs.schema import PlainGenerator, read_spec
from stit_vfx.plate.sequence import parse_frames
from stit_vfx.tuned import Tuned, import_tuned

# What decides what a generator computes from its weights.
SAME = ("channels", "z_dim", "w_dim", "mapping_layers", "mapping_lr", "conv_clamp")


def convert_shot(
    source: str | Path,
    *,
    plate: str,
    frames: str,
    pack: str | Path,
    out: str | Path,
    shot: str | None = None,
    search: Sequence[Path] = (),
) -> Path:
    """Make a shot's folder from a tuned checkpoint, whose run needs neither inversion nor tuning.

    source  the checkpoint, `model_<run>.pt`
    plate   the plate that it was tuned to, and `frames` of it: one for each pivot, in the same order
    pack    the pack that the checkpoint was tuned from, for everything but the generator's weights
    out     the folder that gets the shot's folder; `shot` names that one
    Raises PackSourceError if the file is no such checkpoint, or another generator's than the pack's.
    """
    part = _tuned_part(Path(source))
    _check_pack(part, pack, search)
    pivots, quads = part.extras["pivots"], part.extras["quads"]
    numbers = np.array(list(parse_frames(frames)))
    if len(numbers) != len(pivots):
        raise JobFieldError(
            f"--frames {frames}: {len(numbers)} frames, and {Path(source).name} has {len(pivots)} pivots",
            hint="Give the frames that it was tuned to, in order",
        )
    weights = {name: weight.read().float().numpy() for name, weight in part.weights.items()}
    tuned = Tuned(weights=weights, pivots=pivots, quads=quads, frames=numbers)
    return import_tuned(tuned, plate=plate, frames=frames, pack=str(pack), out=Path(out), shot=shot)


def _tuned_part(path: Path) -> Part:
    (part, *_) = recognise(read_model_file(path))
    if "pivots" not in part.extras:
        problem = f"is no checkpoint of STIT but {part.what}"
        raise PackSourceError(problem, where=path, hint="Leave --plate out to make a pack of it")
    return part


def _check_pack(part: Part, pack: str | Path, search: Sequence[Path]) -> None:
    """The tuned weights replace the pack's own, one for one."""
    folder = find_pack(pack, search=search)
    section = read_spec(folder).generator
    ours = asdict(GeneratorSizes.of_settings(part.settings))
    theirs = asdict(GeneratorSizes.of_section(section)) if isinstance(section, PlainGenerator) else {}
    differing = [key for key in SAME if ours[key] != theirs.get(key)]
    if differing:
        told = f"its generator is not of the kind of pack {folder.name}'s ({differing[0]} differs)"
        raise PackSourceError(told, where=part.source, hint="Give the pack that it was tuned from")
