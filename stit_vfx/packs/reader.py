"""The network that reads crops, at work: landmarks and label mattes of one crop after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stit_vfx.gan.face_reader import FaceReader, ReaderConfig, places
from stit_vfx.packs.registry import HERE, check_files
from stit_vfx.packs.schema import PackSpec, Reader, read_spec
from stit_vfx.packs.weights import fill
from stit_vfx.shape.parts import LABELS, Parts

Array = np.ndarray


@dataclass(frozen=True)
class Marks:
    """`landmarks` (68, 2) float64, iBUG order, px of the crop, pixel centres at integers.

    `spread` (68,): how far the network's belief in each is spread out, in px (a standard deviation).
    """

    landmarks: Array
    spread: Array


class CropReader:
    """Reads crops of any size; each is seen at the size the network was trained at."""

    def __init__(self, network: FaceReader, size: int) -> None:
        self.network, self.size = network, size

    @classmethod
    def of(
        cls, part: Reader, folder: Path, *, device: str | torch.device = "cpu", sha256: str | None = None
    ) -> CropReader:
        """A pack's reader. Raises what `packs.weights.fill` raises."""
        with torch.device("meta"):
            network = FaceReader(ReaderConfig(len(LABELS), part.widths))
        return cls(fill(network, folder / part.file, device=device, sha256=sha256), part.resolution)

    @classmethod
    def own(cls, device: str | torch.device = "cpu") -> tuple[CropReader, PackSpec]:
        """The built-in pack's reader, whatever pack a shot is edited with, and that pack's description."""
        spec = read_spec(HERE / "builtin")
        assert spec.reader is not None
        check_files(HERE / "builtin", spec)
        file = spec.reader.file
        return cls.of(spec.reader, HERE / "builtin", device=device, sha256=spec.sha256[file]), spec

    def marks(self, crop_code: Array) -> Marks:
        """Landmarks of a crop (S, S, 3), code 0..1."""
        heat, _ = self._look(crop_code)
        found, spread = places(heat)
        size = len(crop_code)
        landmarks = (found[0].double().cpu().numpy() + 0.5) * size - 0.5
        return Marks(landmarks, np.sqrt(np.maximum(spread[0].double().cpu().numpy(), 0)) * size)

    def parts(self, crop_code: Array) -> Parts:
        """What each pixel of a crop (S, S, 3), code 0..1, shows."""
        _, scores = self._look(crop_code)
        size = len(crop_code)
        large = F.interpolate(scores.float(), (size, size), mode="bilinear", align_corners=False)
        return Parts(large[0].softmax(0).cpu().numpy())

    @torch.inference_mode()
    def _look(self, crop_code: Array) -> tuple[Tensor, Tensor]:
        picture = np.clip(crop_code, 0, 1).astype(np.float32)
        if len(picture) != self.size:
            way = cv2.INTER_AREA if len(picture) > self.size else cv2.INTER_LINEAR
            picture = cv2.resize(picture, (self.size, self.size), interpolation=way)
        device = next(self.network.parameters()).device
        crop = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].to(device)
        heat, scores = self.network(crop * 2 - 1)
        return heat, scores
