"""A run's connection to whoever watches it: events out, cancel in. One per process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stit_vfx.errors import CancelledError, StitError
from stit_vfx.events import CAPS, Cancel, EndStatus, Reporter, listen
from stit_vfx.options import EventFormat

_current: Session | None = None


@dataclass
class Session:
    """`logs`: folder for the log of an unforeseen error, if it exists by then."""

    reporter: Reporter
    cancel: Cancel
    logs: Path | None = None

    def finish(self, exit_status: int) -> None:
        """Say that the run has come to its end by itself."""
        ends: dict[int, EndStatus] = {0: "ok", 5: "partial"}
        self.reporter.end(ends.get(exit_status, "failed"), exit_status)

    def fail(self, error: StitError) -> None:
        """Say why the run ends."""
        if isinstance(error, CancelledError):
            reason = self.cancel.reason or "sigint"
            self.reporter.log("info", error.problem, code=error.code)
            self.reporter.end("cancelled", error.exit_status, reason=reason)
            return
        self.reporter.error(error)
        self.reporter.end("failed", error.exit_status)


def current() -> Session | None:
    """The session that was opened, if one was."""
    return _current


def open_session(
    form: EventFormat,
    *,
    job: str | None,
    device: str = "auto",
    control: str = "none",
    heartbeat_s: float | None = None,
) -> Session:
    """Take stdout if the format needs it, say hello, and listen for cancel.

    Comes before anything slow: a host gives up on an engine that is silent for a second.
    """
    global _current
    cancel = Cancel()
    reporter = Reporter(form, cancel=cancel).__enter__()
    _current = Session(reporter, cancel)
    caps = (*CAPS, "cancel") if control == "stdin" else CAPS
    reporter.hello(job=job, device=device, caps=caps)
    listen(cancel, control=control)
    reporter.watch(heartbeat_s)
    return _current
