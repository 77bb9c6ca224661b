"""JSON documents that others wrote: read with limits, and refused in words a user understands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stit_vfx.errors import JobError

MAX_BYTES = 4_000_000
MAX_DEPTH = 16


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises JobError."""
    return parse_document(_read(path), where=path)


def parse_document(text: str, *, where: str | Path | None = None) -> dict[str, Any]:
    """JSON text to a mapping; refuses what is too deep, given twice, or not JSON."""
    try:
        data = json.loads(text, object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise JobError(f"is not JSON: {error.msg} at {place}", where=where) from None
    except RecursionError:
        raise JobError(f"is nested deeper than {MAX_DEPTH} levels", where=where) from None
    except ValueError as error:
        raise JobError(f"is not usable JSON: {error}", where=where) from None
    if _depth(data) > MAX_DEPTH:
        raise JobError(f"is nested deeper than {MAX_DEPTH} levels", where=where)
    if not isinstance(data, dict):
        raise JobError("holds no JSON object", where=where, hint='A job starts {"schema": "stit.job/1", ...}')
    return data


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise JobError(f"is larger than {MAX_BYTES} bytes", where=path)
        return raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        problem = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error}"
        raise JobError(problem, where=path, hint="Check the path of the job file") from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} is given twice")
    return data


def _depth(data: Any) -> int:
    depth, level = 0, [data]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth
