"""A child in a process group of its own, and the two ways to end all of the group.

POSIX: a new session, so that the group's number is the child's; signals go to the group, since the engine may
have workers. Windows: no signal reaches a process that has no console in common with us, so "terminate" and
"kill" are the same there, `taskkill /T /F`, and the polite way is the command on stdin.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import IO, Any, Mapping, Sequence

WINDOWS = os.name == "nt"
TASKKILL_TIMEOUT_S = 10.0


def group_options() -> dict[str, Any]:
    """What `subprocess.Popen` needs, so that the child leads a group and no console window opens."""
    if WINDOWS:
        # Numbers of the Windows API; the names exist in `subprocess` on Windows alone.
        new_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200)
        no_window = getattr(subprocess, "CREATE_NO_WINDOW", 0x8000000)
        return {"creationflags": new_group | no_window}
    return {"start_new_session": True}


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a child that leads its own group. Raises OSError or ValueError as Popen does."""
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        bufsize=0,
        close_fds=True,
        **group_options(),
    )


def terminate_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end (SIGTERM). Never raises: it may be gone already."""
    if WINDOWS:
        kill_group(process)
    else:
        _signal_group(process.pid, signal.SIGTERM)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the whole group at once. Never raises."""
    if WINDOWS:
        _taskkill(process)
    else:
        _signal_group(process.pid, getattr(signal, "SIGKILL", 9))


def _signal_group(number: int, which: int) -> None:
    # macOS answers EPERM, not ESRCH, for a group of which only zombies are left.
    try:
        os.killpg(number, which)
    except OSError:
        pass


def _taskkill(process: subprocess.Popen[bytes]) -> None:
    argv = ["taskkill", "/PID", str(process.pid), "/T", "/F"]
    none = subprocess.DEVNULL
    no_window = getattr(subprocess, "CREATE_NO_WINDOW", 0x8000000)
    try:
        status = subprocess.call(
            argv, stdin=none, stdout=none, stderr=none, creationflags=no_window, timeout=TASKKILL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        status = 1
    # taskkill needs the root of the tree to be alive, and is absent from stripped systems.
    if status != 0 and process.poll() is None:
        try:
            process.kill()
        except OSError:
            pass


def how_it_ended(returncode: int | None) -> str:
    """An exit status in words: "with status 3", "by signal SIGSEGV"."""
    if returncode is None:
        return "and cannot be ended"
    if returncode < 0:
        try:
            return "by signal {}".format(signal.Signals(-returncode).name)
        except ValueError:
            return "by signal {}".format(-returncode)
    if returncode >= 0xC0000000:
        return "with status 0x{:08X}".format(returncode)
    return "with status {}".format(returncode)
