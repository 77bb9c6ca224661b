"""A job as OpenCue's job specification: XML after its cjsl-1.15 document type."""

from __future__ import annotations

import getpass
import os
import re
import shlex
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from stit_vfx.farm.graph import Graph, Layer, filled

DOCTYPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE spec PUBLIC "SPI Cue  Specification Language" "http://localhost:8080/spcue/dtd/cjsl-1.15.dtd">\n'
)
# RQD puts a task's frames here, in the spelling of --frames.
FRAME_TOKEN = "#FRAMESPEC#"
RETRIES = 2


def specification(graph: Graph, *, show: str) -> str:
    """The specification that Cuebot launches. `show`: a show that Cuebot knows."""
    spec = Element("spec")
    for name, text in (("show", show), ("shot", graph.shot), ("user", _user()), ("uid", str(_uid()))):
        SubElement(spec, name).text = text
    job_name = _token(graph.name)
    job = SubElement(spec, "job", name=job_name)
    for name, text in (("paused", "False"), ("maxretries", str(RETRIES)), ("autoeat", "False")):
        SubElement(job, name).text = text
    layers = SubElement(job, "layers")
    for layer in graph.layers:
        _add_layer(layers, graph, layer)
    depends = SubElement(spec, "depends")
    for layer in graph.layers:
        if layer.after is not None:
            depend = SubElement(depends, "depend", type="LAYER_ON_LAYER", anyframe="False")
            named = (
                ("depjob", job_name),
                ("deplayer", layer.name),
                ("onjob", job_name),
                ("onlayer", layer.after),
            )
            for name, text in named:
                SubElement(depend, name).text = text
    ElementTree.indent(spec)
    return DOCTYPE + ElementTree.tostring(spec, encoding="unicode") + "\n"


def _add_layer(layers: Element, graph: Graph, layer: Layer) -> None:
    from stit_vfx.plate.sequence import format_frames

    words = [*graph.engine, *filled(layer.words, ("--frames", FRAME_TOKEN)), "--events", "text"]
    element = SubElement(layers, "layer", name=layer.name, type="Render")
    # One line for a shell: every word is quoted, but for the token, which RQD puts frames in for.
    command = " ".join(word if word == FRAME_TOKEN else shlex.quote(word) for word in words)
    fields = {
        "cmd": command,
        "range": "1" if layer.frames is None else format_frames(layer.frames),
        "chunk": str(layer.chunk),
        "threadable": "True",
        "memory": f"{graph.memory_mb}m" if graph.memory_mb else None,
        "gpus": "1" if graph.gpu_mb is not None else None,
        "gpu_memory": f"{graph.gpu_mb}m" if graph.gpu_mb is not None else None,
    }
    for name, text in fields.items():
        if text is not None:
            SubElement(element, name).text = text
    SubElement(SubElement(element, "services"), "service").text = "shell"


def _token(text: str) -> str:
    """A name that OpenCue takes: letters, digits, underscores."""
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user that the machine has no name for
        return "stit"


def _uid() -> int:
    return os.getuid() if hasattr(os, "getuid") else 1000
