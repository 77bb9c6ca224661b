"""The shape network: from a chart point to where the skin is there, and how every code moves it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stit_vfx.errors import PackDamagedError, PackFormatError
from stit_vfx.shape.chart import AZIMUTH_DEG

IDENTITY = 40
FORMAT = "stit.shape/1"
_BANDS = (
    (3.0, 32),
    (8.0, 64),
    (20.0, 64),
)  # radians per 78 degrees, features: a lid is about 1.5 degrees high


class ShapeNetwork(nn.Module):
    """Fourier-feature MLP (Tancik et al. 2020). Chart points (N, 2) in degrees -> (N, 1 + 40 + E, 3)
    centimetres: neutral position, identity modes, expression modes. Also holds 68 landmarks as chart points.

    `scale` brings each mode to unit size for the optimiser; `bands` are the fixed random frequencies.
    """

    def __init__(self, expressions: tuple[str, ...], *, width: int = 320, seed: int = 0) -> None:
        super().__init__()
        self.expressions = expressions
        modes = 1 + IDENTITY + len(expressions)
        generator = torch.Generator().manual_seed(seed)
        bands = [sigma * torch.randn(2, count, generator=generator) for sigma, count in _BANDS]
        self.register_buffer("bands", torch.cat(bands, 1))
        self.register_buffer("scale", torch.ones(modes))
        self.landmarks = nn.Parameter(torch.zeros(68, 2))
        inputs = 2 + 2 * sum(count for _, count in _BANDS)
        sizes = [inputs, width, width, width]
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
        self.body = nn.Sequential(*hidden, nn.Linear(width, modes * 3))

    bands: Tensor
    scale: Tensor

    def forward(self, chart_deg: Tensor) -> Tensor:
        x = chart_deg / AZIMUTH_DEG
        phase = x @ self.bands
        out = self.body(torch.cat([x, phase.sin(), phase.cos()], 1))
        return out.reshape(len(x), -1, 3) * self.scale[:, None]


def save_network(network: ShapeNetwork, path: Path) -> None:
    """Half-precision safetensors; the expressions' names travel in its metadata."""
    exact = (
        "landmarks",
        "bands",
    )  # half precision here would shift the whole face by a fraction of a millimetre
    full = {k: v.detach().contiguous() for k, v in network.state_dict().items()}
    state = {k: v if k in exact else v.half() for k, v in full.items()}
    meta = {"format": FORMAT, "expressions": ",".join(network.expressions)}
    save_file(state, str(path), metadata=meta)


def load_network(path: Path) -> ShapeNetwork:
    """Raises PackDamagedError (not readable) and PackFormatError (readable, but not a shape network)."""
    try:
        with safe_open(str(path), framework="pt") as file:
            meta = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise PackDamagedError(f"cannot read the shape network: {error}", where=path) from error
    if meta.get("format") != FORMAT:
        raise PackFormatError(f"expected format {FORMAT}, found {meta.get('format')}", where=path)
    network = ShapeNetwork(tuple(meta["expressions"].split(",")))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise PackFormatError(f"weights do not fit the shape network: {error}", where=path) from error
    return network.eval().requires_grad_(False)


@torch.no_grad()
def evaluate(network: ShapeNetwork, chart_deg: np.ndarray) -> np.ndarray:
    """(V, 2) degrees -> (1 + 40 + E, V, 3) float32 centimetres."""
    out = network(torch.from_numpy(np.ascontiguousarray(chart_deg, np.float32)))
    return np.ascontiguousarray(out.permute(1, 0, 2).numpy())
