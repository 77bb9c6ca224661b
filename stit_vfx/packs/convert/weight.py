"""Tensors on their way from a brought file to a pack: known by shape, read when their turn comes.

So a file of gigabytes costs the memory of its largest tensor, and a key that is missing is told before
anything is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stit_vfx.errors import PackSourceError

Shape = tuple[int, ...]
# What a pack keeps as it is; all other floating-point numbers become single precision.
KEPT = (torch.float16, torch.bfloat16, torch.float32)
COUNTER = "num_batches_tracked"


@dataclass(frozen=True, eq=False)
class Weight:
    """One tensor. `label` is its name in the file that it comes from, for errors."""

    label: str
    shape: Shape
    dtype: torch.dtype
    make: Callable[[], Tensor]

    @classmethod
    def of(cls, label: str, stored: Any) -> Weight:
        """From a tensor, an array, or an object with `dtype`, `shape` and `read()`."""
        if isinstance(stored, np.ndarray):
            stored = torch.from_numpy(np.ascontiguousarray(stored).reshape(stored.shape))
        if isinstance(stored, Tensor):
            return cls(label, tuple(stored.shape), stored.dtype, lambda: stored)
        return cls(label, tuple(stored.shape), stored.dtype, stored.read)

    @property
    def stored_dtype(self) -> torch.dtype:
        """What the pack will hold."""
        if self.dtype in KEPT or not self.dtype.is_floating_point:
            return self.dtype
        return torch.float32

    def read(self) -> Tensor:
        """The numbers, contiguous, in `stored_dtype`."""
        return self.make().detach().to(self.stored_dtype).contiguous()

    def then(self, change: Callable[[Tensor], Tensor]) -> Weight:
        """The same tensor after a change, which is carried out when it is read."""
        with torch.device("meta"):
            outcome = change(torch.empty(self.shape, dtype=self.dtype))
        return Weight(self.label, tuple(outcome.shape), outcome.dtype, lambda: change(self.make()))


def without_axes(*axes: int) -> Callable[[Weight], Weight]:
    """Drop axes of size 1; where one is larger the weight stays, and its shape tells."""

    def change(weight: Weight) -> Weight:
        if any(axis >= len(weight.shape) or weight.shape[axis] != 1 for axis in axes):
            return weight
        kept = [size for axis, size in enumerate(weight.shape) if axis not in axes]
        return weight.then(lambda tensor: tensor.reshape(kept))

    return change


def same(weight: Weight) -> Weight:
    """The weight as it is."""
    return weight


def constant(label: str, value: Tensor) -> Weight:
    """A tensor that the file does not have, but its network implies."""
    return Weight.of(label, value)


def shapes_of(weights: Mapping[str, Weight]) -> dict[str, Shape]:
    return {name: weight.shape for name, weight in weights.items()}


def fitted(
    weights: Mapping[str, Weight],
    wanted: Mapping[str, Shape],
    *,
    path: Path,
    what: str,
    spoken: Callable[[str], str] = str,
) -> dict[str, Weight]:
    """Exactly the tensors that a network needs, in its own order.

    what    the network in words, with its article
    spoken  from the network's name of a tensor to the file's
    Raises PackSourceError naming the first tensor that is missing, of another shape, of another kind or too
    many, and how many more there are. Counters of batches, which older files lack, are zero.
    """
    there = {**{name: _counter(name) for name in wanted if name.endswith(COUNTER)}, **weights}
    if missing := [spoken(name) for name in wanted if name not in there]:
        hint = "The file is not whole, or it is another network"
        raise PackSourceError(f"has no {_first(missing)}, which {what} needs", where=path, hint=hint)
    if unknown := [weight.label for name, weight in weights.items() if name not in wanted]:
        problem = f"has {_first(unknown)}, which {what} does not have"
        raise PackSourceError(problem, where=path, hint="It is a variant that is not read")
    _check_shapes(there, wanted, path)
    return {name: there[name] for name in wanted}


def _check_shapes(weights: Mapping[str, Weight], wanted: Mapping[str, Shape], path: Path) -> None:
    wrong = [
        f"{weights[name].label} is {_size(weights[name].shape)} where {_size(shape)} is expected"
        for name, shape in wanted.items()
        if weights[name].shape != shape
    ]
    wrong += [
        f"{weights[name].label} holds {str(weights[name].dtype).removeprefix('torch.')}, not real numbers"
        for name in wanted
        if not weights[name].dtype.is_floating_point and not name.endswith(COUNTER)
    ]
    if wrong:
        raise PackSourceError(_first(wrong), where=path)


def _counter(name: str) -> Weight:
    return constant(name, torch.zeros((), dtype=torch.int64))


def _first(problems: Iterable[str]) -> str:
    problems = list(problems)
    return problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


def _size(shape: Shape) -> str:
    return "x".join(str(size) for size in shape) or "one number"
