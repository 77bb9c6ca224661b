"""Checks what a pickle built: only values that we hand out, no cycles, nothing endless."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from stit_vfx.errors import PackUnsafeError
from stit_vfx.packs.reading.machine import ONLY_WEIGHTS, title_of
from stit_vfx.packs.reading.values import StoredTensor, Stranger

DEEPEST = 100
# Shared values are counted as often as they are reached, so that whoever walks them comes to an end.
MOST_VALUES = 4_000_000
LEAVES = (type(None), bool, int, float, str, bytes, np.ndarray, StoredTensor)


def check_tree(root: Any) -> Any:
    """The root, if it can be walked by anyone without harm. Raises PackUnsafeError otherwise."""
    done: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()
    pending = [root]
    while pending:
        value = pending[-1]
        if _is_leaf(value) or id(value) in done:
            pending.pop()
        elif id(value) in open_:
            pending.pop()
            open_.discard(id(value))
            done[id(value)] = _measured(value, done)
        else:
            open_.add(id(value))
            children = [child for child in _children(value) if not _is_leaf(child)]
            if any(id(child) in open_ for child in children):
                raise PackUnsafeError(f"{title_of(value)} that contains itself", hint=ONLY_WEIGHTS)
            pending += children
    return root


def _is_leaf(value: Any) -> bool:
    return isinstance(value, LEAVES)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, Stranger):
        return (*value.args, value.state)
    if isinstance(value, list | tuple | set):
        return value
    raise PackUnsafeError(f"{title_of(value)} that is used for nothing", hint=ONLY_WEIGHTS)


def _measured(value: Any, done: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values are below, unfolded, and how deep they go."""
    below = [done.get(id(child), (1, 1)) for child in _children(value)]
    count, depth = 1 + sum(each[0] for each in below), 1 + max((each[1] for each in below), default=0)
    if depth > DEEPEST:
        raise PackUnsafeError(f"values more than {DEEPEST} deep in each other", hint=ONLY_WEIGHTS)
    if count > MOST_VALUES:
        raise PackUnsafeError(f"more than {MOST_VALUES} values", hint=ONLY_WEIGHTS)
    return count, depth
