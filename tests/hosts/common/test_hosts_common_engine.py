"""Finding the engine, its environment, and process groups on systems that are not here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from stit_session import EngineCommand, EngineMissing, clean_environment, command_text, find_engine, processes
from stit_session import engine as engine_module
from stit_session import jobs as jobs_module

posix = pytest.mark.skipif(os.name == "nt", reason="executable bits are POSIX's")


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path / "home"


@posix
def test_the_four_places_are_asked_in_order(tmp_path: Path, home: Path) -> None:
    wished = program(tmp_path / "a" / "my-stit")
    told = program(tmp_path / "b" / "stit")
    beside = program(tmp_path / "project" / ".venv" / "bin" / "stit")
    on_path = program(tmp_path / "path" / "stit")
    local = program(home / ".local" / "bin" / "stit")
    plugin = tmp_path / "project" / "host_plugins" / "nuke"
    known = {"STIT_VFX_ENGINE": told, "PATH": str(tmp_path / "path")}

    found = find_engine(wished, plugin, environment=known)
    assert (found.argv, found.source) == ((wished,), "preference")
    found = find_engine("", plugin, environment=known)
    assert (found.argv, found.source) == ((told,), "STIT_VFX_ENGINE")
    del known["STIT_VFX_ENGINE"]
    found = find_engine(None, plugin, environment=known)
    assert (found.argv, found.source) == ((beside,), "beside the plug-in")
    found = find_engine(None, tmp_path / "elsewhere", environment=known)
    assert (found.argv, found.source) == ((on_path,), "PATH")
    found = find_engine(environment={"PATH": ""})
    assert (found.argv, found.source) == ((local,), "~/.local/bin")


@posix
@pytest.mark.parametrize(
    "place", [".venv/bin/stit", "venv/bin/stit", "bin/stit", ".venv/Scripts/stit.exe", "Scripts/stit.exe"]
)
@pytest.mark.parametrize("up", [0, 1, 2])
def test_an_environment_beside_the_plug_in_is_found_from_two_folders_below(
    tmp_path: Path, home: Path, place: str, up: int
) -> None:
    plugin = tmp_path.joinpath(*["x"] * up)
    wanted = program(tmp_path / place)
    assert find_engine(None, plugin, environment={}).argv == (wanted,)


def test_no_engine_is_told_with_the_places_that_were_searched(tmp_path: Path, home: Path) -> None:
    with pytest.raises(EngineMissing) as caught:
        find_engine(None, tmp_path / "x" / "y" / "z", environment={"PATH": str(tmp_path)})
    assert caught.value.trouble.code == "STIT-H101"
    assert caught.value.trouble.exit_status == 4
    for word in ("STIT_VFX_ENGINE", str(tmp_path / "x" / "y" / "z"), str(tmp_path / "x"), "and PATH"):
        assert word in caught.value.dialog()


@posix
@pytest.mark.parametrize("wish", ["/no/such/stit", "no-such-program run", "", "'never closed"])
def test_a_wish_that_cannot_be_met_is_an_error_and_not_another_engine(
    tmp_path: Path, home: Path, wish: str
) -> None:
    on_path = program(tmp_path / "stit")
    for preference, known in ((wish, {}), (None, {"STIT_VFX_ENGINE": wish})):
        known = {"PATH": str(tmp_path), **known}
        if not wish:
            assert find_engine(preference, environment=known).argv == (on_path,)
            continue
        with pytest.raises(EngineMissing) as caught:
            find_engine(preference, environment=known)
        assert repr(wish) in caught.value.trouble.what


@posix
def test_a_wish_is_a_program_a_folder_a_python_or_a_command_line(tmp_path: Path, home: Path) -> None:
    stit = program(tmp_path / "with space" / ".venv" / "bin" / "stit")
    python = program(tmp_path / "py" / "python3.11")
    wrapper = program(tmp_path / "path" / "rez")
    known = {"PATH": str(tmp_path / "path")}

    def argv(wish: Any) -> Any:
        return find_engine(wish, environment=known).argv

    assert argv(tmp_path / "with space") == (stit,)
    assert argv(stit) == (stit,)
    assert argv("  {}  ".format(stit)) == (stit,)
    assert argv(python) == (python, "-m", "stit_vfx")
    assert argv("rez env 'stit vfx' -- stit") == (wrapper, "env", "stit vfx", "--", "stit")
    assert argv([python, "fake.py"]) == (python, "fake.py")
    with pytest.raises(EngineMissing, match="no bin/stit"):
        find_engine(tmp_path / "path", environment=known)


@posix
def test_a_home_folder_is_written_short(home: Path) -> None:
    stit = program(home / "tools" / "stit")
    assert find_engine("~/tools/stit", environment={}).argv == (stit,)
    assert find_engine("$HOME/tools/stit", environment={}).argv == (stit,)


@posix
def test_a_file_that_may_not_be_executed_is_no_engine_beside(tmp_path: Path, home: Path) -> None:
    Path(program(tmp_path / ".venv" / "bin" / "stit")).chmod(0o644)
    with pytest.raises(EngineMissing):
        find_engine(None, tmp_path, environment={})


def test_windows_words_keep_their_backslashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "WINDOWS", True)
    words = engine_module._words(r'"C:\Program Files\rez\rez.exe" env stit_vfx -- stit')
    assert words == [r"C:\Program Files\rez\rez.exe", "env", "stit_vfx", "--", "stit"]


@pytest.mark.parametrize(
    ("name", "it_is"),
    [
        *[("python", True), ("python3.11", True), ("PYTHONW.EXE", True), ("pypy3", True)],
        *[("stit", False), ("python-stit", False), ("stit.exe", False), ("ipython", False)],
    ],
)
def test_a_python_is_known_by_its_name(name: str, it_is: bool) -> None:
    assert engine_module._is_python(os.path.join("x", name)) == it_is


# The environment --------------------------------------------------------------------------------------------

HOST_SIDE = {
    "PYTHONPATH": "/nuke/plugins",
    "PYTHONHOME": "/nuke",
    "PYTHONSTARTUP": "x",
    "LD_LIBRARY_PATH": "/nuke",
    "LD_PRELOAD": "/nuke/libjemalloc.so",
    "DYLD_LIBRARY_PATH": "/nuke",
    "DYLD_INSERT_LIBRARIES": "/nuke",
    "__PYVENV_LAUNCHER__": "/nuke/python",
    "QT_PLUGIN_PATH": "/nuke/qt",
    "QT_QPA_PLATFORM_PLUGIN_PATH": "/nuke/qt",
    "Qt_Plugin_Path": "as Windows may spell it",
    "QML2_IMPORT_PATH": "/nuke/qml",
    "OIIO_LIBRARY_PATH": "/nuke/oiio",
    "TCL_LIBRARY": "/nuke/tcl",
    "KMP_BLOCKTIME": "0",
}
KEPT = {
    "OCIO": "/show/config.ocio",
    "OCIO_ACTIVE_VIEWS": "Film",
    "CUDA_VISIBLE_DEVICES": "1",
    "STIT_PACK_PATH": "/packs",
    "STIT_VFX_ENGINE": "stit",
    "TORCH_HOME": "/torch",
    "OMP_NUM_THREADS": "8",
    "HTTPS_PROXY": "http://proxy",
    "HOME": "/home/a",
    "LANG": "C.UTF-8",
    "SystemRoot": "C:\\Windows",
    "PATH": "/usr/bin",
}


def test_what_belongs_to_the_host_stays_out_and_the_rest_goes_in() -> None:
    cleaned = clean_environment(environment={**HOST_SIDE, **KEPT})
    assert cleaned == {**KEPT, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


@pytest.mark.parametrize(
    ("host", "name"),
    [
        *[("nuke", "NUKE_PATH"), ("Nuke", "FN_PLUGIN_PATH")],
        *[("blender", "BLENDER_USER_SCRIPTS"), ("comfyui", "PYTORCH_CUDA_ALLOC_CONF")],
    ],
)
def test_each_host_has_names_of_its_own(host: str, name: str) -> None:
    assert name not in clean_environment(host, environment={name: "x"})
    assert name in clean_environment("another", environment={name: "x"})


def test_the_hosts_folder_is_taken_out_of_path() -> None:
    host = os.path.join(os.sep, "opt", "Nuke15.1")
    entries = [host, os.path.join(host, "bin"), host + "-tools", os.path.join(os.sep, "usr", "bin"), ""]
    path = os.pathsep.join(entries)
    cleaned = clean_environment("nuke", environment={"Path": path}, host_folder=host + os.sep)
    assert cleaned["Path"].split(os.pathsep) == entries[2:]
    assert clean_environment("nuke", environment={"PATH": path})["PATH"] == path


def test_more_is_laid_over_it_and_nothing_given_is_changed() -> None:
    given = {"A": "1", "PYTHONPATH": "x"}
    cleaned = clean_environment(environment=given, more={"A": "2", "PYTHONPATH": "y"})
    assert (cleaned["A"], cleaned["PYTHONPATH"]) == ("2", "y")
    assert given == {"A": "1", "PYTHONPATH": "x"}


def test_this_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "x")
    monkeypatch.setenv("OCIO", "y")
    cleaned = clean_environment()
    assert "PYTHONPATH" not in cleaned
    assert cleaned["OCIO"] == "y"
    assert os.environ["PYTHONPATH"] == "x"


# Process groups where we are not ----------------------------------------------------------------------------


class Child:
    """A process as far as `kill_group` needs one."""

    def __init__(self, *, alive: bool = True) -> None:
        self.pid, self.alive, self.calls = 4321, alive, [""]

    def poll(self) -> Any:
        return None if self.alive else 0

    def kill(self) -> None:
        self.calls.append("kill")
        raise PermissionError("access is denied")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> List[Any]:
    """This system as Windows: what would be called is noted, and answered with the first of the list."""
    noted: List[Any] = [0]

    def call(argv: Any, **options: Any) -> int:
        noted.append((argv, options))
        if isinstance(noted[0], Exception):
            raise noted[0]
        return int(noted[0])

    monkeypatch.setattr(processes, "WINDOWS", True)
    monkeypatch.setattr(subprocess, "call", call)
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("no such call on Windows"), raising=False)
    return noted


def test_windows_gets_a_group_without_a_console_window(
    windows: List[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: Dict[str, Any] = {}
    monkeypatch.setattr(subprocess, "Popen", lambda argv, **options: started.update(options, argv=argv))
    processes.spawn(("stit.exe", "run"), env={"A": "1"})
    # The numbers of the Windows API: CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW.
    assert started["creationflags"] == 0x00000200 | 0x08000000
    assert "start_new_session" not in started
    assert started["argv"] == ["stit.exe", "run"]
    assert started["env"] == {"A": "1"}


@pytest.mark.parametrize("end", [processes.terminate_group, processes.kill_group])
def test_windows_ends_the_whole_tree(windows: List[Any], end: Any) -> None:
    child = Child()
    end(child)
    argv, options = windows[1]
    assert argv == ["taskkill", "/PID", "4321", "/T", "/F"]
    assert options["timeout"] > 0
    assert options["creationflags"] == 0x08000000
    assert child.calls == [""]


@pytest.mark.parametrize("answer", [128, FileNotFoundError(), subprocess.TimeoutExpired("taskkill", 10)])
def test_where_taskkill_fails_the_process_itself_is_ended(windows: List[Any], answer: Any) -> None:
    windows[0] = answer
    child, dead = Child(), Child(alive=False)
    processes.kill_group(child)  # type: ignore[arg-type]
    processes.kill_group(dead)  # type: ignore[arg-type]
    assert child.calls == ["", "kill"]
    assert dead.calls == [""]


@posix
@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_a_group_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    """macOS answers EPERM for a group of zombies, Linux ESRCH."""
    sent = []

    def killpg(group: int, number: int) -> None:
        sent.append((group, number))
        raise error

    monkeypatch.setattr(os, "killpg", killpg)
    processes.terminate_group(Child())  # type: ignore[arg-type]
    processes.kill_group(Child())  # type: ignore[arg-type]
    assert sent == [(4321, 15), (4321, 9)]


@posix
def test_elsewhere_the_child_leads_a_session() -> None:
    assert processes.group_options() == {"start_new_session": True}


# Command lines ----------------------------------------------------------------------------------------------


def test_a_command_line_can_be_pasted_into_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    command, words = EngineCommand(("/opt/st it/stit",)), ["run", "it's.json", "--frames=-5-3"]
    monkeypatch.setattr(jobs_module, "WINDOWS", False)
    text = command_text(command, words)
    echo = subprocess.check_output(
        ["sh", "-c", 'for word in {}; do echo "$word"; done'.format(text)], universal_newlines=True
    )
    assert echo.splitlines() == ["/opt/st it/stit", *words]
    monkeypatch.setattr(jobs_module, "WINDOWS", True)
    assert command_text(command, words) == '"/opt/st it/stit" run it\'s.json --frames=-5-3'


def test_the_session_works_without_its_own_python() -> None:
    """Nothing of `sys.executable` is used: in Nuke and Blender it is the host itself."""
    folder = Path(engine_module.__file__).parent
    assert not any("sys.executable" in path.read_text() for path in folder.glob("*.py"))
    assert sys.executable
