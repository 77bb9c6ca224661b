"""What a crop shows, as soft mattes: skin, hair, glasses, a hand before the face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

Array = np.ndarray

LABELS = (
    *("background", "skin", "brow", "eye", "lips", "mouth", "hair", "neck", "glasses", "cloth", "hat"),
    *("hand", "thing"),
)
OBSTACLES = ("glasses", "hat", "hand", "thing")  # they may cover a face, and are not part of it


@dataclass(frozen=True)
class Parts:
    """`shares` (len(LABELS), S, S) float32: how much of each pixel shows what; they sum to 1."""

    shares: Array

    @classmethod
    def from_labels(cls, labels: Array) -> Parts:
        """From hard labels (S, S), indices into LABELS."""
        return cls((labels[None] == np.arange(len(LABELS))[:, None, None]).astype(np.float32))

    def resized(self, size: int) -> Parts:
        """The same at another size."""
        if size == self.shares.shape[-1]:
            return self
        small = (cv2.resize(s, (size, size), interpolation=cv2.INTER_AREA) for s in self.shares)
        return Parts(np.stack(list(small)))

    def of(self, *names: str) -> Array:
        """(S, S) share of the named labels together. Raises ValueError for a name that is not in LABELS."""
        return np.asarray(self.shares[[LABELS.index(name) for name in names]].sum(0))
