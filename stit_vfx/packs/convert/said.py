"""Settings as files say them: a file from the web may have anything where a number is expected."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from stit_vfx.errors import PackSourceError

LARGEST = 1e9


def number(value: Any, default: float, *, name: str, path: Path) -> float:
    """A finite number from 0 up; `default` for None. Raises PackSourceError naming the setting."""
    if value is None:
        return default
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if isinstance(value, int | float) and isfinite(value) and 0 <= value <= LARGEST:
        return float(value)
    raise PackSourceError(f"{name} is {_shown(value)} where a number is expected", where=path)


def positive(value: Any, default: float, *, name: str, path: Path) -> float:
    """The same, above 0."""
    found = number(value, default, name=name, path=path)
    if not found:
        raise PackSourceError(f"{name} is 0 where more is expected", where=path)
    return found


def word(value: Any, default: str, *, name: str, path: Path) -> str:
    """A word; `default` for None. Raises PackSourceError naming the setting."""
    if value is None:
        return default
    if isinstance(value, str) and len(value) < 100:
        return value
    raise PackSourceError(f"{name} is {_shown(value)} where a word is expected", where=path)


def flag(value: Any) -> bool:
    """Whether something is said to be so, in whatever kind of true and false."""
    return isinstance(value, bool | int | np.bool_) and bool(value)


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, or an empty one in the place of anything else."""
    return value if isinstance(value, Mapping) else {}


def _shown(value: Any) -> str:
    return (
        repr(value) if isinstance(value, int | float | str) and len(repr(value)) < 40 else f"a {_kind(value)}"
    )


def _kind(value: Any) -> str:
    return type(value).__name__
