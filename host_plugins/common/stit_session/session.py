"""One run of the engine, as a host sees it: start, look, cancel, and how it ended.

Nothing here blocks but `wait`. Three threads do the work: two read the pipes, one watches the process and
ends it when that was asked for. The host looks in with `poll()` from a timer; if it never does, nothing fills
up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Mapping, NamedTuple, Sequence

from .engine import EngineCommand
from .environment import clean_environment
from .lines import Event, LineSplitter, parse_event, readable
from .outputs import any_frame
from .processes import kill_group, spawn, terminate_group
from .story import Notice, Progress, Story, Verdict, Version
from .trouble import EngineMissing, Trouble

LOG_LINES = 400
MAX_LOG_LINE_BYTES = 4_000
MAX_WAITING_EVENTS = 20_000
TICK_S = 0.05

RUNNING_STATES = ("starting", "running", "silent", "cancelling")
FINAL_STATES = ("done", "failed", "cancelled", "crashed")


class Graces(NamedTuple):
    """How long we wait, in seconds.

    hello       for the first event (a Python on a slow share takes its time), before "silent"
    silence     between events, before "silent": three missed heartbeats
    ask         after the polite request, before SIGTERM
    terminate   after SIGTERM, before SIGKILL
    linger      after `end`, before an engine that does not leave is made to
    drain       after the engine is gone, for pipes that its children still hold
    """

    hello: float = 30.0
    silence: float = 16.0
    ask: float = 10.0
    terminate: float = 5.0
    linger: float = 10.0
    drain: float = 2.0


GRACES = Graces()


class Session:
    """An engine process and all that it says. Make one per run; threads of the host may share it.

    `args`: the words after the engine's name, such as ("run", "job.json"); the protocol's flags are added.
    `env`: the whole environment (default: `clean_environment()`). `expects`: kinds of outputs, such as
    ("comp", "matte"), that must be named and on disk, or the run has failed.
    """

    def __init__(
        self,
        command: EngineCommand | Sequence[str],
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        expects: Sequence[str] = (),
        graces: Graces = GRACES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        argv = command.argv if isinstance(command, EngineCommand) else tuple(command)
        self.command_line: List[str] = [*argv, *(str(word) for word in args), *_protocol_words(args)]
        self._env = dict(clean_environment() if env is None else env)
        self._cwd = None if cwd is None else os.fspath(cwd)
        self._expects = tuple(expects)
        self._graces = graces
        self._clock = clock
        self._lock = threading.RLock()
        self._story = Story()
        self._events: Deque[Event] = deque(maxlen=MAX_WAITING_EVENTS)
        self._log: Deque[str] = deque(maxlen=LOG_LINES)
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: List[threading.Thread] = []
        self._finished = threading.Event()
        self._verdict: Verdict | None = None
        self._trouble: Trouble | None = None
        self._heard_s = 0.0
        self._cancel_s: float | None = None
        self._end_s: float | None = None
        self._refused_s: float | None = None
        self._kill_now = False
        self.garbage_lines = 0

    # What a host does -----------------------------------------------------------------------------------

    def start(self) -> Session:
        """Start the engine. Raises EngineMissing, with text for a dialog, if the system will not."""
        if self._process is not None:
            raise RuntimeError("a session runs once")
        try:
            self._process = spawn(self.command_line, env=self._env, cwd=self._cwd, stdin=subprocess.PIPE)
        except (OSError, ValueError) as error:
            raise EngineMissing(not_started(self.command_line[0], self._cwd, error)) from error
        self._heard_s = self._clock()
        for read in (self._read_events, self._read_log):
            self._readers.append(threading.Thread(target=read, daemon=True, name="stit-reader"))
        for thread in (*self._readers, threading.Thread(target=self._watch, daemon=True, name="stit-watch")):
            thread.start()
        return self

    def poll(self) -> List[Event]:
        """The events since the last call, oldest first. Never blocks; state and progress need no polling."""
        events = []
        while True:
            try:
                events.append(self._events.popleft())
            except IndexError:
                return events

    def cancel(self) -> None:
        """Ask the engine to stop; after the graces, make it. Returns at once; again and again is harmless."""
        with self._lock:
            if self._cancel_s is None and self._verdict is None:
                self._cancel_s = self._clock()

    def kill(self) -> None:
        """End the engine and its children now. What is whole on disk stays whole."""
        self.cancel()
        self._kill_now = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run is over; False if it is not by then."""
        return self._finished.wait(timeout)

    # What a host sees -----------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """starting, running, silent, cancelling; then done, failed, cancelled or crashed.

        "silent" is "does not respond": offer to kill it, and never do so unasked.
        """
        with self._lock:
            if self._verdict is not None:
                return self._verdict.state
            if self._cancel_s is not None or self._refused_s is not None:
                return "cancelling"
            started = self._story.hello is not None
            patience_s = self._graces.silence if started else self._graces.hello
            if self._process is not None and self._clock() - self._heard_s > patience_s:
                return "silent"
            return "running" if started else "starting"

    @property
    def finished(self) -> bool:
        return self._finished.is_set()

    @property
    def progress(self) -> Progress:
        """fraction, step, frame, eta_s, done, total. The time left counts down between events."""
        with self._lock:
            told, age_s = self._story.progress, self._clock() - self._story.progress_at_s
        if told.eta_s is None:
            return told
        return told._replace(eta_s=max(told.eta_s - max(age_s, 0.0), 0.0) if told.eta_s else 0.0)

    @property
    def silent_s(self) -> float:
        """Seconds since the engine was last heard."""
        return max(self._clock() - self._heard_s, 0.0)

    @property
    def exit_status(self) -> int | None:
        """What a batch run should end with, as `stit run` would: 0, 1, 2, 3, 4, 5, 75, 130. None: running."""
        verdict = self._verdict
        return None if verdict is None else verdict.exit_status

    @property
    def returncode(self) -> int | None:
        """The process's own exit status; negative: a signal."""
        return None if self._process is None else self._process.returncode

    @property
    def error(self) -> Trouble | None:
        """Why the run failed or crashed, with text for a dialog; None while it runs, and if it did not."""
        return self._trouble

    @property
    def partial(self) -> bool:
        """Done, but some frames were left out or are the plate's own (exit status 5)."""
        return self._verdict is not None and self._verdict.partial

    @property
    def hello(self) -> Event | None:
        """The engine's greeting: engine, proto, caps, pid, device."""
        return self._story.hello

    @property
    def protocol(self) -> Version | None:
        """(major, minor) of the engine's protocol, once it said hello."""
        return self._story.protocol

    @property
    def result(self) -> Event | None:
        """The result event: outputs, version, measured, notes."""
        return self._story.result

    @property
    def outputs(self) -> List[Dict[str, Any]]:
        """What the run made: {kind, path, frames, colorspace} of each sequence."""
        with self._lock:
            return self._story.outputs

    def output(self, kind: str) -> Dict[str, Any] | None:
        """The output of a kind ("comp", "matte"), or None."""
        return next((output for output in self.outputs if output["kind"] == kind), None)

    @property
    def frames(self) -> Dict[int, str]:
        """Frames that are finished: ok, skipped or failed."""
        with self._lock:
            return dict(self._story.frames)

    @property
    def notices(self) -> List[Notice]:
        """Warnings for the artist, oldest first."""
        with self._lock:
            return list(self._story.notices)

    @property
    def lost_events(self) -> int:
        """Events that never came, by the gaps in their numbers."""
        return self._story.lost

    def log_tail(self, n: int = 20) -> List[str]:
        """The last lines that the engine wrote for people, without their ends."""
        with self._lock:
            lines = list(self._log)
        return lines[-n:] if n > 0 else []

    # The threads ----------------------------------------------------------------------------------------

    def _read_events(self) -> None:
        splitter = LineSplitter()
        for data in _chunks(self._process and self._process.stdout):
            for line in splitter.feed(data):
                self._take(line)
        self._take(splitter.rest())

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        event = parse_event(line)
        with self._lock:
            if event is None:
                self.garbage_lines += 1
                self._log.append("stdout: " + readable(line, 500))
                return
            now_s = self._clock()
            self._heard_s = now_s
            self._story.take(event, now_s)
            if self._story.end is not None and self._end_s is None:
                self._end_s = now_s
            if self._story.refused and self._refused_s is None:
                self._refused_s = now_s
            self._events.append(event)

    def _read_log(self) -> None:
        splitter = LineSplitter(MAX_LOG_LINE_BYTES)
        for data in _chunks(self._process and self._process.stderr):
            # A progress bar of some library rewrites its line; each state of it is a line to us.
            lines = splitter.feed(data.replace(b"\r", b"\n"))
            with self._lock:
                self._log.extend(readable(line) for line in lines[-LOG_LINES:] if line.strip())
        rest = splitter.rest()
        if rest.strip():
            with self._lock:
                self._log.append(readable(rest))

    def _watch(self) -> None:
        process = self._process
        assert process is not None
        _block_sigpipe()
        pressed = 0
        while True:
            try:
                process.wait(TICK_S)
                break
            except subprocess.TimeoutExpired:
                pressed = self._press(process, pressed)
                if pressed > len(self._steps()):
                    break
        self._drain(process)
        self._conclude(process)

    def _steps(self) -> Sequence[tuple[float, Callable[[subprocess.Popen[bytes]], None]]]:
        """After how many seconds from the wish to stop, what is done. After the last, we give up."""
        ask, terminate = self._graces.ask, self._graces.terminate
        return (
            (0.0, _ask_to_stop),
            (ask, terminate_group),
            (ask + terminate, kill_group),
        )

    def _press(self, process: subprocess.Popen[bytes], pressed: int) -> int:
        """Do what is due to end a process that is to stop. Gives the number of steps done."""
        steps = self._steps()
        if self._kill_now and pressed < len(steps):
            kill_group(process)
            return len(steps)
        with self._lock:
            since_s = self._stop_since()
        if since_s is None:
            return pressed
        waited_s = self._clock() - since_s
        while pressed < len(steps) and waited_s >= steps[pressed][0]:
            steps[pressed][1](process)
            pressed += 1
        give_up_s = steps[-1][0] + 2 * self._graces.terminate
        # A process that waits for a dead disk cannot be killed; the host must not wait with it.
        return len(steps) + 1 if pressed == len(steps) and waited_s >= give_up_s else pressed

    def _stop_since(self) -> float | None:
        if self._cancel_s is not None:
            return self._cancel_s
        if self._refused_s is not None:
            return self._refused_s
        if self._end_s is not None and self._clock() - self._end_s >= self._graces.linger:
            # It had its time: no more asking.
            return self._end_s + self._graces.linger - self._graces.ask
        return None

    def _drain(self, process: subprocess.Popen[bytes]) -> None:
        """Read what is left. Children that outlive the engine and hold its pipes are ended."""
        deadline = time.monotonic() + self._graces.drain
        for reader in self._readers:
            reader.join(max(deadline - time.monotonic(), 0.0))
        if any(reader.is_alive() for reader in self._readers):
            kill_group(process)
            for reader in self._readers:
                reader.join(1.0)

    def _conclude(self, process: subprocess.Popen[bytes]) -> None:
        _close(process.stdin)
        # Outside of the lock: a look at a slow share must not hold up the host's drawing of the state.
        expected = [output["path"] for output in self.outputs if output["kind"] in self._expects]
        there = {path for path in expected if any_frame(path)}
        with self._lock:
            stopped = self._cancel_s is not None
            verdict = self._story.verdict(
                process.returncode, stopped=stopped, expects=self._expects, is_there=there.__contains__
            )
            if verdict.trouble is not None:
                self._trouble = verdict.trouble.with_log(list(self._log)[-50:])
            self._verdict = verdict
        self._finished.set()


