"""One spelling for one meaning: the JSON text that content keys and check sums are made of."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(data: Any) -> str:
    """Sorted keys, no spaces, ASCII, no NaN: the text that keys and sums are made of."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_data(data: Any) -> Any:
    """Plain JSON types: tuples become lists, frame keys become text."""
    return json.loads(canonical_json(data))
