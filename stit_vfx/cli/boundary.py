"""The one place where an error becomes a line for people, an event for hosts and an exit status for farms."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from stit_vfx.atomic import storage_error
from stit_vfx.cli.session import Session, current, open_session
from stit_vfx.errors import (
    CancelledError,
    InternalError,
    JobError,
    MemoryLimitError,
    MissingPartError,
    StitError,
    TransientError,
)

_verbose = False


def set_verbose(verbose: bool) -> None:
    """Whether tracebacks go to the terminal."""
    global _verbose
    _verbose = verbose


def guarded(command: Callable[[], object], args: Sequence[str]) -> int:
    """Run a command; whatever happens, give its exit status."""
    try:
        status = command()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except BaseException as error:
        return _report(error, args)
    status = status if isinstance(status, int) else 0
    if (session := current()) is not None:
        session.finish(status)
    return status


def _report(error: BaseException, args: Sequence[str]) -> int:
    if _verbose and not isinstance(error, click.ClickException | click.Abort):
        import traceback

        traceback.print_exception(error)
    session = current() or _session_for(args)
    told = as_stit_error(error, logs=session.logs if session else None)
    if session is None or session.reporter.form in ("jsonl", "openjd"):
        print(told, file=sys.stderr, flush=True)
    if session is not None:
        session.fail(told)
    return told.exit_status


def _session_for(args: Sequence[str]) -> Session | None:
    """A host that asked for events gets them for misspelt words too, which are found before any session."""
    asked = ["--events", "jsonl"]
    if "--events=jsonl" in args or any(list(args[n : n + 2]) == asked for n in range(len(args))):
        return open_session("jsonl", job=None)
    return None


def as_stit_error(error: BaseException, *, logs: Path | None = None) -> StitError:
    """Any exception as an error with a code. Those that nobody foresaw are written to a log file first."""
    match error:
        case StitError():
            return error
        case click.UsageError():
            return _usage_error(error)
        case click.ClickException():
            return JobError(error.format_message())
        case click.Abort() | KeyboardInterrupt():
            return CancelledError("stopped from the keyboard")
        case MemoryError():
            return _out_of_memory()
        case ImportError() if not (error.name or "").startswith("stit_vfx"):
            return _missing_part(error)
        case OSError() if error.errno is not None:
            return storage_error(error)
    return _from_torch(error) or _internal(error, logs)


def _usage_error(error: click.UsageError) -> StitError:
    path = error.ctx.command_path if error.ctx is not None else "stit"
    return JobError(error.format_message(), hint=f"See {path} --help")


def _out_of_memory() -> StitError:
    return MemoryLimitError(
        "not enough memory", hint="Close other programs, or use --quality draft or a smaller frame"
    )


def _missing_part(error: ImportError) -> StitError:
    if "libGL" in str(error) or "libgthread" in str(error):
        hint = "Run: apt-get install libgl1 libglib2.0-0"
    else:
        hint = "Run scripts/environment again, then stit doctor"
    return MissingPartError(str(error), hint=hint)


def _from_torch(error: BaseException) -> StitError | None:
    """torch's own errors, recognised by name and text so that torch need not be imported."""
    if type(error).__name__ == "OutOfMemoryError":
        return TransientError(
            "the device is out of memory", hint="Try again when it is free, or use --quality draft"
        )
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return _out_of_memory()
    return None


def _internal(error: BaseException, logs: Path | None) -> StitError:
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    log = _write_traceback(error, logs)
    hint = f"Please report it with the log {log}" if log else "Run it with -v to see where"
    return InternalError(f"an unexpected error, {said}", hint=hint)


def _write_traceback(error: BaseException, logs: Path | None) -> Path | None:
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    for folder in (logs, Path(tempfile.gettempdir())):
        if folder is None or not folder.is_dir():
            continue
        try:
            prefix = time.strftime("stit-error-%Y%m%d-%H%M%S-")
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=folder, prefix=prefix, suffix=".log", delete=False
            ) as file:
                file.write(text)
            return Path(file.name)
        except OSError:
            continue
    return None
