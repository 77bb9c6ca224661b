"""Where in a brought file the tensors are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from stit_vfx.packs.convert.weight import Weight
from stit_vfx.packs.reading import ModelFile, StoredTensor, Stranger, module_tensors

State = dict[str, Weight]
DEPTH = 3
WRAPPER = "module."


def states(file: ModelFile) -> dict[str, State]:
    """Flat mappings of names to tensors in the file, by the place that they were found at.

    The file itself is place "", its entry `g_ema` is place "g_ema", and so on, three levels deep. Names lose
    the `module.` that training on several devices puts before them.
    """
    if isinstance(file.root, Stranger) and file.container == "torchscript":
        return {"": _unwrapped(_weights(module_tensors(file.root)))}
    return dict(_states(file.root, "", DEPTH))


def _states(root: Any, place: str, depth: int) -> Iterator[tuple[str, State]]:
    if not isinstance(root, Mapping):
        return
    if own := _weights(root):
        yield place, _unwrapped(own)
    if depth:
        for key, value in root.items():
            if isinstance(key, str):
                yield from _states(value, f"{place}.{key}" if place else key, depth - 1)


def is_tensor(value: Any) -> bool:
    """A leaf with numbers."""
    return isinstance(value, StoredTensor | np.ndarray)


def _weights(mapping: Mapping[Any, Any]) -> State:
    return {
        key: Weight.of(key, each) for key, each in mapping.items() if isinstance(key, str) and is_tensor(each)
    }


def _unwrapped(state: State) -> State:
    while state and all(name.startswith(WRAPPER) for name in state):
        state = {name.removeprefix(WRAPPER): weight for name, weight in state.items()}
    return state


def below(prefix: str, state: Mapping[str, Weight]) -> State:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}


def fields(value: Any) -> dict[str, Any]:
    """Options as a plain dict, whether they were saved as one or as argparse's Namespace."""
    if isinstance(value, Stranger) and isinstance(value.state, Mapping):
        value = value.state
    return {str(key): each for key, each in value.items()} if isinstance(value, Mapping) else {}
