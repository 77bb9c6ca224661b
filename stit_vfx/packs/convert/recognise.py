"""Which model a brought file is. Its content decides, never its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert import (
    directions,
    encoder,
    finder,
    nvidia,
    perception,
    rosinality,
    styleclip,
    tensorflow,
    tuned,
)
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.refuse import refusal
from stit_vfx.packs.reading import ModelFile, read_model_file

# The particular before the general: a tuned checkpoint holds a snapshot, an encoder's holds a generator.
_READERS: tuple[Callable[[ModelFile], list[Part] | None], ...] = (
    tuned.parts,
    nvidia.parts,
    tensorflow.parts,
    encoder.parts,
    rosinality.parts,
    perception.parser_parts,
    perception.identity_parts,
    perception.perceptual_parts,
    styleclip.text_parts,
    finder.parts,
    styleclip.basis_parts,
    directions.transformer_parts,
    directions.direction_parts,
)
ENDINGS = (".pkl", ".pt", ".pth", ".npy", ".npz", ".safetensors")


def recognise(file: ModelFile) -> list[Part]:
    """The parts that a file holds, checked whole. Raises PackSourceError with what it is instead."""
    for read in _READERS:
        found = read(file)
        if found:
            return found
    raise refusal(file)


def read_sources(sources: Sequence[str | Path]) -> list[Part]:
    """The parts of all files; a folder stands for the model files in it."""
    return [part for path in _files(sources) for part in recognise(read_model_file(path))]


def _files(sources: Sequence[str | Path]) -> Iterator[Path]:
    for source in map(Path, sources):
        if not source.is_dir():
            yield source
            continue
        inside = sorted(each for each in source.iterdir() if each.suffix.lower() in ENDINGS)
        if not inside:
            raise PackSourceError(
                "has no model files in it", where=source, hint=f"Looked for {' '.join(ENDINGS)}"
            )
        yield from inside
