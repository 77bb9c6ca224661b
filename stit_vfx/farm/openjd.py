"""A job as an Open Job Description bundle: for `openjd run`, and for AWS Deadline Cloud as it is.

Specification: https://github.com/OpenJobDescription/openjd-specifications, "2023-09-Template-Schemas".
JSON and not YAML, which would take what follows a ` #` of a pattern for a comment.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stit_vfx.errors import JobError
from stit_vfx.farm.graph import Graph, Layer, filled

# The job's file lies beside the template, so that the bundle needs no parameters and can be moved.
JOB = "{{Param.Job}}"
JOB_FILE, TEMPLATE, ASSETS = "job.json", "template.json", "asset_references.json"
# Between SIGTERM and SIGKILL. Without it a cancelled task is killed at once; nothing is lost then either.
NOTIFY_S = 60
MAX_NAME = 128


def template(graph: Graph) -> dict[str, Any]:
    """The job template. `Graph.layers` name the job's file JOB."""
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "extensions": ["TASK_CHUNKING"],
        "name": graph.name[:MAX_NAME],
        "description": "Face edit of one shot: tuned once, then edited in chunks. Made by stit submit.",
        "parameterDefinitions": [
            {
                "name": "Job",
                "type": "PATH",
                "objectType": "FILE",
                "dataFlow": "NONE",
                "default": JOB_FILE,
                "description": "The stit job file. Its paths are whole: plate and output are on a share.",
            }
        ],
        "steps": [_step(graph, layer) for layer in graph.layers],
    }


def _step(graph: Graph, layer: Layer) -> dict[str, Any]:
    words = [*graph.engine, *filled(layer.words, ("--frames-openjd", "{{Task.Param.Frame}}"))]
    words += ["--events", "openjd"]
    _check(words)
    action = {
        "command": words[0],
        "args": words[1:],
        "timeout": layer.timeout_s,
        "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": NOTIFY_S},
    }
    step: dict[str, Any] = {"name": layer.name.capitalize(), "script": {"actions": {"onRun": action}}}
    if layer.after is not None:
        step["dependencies"] = [{"dependsOn": layer.after.capitalize()}]
    if amounts := _amounts(graph):
        step["hostRequirements"] = {"amounts": amounts}
    if layer.frames is not None:
        step["parameterSpace"] = {"taskParameterDefinitions": [_frames(layer, layer.frames)]}
    return step


def _check(words: Iterable[str]) -> None:
    known = (JOB, "{{Task.Param.Frame}}")
    for word in words:
        if "{{" in word and word not in known:
            raise JobError(f"{word!r} holds '{{{{', which means something else in Open Job Description")


def _amounts(graph: Graph) -> list[dict[str, Any]]:
    wanted = {"amount.worker.memory": graph.memory_mb}
    if graph.gpu_mb is not None:
        wanted |= {"amount.worker.gpu": 1, "amount.worker.gpu.memory": graph.gpu_mb}
    return [{"name": name, "min": least} for name, least in wanted.items() if least]


def _frames(layer: Layer, frames: Iterable[int]) -> dict[str, Any]:
    return {
        "name": "Frame",
        "type": "CHUNK[INT]",
        "range": openjd_range(frames),
        "chunks": {
            "defaultTaskCount": layer.chunk,
            # Chunks that grow by themselves would put the rest of a resumed shot into one.
            "targetRuntimeSeconds": 0,
            # Contiguous chunks of every second frame would hold one frame each.
            "rangeConstraint": "NONCONTIGUOUS",
        },
    }


def openjd_range(frames: Iterable[int]) -> str:
    """Frames as an OpenJD range expression, `1001-1099:2,1200`: their step is our `x`."""
    from stit_vfx.plate.sequence import format_frames

    return format_frames(frames).replace("x", ":")


def assets(plate: str, shot_folder: Path) -> dict[str, Any]:
    """Deadline Cloud's list of files. All are only referred to: on shared storage nothing is uploaded."""
    referred = sorted({str(Path(plate).parent), str(shot_folder)})
    nothing: dict[str, Any] = {"inputs": {"filenames": [], "directories": []}, "outputs": {"directories": []}}
    return {"assetReferences": {**nothing, "referencedPaths": referred}}
