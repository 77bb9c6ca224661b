"""Where the engine is. A wish that cannot be met is an error, never another engine in silence."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from typing import List, Mapping, Sequence, Tuple, Union

from .processes import WINDOWS
from .trouble import EngineMissing, Trouble

VARIABLE = "STIT_VFX_ENGINE"
# From a plug-in's own folder to the project that it lies in: host_plugins/nuke -> the project.
LEVELS_UP = 2
_ENVIRONMENTS = (".venv", "venv", "")
_PROGRAMS = (("bin", "stit"), ("Scripts", "stit.exe"))

Wish = Union[str, "os.PathLike[str]", Sequence[str]]


@dataclass(frozen=True)
class EngineCommand:
    """What starts the engine: the words before `run`. `source`: who said so, for the panel."""

    argv: Tuple[str, ...]
    source: str = ""

    def __str__(self) -> str:
        return " ".join(shlex.quote(word) for word in self.argv)


def find_engine(
    preference: Wish | None = None,
    beside: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> EngineCommand:
    """The engine to use: the preference, STIT_VFX_ENGINE, one beside the plug-in, one on PATH.

    A preference (and the variable) is a program, a Python that has stit_vfx, a folder with an environment in
    it, or a command line such as `rez env stit_vfx -- stit`. `beside`: the plug-in's own folder; it, and two
    folders above it, are searched for an environment. Raises EngineMissing.
    """
    known = os.environ if environment is None else environment
    if preference:
        return _wished(preference, "preference", known)
    if known.get(VARIABLE, "").strip():
        return _wished(known[VARIABLE], VARIABLE, known)
    searched = []
    if beside is not None:
        folder = os.path.abspath(os.fspath(beside))
        for _ in range(LEVELS_UP + 1):
            program = _in_folder(folder)
            if program:
                return EngineCommand((program,), "beside the plug-in")
            searched.append(folder)
            folder = os.path.dirname(folder)
    program = shutil.which("stit", path=known.get("PATH", ""))
    if program:
        return EngineCommand((program,), "PATH")
    # Programs started from a desktop's icon do not have it in PATH; pipx and uv put theirs there.
    program = _in_folder(os.path.join(os.path.expanduser("~"), ".local"))
    if program:
        return EngineCommand((program,), "~/.local/bin")
    places = "PATH" if not searched else "{}, and PATH".format(", ".join(searched))
    raise EngineMissing(
        Trouble(
            "STIT-H101",
            "no STIT engine was found on this machine",
            hint="Install it, then set its place in the plug-in's preferences, or in the variable {}. "
            "Searched: {}".format(VARIABLE, places),
            exit_status=4,
        )
    )


def _wished(wish: Wish, source: str, environment: Mapping[str, str]) -> EngineCommand:
    if not isinstance(wish, (str, os.PathLike)):
        return EngineCommand(tuple(str(word) for word in wish), source)
    text = os.path.expandvars(os.path.expanduser(os.fspath(wish).strip()))
    if os.path.isdir(text):
        program = _in_folder(text)
        if program:
            return EngineCommand((program,), source)
        raise _no_such(text, source, "There is no bin/stit or Scripts/stit.exe in it")
    argv = [text] if os.path.isfile(text) else _words(text)
    first = shutil.which(argv[0], path=environment.get("PATH", "")) if argv else None
    if first is None:
        first = argv[0] if argv and os.path.isfile(argv[0]) else None
    if first is None:
        raise _no_such(text, source, "There is no such program")
    if len(argv) == 1 and _is_python(first):
        return EngineCommand((first, "-m", "stit_vfx"), source)
    return EngineCommand((first, *argv[1:]), source)


def _no_such(text: str, source: str, problem: str) -> EngineMissing:
    hint = (
        "Correct it in the plug-in's preferences" if source == "preference" else "Correct {}".format(source)
    )
    what = "the engine's place is given as {!r} ({}). {}".format(text, source, problem)
    return EngineMissing(Trouble("STIT-H101", what, hint=hint, exit_status=4))


def _words(text: str) -> List[str]:
    try:
        words = shlex.split(text, posix=not WINDOWS)
    except ValueError:  # a quotation mark that is never closed
        return [text]
    return [word.strip('"') for word in words] if WINDOWS else words


def _in_folder(folder: str) -> str | None:
    for environment in _ENVIRONMENTS:
        for place in _PROGRAMS:
            program = os.path.join(folder, environment, *place)
            if os.path.isfile(program) and os.access(program, os.X_OK):
                return os.path.normpath(program)
    return None


def _is_python(program: str) -> bool:
    name = os.path.basename(program).lower()
    name = name[:-4] if name.endswith(".exe") else name
    return name.rstrip("0123456789.") in ("python", "pythonw", "pypy")
