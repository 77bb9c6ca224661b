"""The adversarial stage: a small network that tells drawn faces from generated ones, patch by patch.

Goodfellow et al., "Generative Adversarial Nets", 2014, with the non-saturating loss; patches as in Isola et
al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017; the penalty on gradients of
Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, every few steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stit_vfx.training.loss import pixel_weights

_WIDTHS = (24, 48, 96)
_RATE = 1e-3
_PENALTY = 10.0
_PENALTY_EVERY = 8


class Critic(nn.Module):
    """Pictures (N, 3, R, R) in [-1, 1] and maps (N, C, R, R) to a grid (N, 1, R/8, R/8), above 0 for drawn.

    A cell sees 38 px of the picture.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3 + maps
        for width in _WIDTHS:
            layers += [nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            inputs = width
        layers += [nn.Conv2d(inputs, inputs, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(inputs, 1, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, picture: Tensor, maps: Tensor) -> Tensor:
        grid: Tensor = self.layers(torch.cat([picture, maps], 1))
        return grid


class Contest:
    """A critic and its optimiser, which learn while the generator does."""

    def __init__(self, maps: int) -> None:
        self.critic = Critic(maps).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.adam = torch.optim.AdamW(self.critic.parameters(), lr=_RATE, betas=(0.0, 0.99), weight_decay=0.0)

    def pull(self, picture: Tensor, maps: Tensor, loss: Tensor, *, share: float) -> Tensor:
        """The gradient of a loss on generated pictures, and towards what the critic takes for drawn.

        The critic's part has `share` of the length of the other, as in Esser et al., "Taming Transformers for
        High-Resolution Image Synthesis", 2021: it sharpens, and what is painted stays the loss's concern.
        """
        (towards,) = torch.autograd.grad(loss, picture)
        doubt = _mean(F.softplus(-self.critic(picture, maps)), maps)
        (sharper,) = torch.autograd.grad(doubt, picture)
        return towards + share * towards.norm() / sharper.norm().clamp_min(1e-12) * sharper

    def learn(self, picture: Tensor, target: Tensor, maps: Tensor, step: int) -> None:
        """One step of the critic on generated pictures and the drawn ones that they should be."""
        penalised = step % _PENALTY_EVERY == 0
        target = target.detach().requires_grad_(penalised)
        drawn = self.critic(target, maps)
        loss = _mean(F.softplus(-drawn) + F.softplus(self.critic(picture, maps)), maps)
        if penalised:
            (slope,) = torch.autograd.grad(drawn.mean((1, 2, 3)).sum(), target, create_graph=True)
            loss = loss + _PENALTY * _PENALTY_EVERY / 2 * slope.square().sum((1, 2, 3)).mean()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()

    def state_dict(self) -> dict[str, Any]:
        return {"critic": self.critic.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.critic.load_state_dict(state["critic"])
        self.adam.load_state_dict(state["adam"])


def _mean(grid: Tensor, maps: Tensor) -> Tensor:
    """Weighted mean of a grid over the faces: eyes and mouth count three times as much as skin."""
    weights = F.avg_pool2d(pixel_weights(maps) - 1, maps.shape[3] // grid.shape[3])
    return (grid * weights).sum() / weights.sum().clamp_min(1)
