"""Bytes from a pipe, as lines and as events. Nothing that an engine can send makes this raise or grow."""

from __future__ import annotations

import json
from typing import Any, Iterator, List, Mapping

# The protocol allows 16 384 bytes; anything up to here is still read, in case a later version allows more.
MAX_LINE_BYTES = 1 << 20


class Event(Mapping[str, Any]):
    """One event of the engine: `event.kind` is its `ev`; `event["frame"]` or `event.get("frame")` one."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)
        self.kind: str = self._fields["ev"]

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return "Event({!r})".format(self._fields)


class LineSplitter:
    """Cuts a stream of bytes into lines; keeps at most `limit` bytes of one. `cut` counts the lines cut."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._parts: List[bytes] = []
        self._held = 0
        self._skipping = False
        self.cut = 0

    def feed(self, data: bytes) -> List[bytes]:
        """The lines that are complete now, without their ends."""
        *ended, rest = data.split(b"\n")
        lines = []
        for piece in ended:
            self._hold(piece)
            lines.append(self._take())
        self._hold(rest)
        return lines

    def rest(self) -> bytes:
        """What came after the last line end: a line that was never finished."""
        return self._take()

    def _hold(self, piece: bytes) -> None:
        room = self._limit - self._held
        if len(piece) > room and not self._skipping:
            self._skipping = True
            self.cut += 1
        piece = piece[:room]
        if piece:
            self._parts.append(piece)
            self._held += len(piece)

    def _take(self) -> bytes:
        line = b"".join(self._parts).rstrip(b"\r")
        self._parts, self._held, self._skipping = [], 0, False
        return line


def parse_event(line: bytes) -> Event | None:
    """A line as an event; None if it is none: not UTF-8, not JSON, not an object, no name, NaN in it."""
    try:
        fields = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("ev"), str):
        return None
    return Event(fields)


def readable(line: bytes, limit: int = 2000) -> str:
    """Bytes for a person: anything that is no text is escaped, control characters are spaces."""
    text = line[:limit].decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else " " for letter in text).rstrip()


def _refuse(word: str) -> Any:
    raise ValueError(word)
