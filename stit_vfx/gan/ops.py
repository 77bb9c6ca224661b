"""The few tensor operations that the networks share.

Plain torch on any device; nothing is compiled at run time. Filters follow "Analyzing and Improving the Image
Quality of StyleGAN" (Karras et al. 2020), appendix B. Tensors are (N, C, H, W); on the processor the
convolutions run several times faster when `x` is channels_last, which every function here keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQRT2 = float(np.sqrt(2.0))


def make_filter(taps: Sequence[float] = (1.0, 3.0, 3.0, 1.0)) -> Tensor:
    """Separable (k, k) low-pass from its taps, scaled to sum 1."""
    # Not torch's arithmetic: on the meta device its first product or quotient imports a compiler, 1.2 s.
    line = np.asarray(taps, np.float32)
    plane = np.outer(line, line)
    return torch.tensor((plane / plane.sum()).tolist(), dtype=torch.float32)


def upfirdn2d(
    x: Tensor,
    taps: Tensor | None,
    *,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: int | Sequence[int] = 0,
    flip: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad, filter, keep every `down`-th sample.

    `taps` is (kh, kw), (k,) applied along both axes, or None. `up` and `down` are one number or (x, y);
    `padding` is one number, (x, y) or (left, right, top, bottom), and a negative one crops. The filter is a
    true convolution; `flip=True` makes it a correlation. `gain` multiplies the result.
    """
    x = _insert_zeros(x, _pair(up))
    x = F.pad(x, _sides(padding))
    for kernel in _kernels(taps, flip):
        x = _filter(x, kernel.to(x.dtype))
    down_x, down_y = _pair(down)
    x = x[:, :, ::down_y, ::down_x]
    return x * gain if gain != 1.0 else x


def upsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Twice the size, each sample spread by `taps` (sum 1), brightness kept."""
    k = taps.shape[-1]
    before, after = (k + 1) // 2, (k - 2) // 2
    tall = taps.shape[0]
    above, below = (tall + 1) // 2, (tall - 2) // 2
    return upfirdn2d(x, taps, up=2, padding=(before, after, above, below), gain=4.0)


def conv_up2(x: Tensor, weight: Tensor, taps: Tensor) -> Tensor:
    """Convolve the zero-inserted `x` with `weight` (O, I, k, k) and low-pass: (N, I, H, W) -> (N, O, 2H, 2W).

    The stored kernel acts as a true convolution, unlike in layers that keep the size. A stride-2 transposed
    convolution never touches the inserted zeros, which saves three quarters of the multiplications.
    """
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    pad = (taps.shape[-1] + 1 - weight.shape[-1]) // 2
    return upfirdn2d(x, taps, padding=pad, gain=4.0)


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    up_taps: Tensor | None = None,
) -> Tensor:
    """Convolution with its kernel scaled per sample and input channel by `styles` (N, I) (eq. 1-3).

    Input channels are scaled before and output channels after one shared convolution, which equals scaling
    the kernel per sample (to 6e-6 over a generator) and needs no grouped convolution. With `up_taps` the
    result is twice the size. In half precision the kernel and styles are first scaled to at most 1, so that
    their product stays finite; demodulation takes the scale out again.
    """
    if demodulate and x.dtype == torch.float16:
        weight = weight * (weight[0].numel() ** -0.5 / weight.abs().amax((1, 2, 3), keepdim=True))
        styles = styles / styles.abs().amax(1, keepdim=True)
    y = x * styles.to(x.dtype)[:, :, None, None]
    kernel = weight.to(x.dtype)
    if up_taps is None:
        y = F.conv2d(y, kernel, padding=weight.shape[-1] // 2)
    else:
        y = conv_up2(y, kernel, up_taps)
    if not demodulate:
        return y
    power = styles.square() @ weight.square().sum((2, 3)).T
    return y * torch.rsqrt(power + 1e-8).to(y.dtype)[:, :, None, None]


def normalise_2nd_moment(x: Tensor) -> Tensor:
    """Each row to mean square 1."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


@dataclass(frozen=True)
class Activation:
    """A pointwise function, the gain that keeps its variance, and its slope parameter if it has one."""

    function: Callable[[Tensor, float], Tensor]
    gain: float = 1.0
    alpha: float = 0.0


ACTIVATIONS = {
    "linear": Activation(lambda x, alpha: x),
    "relu": Activation(lambda x, alpha: F.relu(x), SQRT2),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), SQRT2, 0.2),
    "tanh": Activation(lambda x, alpha: torch.tanh(x)),
    "sigmoid": Activation(lambda x, alpha: torch.sigmoid(x)),
    "elu": Activation(lambda x, alpha: F.elu(x)),
    "selu": Activation(lambda x, alpha: F.selu(x)),
    "softplus": Activation(lambda x, alpha: F.softplus(x)),
    "swish": Activation(lambda x, alpha: torch.sigmoid(x) * x, SQRT2),
}


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    *,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Add `bias` over axis 1, apply `act`, multiply by its gain, limit to +-`clamp`."""
    kind = ACTIVATIONS[act]
    if bias is not None:
        x = x + bias.to(x.dtype).view([1, -1] + [1] * (x.ndim - 2))
    x = kind.function(x, kind.alpha if alpha is None else alpha)
    gain = kind.gain if gain is None else gain
    x = x * gain if gain != 1.0 else x
    return x if clamp is None else x.clamp(-clamp, clamp)


class FullyConnected(nn.Module):
    """Linear layer with its weight scaled at run time, so that every layer learns at one rate.

    Names `weight` (out, in) and `bias` (out,) are those of published checkpoints.
    """

    def __init__(
        self, inputs: int, outputs: int, *, act: str = "linear", lr: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.act, self.lr = act, lr
        self.weight = nn.Parameter(torch.randn(outputs, inputs).div_(lr))
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr))

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight * (self.lr * self.weight.shape[1] ** -0.5), self.bias * self.lr)
        return bias_act(y, act=self.act)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _sides(padding: int | Sequence[int]) -> list[int]:
    if isinstance(padding, int):
        return [padding] * 4
    if len(padding) == 2:
        return [padding[0], padding[0], padding[1], padding[1]]
    return list(padding)


def _insert_zeros(x: Tensor, up: tuple[int, int]) -> Tensor:
    up_x, up_y = up
    if up_x == up_y == 1:
        return x
    n, c, h, w = x.shape
    y = x.new_zeros(n, c, h * up_y, w * up_x)
    y[:, :, ::up_y, ::up_x] = x
    return y


def _kernels(taps: Tensor | None, flip: bool) -> list[Tensor]:
    """The filter as one or two correlation kernels (kh, kw)."""
    if taps is None:
        return []
    planes = [taps] if taps.ndim == 2 else [taps[None, :], taps[:, None]]
    return planes if flip else [plane.flip((0, 1)) for plane in planes]


def _filter(x: Tensor, kernel: Tensor) -> Tensor:
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, *kernel.shape).contiguous(), groups=channels)
