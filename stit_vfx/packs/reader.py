"""The network that reads crops, at work: landmarks and label mattes of one crop after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stit_vfx.gan.face_reader import FaceReader, ReaderConfig, places
from stit_vfx.packs.registry import HERE, check_files
from stit_vfx.packs.schema import PackSpec, Reader, read_spec
from stit_vfx.packs.weights import fill
from stit_vfx.shape.guided import to_edges
from stit_vfx.shape.parts import LABELS, Parts

Array = np.ndarray

_REMEMBERED = 8  # at 512 px 14 MB each


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
        self._known: dict[tuple[str, bytes], Parts] = {}
        self._lock = Lock()

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
        """What each pixel of a crop (S, S, 3), code 0..1, shows. The last few crops are remembered."""
        return self._remembered("parts", crop_code, self._parts)

    def parts_at_edges(self, crop_code: Array) -> Parts:
        """The same, brought to the crop's own edges (`shape.guided`)."""
        return self._remembered("edges", crop_code, lambda crop: to_edges(self.parts(crop), crop))

    def _remembered(self, kind: str, crop_code: Array, look: Callable[[Array], Parts]) -> Parts:
        # Frames are computed side by side, and each asks for its own crop a few times.
        key = (kind, sha256(np.ascontiguousarray(crop_code).data).digest())
        known = self._known.get(key)
        if known is None:
            known = look(crop_code)
            known.shares.flags.writeable = False
            with self._lock:
                self._known[key] = known
                while len(self._known) > _REMEMBERED:
                    del self._known[next(iter(self._known))]
        return known

    def _parts(self, crop_code: Array) -> Parts:
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
