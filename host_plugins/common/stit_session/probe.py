"""Questions to the engine: which are you, what can you do, is this machine fit, which faces are there?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import Any, List, Mapping, Sequence, Tuple

from .engine import EngineCommand
from .environment import clean_environment
from .lines import readable
from .processes import how_it_ended, kill_group, spawn
from .session import Session, not_started
from .story import Version
from .trouble import EngineMissing, EngineUnfit, Trouble

PROBE_S = 30.0
ASK_S = 120.0
TAIL_BYTES = 16_384


@dataclass(frozen=True)
class EngineInfo:
    """What the engine says it is. `caps`: features it has; ask for these, never for a version."""

    engine: str
    version: str
    protocol: Version
    caps: Tuple[str, ...]
    command: EngineCommand

    def __str__(self) -> str:
        return "{}, stit-events/{}.{}".format(self.engine, *self.protocol)


def probe(
    command: EngineCommand, *, env: Mapping[str, str] | None = None, timeout_s: float = PROBE_S
) -> EngineInfo:
    """Shake hands: start the engine without a job, read its hello, and let it go. Half a second.

    Raises EngineMissing if it cannot be started, EngineUnfit if it is no engine, or speaks another protocol.
    """
    session = Session(command, ["run"], env=env).start()
    if not session.wait(timeout_s):
        session.kill()
        session.wait(10.0)
    hello, protocol = session.hello, session.protocol
    if hello is None or protocol is None or (session.error and session.error.code == "STIT-H104"):
        trouble = session.error or Trouble(
            "STIT-H108",
            "the engine does not answer: no hello within {:.0f} s".format(timeout_s),
            where=str(command),
            hint="Start it once in a terminal: a first start from a slow disk can take longer",
            exit_status=4,
        )
        raise EngineUnfit(trouble.with_log(session.log_tail(50)))
    engine = hello.get("engine")
    engine = engine if isinstance(engine, str) else "unknown engine"
    caps = hello.get("caps")
    named = tuple(cap for cap in caps if isinstance(cap, str)) if isinstance(caps, list) else ()
    return EngineInfo(engine, engine.split(" ")[-1], protocol, named, command)


class Question:
    """A command that prints one JSON document, such as ("faces", plate, "--json"), asked without waiting.

    `start()`, then look at `finished` from a timer; `answer()` gives the document or raises EngineUnfit with
    the engine's own line of error. `last_line` is what it said last, for a status text. `allowed`: exit
    statuses that come with an answer.
    """

    def __init__(
        self,
        command: EngineCommand,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        allowed: Sequence[int] = (0,),
    ) -> None:
        self._argv = [*command.argv, *args]
        self._env = clean_environment() if env is None else dict(env)
        self._allowed = tuple(allowed)
        self._folder = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._lines: List[str] = []
        self._out = b""
        self._cancelled = False

    def start(self) -> Question:
        """Start it. Raises EngineMissing if the system will not."""
        self._folder = tempfile.mkdtemp(prefix="stit-ask-")
        # Files and not pipes: a child that holds a pipe open could keep us waiting.
        try:
            with open(self._path("out"), "wb") as out, open(self._path("log"), "wb") as log:
                self._process = spawn(self._argv, env=self._env, stdout=out, stderr=log)
        except (OSError, ValueError) as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise EngineMissing(not_started(self._argv[0], None, error)) from error
        threading.Thread(target=self._watch, daemon=True, name="stit-ask").start()
        return self

    @property
    def finished(self) -> bool:
        return self._over.is_set()

    @property
    def last_line(self) -> str:
        """The last line for people so far."""
        lines = self._lines if self.finished else _text_lines(_tail(self._path("log")))
        return lines[-1] if lines else ""

    def cancel(self) -> None:
        """End it at once: a question leaves nothing behind."""
        if self._process is not None and not self.finished:
            self._cancelled = True
            kill_group(self._process)

    def wait(self, timeout: float | None = None) -> bool:
        return self._over.wait(timeout)

    def answer(self) -> Any:
        """The document. Raises EngineUnfit if there is none; call it when `finished`."""
        assert self._process is not None
        status = self._process.returncode
        if self._cancelled:
            raise EngineUnfit(Trouble("STIT-E470", "cancelled", exit_status=130))
        if status in self._allowed:
            try:
                return json.loads(self._out.decode("utf-8"))
            except (ValueError, RecursionError):
                pass
        said = self._lines[-1] if self._lines else "it ended {} and said nothing".format(how_it_ended(status))
        code, what = _code_in(said)
        exit_status = status if status is not None and status > 0 else 4
        raise EngineUnfit(Trouble(code, what, log=tuple(self._lines[-50:]), exit_status=exit_status))

    def _watch(self) -> None:
        assert self._process is not None
        self._process.wait()
        with open(self._path("out"), "rb") as out:
            self._out = out.read()
        self._lines = _text_lines(_tail(self._path("log")))
        shutil.rmtree(self._folder, ignore_errors=True)
        self._over.set()

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)


def ask(
    command: EngineCommand,
    args: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout_s: float = ASK_S,
    allowed: Sequence[int] = (0,),
) -> Any:
    """Ask a `Question` and wait for its answer. Raises EngineMissing or EngineUnfit."""
    question = Question(command, args, env=env, allowed=allowed).start()
    if not question.wait(timeout_s):
        question.cancel()
        question.wait(10.0)
        what = "no answer to {!r} within {:.0f} s".format(" ".join(args), timeout_s)
        raise EngineUnfit(Trouble("STIT-H108", what, where=str(command), exit_status=4))
    return question.answer()


def doctor(
    command: EngineCommand, *, env: Mapping[str, str] | None = None, folder: str | None = None
) -> Mapping[str, Any]:
    """The engine's own examination of this machine: {ok, version, checks: [{name, state, found, mend}]}."""
    args = ["doctor", "--json", *(["--out", folder] if folder else [])]
    told = ask(command, args, env=env, allowed=(0, 4))
    if not isinstance(told, dict) or not isinstance(told.get("checks"), list):
        raise EngineUnfit(Trouble("STIT-H103", "the engine's examination cannot be read", exit_status=4))
    return told


def _tail(path: str) -> bytes:
    """The end of a file that is still written to."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - TAIL_BYTES, 0))
            return file.read()
    except OSError:
        return b""


def _text_lines(data: bytes) -> List[str]:
    return [readable(line) for line in data.replace(b"\r", b"\n").split(b"\n") if line.strip()]


def _code_in(line: str) -> Tuple[str, str]:
    """The engine's line of error ends with its code in brackets."""
    head, bracket, tail = line.rstrip().rpartition("(STIT-")
    if bracket and tail.endswith(")") and len(tail) <= 8:
        return "STIT-" + tail[:-1], head.strip()
    return "STIT-H103", line
