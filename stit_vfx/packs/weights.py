"""From safetensors to networks: every tensor there, of the right shape, and none too many."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stit_vfx.errors import PackDamagedError, PackFormatError

Network = TypeVar("Network", bound=nn.Module)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, as stored. Raises PackDamagedError if it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise PackDamagedError(f"cannot be read: {error}", where=path, hint="Copy the pack again") from None


def fill(network: Network, path: Path, *, device: str | torch.device = "cpu") -> Network:
    """The network with a file's weights, in single precision, to evaluate and without gradients.

    It may have been made on the `meta` device, which saves drawing millions of numbers to throw away.
    Raises PackFormatError naming the first tensor that is missing, left over or of another shape.
    """
    stored, wanted = read_tensors(path), network.state_dict()
    if missing := sorted(set(wanted) - set(stored)):
        raise PackFormatError(f"has no tensor {missing[0]}{_and_more(missing)}", where=path)
    if unknown := sorted(set(stored) - set(wanted)):
        raise PackFormatError(f"has a tensor that nothing uses, {unknown[0]}{_and_more(unknown)}", where=path)
    for name, tensor in stored.items():
        if tensor.shape != wanted[name].shape:
            shapes = f"{tuple(tensor.shape)} where {tuple(wanted[name].shape)} is expected"
            raise PackFormatError(f"tensor {name} is {shapes}", where=path)
    network.load_state_dict({name: t.to(wanted[name].dtype) for name, t in stored.items()}, assign=True)
    return network.to(device).eval().requires_grad_(False)


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
