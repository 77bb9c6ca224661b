"""The event stream `stit-events/1`: what a run tells hosts, farms and people, and how it is told to stop.

One emitter, four formats:

    jsonl    one JSON object a line on a private copy of stdout; fd 1 itself then points at stderr, so that
             nothing a library prints can get between two events
    openjd   `openjd_progress:`, `openjd_status:` and `openjd_fail:` on that private copy
    text     for people and log readers, on stderr: a progress bar on a terminal, else one line per frame
    none     nothing but errors, on stderr

`hello` is the first event and comes before torch is imported; `end` is the last. A stream without `end` is a
crash, whatever the exit status says. Unknown events and fields are to be ignored by readers.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Self, TextIO

from stit_vfx._version import __version__
from stit_vfx.errors import WARNINGS, CancelledError, StitError
from stit_vfx.options import EventFormat
from stit_vfx.progress import Estimate, ProgressBar, as_time

PROTOCOL = "1.0"
CAPS = ("preview", "heartbeat")
MAX_LINE_BYTES = 16_384
MIN_PROGRESS_INTERVAL_S = 0.1
MIN_TEXT_INTERVAL_S = 5.0
# A host calls three missed beats "not responding"; a log only has to show that a slow frame is alive.
HEARTBEAT_S: Mapping[EventFormat, float] = {"jsonl": 5.0, "openjd": 60.0, "text": 60.0, "none": 60.0}

StageState = Literal["start", "done", "skip"]
FrameStatus = Literal["ok", "skipped", "failed"]
EndStatus = Literal["ok", "failed", "cancelled", "partial"]


class Cancel:
    """A flag that a run looks at between optimiser steps.

    Set from signal handlers, so it takes no lock: a handler that waits for the thread it interrupted hangs.
    """

    def __init__(self) -> None:
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """command, stdin_closed, sigterm, sigint, ctrl_break or stdout_closed; None: go on."""
        return self._reason

    def request(self, reason: str) -> None:
        """Ask the run to stop. The first reason stays."""
        if self._reason is None:
            self._reason = reason

    def requested(self) -> bool:
        return self._reason is not None

    def check(self) -> None:
        """Raise CancelledError if the run is to stop."""
        if self._reason is not None:
            raise CancelledError(f"cancelled ({self._reason})")


class Reporter:
    """Says what a run does. Safe from any thread; a context manager that restores stdout and the handlers.

    The pipeline calls `plan`, `stage`, `progress`, `frame`, `preview`, `log`, `warn`, `result`; the command
    line calls `hello`, `error` and `end`.
    """

    def __init__(
        self,
        form: EventFormat = "none",
        *,
        cancel: Cancel | None = None,
        stream: TextIO | None = None,
        output: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stream`: where people read (default: stderr). `output`: file descriptor of the events, when the
        stream is not stdout. `clock`: for tests."""
        self.form: EventFormat = form
        self.cancel = cancel or Cancel()
        self._stream = stream or sys.stderr
        self._output = output
        self._clock = clock
        self._started = clock()
        self._last_event = self._started
        self._last_progress = -math.inf
        self._seq = 0
        self._lock = threading.RLock()
        self._estimate = Estimate(clock=clock)
        self._bar = ProgressBar(self._stream) if form == "text" else None
        # A log gets a line per finished frame anyway; progress in between is only to show that it moves.
        quiet = form in ("text", "openjd") and not (self._bar and self._bar.live)
        self._interval_s = MIN_TEXT_INTERVAL_S if quiet else MIN_PROGRESS_INTERVAL_S
        self._doing = "starting"
        self._log: Path | None = None
        self._ended = False
        self._warned: set[tuple[str, int | None]] = set()

    # What a run says ------------------------------------------------------------------------------------

    def hello(self, *, job: str | None, device: str = "auto", caps: Sequence[str] = CAPS) -> None:
        """Always the first event."""
        engine = f"stit_vfx {__version__}"
        self.emit(
            "hello", proto=PROTOCOL, engine=engine, pid=os.getpid(), caps=list(caps), job=job, device=device
        )

    def plan(self, cost: Mapping[str, float]) -> None:
        """Expected cost of each step of this run, in any one unit; makes `frac` and the time left better."""
        self._estimate.plan(cost)

    def stage(self, step: str, state: StageState, *, total: int | None = None) -> None:
        """A step starts, is done, or has nothing to do (skip)."""
        with self._lock:
            self._doing = step
            self._estimate.stage(step, done=state != "start")
            self._last_progress = -math.inf
            self.emit("stage", stage=step, state=state, total=total)

    def progress(self, step: str, done: int, total: int, *, frame: int | None = None) -> None:
        """Work done in a step. Call it as often as you like: ten a second go out, and the step's last."""
        with self._lock:
            self._doing = step if frame is None else f"{step} {frame}"
            frac, eta_s = self._estimate.update(step, done, total)
            now = self._clock()
            if now - self._last_progress < self._interval_s and done < total:
                return
            self._last_progress = now
            fields = {"stage": step, "done": done, "total": total, "frame": frame}
            self.emit("progress", **fields, frac=round(frac, 4), eta_s=eta_s)

    def frame(self, frame: int, status: FrameStatus, outputs: Sequence[Mapping[str, Any]] = ()) -> None:
        """A frame is finished; `outputs` are {kind, path} of files that are whole on disk."""
        self.emit("frame", frame=frame, status=status, outputs=[dict(output) for output in outputs])

    def preview(self, path: str | Path, *, frame: int, kind: str = "comp") -> None:
        """A picture to look at, whole on disk."""
        self.emit("preview", path=str(path), frame=frame, kind=kind)

    def log(self, level: str, message: str, *, code: str | None = None, frame: int | None = None) -> None:
        """Something that an artist should see. `level`: info, warning or error."""
        self.emit("log", level=level, msg=message, code=code, frame=frame)

    def warn(self, code: str, message: str | None = None, *, frame: int | None = None) -> None:
        """A warning of `errors.WARNINGS`, once per code and frame."""
        with self._lock:
            if (code, frame) in self._warned:
                return
            self._warned.add((code, frame))
        self.log("warning", message or WARNINGS[code], code=code, frame=frame)

    def error(self, error: StitError, *, fatal: bool = True) -> None:
        """An error; `fatal` ones end the run."""
        where = {"frame": error.frame, "where": error.where}
        told = {"code": error.code, "msg": error.problem, "hint": error.hint, "text": str(error)}
        self.emit("error", **told, **where, fatal=fatal)

    def result(
        self, outputs: Sequence[Mapping[str, Any]], *, provenance: str | None = None, **more: Any
    ) -> None:
        """What the run has made: {kind, path, frames, colorspace} of each sequence."""
        self.emit("result", outputs=[dict(output) for output in outputs], provenance=provenance, **more)

    def end(self, status: EndStatus, exit_status: int, *, reason: str | None = None) -> None:
        """Always the last event; later ones are dropped."""
        with self._lock:
            self.emit("end", status=status, exit=exit_status, reason=reason)
            self._ended = True

    def log_to(self, path: Path) -> None:
        """From now on, also append every event to this file, as JSON lines."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = path

    # How it goes out ------------------------------------------------------------------------------------

    def emit(self, ev: str, /, **fields: Any) -> None:
        """Send one event. Fields that are None are left out."""
        with self._lock:
            if self._ended:
                return
            self._seq += 1
            self._last_event = self._clock()
            event: dict[str, Any] = {
                "ev": ev,
                "seq": self._seq,
                "t": round(self._last_event - self._started, 3),
            }
            event |= {name: value for name, value in fields.items() if value is not None}
            self._write_log(event)
            match self.form:
                case "jsonl":
                    self._send(encode(event))
                case "openjd":
                    self._openjd(event)
                case "text":
                    self._text(event)
                case "none" if ev == "error":
                    self._line(event["text"])

    def _send(self, line: bytes) -> None:
        if self._output is None:
            return
        try:
            while line:
                line = line[os.write(self._output, line) :]
        except BlockingIOError:
            select.select([], [self._output], [])
            self._send(line)
        except OSError:
            # The host is gone. Nobody will read what comes, so the work is not wanted any more.
            self._output = None
            self.cancel.request("stdout_closed")

    def _openjd(self, event: Mapping[str, Any]) -> None:
        kind = event["ev"]
        if kind == "progress":
            self._send(f"openjd_progress: {100 * event['frac']:.2f}\n".encode())
        elif kind == "stage":
            self._send(f"openjd_status: {event['stage']} {event['state']}\n".encode())
        elif kind == "error" and event["fatal"]:
            self._send(f"openjd_fail: {event['text']}\n".encode())
        elif line := as_text(event):
            self._line(line)

    def _text(self, event: Mapping[str, Any]) -> None:
        bar, kind = self._bar, event["ev"]
        if bar is not None and bar.live and kind == "progress":
            bar.show(event["frac"], self._doing, event.get("eta_s"))
        elif bar is not None and bar.live and (kind == "heartbeat" or event.get("status") == "ok"):
            return
        elif line := as_text(event):
            self._line(line)

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        # A runner of OpenJD reads stderr too, and any line that starts so is a command to it.
        text = f" {text}" if text.startswith("openjd_") else text
        try:
            print(text, file=self._stream, flush=True)
        except OSError:
            self.cancel.request("stderr_closed")

    def _write_log(self, event: Mapping[str, Any]) -> None:
        if self._log is None:
            return
        try:
            with self._log.open("ab") as file:
                file.write(encode(event))
        except OSError:
            # The log is a convenience: a full disk is told by the frame that cannot be written.
            self._log = None

    # Heartbeat, signals, control ------------------------------------------------------------------------

    def beat(self) -> None:
        """Say that the run is alive, how large it is, and what it is at."""
        self.emit("heartbeat", rss_mb=_rss_mb(), vram_mb=_vram_mb(), what=self._doing)

    def watch(self, heartbeat_s: float | None = None) -> None:
        """Start the thread that beats when nothing was said for a while, and sees that the reader is gone."""
        interval = heartbeat_s or HEARTBEAT_S[self.form]
        threading.Thread(target=self._watch, args=(interval,), daemon=True, name="heartbeat").start()

    def _watch(self, interval: float) -> None:
        poll = select.poll() if hasattr(select, "poll") and self._output is not None else None
        if poll is not None and self._output is not None:
            poll.register(self._output, 0)
        while not self._ended:
            time.sleep(min(0.25, interval / 4))
            if poll is not None and any(state & select.POLLERR for _, state in poll.poll(0)):
                self.cancel.request("stdout_closed")
            if self._clock() - self._last_event >= interval:
                self.beat()

    def __enter__(self) -> Self:
        if self.form in ("jsonl", "openjd") and self._output is None:
            self._output = take_stdout()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        if self._bar is not None:
            self._bar.clear()


def take_stdout() -> int | None:
    """A private copy of stdout; fd 1, and Python's own stdout, go to stderr from now on.

    None if the process has no stdout. C libraries print to fd 1 too, which is why it is moved and not only
    `sys.stdout`.
    """
    try:
        sys.stdout.flush()
        private = os.dup(1)
        os.dup2(2, 1)
    except (OSError, AttributeError):
        return None
    sys.stdout = sys.stderr
    return private


def listen(cancel: Cancel, *, control: str = "none") -> None:
    """Cancel on SIGTERM, SIGINT and CTRL_BREAK; with control="stdin" also on a command or on its closing.

    Only hosts that hold the other end of stdin may ask for it: farms give /dev/null, which is closed at once.
    """
    for name, reason in (("SIGTERM", "sigterm"), ("SIGINT", "sigint"), ("SIGBREAK", "ctrl_break")):
        if number := getattr(signal, name, None):
            signal.signal(number, _handler(cancel, reason))
    if control == "stdin":
        threading.Thread(target=_read_commands, args=(cancel,), daemon=True, name="control").start()


def _handler(cancel: Cancel, reason: str) -> Callable[[int, FrameType | None], None]:
    def on_signal(number: int, _frame: FrameType | None) -> None:
        cancel.request(reason)
        # Pressed again, it takes effect at once.
        signal.signal(number, signal.default_int_handler if reason == "sigint" else signal.SIG_DFL)

    return on_signal


def _read_commands(cancel: Cancel) -> None:
    waiting = b""
    # os.read and not sys.stdin: a thread that holds its buffer's lock aborts the interpreter at exit.
    while chunk := _read_stdin():
        *lines, waiting = (waiting + chunk)[-MAX_LINE_BYTES:].split(b"\n")
        if any(_is_cancel(line) for line in lines):
            cancel.request("command")
    cancel.request("stdin_closed")


def _read_stdin() -> bytes:
    try:
        return os.read(0, 4096)
    except OSError:
        return b""


def _is_cancel(line: bytes) -> bool:
    try:
        command = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(command, dict) and command.get("cmd") == "cancel"


def encode(event: Mapping[str, Any]) -> bytes:
    """One line: ASCII JSON without NaN, at most 16 384 bytes with its newline.

    What does not fit is shortened, long texts first, then lists, and the event says "truncated".
    """
    for text_limit, list_limit in ((None, None), (2000, None), (500, 16), (100, 0)):
        line = json.dumps(
            _plain(event, text_limit, list_limit), ensure_ascii=True, allow_nan=False, separators=(",", ":")
        )
        if len(line) < MAX_LINE_BYTES:
            return line.encode() + b"\n"
    kept = {name: event[name] for name in ("ev", "seq", "t")}
    return json.dumps({**kept, "truncated": True}, separators=(",", ":")).encode() + b"\n"


def _plain(value: Any, text_limit: int | None, list_limit: int | None) -> Any:
    """JSON types only; a number that is not finite is null."""
    if isinstance(value, Mapping):
        plain = {str(name): _plain(item, text_limit, list_limit) for name, item in value.items()}
        return {**plain, "truncated": True} if text_limit and "ev" in value else plain
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, text_limit, list_limit) for item in list(value)[:list_limit]]
    if value is None or isinstance(value, bool | int):
        return value
    if not isinstance(value, str | Path) and hasattr(value, "item"):
        value = value.item()  # NumPy and torch scalars
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    text = str(value)
    return text if text_limit is None or len(text) <= text_limit else text[: text_limit - 3] + "..."


def as_text(event: Mapping[str, Any]) -> str:
    """An event as one line for people; empty if it says nothing to them."""
    match event["ev"]:
        case "stage" if event["state"] == "skip":
            return f"{event['stage']}: nothing to do"
        case "stage":
            total = f", {event['total']} to do" if event.get("total") and event["state"] == "start" else ""
            return f"{event['stage']}: {event['state']}{total}"
        case "frame":
            return f"frame {event['frame']}: {event['status']}"
        case "progress":
            eta = f", {as_time(event['eta_s'])} left" if "eta_s" in event else ""
            at = f", frame {event['frame']}" if "frame" in event else ""
            return f"{100 * event['frac']:3.0f} %  {event['stage']} {event['done']}/{event['total']}{at}{eta}"
        case "log":
            code = f" ({event['code']})" if "code" in event else ""
            at = f"frame {event['frame']}: " if "frame" in event else ""
            level = "" if event["level"] == "info" else f"{event['level']}: "
            return " ".join(f"{level}{at}{event['msg']}{code}".split())
        case "heartbeat":
            return f"still at {event['what']}, {event.get('rss_mb', '?')} MB"
        case "error":
            return str(event["text"])
        case "result":
            places = [f"{output['kind']}: {output['path']}" for output in event["outputs"]]
            return "\n".join([*places, *event.get("notes", ())])
    return ""


def _rss_mb() -> int | None:
    try:
        import psutil

        return int(psutil.Process().memory_info().rss // 2**20)
    except Exception:  # a beat without a number is still a beat
        return None


def _vram_mb() -> int | None:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    # A beat must never be what starts CUDA.
    return int(cuda.memory_reserved() // 2**20) if cuda is not None and cuda.is_initialized() else None
