"""From a text to a direction in style space, and what is to be known of it.

StyleCLIP's global directions: O. Patashnik et al., "StyleCLIP: Text-Driven Manipulation of StyleGAN Imagery",
ICCV 2021, section 6. A pack's basis says what each style channel does to a picture's CLIP embedding; the
channels that push it where the text points are moved, each by its relevance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stit_vfx.errors import PackFormatError, UnknownDirectionError
from stit_vfx.gan.stylegan2 import Synthesis, ToRGB
from stit_vfx.packs.directions import style_within
from stit_vfx.packs.model import Direction
from stit_vfx.packs.weights import read_tensors
from stit_vfx.steps.edit import StyleDirection, text_difference, text_direction

if TYPE_CHECKING:
    from stit_vfx.job import Edit

# Fewer channels than this, or a larger share, is hardly ever what was meant.
FEW, MOST = 5, 0.9
LAYERS_TOLD = 3
# The useful range for CLIP ViT-B/32: below, everything moves; above, hardly a text leaves anything.
BETAS = (0.03, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3)


class Embeds(Protocol):
    """What gives embeddings of texts."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D), one row for each text."""
        ...


@dataclass(frozen=True)
class StyleLayout:
    """How a generator's style channels lie: sizes of its style vectors, which are toRGB's, rows of W+."""

    sizes: tuple[int, ...]
    rgb: tuple[bool, ...]
    rows: np.ndarray

    @classmethod
    def of(cls, synthesis: Synthesis) -> StyleLayout:
        rgb = tuple(isinstance(layer, ToRGB) for layer in synthesis.style_layers())
        return cls(tuple(synthesis.style_sizes()), rgb, synthesis.channel_rows())

    @property
    def channels(self) -> int:
        return sum(self.sizes)

    @property
    def conv_channels(self) -> int:
        """Channels of all style vectors but the toRGBs': those that a basis speaks of."""
        return sum(size for size, rgb in zip(self.sizes, self.rgb, strict=True) if not rgb)


@dataclass(frozen=True)
class Basis:
    """`relevance` (conv channels, D) float32, unit rows; `std` (style channels,), where it was measured."""

    relevance: np.ndarray
    std: np.ndarray | None = None

    @classmethod
    def load(cls, path: Path, layout: StyleLayout, *, sha256: str | None = None) -> Basis:
        """A pack's style basis, checked against its generator. Raises PackFormatError, PackDamagedError."""
        tensors = {name: each.float().numpy() for name, each in read_tensors(path, sha256=sha256).items()}
        if "basis" not in tensors:
            raise PackFormatError("has no tensor basis", where=path)
        basis, std = tensors["basis"], tensors.get("std")
        if basis.ndim != 2 or len(basis) != layout.conv_channels:
            wanted = f"({layout.conv_channels}, D) is expected for this generator"
            raise PackFormatError(f"tensor basis is {basis.shape} where {wanted}", where=path)
        if std is not None and std.shape != (layout.channels,):
            raise PackFormatError(
                f"tensor std is {std.shape} where ({layout.channels},) is expected", where=path
            )
        if not all(np.isfinite(tensor).all() for tensor in (basis, std) if tensor is not None):
            raise PackFormatError("holds numbers that are not finite", where=path)
        return cls(basis, std)


@dataclass(frozen=True)
class TextMove:
    """A text's direction, and what it moves.

    `kept` of `channels` conv channels act, `within` of them in the edit's layers; `layers`: the rows of W+
    that move most, strongest first; `highest_beta`: at this beta nothing would be left.
    """

    direction: Direction
    text: str
    neutral: str
    beta: float
    kept: int
    channels: int
    within: int
    layers: tuple[int, ...]
    highest_beta: float
    by_std: bool

    @property
    def odd(self) -> bool:
        """Whether so few or so many channels move that the edit will hardly be what was meant."""
        return self.kept < FEW or self.kept > MOST * self.channels

    def line(self) -> str:
        """For people: `text "a smiling face": 143 of 6048 channels move, strongest in layers 5, 7, 6`."""
        limited = self.within != self.kept
        within = f" ({self.within} of them in the edit's layers)" if limited else ""
        strongest = f"strongest in layers {', '.join(map(str, self.layers))}"
        return f'text "{self.text}": {self.kept} of {self.channels} channels move{within}, {strongest}'

    def advice(self) -> str:
        """What to do about an odd number of channels."""
        way = "Lower" if self.kept < FEW else "Raise"
        told = f"{self.kept} of {self.channels} channels move at beta {self.beta:g}"
        return f'text "{self.text}": {told}. {way} --beta; stit packs text shows what each leaves'

    def record(self) -> dict[str, Any]:
        """For provenance. `scaled_by`: std as in StyleCLIP, or nothing as in STIT."""
        return {
            "text": self.text,
            "neutral": self.neutral,
            "beta": self.beta,
            "amount": self.direction.scale,
            "channels_moved": self.within,
            "channels": self.channels,
            "strongest_layers": list(self.layers),
            "highest_beta": round(self.highest_beta, 6),
            "scaled_by": "std" if self.by_std else "nothing",
        }


