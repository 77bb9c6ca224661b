"""From the parts of all files to those of one pack: each once, halves together, and made for each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert.base import Base
from stit_vfx.packs.convert.directions import fitted_settings
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.sizes import GeneratorSizes
from stit_vfx.packs.convert.styleclip import check_basis
from stit_vfx.packs.schema import PlainGenerator

HALVES = {
    "perceptual.heads": ("perceptual.trunk", "AlexNet, alexnet-owt-*.pth of torchvision"),
    "perceptual.trunk": ("perceptual.heads", "the LPIPS heads, alex.pth of the lpips package"),
    "style_basis.std": ("style_basis.basis", "StyleCLIP's fs3.npy"),
}
PLAIN_ONLY = ("generator", "encoder", "text", "style_basis")


@dataclass(frozen=True)
class Rows:
    """The generator's side of every check. `sizes` None: no StyleGAN2. `file`: its name, for errors."""

    num_ws: int
    w_dim: int
    sizes: GeneratorSizes | None
    file: str


def chosen(parts: Sequence[Part], base: Base | None) -> tuple[list[Part], list[str]]:
    """The parts to write, with the old ones that they must be written together with; and what to say.

    Raises PackSourceError naming both files where two have the same part or do not go together.
    """
    new, notes = _each_once(parts, base)
    if base is not None and base.spec.generator.arch != "stylegan2":
        _refuse_for_geometry(new, base)
    old = base.parts() if base is not None else []
    new = _with_halves(new, old)
    rows = _rows(new, base)
    fitted = [_fit(part, rows) for part in new]
    for part in _kept(old, new):
        _fit(part, rows)
    _check_text([*fitted, *_kept(old, new)])
    return fitted, notes


def _each_once(parts: Sequence[Part], base: Base | None) -> tuple[list[Part], list[str]]:
    found: dict[str, Part] = {}
    for part in (each for each in parts if not each.spare):
        if (other := _clash(part, found)) is not None:
            raise PackSourceError(
                f"holds {part.section}, and so does {other.source.name}",
                where=part.source,
                hint="Bring one of the two; a pack has each part once",
            )
        found[part.name] = part
    notes = []
    for part in (each for each in parts if each.spare):
        taken = found[part.name].source.name if part.name in found else base and f"pack {base.spec.name}"
        if taken:
            notes.append(f"{part.source.name}: its {part.name} is not used, {taken} has one")
        else:
            found[part.name] = part
    return list(found.values()), notes


def _clash(part: Part, found: Mapping[str, Part]) -> Part | None:
    """A part that is the same, or is the whole of which this is a half."""
    if part.name in found:
        return found[part.name]
    whole = part.name == part.section
    halves = (other for other in found.values() if other.section == part.section)
    return next((other for other in halves if whole or other.name == other.section), None)


def _refuse_for_geometry(parts: Sequence[Part], base: Base) -> None:
    for part in parts:
        if part.section in PLAIN_ONLY:
            raise PackSourceError(
                f"its {part.section} cannot go into pack {base.spec.name}, which is no StyleGAN2",
                where=part.source,
                hint="Make a pack of its own with --name",
            )


def _with_halves(new: Sequence[Part], old: Sequence[Part]) -> list[Part]:
    """Both halves of what has two, one of them from the old pack where that has it."""
    names = {part.name for part in new}
    more = []
    for name, (other, what) in HALVES.items():
        # A basis may stay without its spread, and a new basis is no longer what the old spread was of.
        if name not in names or other in names:
            continue
        there = [part for part in old if part.name == other]
        if not there:
            lacking = next(part for part in new if part.name == name)
            raise PackSourceError(f"needs {what} beside it", where=lacking.source, hint="Bring both at once")
        more += there
    return [*new, *more]


def _kept(old: Sequence[Part], new: Sequence[Part]) -> list[Part]:
    """Old parts that stay as they are."""
    replaced = {part.section for part in new}
    return [part for part in old if part.section not in replaced]


def _rows(new: Sequence[Part], base: Base | None) -> Rows:
    part = next((each for each in new if each.name == "generator"), None)
    if part is not None:
        own = GeneratorSizes.of_settings(part.settings)
        return Rows(own.num_ws, own.w_dim, own, part.source.name)
    if base is None:
        raise PackSourceError(
            "no generator among the files",
            hint="Bring one, such as ffhq.pkl, or add to a pack that has one with --into PACK",
        )
    section = base.spec.generator
    sizes = GeneratorSizes.of_section(section) if isinstance(section, PlainGenerator) else None
    return Rows(section.num_ws, section.w_dim, sizes, f"pack {base.spec.name}")


def _fit(part: Part, rows: Rows) -> Part:
    """The part as this generator wants it. Raises PackSourceError."""
    if part.name == "encoder":
        _check_encoder(part, rows)
    elif part.section == "style_basis":
        check_basis(part, rows.sizes, rows.file)
    elif part.name.startswith("directions."):
        settings = fitted_settings(
            part, w_dim=rows.w_dim, num_ws=rows.num_ws, sizes=rows.sizes, generator=rows.file
        )
        return replace(part, settings=settings)
    return part


def _check_encoder(part: Part, rows: Rows) -> None:
    # A geometry-aware pack's own encoder has another shape, and its generator cannot be replaced.
    average = part.weights.get("latent_avg")
    if rows.sizes is None or average is None:
        return
    if average.shape != (rows.num_ws, rows.w_dim):
        there = " rows of ".join(str(size) for size in average.shape)
        raise PackSourceError(
            f"the encoder makes {there}, and the generator of {rows.file} reads "
            f"{rows.num_ws} rows of {rows.w_dim}",
            where=part.source,
            hint="Bring the encoder that was trained with this generator",
        )


def _check_text(parts: Sequence[Part]) -> None:
    """A basis and a text network speak of one embedding."""
    by_name = {part.name: part for part in parts}
    text, basis = by_name.get("text"), by_name.get("style_basis.basis")
    if text is None or basis is None:
        return
    ours, theirs = text.weights["text_projection"].shape[1], basis.weights["basis"].shape[1]
    if ours != theirs:
        raise PackSourceError(
            f"embeds texts in {ours} dimensions, and the basis of {basis.source.name} has {theirs}",
            where=text.source,
            hint="fs3.npy goes with CLIP's ViT-B-32.pt",
        )


def halves_of(parts: Sequence[Part]) -> Iterator[tuple[str, list[Part]]]:
    """Sections with their parts, in the order of the first of each."""
    for section in dict.fromkeys(part.section for part in parts):
        yield section, [part for part in parts if part.section == section]
