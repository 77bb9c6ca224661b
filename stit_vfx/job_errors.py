"""What is wrong with a job, in a user's words: where, what, and the setting that was meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stit_vfx.errors import FrameRangeError, JobFieldError, StitError

Sections = Mapping[object, type[BaseModel]]


def job_error(error: ValidationError, sections: Sections, where: str | Path | None) -> StitError:
    """The first problem, by its path in the job, and how many more there are.

    `sections` names the job's own schema (None) and those of its parts, for what may be said there instead.
    """
    details = error.errors(include_url=False)
    # A list that lost a bad item is also reported as too short; only the item is the user's doing.
    depths = [detail["loc"] for detail in details]
    details = [d for d in details if not any(loc[: len(d["loc"])] == d["loc"] != loc for loc in depths)]
    first = details[0]
    field, context = _field(first["loc"]), first.get("ctx", {})
    problem, hint = _words(first, sections)
    if len(details) > 1:
        problem += f" (and {len(details) - 1} more)"
    kind = FrameRangeError if first["type"] == "stit_frames" else JobFieldError
    text = f"{field}: {problem}" if field else problem
    return kind(text, where=where, hint=hint or context.get("hint") or None)


def _field(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        if part != "[key]":
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _words(detail: ErrorDetails, sections: Sections) -> tuple[str, str]:
    """What is wrong, in a user's words, and what to do."""
    kind, loc = detail["type"], detail["loc"]
    if kind == "extra_forbidden":
        known = _known_keys(loc[0] if len(loc) > 1 else None, sections)
        close = get_close_matches(str(loc[-1]), known, n=1, cutoff=0.6)
        hint = f'Did you mean "{close[0]}"' if close else f"Known: {', '.join(known)}"
        return "is not a setting", hint
    if kind == "missing":
        return "is missing", ""
    if kind == "json_invalid":
        return "a text is not valid Unicode", "Write it in UTF-8"
    message = re.sub(r"^(Input|Tuple|Dictionary|String) should", "should", detail["msg"])
    message = message.replace(" after validation", "")
    given = repr(detail["input"])
    return (message if kind.startswith("stit") or len(given) > 60 else f"{message}, not {given}"), ""


def _known_keys(section: int | str | None, sections: Sections) -> list[str]:
    return [field.alias or name for name, field in sections[section].model_fields.items()]