def _protocol_words(args: Sequence[str]) -> List[str]:
    words: List[str] = []
    if not any(str(word).split("=")[0] == "--events" for word in args):
        words += ["--events", "jsonl"]
    if not any(str(word).split("=")[0] == "--control" for word in args):
        words += ["--control", "stdin"]
    return words


def _chunks(pipe: Any) -> Any:
    """Bytes from a pipe as they come, until its last writer is gone; then it is closed."""
    data = b"?"
    while pipe is not None and data:
        try:
            data = os.read(pipe.fileno(), 65_536)
        except (OSError, ValueError):
            data = b""
        if data:
            yield data
    _close(pipe)


def _ask_to_stop(process: subprocess.Popen[bytes]) -> None:
    """The command on stdin, and then its end: an engine that knows neither has no `--control stdin`."""
    if process.stdin is None or process.stdin.closed:
        return
    try:
        process.stdin.write(b'{"cmd": "cancel"}\n')
    except (OSError, ValueError):
        pass
    _close(process.stdin)


def _close(pipe: Any) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        pass


def _block_sigpipe() -> None:
    """A host that embeds Python may not ignore SIGPIPE: a write to an engine that is gone would end it."""
    if hasattr(signal, "pthread_sigmask") and hasattr(signal, "SIGPIPE"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})


def not_started(program: str, cwd: str | None, error: Exception) -> Trouble:
    """Why the system did not start a program."""
    if isinstance(error, FileNotFoundError) and cwd is not None and not os.path.isdir(cwd):
        return Trouble("STIT-H102", "the folder to run in is not there", where=cwd, exit_status=4)
    said = getattr(error, "strerror", None) or str(error)
    hint = "Check the engine's place in the plug-in's preferences, and that it may be executed"
    what = "the engine cannot be started: {}".format(said)
    return Trouble("STIT-H102", what, where=program, hint=hint, exit_status=4)
