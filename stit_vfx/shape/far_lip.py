"""The far half of a mouth in profile: lips that part there part the outline of the face.

The plate shows nothing of it. What a camera would see past the near half is the rim of the far one, for which
the lower lip is drawn up, and beyond that what is beyond the plate's own outline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from stit_vfx.shape.ramp import smoothstep

if TYPE_CHECKING:
    from stit_vfx.shape.lips import Edges

Array = np.ndarray

LEAST_RIM_PX = 1.0  # a lower rim is none
# Of the mouth's width as it is seen: a lip; so far beyond it what is there moves along; how soft that is.
_LIP, _BEYOND, _CALM = 0.4, 0.6, 0.06


def past_the_rim(
    before: Edges, after: Edges, end: int, flows: list[Array], flow: Array, share: Array
) -> Array:
    """The flow (S, S, 2) around lips, put right past the rim at their left (0) or right end (1). The same
    where lips end at one place, as any but those of a profile do.

    flows: of the upper and the lower lip along its edge, (N, 2) each; share (S, S) 0..1: near the lips.
    """
    (_, high), (_, low) = after.ends[end]
    if low - high < LEAST_RIM_PX:
        return flow
    y, x = np.mgrid[: len(flow), : flow.shape[1]].astype(np.float64)
    t, depth = after.place(x, y)
    past = past_px(after, end, t, depth)
    wedge, lip_px = after.wedge(end), _LIP * after.length
    # Where the plate's lips are apart too, it shows a rim of its own.
    had_high, had_low = before.ends[end, :, 1]
    drawn = np.interp(depth, [high, low + lip_px], [had_high, max(had_low, had_high) + lip_px])
    sources = [_source(before, after, end, lip, each)[0] for lip, each in enumerate(flows)]
    along = np.interp(depth, [high, low], sources) * before.length + (1 if end else -1) * past
    line = had_high + wedge * (drawn - had_high)
    there = before.origin + along[..., None] * before.along + line[..., None] * before.down
    near = smoothstep(2 * (1 - np.clip(past / (_BEYOND * after.length), 0, 1)))[..., None]
    beyond = flow + wedge * (flow + near * (there - np.stack([x, y], -1) - flow) - flow)
    up = wedge * (drawn - (depth - low + had_low)) * (depth >= low)
    up = up * smoothstep(1 + past / lip_px) * smoothstep(2 * share)
    lifted = flow + np.clip(up, 0, None)[..., None] * before.down
    out = np.where(((depth > high) & (depth < low) & (past > 0))[..., None], beyond, lifted)
    calm = cv2.GaussianBlur(out, (0, 0), max(_CALM * after.length, 0.5))
    around = smoothstep((depth - high) / lip_px + 1) * smoothstep((low - depth) / lip_px + 2)
    part = wedge * around * smoothstep((past - 1) / (0.2 * lip_px)) * smoothstep(2 * share)
    return np.asarray(out + part[..., None] * (calm - out))


def past_px(edges: Edges, end: int, t: Array, depth: Array) -> Array:
    """Px by which places so far along the lips' line and below it are beyond the rim."""
    (upper, high), (lower, low) = edges.ends[end]
    return (t - np.interp(depth, [high, low], [upper, lower])) * edges.length * (1 if end else -1)


def _source(before: Edges, after: Edges, end: int, lip: int, flow: Array) -> Array:
    """(2,) how far along the plate's line, 0..1, and how far below it in px, the end of a lip comes from that
    moves by `flow` (N, 2) along its edge.
    """
    last, depth = after.ends[end, lip]
    place = after.origin + last * after.length * after.along + depth * after.down
    at = np.linspace(0, 1, len(flow))
    x, y = (place[k] + np.interp(last, at, flow[:, k]) for k in (0, 1))
    return np.array([float(each) for each in before.place(x, y)])
