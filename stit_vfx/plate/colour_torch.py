"""The code curve for tensors: differentiable, on any device, equal to `colour` to float32."""

from __future__ import annotations

import torch
from torch import Tensor

from stit_vfx.plate.colour import KNEE_CODE, shoulder


def encode_torch(lin: Tensor) -> Tensor:
    """Linear Rec.709 -> code, as `colour.shoulder_encode`."""
    curve = shoulder()
    power = 1.055 * lin.clamp(0.0031308, curve.knee) ** (1 / 2.4) - 0.055
    below = torch.where(lin <= 0.0031308, 12.92 * lin, power)
    above = KNEE_CODE + curve.a * torch.log1p((lin - curve.knee).clamp_min(0) / curve.b)
    return torch.where(lin <= curve.knee, below, above)


def decode_torch(code: Tensor) -> Tensor:
    """Code -> linear Rec.709, as `colour.shoulder_decode`."""
    curve = shoulder()
    power = ((code.clamp(0.0404, KNEE_CODE) + 0.055) / 1.055) ** 2.4
    below = torch.where(code <= 12.92 * 0.0031308, code / 12.92, power)
    above = curve.knee + curve.b * torch.expm1((code - KNEE_CODE).clamp_min(0) / curve.a)
    return torch.where(code <= KNEE_CODE, below, above)
