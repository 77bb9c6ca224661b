"""What can go wrong between a host and its engine, as text for a dialog.

The engine's own errors keep their codes (STIT-Ennn). What only the host's side can see has codes of its own:

    STIT-H101   no engine was found
    STIT-H102   the engine cannot be started
    STIT-H103   what was started is no engine, or ended before it said hello
    STIT-H104   the engine speaks another major version of the protocol
    STIT-H105   the engine ended without saying so: a crash
    STIT-H106   the engine says it is done, but what was asked for is not there
    STIT-H107   the engine contradicts itself: "done" with a failing exit status
    STIT-H108   the engine does not answer in time
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Mapping, Sequence

_TITLES = {
    "E1": "The job cannot be run",
    "E2": "A model pack is missing or damaged",
    "E3": "The plate or the face cannot be used",
    "E45": "Worth trying again",
    "E46": "Some frames were left as they are",
    "E47": "Cancelled",
    "E4": "This machine cannot run the job",
    "E5": "A bug in the engine",
    "H": "The engine",
}


@dataclass(frozen=True)
class Trouble:
    """An error in four parts: where (file and frame), what is wrong, what to do, and a code.

    `log`: the engine's last lines, which a dialog hides behind "details". `exit_status`: what a batch run of
    the host should end with.
    """

    code: str
    what: str
    where: str | None = None
    frame: int | None = None
    hint: str | None = None
    log: Sequence[str] = ()
    exit_status: int = 1

    @property
    def title(self) -> str:
        """A few words for the dialog's frame."""
        kind = self.code.replace("STIT-", "")
        return next((text for start, text in _TITLES.items() if kind.startswith(start)), "The engine")

    @property
    def place(self) -> str:
        """File and frame, as far as they are known."""
        parts = [self.where or "", "" if self.frame is None else "frame {}".format(self.frame)]
        return ", ".join(part for part in parts if part)

    @property
    def text(self) -> str:
        """One line, as the engine prints it: where, what, what to do, code."""
        hint = " {}".format(_sentence(self.hint)) if self.hint else ""
        line = "{}{}{}".format(self.place + ": " if self.place else "", _sentence(self.what), hint)
        return "{} ({})".format(" ".join(line.split()), self.code)

    def dialog(self, *, log_lines: int = 0) -> str:
        """Several lines for a dialog: what, where, what to do, code, and so many lines of the log."""
        what = _sentence(self.what)
        parts = [
            what[:1].upper() + what[1:],
            self.place,
            _sentence(self.hint) if self.hint else "",
            self.code,
        ]
        if log_lines and self.log:
            parts.append("Last lines of the engine:\n" + "\n".join(list(self.log)[-log_lines:]))
        return "\n\n".join(part for part in parts if part)

    def with_log(self, lines: Sequence[str]) -> Trouble:
        """The same with the engine's last lines."""
        return replace(self, log=tuple(lines))

    def __str__(self) -> str:
        return self.text


class EngineError(Exception):
    """The engine cannot be used. `trouble` has the text for a dialog; str() is one line."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble

    def dialog(self) -> str:
        """Text for a dialog, with the engine's last lines if it said any."""
        return self.trouble.dialog(log_lines=8)


class EngineMissing(EngineError):
    """There is no engine, or it cannot be started."""


class EngineUnfit(EngineError):
    """What was started does not speak our protocol, or does not answer."""


def from_event(event: Mapping[str, Any], exit_status: int) -> Trouble:
    """An engine's `error` event. Parts of the wrong type are left out: the engine may be broken."""
    frame = event.get("frame")
    return Trouble(
        code=_word(event.get("code")) or "STIT-E500",
        what=_word(event.get("msg")) or _word(event.get("text")) or "the engine failed and did not say why",
        where=_word(event.get("where")),
        frame=frame if isinstance(frame, int) and not isinstance(frame, bool) else None,
        hint=_word(event.get("hint")),
        exit_status=exit_status,
    )


def status_of(code: str) -> int:
    """Exit status that belongs to an error code, as in `stit_vfx/errors.py`."""
    special = {"STIT-E450": 75, "STIT-E460": 5, "STIT-E470": 130}
    match = re.match(r"STIT-E([1-5])\d\d$", code)
    return special.get(code) or {"1": 2, "2": 4, "3": 3, "4": 4}.get(match.group(1) if match else "", 1)


def _word(value: Any) -> str | None:
    return value.strip()[:2000] or None if isinstance(value, str) else None


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "?", "!", ":")) else text + "."
