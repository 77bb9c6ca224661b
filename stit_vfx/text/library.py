"""The one place that imports open_clip: two seconds and 150 MB, so only a text edit does."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from types import ModuleType

from stit_vfx.errors import MissingPartError

HINT = "Install open_clip_torch and torchvision as constraints.txt has them"
# torchvision declares some operators' shapes whether or not its compiled part could be loaded.
MAX_UNDECLARED = 8


@lru_cache(maxsize=1)
def open_clip() -> ModuleType:
    """The package open_clip. Raises MissingPartError if it is not installed, or does not start."""
    try:
        _import_torchvision()
        return importlib.import_module("open_clip")
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingPartError(f"open_clip does not start: {error}", hint=HINT) from None


def _import_torchvision() -> None:
    """torchvision, even one whose compiled part was built for another torch.

    Such a one stops at the first operator that its compiled part would have brought. open_clip only takes
    Python classes from it, so the operators are declared by name, without anything behind them.
    """
    for _ in range(MAX_UNDECLARED):
        try:
            importlib.import_module("torchvision")
            return
        except RuntimeError as error:
            name = re.fullmatch(r"operator torchvision::(\w+) does not exist", str(error))
            if name is None:
                raise
            _declare(name[1])


def _declare(operator: str) -> None:
    import torch

    operators = torch.library.Library("torchvision", "FRAGMENT")
    operators.define(f"{operator}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    _DECLARED.append(operators)


# A library of operators that is collected takes its declarations with it.
_DECLARED: list[object] = []
