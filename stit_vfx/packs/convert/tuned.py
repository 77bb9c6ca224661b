"""Checkpoints of the published STIT: a generator tuned to one shot, with the shot's pivots and quads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert.nvidia import is_persistent, network_part
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.states import is_tensor
from stit_vfx.packs.convert.weight import Weight
from stit_vfx.packs.reading import ModelFile

NOTE = "its pivots and corners belong to a shot: bring them with --plate"


def parts(file: ModelFile) -> list[Part] | None:
    """The tuned generator; `pivots` (T, num_ws, w_dim) and `quads` (T, 4, 2) beside it. None if no such."""
    root = file.root
    if not isinstance(root, Mapping) or not is_persistent(root.get("generator")):
        return None
    part = network_part(
        root["generator"], file, what="StyleGAN2, tuned by STIT", kind="stylegan2-tuned", notes=(NOTE,)
    )
    pivots, quads = _pivots(root.get("pivots"), part, file), _quads(root.get("quads"), file)
    if len(pivots) != len(quads):
        problem = f"has {len(pivots)} pivots and {len(quads)} quads, one of each per frame is expected"
        raise PackSourceError(problem, where=file.path)
    return [replace(part, extras={"pivots": pivots, "quads": quads})]


def _pivots(value: Any, part: Part, file: ModelFile) -> np.ndarray:
    if not is_tensor(value):
        raise PackSourceError("has no pivots", where=file.path, hint="It is no checkpoint of STIT")
    pivots = Weight.of("pivots", value).read().float().numpy()
    rows, width = part.settings["num_ws"], part.settings["w_dim"]
    if pivots.shape[1:] != (rows, width) or not len(pivots):
        wanted = f"(frames, {rows}, {width}) is expected"
        raise PackSourceError(f"pivots are {pivots.shape} where {wanted}", where=file.path)
    return _finite("pivots", pivots, file)


def _quads(value: Any, file: ModelFile) -> np.ndarray:
    """The corners, saved as a list of arrays or as one array."""
    listed = value if isinstance(value, list | tuple) else [value]
    if not listed or not all(is_tensor(each) for each in listed):
        raise PackSourceError("has no quads", where=file.path, hint="It is no checkpoint of STIT")
    for each in listed:
        if tuple(each.shape[-2:]) != (4, 2):
            told = f"quads are {tuple(each.shape)} where four corners of x and y are expected"
            raise PackSourceError(told, where=file.path)
    quads = np.concatenate([np.asarray(_exact(each), np.float64).reshape(-1, 4, 2) for each in listed])
    return _finite("quads", quads, file)


def _exact(value: Any) -> np.ndarray:
    """The numbers as stored: quads are in double precision."""
    return value if isinstance(value, np.ndarray) else Weight.of("quads", value).make().numpy()


def _finite(name: str, array: np.ndarray, file: ModelFile) -> np.ndarray:
    if not np.isfinite(array).all():
        raise PackSourceError(f"has {name} that are not finite", where=file.path)
    return array
