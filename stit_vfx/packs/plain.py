"""Plain StyleGAN2 packs: rows of w in, images out; how surfaces move is read off the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from stit_vfx.errors import PackError
from stit_vfx.gan.e4e import Encoder
from stit_vfx.gan.stylegan2 import Generator
from stit_vfx.packs.directions import move_appearance, style_within
from stit_vfx.packs.model import ChangeFields, Code, Direction, Noise
from stit_vfx.packs.networks import NO_ENCODER_HINT
from stit_vfx.packs.weights import Lazy
from stit_vfx.plate.warp import resize_square
from stit_vfx.shape.code import ShapeCode

if TYPE_CHECKING:
    from stit_vfx.shape.mouth_memory import MouthMemory

# A small generator still puts its change back onto a sharp crop.
CROP_PX = 512
# Optical flow needs some pixels to hold on to, and gains nothing beyond this.
FLOW_PX = (128, 512)
# A code difference up to the first number is no change, from the second on it is one.
CHANGED = (0.01, 0.04)
# Flow there and back that misses by this share of the crop's side: half of the plate's detail is kept.
ASTRAY = 1 / 256
# Half is also kept where the moved reconstruction differs from the edit by this much code: new content.
NEW = 0.15


class PlainModel:
    """`FaceModel` for plain StyleGAN2 with an encoder, or without: then rows are found by optimisation."""

    def __init__(
        self,
        generator: Generator,
        encoder: Encoder | Lazy[Encoder] | None,
        *,
        schedule: Mapping[str, Any] | None = None,
        crop_size: int | None = None,
    ) -> None:
        config = generator.config
        self.network: nn.Module = generator
        self._encoder = Lazy(lambda: encoder) if isinstance(encoder, Encoder) else encoder
        self.resolution, self.num_ws, self.w_dim = config.resolution, config.num_ws, config.w_dim
        self.crop_size = max(config.resolution, crop_size or CROP_PX)
        self.schedule: Mapping[str, Any] = schedule or {}

    def fit(
        self, landmarks: np.ndarray, weights: np.ndarray, *, cuts: Sequence[int] = ()
    ) -> list[ShapeCode] | None:
        """None: nothing here knows the face's shape."""
        return None

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder."""
        return self._encoder is not None

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded when it is first asked for. Raises PackError where there is none."""
        if self._encoder is None:
            raise PackError("the pack has no encoder", hint=NO_ENCODER_HINT)
        return self._encoder()

    def free_encoder(self) -> None:
        """Let go of the encoder, far larger than the generator; it comes back when it is asked for."""
        if self._encoder is not None:
            self._encoder.free()

    @torch.no_grad()
    def encode(self, crops: Tensor, shapes: Sequence[ShapeCode] | None, quads: np.ndarray) -> Tensor:
        """Crops (N, 3, R, R) to rows (N, num_ws, w_dim), one by one, so that a batch changes no bits.

        Raises PackError where there is no encoder.
        """
        encoder = self.encoder
        device = next(encoder.parameters()).device
        return torch.cat([encoder(crop[None].to(device)) for crop in crops])

    def maps(self, shapes: Sequence[ShapeCode] | None, quads: np.ndarray) -> Tensor | None:
        """None: the generator takes no maps."""
        return None

    def synthesize(
        self,
        ws: Tensor,
        maps: Tensor | None,
        *,
        noise: Noise = "const",
        network: nn.Module | None = None,
        style: Tensor | None = None,
    ) -> Tensor:
        generator = self.network if network is None else network
        assert isinstance(generator, Generator)
        return generator.synthesis(ws, noise=noise, style=style)

    def move(self, code: Code, moves: Sequence[tuple[Direction, float]]) -> Code:
        """Directions add up in w and style space."""
        return move_appearance(code, [(self._limited(direction), strength) for direction, strength in moves])

    def _limited(self, direction: Direction) -> Direction:
        """A style direction within its layers; those of w and W+ are limited as they are added."""
        if direction.space != "style" or direction.vector is None or direction.layers is None:
            return direction
        assert isinstance(self.network, Generator)
        rows = self.network.synthesis.channel_rows()
        return replace(direction, vector=style_within(direction.vector, direction.layers, rows=rows))

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
        """Optical flow from the edit back to the reconstruction; detail is let go where the flow is lost."""
        size = crop_code.shape[0]
        work = int(np.clip(recon.shape[0], *FLOW_PX))
        old, new = resize_square(recon, work), resize_square(edited, work)
        back, there = dense_flow(new, old), dense_flow(old, new)
        changed = _changed(old, new)
        flow = resize_square(back * changed[..., None], size) * (size / work)
        residual = 1 - changed * (1 - _found(back, there) * _explained(old, new, back))
        return ChangeFields(
            resize_square(edited, size), resize_square(recon, size), flow, resize_square(residual, size)
        )


def dense_flow(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(h, w, 2) px: what is at p in `source` is at p + flow in `target`. Pictures (h, w, 3) code.

    Kroeger et al., "Fast Optical Flow using Dense Inverse Search", 2016, on luma. One thread: the method
    passes estimates on within the stripes that threads share out, so their number would change the result.
    """
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        start = np.zeros((*source.shape[:2], 2), np.float32)
        return np.asarray(method.calc(_luma8(source), _luma8(target), start))
    finally:
        cv2.setNumThreads(threads)


def _luma8(picture: np.ndarray) -> np.ndarray:
    luma = picture @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return (np.clip(luma, 0, 1) * 255 + 0.5).astype(np.uint8)


def _changed(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """(h, w) 0..1: where the edit does anything, softly, so that a still background stays still."""
    difference = np.abs(new - old).max(-1)
    reach = max(old.shape[0] // 64, 1)
    near = cv2.dilate(difference, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    low, high = CHANGED
    sure = np.clip((cv2.GaussianBlur(near, (0, 0), reach) - low) / (high - low), 0, 1)
    return (sure * sure * (3 - 2 * sure)).astype(np.float32)


def _found(back: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(h, w) 0..1: 1 where going back and there again ends at the start."""
    miss = np.linalg.norm(back + _moved(there, back), axis=-1) / (ASTRAY * back.shape[1])
    return _softly(1 / (1 + miss * miss))


def _explained(old: np.ndarray, new: np.ndarray, back: np.ndarray) -> np.ndarray:
    """(h, w) 0..1: 1 where the reconstruction, moved by the flow, looks like the edit."""
    miss = _softly(np.abs(_moved(old, back) - new).max(-1)) / NEW
    return _softly(1 / (1 + miss * miss))


def _moved(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The picture (h, w, C) with every pixel p taken from p + flow."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    place = x + flow[..., 0], y + flow[..., 1]
    return cv2.remap(picture, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _softly(field: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(field.astype(np.float32), (0, 0), max(field.shape[1] / 128, 0.8))
