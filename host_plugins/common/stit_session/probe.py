"""Short questions to the engine: which are you, what can you do, is this machine fit?"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any, Mapping, Sequence, Tuple

from .engine import EngineCommand
from .environment import clean_environment
from .lines import readable
from .processes import how_it_ended, kill_group, spawn
from .session import Session, _not_started
from .story import Version
from .trouble import EngineMissing, EngineUnfit, Trouble

PROBE_S = 30.0
ASK_S = 120.0


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
        session.wait(5.0)
        if session.hello is None:
            raise EngineUnfit(
                Trouble(
                    "STIT-H108",
                    "the engine does not answer: no hello within {:.0f} s".format(timeout_s),
                    where=str(command),
                    hint="Start it once in a terminal; a first start from a slow disk can take longer",
                    log=tuple(session.log_tail()),
                    exit_status=4,
                )
            )
    hello, story = session.hello, session._story
    if hello is None or story.refused or story.protocol is None:
        trouble = session.error or Trouble("STIT-H103", "this is no STIT engine", exit_status=4)
        raise EngineUnfit(trouble.with_log(session.log_tail()))
    engine = hello.get("engine")
    engine = engine if isinstance(engine, str) else "unknown engine"
    caps = hello.get("caps")
    named = tuple(cap for cap in caps if isinstance(cap, str)) if isinstance(caps, list) else ()
    return EngineInfo(engine, engine.split(" ")[-1], story.protocol, named, command)


def ask(
    command: EngineCommand,
    args: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout_s: float = ASK_S,
    allowed: Sequence[int] = (0,),
) -> Any:
    """Run a command that prints one JSON document, such as ("packs", "show", "builtin", "--json").

    Blocks until the answer is there. `allowed`: exit statuses that come with an answer. Raises EngineMissing,
    and EngineUnfit with the engine's own line of error.
    """
    argv = [*command.argv, *args]
    # Files and not pipes: a child that holds a pipe open could keep us waiting.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        try:
            process = spawn(argv, env=clean_environment() if env is None else env, stdout=out, stderr=log)
        except (OSError, ValueError) as error:
            raise EngineMissing(_not_started(argv[0], None, error)) from error
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            kill_group(process)
            process.wait(10.0)
            what = "no answer to {!r} within {:.0f} s".format(" ".join(args), timeout_s)
            raise EngineUnfit(Trouble("STIT-H108", what, where=str(command), exit_status=4)) from None
        lines = [readable(line) for line in _content(log).splitlines() if line.strip()]
        answer = _content(out)
    if status in allowed:
        try:
            return json.loads(answer.decode("utf-8"))
        except (ValueError, RecursionError):
            pass
    said = lines[-1] if lines else "it ended {} and said nothing".format(how_it_ended(status))
    trouble = Trouble("STIT-H103", said, log=tuple(lines[-50:]), exit_status=status if status > 0 else 4)
    raise EngineUnfit(trouble)


def doctor(
    command: EngineCommand, *, env: Mapping[str, str] | None = None, folder: str | None = None
) -> Mapping[str, Any]:
    """The engine's own examination of this machine: {ok, version, checks: [{name, state, found, mend}]}."""
    args = ["doctor", "--json", *(["--out", folder] if folder else [])]
    told: Mapping[str, Any] = ask(command, args, env=env, allowed=(0, 4))
    return told


def _content(file: Any) -> bytes:
    file.seek(0)
    content: bytes = file.read()
    return content
