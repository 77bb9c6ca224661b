"""What an engine has told so far, and the verdict when it is gone. No processes and no threads in here.

The engine may be broken: every field is checked before it is believed, times are the host's own, and a
fraction never runs backwards.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from .lines import Event
from .processes import how_it_ended
from .trouble import Trouble, from_event, status_of

PROTOCOL_MAJOR = 1
MAX_KEPT = 200

Version = Tuple[int, int]


class Progress(NamedTuple):
    """How far a run is. `fraction` is of the whole run, 0..1; `eta_s` None: not known yet."""

    fraction: float = 0.0
    step: str = ""
    frame: int | None = None
    eta_s: float | None = None
    done: int = 0
    total: int = 0


class Notice(NamedTuple):
    """Something an artist should read: a warning of the engine, or an error that did not end the run."""

    code: str
    text: str
    frame: int | None = None


@dataclass(frozen=True)
class Verdict:
    """How a run ended: done, failed, cancelled or crashed; `exit_status` as `stit run` has them."""

    state: str
    exit_status: int
    trouble: Trouble | None = None
    partial: bool = False


class Story:
    """Takes events in; knows the progress, the frames, the outputs and what went wrong."""

    def __init__(self) -> None:
        self.hello: Event | None = None
        self.protocol: Version | None = None
        self.end: Event | None = None
        self.result: Event | None = None
        self.progress = Progress()
        self.progress_at_s = -math.inf
        self.frames: Dict[int, str] = {}
        self.notices: List[Notice] = []
        self.doing = ""
        self.lost = 0
        self._last_seq: int | None = None
        self._fatal: Event | None = None
        self._error: Event | None = None

    @property
    def refused(self) -> bool:
        """The engine said hello in a protocol that is not ours: nothing more of it is believed."""
        return self.hello is not None and (self.protocol is None or self.protocol[0] != PROTOCOL_MAJOR)

    def take(self, event: Event, now_s: float) -> None:
        """Believe an event, as far as it makes sense. `now_s`: the host's clock, not the engine's."""
        self._count(event)
        if event.kind == "hello" and self.hello is None:
            self.hello = event
            self.protocol = protocol_of(event.get("proto"))
        if self.refused or self.end is not None:
            return
        reader = getattr(self, "_take_{}".format(event.kind), None) if event.kind in _READ else None
        if reader is not None:
            reader(event, now_s)

    def _count(self, event: Event) -> None:
        seq = whole(event.get("seq"))
        if seq is None:
            return
        if self._last_seq is not None and seq > self._last_seq + 1:
            self.lost += seq - self._last_seq - 1
        self._last_seq = seq

    def _take_stage(self, event: Event, _now_s: float) -> None:
        self.doing = _text(event.get("stage"))
        self.progress = self.progress._replace(step=self.doing, frame=None, done=0, total=0)

    def _take_progress(self, event: Event, now_s: float) -> None:
        fraction = number(event.get("frac"))
        eta_s = number(event.get("eta_s"))
        before = self.progress.fraction
        self.progress = Progress(
            fraction=before if fraction is None else max(before, min(max(fraction, 0.0), 1.0)),
            step=_text(event.get("stage")) or self.progress.step,
            frame=whole(event.get("frame")),
            eta_s=eta_s if eta_s is not None and eta_s >= 0 else None,
            done=max(whole(event.get("done")) or 0, 0),
            total=max(whole(event.get("total")) or 0, 0),
        )
        self.progress_at_s = now_s
        self.doing = self.progress.step

    def _take_frame(self, event: Event, _now_s: float) -> None:
        frame = whole(event.get("frame"))
        if frame is not None:
            self.frames[frame] = _text(event.get("status"))

    def _take_log(self, event: Event, _now_s: float) -> None:
        if event.get("level") in ("warning", "error") and len(self.notices) < MAX_KEPT:
            text = _text(event.get("msg"))
            self.notices.append(Notice(_text(event.get("code")), text, whole(event.get("frame"))))

    def _take_heartbeat(self, event: Event, _now_s: float) -> None:
        self.doing = _text(event.get("what")) or self.doing

    def _take_error(self, event: Event, _now_s: float) -> None:
        self._error = event
        # An error is fatal unless it says that it is not.
        if event.get("fatal") is not False:
            self._fatal = event
        elif len(self.notices) < MAX_KEPT:
            told = from_event(event, 0)
            self.notices.append(Notice(told.code, told.text, told.frame))

    def _take_result(self, event: Event, _now_s: float) -> None:
        self.result = event

    def _take_end(self, event: Event, _now_s: float) -> None:
        self.end = event
        if event.get("status") in ("ok", "partial"):
            self.progress = self.progress._replace(fraction=1.0, eta_s=0.0)

    @property
    def outputs(self) -> List[Dict[str, Any]]:
        """The sequences that the result names: {kind, path, frames, colorspace}."""
        named = self.result.get("outputs") if self.result is not None else None
        return [
            dict(output)
            for output in (named if isinstance(named, list) else [])
            if isinstance(output, dict)
            and isinstance(output.get("kind"), str)
            and isinstance(output.get("path"), str)
        ]

    def verdict(
        self,
        returncode: int | None,
        *,
        stopped: bool,
        expects: Sequence[str] = (),
        is_there: Callable[[str], bool] = lambda _path: True,
    ) -> Verdict:
        """How the run ended. `stopped`: we asked it to stop, or ended it; `expects`: kinds of outputs.

        `is_there`: looks at the disk for an output's path.
        """
        if self.refused:
            return _failed(self._stranger())
        if self.hello is not None and self.end is not None:
            verdict = self._told_end(self.end, returncode)
            lacking = self._lacking(expects, is_there) if verdict.state == "done" else None
            return verdict if lacking is None else _failed(lacking)
        if stopped:
            return Verdict("cancelled", 130)
        if self.hello is None:
            return _failed(_no_engine(returncode), state="crashed")
        return _failed(self._crash(returncode), state="crashed")

    def _told_end(self, end: Mapping[str, Any], returncode: int | None) -> Verdict:
        status, told = end.get("status"), whole(end.get("exit"))
        if status == "cancelled":
            return Verdict("cancelled", 130)
        fine = status in ("ok", "partial") or (status not in ("failed",) and told == 0 and returncode == 0)
        if not fine or self._fatal is not None:
            return _failed(self._why(told or (returncode if returncode and returncode > 0 else None)))
        # A signal after `end` is a library that dies while it is taken down: the files were whole before.
        if returncode is not None and returncode > 0 and returncode != told:
            what = "the engine says it is done, and then ends {}".format(how_it_ended(returncode))
            hint = "Run it again: what is on disk and whole is not computed twice"
            return _failed(Trouble("STIT-H107", what, hint=hint, exit_status=returncode))
        partial = status == "partial"
        return Verdict("done", 5 if partial else 0, partial=partial)

    def _lacking(self, expects: Sequence[str], is_there: Callable[[str], bool]) -> Trouble | None:
        named = {output["kind"]: output["path"] for output in self.outputs}
        missing = [kind for kind in expects if kind not in named]
        if missing:
            what = "the engine says it is done, but made no {}".format(" and no ".join(missing))
            hint = "Look at the engine's log; this is a fault of the engine"
            return Trouble("STIT-H106", what, hint=hint)
        away = [kind for kind in expects if not is_there(named[kind])]
        if away:
            what = "the engine says it has written the {}, but no such file is there".format(away[0])
            hint = "If the engine runs in a container or elsewhere, it must see folders under the same names"
            return Trouble("STIT-H106", what, where=named[away[0]], hint=hint, exit_status=4)
        return None

    def _why(self, exit_status: int | None) -> Trouble:
        """The error that ended the run."""
        event = self._fatal or self._error
        if event is None:
            return Trouble(
                "STIT-E500",
                "the engine failed and did not say why",
                hint="Look at its last lines",
                exit_status=exit_status or 1,
            )
        told = from_event(event, 1)
        return from_event(event, exit_status or status_of(told.code))

    def _crash(self, returncode: int | None) -> Trouble:
        how = how_it_ended(returncode)
        at = " while at {}".format(self.doing) if self.doing else ""
        if self._fatal is not None:
            told = from_event(self._fatal, returncode if returncode and returncode > 0 else 1)
            return told
        hint = "What is on disk is whole: cook again to go on where it was"
        if returncode == -9:
            hint = "The system ended it, most often because memory ran out. " + hint
        return Trouble("STIT-H105", "the engine crashed{}: it ended {}".format(at, how), hint=hint)

    def _stranger(self) -> Trouble:
        hello: Mapping[str, Any] = self.hello or {}
        engine = _text(hello.get("engine")) or "the engine"
        if self.protocol is None:
            what = "{} does not say which protocol it speaks".format(engine)
        else:
            what = "{} speaks stit-events/{}.{}, and this plug-in stit-events/{}".format(
                engine, self.protocol[0], self.protocol[1], PROTOCOL_MAJOR
            )
        newer = self.protocol is not None and self.protocol[0] > PROTOCOL_MAJOR
        hint = "Update the plug-in" if newer else "Update the engine"
        return Trouble("STIT-H104", what, hint=hint, exit_status=4)


_READ = frozenset(("stage", "progress", "frame", "log", "heartbeat", "error", "result", "end"))


def protocol_of(text: Any) -> Version | None:
    """ "1.0" as (1, 0); None if it is no version."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})(?:\D|$)", text) if isinstance(text, str) else None
    return (int(match.group(1)), int(match.group(2))) if match else None


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def whole(value: Any) -> int | None:
    """A whole number that a frame or a count can be, or None."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**53:
        return None
    return value


def _failed(trouble: Trouble, state: str = "failed") -> Verdict:
    return Verdict(state, trouble.exit_status, trouble)


def _no_engine(returncode: int | None) -> Trouble:
    what = "what was started as the engine ended {} and said nothing that we know".format(
        how_it_ended(returncode)
    )
    hint = "Test the engine in the plug-in's preferences, and look at its last lines"
    return Trouble("STIT-H103", what, hint=hint, exit_status=4)


def _text(value: Any) -> str:
    return value[:2000] if isinstance(value, str) else ""