def difference_of(net: Embeds, text: str, neutral: str) -> np.ndarray:
    """Unit vector (D,) float64 from the neutral text to the text, each over all prompts.

    Raises UnknownDirectionError if they mean the same to the network, JobFieldError if one is too long.
    """
    from stit_vfx.text.prompts import prompts_of

    target, start = net.embed(prompts_of(text)), net.embed(prompts_of(neutral))
    if np.allclose(target, start, rtol=0, atol=1e-4 * float(np.abs(start).max())):
        raise UnknownDirectionError(
            f"the text {text!r} says the same as the neutral text {neutral!r}",
            hint="Say in the text what the face shall be, and in the neutral one what it is",
        )
    return text_difference(target, start)


def text_move(edit: Edit, difference: np.ndarray, basis: Basis, layout: StyleLayout) -> TextMove:
    """The direction that an edit's text asks for; strength 1 moves by the edit's `amount`.

    With the basis' `std`, each channel moves in units of its own spread, as in StyleCLIP; without, all in the
    same units, as in STIT. Raises UnknownDirectionError where beta or the layers leave nothing.
    """
    _check_dimensions(difference, basis)
    found = _found(difference, basis, layout, edit.beta)
    vector = _scaled(found.vector, basis)
    within = style_within(vector, edit.layers, rows=layout.rows)
    strongest = strongest_layers(vector, layout)
    if not within.any():
        told = f"the text {edit.text!r} moves nothing in layers {_listed(edit.layers or ())}"
        raise UnknownDirectionError(told, hint=f"It is strongest in layers {_listed(strongest)}")
    direction = Direction(
        edit.name, edit.name, "style", vector, scale=edit.amount, layers=edit.layers, title=str(edit.text)
    )
    return TextMove(
        direction,
        text=str(edit.text),
        neutral=edit.neutral,
        beta=edit.beta,
        kept=found.kept,
        channels=found.conv_channels,
        within=int(np.count_nonzero(within)),
        layers=strongest_layers(within, layout),
        highest_beta=highest_beta(basis, difference),
        by_std=basis.std is not None,
    )


@dataclass(frozen=True)
class BetaRow:
    """What a beta leaves of a text: `kept` of `channels` conv channels, and the layers that move most."""

    beta: float
    kept: int
    channels: int
    layers: tuple[int, ...]


def beta_rows(
    difference: np.ndarray, basis: Basis, layout: StyleLayout, *, betas: Sequence[float] = BETAS
) -> list[BetaRow]:
    """What each beta would leave of a text, for choosing one."""
    _check_dimensions(difference, basis)
    strongest, rows = highest_beta(basis, difference), []
    for beta in betas:
        if beta >= strongest:
            rows.append(BetaRow(beta, 0, layout.conv_channels, ()))
            continue
        found = _found(difference, basis, layout, beta)
        layers = strongest_layers(_scaled(found.vector, basis), layout)
        rows.append(BetaRow(beta, found.kept, found.conv_channels, layers))
    return rows


def _found(difference: np.ndarray, basis: Basis, layout: StyleLayout, beta: float) -> StyleDirection:
    return text_direction(basis.relevance, difference, beta=beta, sizes=layout.sizes, rgb=layout.rgb)


def _scaled(vector: np.ndarray, basis: Basis) -> np.ndarray:
    return vector if basis.std is None else vector * basis.std


def _check_dimensions(difference: np.ndarray, basis: Basis) -> None:
    ours, theirs = basis.relevance.shape[1], len(difference)
    if ours != theirs:
        raise PackFormatError(
            f"style_basis speaks of embeddings of {ours} numbers, and text gives {theirs}",
            hint="Convert both for the same CLIP: ViT-B-32.pt goes with fs3.npy",
        )


def highest_beta(basis: Basis, difference: np.ndarray) -> float:
    """The relevance of the strongest channel: from this beta on, nothing is left."""
    return float(np.abs(basis.relevance.astype(np.float64) @ difference).max())


def strongest_layers(vector: np.ndarray, layout: StyleLayout) -> tuple[int, ...]:
    """The rows of W+ whose style channels move most (root of the sum of squares), strongest first."""
    power = np.bincount(layout.rows, weights=np.square(vector, dtype=np.float64))
    order = sorted(range(len(power)), key=lambda row: (-power[row], row))
    return tuple(row for row in order[:LAYERS_TOLD] if power[row] > 0)


def _listed(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))
