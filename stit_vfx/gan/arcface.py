"""ArcFace: who a face is, as a unit vector.

Deng et al. 2019 on the IR-SE50 body; state-dict names of `model_ir_se50.pth`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from stit_vfx.gan.irse import Body, BodyConfig

INPUT_SIZE = 112
ROWS, COLUMNS = slice(35, 223), slice(32, 220)


class ArcFace(Body):
    """`embedding` numbers per face; 512 in the published network."""

    def __init__(self, config: BodyConfig | None = None, *, embedding: int = 512) -> None:
        config = config or BodyConfig()
        super().__init__(config)
        self.last = config.last_unit(3)
        channels, side = config.widths[3], INPUT_SIZE // 16
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(channels * side * side, embedding),
            nn.BatchNorm1d(embedding),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Faces (N, 3, 112, 112) in [-1, 1] to unit vectors (N, 512)."""
        (features,) = self.taps(x, [self.last])
        return F.normalize(self.output_layer(features))

    def embed(self, crops: Tensor) -> Tensor:
        """Aligned crops (N, 3, H, W) in [-1, 1], of any size, to unit vectors (N, 512)."""
        return self(face_part(crops))


def face_part(crops: Tensor) -> Tensor:
    """The middle of an aligned crop, which is what the network was trained on, at 112 px."""
    if crops.shape[-1] != 256:
        crops = F.interpolate(crops, (256, 256), mode="bilinear", antialias=True)
    return F.adaptive_avg_pool2d(crops[:, :, ROWS, COLUMNS], INPUT_SIZE)
