"""What one brought file gives to a pack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stit_vfx.packs.convert.weight import Weight


@dataclass(frozen=True, eq=False)
class Part:
    """Tensors and settings of one part, with where they come from.

    `name` is the part of the pack (`generator`, `directions.smile`); halves of a part have a dot in theirs
    (`perceptual.trunk`, `style_basis.std`). `kind` is the entry of the table of licences. `settings` is the
    part's section of pack.json without its file. A `spare` part is taken only where no other file has it.
    `extras` is what belongs to no pack, such as the pivots of a tuned shot.
    """

    name: str
    kind: str
    what: str
    weights: Mapping[str, Weight]
    source: Path
    sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    spare: bool = False
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def section(self) -> str:
        """The part without its half: `perceptual` of `perceptual.trunk`. Directions keep their names."""
        return self.name if self.name.startswith("directions.") else self.name.partition(".")[0]
