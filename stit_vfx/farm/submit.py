"""From a job to a farm: check it, give it its version, write what the farm reads, and hand it over."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stit_vfx.atomic import atomic_bytes
from stit_vfx.cache import write_json
from stit_vfx.errors import JobError, MissingPartError, TransientError
from stit_vfx.events import Cancel, Reporter
from stit_vfx.farm import opencue, openjd
from stit_vfx.farm.graph import Graph, filled, layers_of
from stit_vfx.job import Job
from stit_vfx.options import RunOptions
from stit_vfx.shot import Shot, Version

Farm = Literal["openjd", "opencue", "commands"]
FARMS: tuple[Farm, ...] = ("openjd", "opencue", "commands")
SEND_TIMEOUT_S = 300


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the one who submits decides. None of it changes a pixel.

    engine   the command that starts the engine on a worker
    gpu_mb   ask for a worker whose graphics card has this much memory
    show     OpenCue's show
    check    look at plate, frames and pack here first; else the job has to name its frames
    """

    engine: tuple[str, ...] = ("stit",)
    chunk: int = 8
    device: str | None = None
    pack_path: tuple[Path, ...] = ()
    ocio: str | None = None
    gpu_mb: int | None = None
    show: str = ""
    check: bool = True

    def machine(self) -> tuple[str, ...]:
        """Words of `stit run` for all tasks."""
        device = () if self.device is None else (f"--device={self.device}",)
        packs = (f"--pack-path={folder.absolute()}" for folder in self.pack_path)
        return *device, *packs, *(() if self.ocio is None else (f"--ocio={self.ocio}",))


@dataclass(frozen=True)
class Submission:
    """What was made. `commands` hand it over, or are the tasks themselves; `sent`: the farm's answer."""

    to: Farm
    version: str
    job: Path
    files: tuple[Path, ...]
    tasks: int
    commands: tuple[str, ...]
    sent: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            **vars(self),
            "job": str(self.job),
            "files": [str(path) for path in self.files],
            "commands": list(self.commands),
        }

    def to_text(self) -> str:
        """For people, and for a shell: what is no command is a comment."""
        written = [f"# wrote {path}" for path in self.files]
        done = [] if self.sent is None else [f"# sent: {line}" for line in self.sent.splitlines()]
        return "\n".join([f"# {self.version}, {self.tasks} tasks", *written, *self.commands, *done])


def submit(job: Job, *, to: Farm, wishes: Wishes, send: bool = False) -> Submission:
    """Write what a farm needs for a job below the shot's folder, and with `send` hand it over.

    The job becomes a version now, so that its number is known; submitting it again gives the same one.
    Raises what a run would refuse at its start, MissingPartError where the farm's own client is not there,
    and TransientError with its words where it refuses.
    """
    job, memory_mb = _checked(job, wishes)
    version = Shot.open(job.output.folder, job.shot).version(job)
    file = openjd.JOB if to == "openjd" else str(version.job_path.absolute())
    graph = Graph(
        name=f"stit {job.shot} {version.name}",
        shot=job.shot,
        engine=wishes.engine,
        layers=layers_of(file, job.frame_numbers(), chunk=wishes.chunk, machine=wishes.machine()),
        gpu_mb=wishes.gpu_mb,
        memory_mb=memory_mb,
    )
    if to == "openjd":
        made = _to_openjd(graph, job, version)
    elif to == "opencue":
        made = _to_opencue(graph, version, wishes)
    else:
        made = _to_commands(graph, version)
    return replace(made, sent=_send(made)) if send else made


def _checked(job: Job, wishes: Wishes) -> tuple[Job, int | None]:
    """The job with its frames filled in, and the memory that a run of it needs, if it was looked at."""
    if not wishes.check:
        return job.with_defaults(), None
    from stit_vfx.bench import open_bench
    from stit_vfx.memory import memory_need_mb

    cancel = Cancel()
    # On the processor: a workstation need not have what the workers have.
    options = RunOptions(device="cpu", pack_path=wishes.pack_path, ocio=wishes.ocio)
    reporter = Reporter("none", cancel=cancel)
    folder = Path(job.output.folder)
    bench = open_bench(job, out=folder, reporter=reporter, cancel=cancel, options=options, dry=True)
    return bench.job, memory_need_mb(bench.plate, bench.pack, bench.job)


