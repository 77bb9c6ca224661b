"""Whether the plate was left alone: every bit outside the matte, and every channel but the colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Layers that an edit may add.
OWN_LAYERS = "stit_"


@dataclass(frozen=True, kw_only=True)
class PlateSafety:
    """Counts for one frame. `outside` pixels have matte 0; of those, `changed_outside` differ in any bit.

    `other_changed` pixels differ in a channel that is not colour, anywhere. `lost`, `added` and `retyped`
    name channels that are gone, new (the edit's own layers apart), or of another type or size.
    """

    outside: int
    inside: int
    changed_outside: int
    changed_inside: int
    other_changed: int
    lost: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()

    @property
    def safe(self) -> bool:
        """Whether the plate is as it was wherever it should be."""
        return not (self.changed_outside or self.other_changed or self.lost or self.added or self.retyped)


def plate_safety(
    source: Mapping[str, np.ndarray],
    edit: Mapping[str, np.ndarray],
    matte: np.ndarray,
    *,
    rgb: Sequence[str] = ("R", "G", "B"),
) -> PlateSafety:
    """Compares the channels (H, W, native type) of a plate and its edit, bit by bit: NaN equals the same NaN,
    and -0 is not 0. `matte` (H, W): 0 is outside. `rgb` names the channels that may change inside."""
    colour = np.zeros(matte.shape, dtype=bool)
    other = np.zeros(matte.shape, dtype=bool)
    retyped = []
    for name in sorted(source.keys() & edit.keys()):
        if source[name].dtype != edit[name].dtype or source[name].shape != edit[name].shape:
            retyped.append(name)
            continue
        differs = _bits_differ(source[name], edit[name])
        if name in rgb:
            colour |= differs
        else:
            other |= differs
    outside = matte == 0
    return PlateSafety(
        outside=int(outside.sum()),
        inside=int((~outside).sum()),
        changed_outside=int((colour & outside).sum()),
        changed_inside=int((colour & ~outside).sum()),
        other_changed=int(other.sum()),
        lost=tuple(sorted(source.keys() - edit.keys())),
        added=tuple(sorted(n for n in edit.keys() - source.keys() if not n.startswith(OWN_LAYERS))),
        retyped=tuple(retyped),
    )


def _bits_differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    bits = np.dtype(f"u{a.dtype.itemsize}")
    return np.ascontiguousarray(a).view(bits) != np.ascontiguousarray(b).view(bits)
