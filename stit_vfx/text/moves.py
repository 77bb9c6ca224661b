"""The texts of a job, turned into directions of its pack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stit_vfx.cache import content_key
from stit_vfx.errors import JobError, UnknownDirectionError
from stit_vfx.gan.stylegan2 import Generator
from stit_vfx.text.direction import Basis, StyleLayout, TextMove, difference_of, text_move

if TYPE_CHECKING:
    from stit_vfx.job import Edit
    from stit_vfx.packs.load import Pack

HINT = (
    "Text edits need a StyleGAN2 pack with CLIP's ViT-B-32.pt and StyleCLIP's fs3.npy: "
    "stit packs convert ViT-B-32.pt fs3.npy --into PACK"
)


@dataclass(frozen=True)
class TextPart:
    """What a pack has for text edits, checked."""

    pack: Pack
    basis: Basis
    layout: StyleLayout

    @classmethod
    def of(cls, pack: Pack) -> TextPart:
        """Raises UnknownDirectionError for a pack without texts, naming what it lacks."""
        network = pack.model.network
        lacks = [
            name
            for name, there in (
                ("StyleGAN2 generator", isinstance(network, Generator)),
                ("text part", pack.spec.text),
                ("style basis", pack.spec.style_basis),
            )
            if not there
        ]
        if lacks:
            raise UnknownDirectionError(f"pack {pack.name} has no {' and no '.join(lacks)}", hint=HINT)
        assert isinstance(network, Generator)
        assert pack.style_basis is not None
        return cls(pack, pack.style_basis, StyleLayout.of(network.synthesis))

    def key(self, text: str, neutral: str) -> str:
        """The content key of `difference`: the two texts, and the network that reads them."""
        net = self.pack.spec.text
        assert net is not None
        settings = {"text": text, "neutral": neutral, **net.model_dump(exclude={"file"})}
        return content_key("edit", settings=settings, models=[self.pack.sha256[net.file]])

    def difference(self, text: str, neutral: str) -> np.ndarray:
        """Unit vector (D,) from what the neutral text says to what the text says."""
        assert self.pack.text is not None
        return difference_of(self.pack.text, text, neutral)

    def move(self, edit: Edit, difference: np.ndarray) -> TextMove:
        """The direction of an edit's text."""
        return text_move(edit, difference, self.basis, self.layout)


@dataclass(frozen=True)
class TextMoves:
    """Directions by the edit's place in the job; and the embeddings' differences, by content key."""

    moves: Mapping[int, TextMove]
    differences: Mapping[str, np.ndarray]


def text_moves(edits: Sequence[Edit], pack: Pack, *, known: Callable[[str], np.ndarray | None]) -> TextMoves:
    """Directions of all edits that are texts; nothing is loaded where there are none.

    `known` gives the difference stored under a content key, if there is one. The text network is loaded only
    where one is not, and let go of at the end.
    Raises UnknownDirectionError or JobFieldError with the path to the edit.
    """
    texts = {number: edit for number, edit in enumerate(edits) if edit.text is not None}
    if not texts:
        return TextMoves({}, {})
    number = min(texts)
    differences: dict[str, np.ndarray] = {}
    moves = {}
    try:
        part = TextPart.of(pack)
        for number, edit in texts.items():
            key = part.key(str(edit.text), edit.neutral)
            found = differences.get(key, known(key))
            differences[key] = part.difference(str(edit.text), edit.neutral) if found is None else found
            moves[number] = part.move(edit, differences[key])
    except JobError as error:
        raise type(error)(f"edits[{number}]: {error.problem}", hint=error.hint) from None
    finally:
        pack.free_text()
    return TextMoves(moves, differences)