def _folder(version: Version, to: Farm) -> Path:
    return version.shot.path / "farm" / version.name / to


def _to_openjd(graph: Graph, job: Job, version: Version) -> Submission:
    folder = _folder(version, "openjd").absolute()
    files = {
        openjd.JOB_FILE: job.to_data(),
        openjd.ASSETS: openjd.assets(job.plate, version.shot.path.absolute()),
        openjd.TEMPLATE: openjd.template(graph),
    }
    for name, data in files.items():
        write_json(folder / name, data)
    template = shlex.quote(str(folder / openjd.TEMPLATE))
    commands = (
        f"openjd run {template} --extensions TASK_CHUNKING",
        f"deadline bundle submit {shlex.quote(str(folder))} --yes",
    )
    written = tuple(folder / name for name in files)
    return Submission("openjd", version.name, folder / openjd.JOB_FILE, written, graph.tasks, commands)


def _to_opencue(graph: Graph, version: Version, wishes: Wishes) -> Submission:
    if not wishes.show:
        raise JobError("--show: OpenCue has to know the show", hint="Give --show NAME, or set $SHOW")
    file = _folder(version, "opencue").absolute() / "job.xml"
    atomic_bytes(file, opencue.specification(graph, show=wishes.show).encode())
    call = f"import opencue; opencue.api.launchSpecAndWait(open({str(file)!r}).read())"
    command = f"python -c {shlex.quote(call)}"
    return Submission("opencue", version.name, version.job_path, (file,), graph.tasks, (command,))


def _to_commands(graph: Graph, version: Version) -> Submission:
    from stit_vfx.plate.sequence import format_frames

    lines = []
    for layer in graph.layers:
        if layer.after is not None:
            lines.append(f"# when {layer.after} is done, in any order, at once:")
        chunks: Sequence[Sequence[int]] = [()] if layer.frames is None else list(layer.chunks())
        for frames in chunks:
            words = filled(layer.words, ("--frames", format_frames(frames)) if frames else ())
            lines.append(shlex.join([*graph.engine, *words, "--events", "text"]))
    return Submission("commands", version.name, version.job_path, (), graph.tasks, tuple(lines))


# Handing it over ------------------------------------------------------------------------------------------


def _send(made: Submission) -> str:
    if made.to == "openjd":
        return _send_to_deadline(made.files[0].parent)
    if made.to == "opencue":
        return _send_to_cuebot(made.files[0].read_text())
    raise JobError("--send: commands are for a farm that stit does not know", hint="Leave --send out")


def _send_to_deadline(bundle: Path) -> str:
    program = shutil.which("deadline")
    if program is None:
        raise MissingPartError(
            "the program `deadline` is not here",
            hint="pip install deadline, or send the bundle from elsewhere",
        )
    words = [program, "bundle", "submit", str(bundle), "--yes"]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SEND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TransientError(
            f"Deadline Cloud did not answer in {SEND_TIMEOUT_S} s", where=bundle, hint="Try again"
        ) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise TransientError(
            f"Deadline Cloud did not take it: {' '.join(said)}", where=bundle, hint="See deadline auth status"
        )
    return done.stdout.strip()


def _send_to_cuebot(text: str) -> str:
    try:
        import opencue as client
    except ImportError:
        raise MissingPartError(
            "OpenCue's client is not installed beside stit",
            hint="pip install opencue-pycue, and set CUEBOT_HOSTS",
        ) from None
    try:
        jobs = client.api.launchSpecAndWait(text)
    except Exception as error:  # the client raises its own, and gRPC's
        said = " ".join(str(error).split())[:300]
        raise TransientError(f"Cuebot did not take it: {said}", hint="Is CUEBOT_HOSTS right?") from error
    return ", ".join(job.name() for job in jobs)
