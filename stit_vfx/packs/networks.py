"""A pack's networks for your own Python code: `pack.generator`, `pack.encoder` and so on; see docs/python.md.

Every one takes numpy arrays or tensors on any device and computes on the pack's own, in single precision;
results are tensors there. Images are (N, 3, H, W) in [-1, 1]. A batch goes through the networks one by one,
so that it changes no bits and memory does not grow with it. Nothing needs a gradient; a result has one where
its input asks for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from stit_vfx.errors import PackError
from stit_vfx.gan.arcface import INPUT_SIZE, ArcFace
from stit_vfx.gan.bisenet import BiSeNet
from stit_vfx.gan.e4e import Encoder
from stit_vfx.gan.lpips import Lpips
from stit_vfx.gan.stylegan2 import Generator

Array = np.ndarray | Tensor
NO_ENCODER_HINT = "Find rows by optimisation: stit_vfx.steps.project; or convert an encoder into the pack"


class PackGenerator:
    """StyleGAN2: z to rows of w, rows to style vectors, either to images.

    After a run in this process it is the tuned one: there is one set of weights.
    """

    def __init__(self, network: Generator) -> None:
        self.network = network

    def map(self, z: Array, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z (N, z_dim) to rows (N, num_ws, w_dim); the first `cutoff` (all) pulled to the average w.

        truncation  1 leaves w as it is, 0 gives the average
        """
        z = _checked(z, self.network, (None, self.network.config.z_dim), "z")
        return _one_by_one(z, lambda row: self.network.mapping(row, psi=float(truncation), cutoff=cutoff))

    def styles(self, ws: Array) -> list[Tensor]:
        """Rows (N, num_ws, w_dim) to style vectors (N, channels), in the network's order, toRGB included."""
        found = [self.network.synthesis.styles(row) for row in _some(self._rows(ws)).split(1)]
        return [torch.cat(vectors) for vectors in zip(*found, strict=True)]

    def synthesize(
        self, ws_or_styles: Array | Sequence[Array], noise: Literal["const", "none"] = "const"
    ) -> Tensor:
        """Rows (N, num_ws, w_dim), or a list of style vectors, to images (N, 3, R, R), float32, unclamped.

        noise  "const": the generator's own maps; "none": without
        """
        if noise not in ("const", "none"):
            raise PackError(f"noise {noise!r} is none of const, none")
        synthesis = self.network.synthesis
        if isinstance(ws_or_styles, (np.ndarray, Tensor)):
            return _one_by_one(self._rows(ws_or_styles), lambda ws: synthesis(ws, noise=noise))
        styles = self._styles(ws_or_styles)
        images = [
            synthesis.render([each[n : n + 1] for each in styles], noise=noise) for n in range(len(styles[0]))
        ]
        return torch.cat(images)

    def _rows(self, ws: Array) -> Tensor:
        config = self.network.config
        return _checked(ws, self.network, (None, config.num_ws, config.w_dim), "ws")

    def _styles(self, styles: Sequence[Array]) -> list[Tensor]:
        sizes = self.network.synthesis.style_sizes()
        if len(styles) != len(sizes):
            raise PackError(f"{len(styles)} style vectors were given; this generator takes {len(sizes)}")
        found = [
            _checked(each, self.network, (None, size), f"style {n}")
            for n, (each, size) in enumerate(zip(styles, sizes, strict=True))
        ]
        if len({len(each) for each in found}) != 1:
            raise PackError("the style vectors are of different numbers of images")
        return found


class PackEncoder:
    """e4e or pSp: crops to rows of w. It is loaded when it is first used, 1 GB at the published size."""

    def __init__(self, network: Callable[[], Encoder]) -> None:
        self._network = network

    def encode(self, crops: Array) -> Tensor:
        """Crops (N, 3, 256, 256) in [-1, 1] to rows (N, num_ws, w_dim). Other sizes are resized first."""
        network = self._network()
        return _one_by_one(_images(crops, network), network)


class PackParser:
    """BiSeNet: what each pixel of a crop shows."""

    def __init__(self, network: BiSeNet) -> None:
        self.network = network

    def parse(self, crops: Array) -> Tensor:
        """Crops (N, 3, H, W) in [-1, 1] to class numbers (N, H, W), int64; names: `gan.bisenet.CLASSES`."""
        with torch.no_grad():
            return _one_by_one(_images(crops, self.network), self.network.parse)

    def foreground(self, crops: Array) -> Tensor:
        """Crops (N, 3, H, W) in [-1, 1] to (N, 512, 512): 1 on face, hair and neck, 0 elsewhere."""
        with torch.no_grad():
            return _one_by_one(_images(crops, self.network), self.network.foreground)


