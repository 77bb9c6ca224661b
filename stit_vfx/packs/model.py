"""What every face model can do, whatever is inside the pack.

The steps and the pipeline know a generator only through `FaceModel`. A plain StyleGAN2 pack fulfils it with
images alone; a pack that knows the face's geometry also gives shape codes, conditioning maps and exact flow.

Conventions: images for networks are tensors (N, 3, R, R) in [-1, 1], unclamped on the way out; images for
people are numpy float32 (H, W, 3) in code space, nominal 0..1. `R` is the generator's `resolution`, `S` its
`crop_size`, the side of the crop that is put back into the plate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from torch import Tensor, nn

if TYPE_CHECKING:
    from stit_vfx.shape.code import ShapeCode
    from stit_vfx.shape.mouth_memory import MouthMemory

Noise = Literal["const", "none", "random"]
Space = Literal["w", "w+", "style"]


@dataclass(frozen=True)
class Code:
    """One face in one frame, as a model sees it.

    `ws` is (num_ws, w_dim) float32. `style`, if given, is a flat offset added to all style vectors, network
    order, toRGB included. `look` holds amounts that only geometry-aware packs read, such as {"age": 0.6}.
    """

    ws: np.ndarray
    shape: ShapeCode | None = None
    look: Mapping[str, float] = field(default_factory=dict)
    style: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class AffineMap:
    """f(x) = W x + b, whose W is the product of `factors`: one (D, D), or (D, r) and (r, D) of low rank.

    The latent transformer of one attribute: X. Yao et al., "A Latent Transformer for Disentangled Face
    Editing in Images and Videos", ICCV 2021. `bias` is (D,).
    """

    factors: tuple[np.ndarray, ...]
    bias: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points (..., D) to f of each, float64."""
        moved = np.asarray(points, np.float64)
        for factor in reversed(self.factors):
            moved = moved @ np.asarray(factor, np.float64).T
        return moved + self.bias


@dataclass(frozen=True)
class Direction:
    """One named edit. `scale` makes strength 1 a clear, natural edit; `range` is where it stays natural.

    `vector` is (w_dim,) for space "w", (num_ws, w_dim) for "w+", flat over all style channels for "style", or
    None where the edit moves only `shape` and `look`, which are free form and read by the model alone.
    `layers` limits a w or w+ direction to those rows. Where there is a `transformer` there is no vector: the
    move is f of each row (space "w"), or of all rows in one (space "w+"), at the code before any edit.
    """

    name: str
    key: str
    space: Space = "w"
    vector: np.ndarray | None = None
    shape: Mapping[str, Any] = field(default_factory=dict)
    look: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    layers: tuple[int, ...] | None = None
    range: tuple[float, float] = (-1.0, 1.0)
    title: str = ""
    transformer: AffineMap | None = None


@dataclass(frozen=True)
class ChangeFields:
    """How an edit changes the crop, as the compositor wants it.

    `edit` and `recon` are (S, S, 3) crop code. `flow` is (S, S, 2) crop px: output pixel p takes the plate
    from p + flow. `residual` is (S, S), 0..1: how far the plate's own detail may be kept there.
    """

    edit: np.ndarray
    recon: np.ndarray
    flow: np.ndarray | None = None
    residual: np.ndarray | None = None


class FaceModel(Protocol):
    """A generator with its encoder."""

    resolution: int
    num_ws: int
    w_dim: int
    crop_size: int
    schedule: Mapping[str, Any]
    """How the pack wants to be tuned: `steps`, `lr`, `batch`, `stitch_steps`, `stitch_lr`, where it says."""

    @property
    def encodes(self) -> bool:
        """Whether `encode` works; without an encoder, rows are found by optimisation."""
        ...

    def free_encoder(self) -> None:
        """Let go of an encoder that takes much memory; it is loaded again when it is needed again."""
        ...

    @property
    def network(self) -> nn.Module:
        """What holds the weights that the tune and stitch steps train, in place."""
        ...

    def fit(
        self, landmarks: np.ndarray, weights: np.ndarray, *, cuts: Sequence[int] = ()
    ) -> list[ShapeCode] | None:
        """Shape codes of a shot from landmarks (T, 68, 2) in plate px and a weight per frame (T,).

        `cuts`: rows at which a new stretch begins; nothing is smoothed across them.
        """
        ...

    def encode(self, crops: Tensor, shapes: Sequence[ShapeCode] | None, quads: np.ndarray) -> Tensor:
        """Crops (N, 3, R, R) and their quads (N, 4, 2) in plate px to ws (N, num_ws, w_dim)."""
        ...

    def maps(self, shapes: Sequence[ShapeCode] | None, quads: np.ndarray) -> Tensor | None:
        """Conditioning maps (N, C, R, R) of the shapes seen through the quads; None for plain generators."""
        ...

    def synthesize(
        self,
        ws: Tensor,
        maps: Tensor | None,
        *,
        noise: Noise = "const",
        network: nn.Module | None = None,
        style: Tensor | None = None,
    ) -> Tensor:
        """Images (N, 3, R, R), unclamped and differentiable. `style` (N, channels) offsets all styles."""
        ...

    def move(self, code: Code, moves: Sequence[tuple[Direction, float]]) -> Code:
        """The code after directions at strengths, all at once; order does not matter."""
        ...

    def change(
        self,
        before: Code,
        after: Code,
        *,
        quad: np.ndarray,
        crop_code: np.ndarray,
        recon: np.ndarray,
        edited: np.ndarray,
        matte: np.ndarray,
        mouth: MouthMemory | None = None,
    ) -> ChangeFields:
        """From the plate's crop (S, S, 3), reconstruction and edit (R, R, 3) to what the compositor needs.

        `mouth`: what other frames of the shot show of the inside of the actor's mouth.
        """
        ...


class Perceptual(Protocol):
    """A distance that follows the eye; also in two halves, so that a target's features are computed once."""

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W) in [-1, 1] to normalised feature maps."""
        ...

    def compare(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
        """Distance per image (N,) from two results of `features`."""
        ...

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance (N,) between images (N, 3, H, W) in [-1, 1]."""
        ...
