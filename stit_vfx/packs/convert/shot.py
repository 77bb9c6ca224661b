"""A checkpoint of the published STIT as a shot that goes on where that left off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert import licences
from stit_vfx.packs.convert.licences import Statement
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


@dataclass(frozen=True)
class ShotConversion:
    """A shot to be made from a tuned checkpoint, checked. Nothing has been written yet."""

    part: Part
    statements: tuple[Statement, ...]
    plate: str
    frames: str
    pack: str

    def write(self, out: str | Path, *, shot: str | None = None) -> Path:
        """Make the shot's folder below `out`; returns its job file, whose run tunes nothing."""
        extras = self.part.extras
        weights = {name: weight.read().float().numpy() for name, weight in self.part.weights.items()}
        tuned = Tuned(weights, extras["pivots"], extras["quads"], parse_frames(self.frames))
        return import_tuned(
            tuned, plate=self.plate, frames=self.frames, pack=self.pack, out=Path(out), shot=shot
        )


def plan_shot(
    source: str | Path,
    *,
    plate: str,
    frames: str,
    pack: str | Path,
    licence: Sequence[str] = (),
    commercial: Sequence[str] = (),
    search: Sequence[Path] = (),
) -> ShotConversion:
    """Read and check a tuned checkpoint; write nothing.

    source  the checkpoint, `model_<run>.pt`
    plate   the plate that it was tuned to, and `frames` of it: one for each pivot, in the same order
    pack    the pack that it was tuned from, for everything but the generator's weights
    licence, commercial  as for `convert`
    Raises PackSourceError if the file is no such checkpoint, or another generator's than the pack's.
    """
    path = Path(source)
    (part, *_) = recognise(read_model_file(path))
    if "pivots" not in part.extras:
        problem = f"is no checkpoint of STIT but {part.what}"
        raise PackSourceError(problem, where=path, hint="Leave --plate out to make a pack of it")
    _check_pack(part, pack, search)
    rows = licences.statements(
        [part],
        licence=licences.overrides(licence, [part.section], option="--licence"),
        commercial=licences.overrides(commercial, [part.section], option="--commercial"),
    )
    return ShotConversion(part, tuple(rows), plate, frames, str(pack))


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