class PackIdentity:
    """ArcFace: who a face is."""

    def __init__(self, network: ArcFace) -> None:
        self.network = network

    def embed(self, crops: Array) -> Tensor:
        """Crops in [-1, 1] to unit vectors (N, 512).

        Those of 112 px are taken as they are. All others are aligned crops as the generator has them: brought
        to 256 px, of which the network sees the middle, as published.
        """
        images = _images(crops, self.network)
        ready = images.shape[2:] == (INPUT_SIZE, INPUT_SIZE)
        return _one_by_one(images, self.network if ready else self.network.embed)


class PackPerceptual:
    """LPIPS: how different images look."""

    def __init__(self, network: Lpips) -> None:
        self.network = network

    def distance(self, a: Array, b: Array) -> Tensor:
        """Distance (N,) between images (N, 3, H, W) in [-1, 1]."""
        ours, theirs = _images(a, self.network), _images(b, self.network)
        if ours.shape != theirs.shape:
            raise PackError(f"images of shape {_shape(ours)} are compared with {_shape(theirs)}")
        pairs = zip(ours.split(1), theirs.split(1), strict=True)
        return torch.cat([self.network.distance(one, other) for one, other in pairs])

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """What `compare` takes, so that a target is looked at once; a batch in one go."""
        return self.network.features(images)

    def compare(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
        """Distance (N,) from two results of `features`."""
        return self.network.compare(ours, theirs)


# packs that lack a part -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoGenerator:
    """In the place of a generator that cannot be used alone: every use says what to do instead."""

    pack: str

    def map(self, z: Array, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        raise self._error()

    def styles(self, ws: Array) -> list[Tensor]:
        raise self._error()

    def synthesize(
        self, ws_or_styles: Array | Sequence[Array], noise: Literal["const", "none"] = "const"
    ) -> Tensor:
        raise self._error()

    def __bool__(self) -> bool:
        return False

    def _error(self) -> PackError:
        return PackError(
            f"the generator of pack {self.pack} draws a face only with its geometry, and has no z or styles",
            hint="Use stit_vfx.edit_shot, which fits the geometry, or a StyleGAN2 pack",
        )


@dataclass(frozen=True)
class NoEncoder:
    """In the place of an encoder that is not there, or cannot be used alone: false, and says what to do."""

    pack: str
    geometry: bool = False

    def encode(self, crops: Array) -> Tensor:
        if self.geometry:
            raise PackError(
                f"the encoder of pack {self.pack} sees a face only with its geometry",
                hint="Use stit_vfx.edit_shot, which fits the geometry, or a StyleGAN2 pack",
            )
        raise PackError(f"pack {self.pack} has no encoder", hint=NO_ENCODER_HINT)

    def __bool__(self) -> bool:
        return False


# what comes in ----------------------------------------------------------------------------------------------


def _images(images: Array, network: nn.Module) -> Tensor:
    return _checked(images, network, (None, 3, None, None), "images")


def _checked(given: Array, network: nn.Module, shape: tuple[int | None, ...], what: str) -> Tensor:
    """As float32 where the network is. Raises PackError for another shape; None stands for any number."""
    tensor = torch.from_numpy(np.ascontiguousarray(given)) if isinstance(given, np.ndarray) else given
    fits = isinstance(tensor, Tensor) and tensor.ndim == len(shape)
    if not fits or any(want not in (None, got) for want, got in zip(shape, tensor.shape, strict=True)):
        wanted = f"({', '.join('N' if side is None else str(side) for side in shape)})"
        raise PackError(f"{what}: {_shape(tensor)} was given where {wanted} is expected")
    return tensor.to(next(network.parameters()).device, torch.float32)


def _shape(tensor: object) -> str:
    return str(tuple(getattr(tensor, "shape", ()))) if hasattr(tensor, "shape") else type(tensor).__name__


def _some(batch: Tensor) -> Tensor:
    if not len(batch):
        raise PackError("an empty batch was given")
    return batch


def _one_by_one(batch: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.cat([compute(one) for one in _some(batch).split(1)])
