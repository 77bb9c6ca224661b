"""Packs whose generator knows the face's geometry: the built-in one.

Shape and expression are codes of a linear face, fitted to landmarks; rows of w carry appearance. An edit
moves both. What goes back into the plate is first of all the plate itself, carried along by the exact flow
between the two shapes and relit; the generator adds what it has learned, as far as the pack trusts it, and
the mouth's inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from stit_vfx.errors import InternalError, PackFormatError
from stit_vfx.gan.geometry import GeometryConfig, GeometryEncoder, GeometrySynthesis
from stit_vfx.packs.directions import move_appearance
from stit_vfx.packs.layers import Layers
from stit_vfx.packs.model import ChangeFields, Code, Direction, Noise
from stit_vfx.packs.reader import CropReader
from stit_vfx.packs.schema import PackSpec
from stit_vfx.packs.weights import fill
from stit_vfx.plate.colour import shoulder_decode, shoulder_encode
from stit_vfx.plate.composite import sample_within
from stit_vfx.plate.warp import resize_square
from stit_vfx.shape.code import ShapeCode, crop_affine
from stit_vfx.shape.disc import disc
from stit_vfx.shape.fit import fit_shot
from stit_vfx.shape.flow import Fields, View, change_fields, warp
from stit_vfx.shape.grain import blur_px, grain_like, softened
from stit_vfx.shape.greying import greyed
from stit_vfx.shape.hair import HairLikeness
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.maps import CHANNELS, conditioning_maps
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.mouth_memory import Look, MouthMemory, look
from stit_vfx.shape.moves import apply_moves, expression_look
from stit_vfx.shape.outline import outlined
from stit_vfx.shape.own_hair import brows_whole, own_hair
from stit_vfx.shape.parts import Parts
from stit_vfx.shape.ramp import smoothstep

CROP_SIZE = 512
TRUST = 0.3  # share of the generator's own change to the skin, on top of the plate moved and relit
MOUTH_TRUST = 0.1  # share of the generator in a mouth that the plate does not show; the rest is painted
_FALLOFF = 0.05  # share of the crop's side over which the change grows from the matte's edge
_FALLOFF_LAYERED = 0.025  # the same where the backdrop does not move along
_MOST = 0.35  # of log light: no more of a generator's change than this
_DIM = 0.02  # linear light below which its pictures say little
_TINT = 0.3
_LOBE = 0.025  # of the crop's side: cheek so near an ear stays with it, or the lobe would be torn off
_TORN_PX = 1.5  # neighbours whose sources lie further apart belong to different surfaces


class GeometryModel:
    """`FaceModel` for geometry-aware packs.

    Shape codes are required wherever they are optional in the protocol.
    """

    def __init__(
        self,
        shape: ShapeModel,
        generator: GeometrySynthesis,
        encoder: GeometryEncoder,
        *,
        crop_size: int = CROP_SIZE,
        trust: float = TRUST,
        mouth_trust: float = MOUTH_TRUST,
        reader: CropReader | None = None,
        schedule: Mapping[str, Any] | None = None,
    ) -> None:
        config = generator.config
        if config.maps != len(CHANNELS):
            raise PackFormatError(f"the generator takes {config.maps} maps; the shape gives {len(CHANNELS)}")
        self.shape, self.encoder = shape, encoder
        self.network: nn.Module = generator
        self.resolution, self.num_ws, self.w_dim = config.resolution, config.num_ws, config.w_dim
        self.crop_size = max(crop_size, config.resolution)
        self.trust, self.mouth_trust, self.reader = trust, mouth_trust, reader
        self.schedule: Mapping[str, Any] = schedule or {}

    @classmethod
    def load(cls, spec: PackSpec, folder: Path, *, device: str | torch.device = "cpu") -> GeometryModel:
        """From a pack's folder. `trust` in pack.json may hold "skin" and "mouth", 0..1."""
        # The schema demands both of this kind.
        assert spec.shape is not None
        assert spec.encoder is not None
        known = GeometryConfig.__dataclass_fields__
        config = GeometryConfig(**{k: v for k, v in spec.generator.model_dump().items() if k in known})
        with torch.device("meta"):
            generator, encoder = GeometrySynthesis(config), GeometryEncoder(config)
        reader = None
        if spec.reader is not None:
            sha256 = spec.sha256[spec.reader.file]
            reader = CropReader.of(spec.reader, folder, device=device, sha256=sha256)
        return cls(
            ShapeModel.load(folder / spec.shape.file),
            fill(
                generator,
                folder / spec.generator.file,
                device=device,
                sha256=spec.sha256[spec.generator.file],
            ),
            fill(encoder, folder / spec.encoder.file, device=device, sha256=spec.sha256[spec.encoder.file]),
            crop_size=spec.crop_size or CROP_SIZE,
            trust=float(spec.trust.get("skin", TRUST)),
            mouth_trust=float(spec.trust.get("mouth", MOUTH_TRUST)),
            reader=reader,
            schedule=spec.schedule.model_dump(exclude_none=True),
        )

    def fit(self, landmarks: np.ndarray, weights: np.ndarray, *, cuts: Sequence[int] = ()) -> list[ShapeCode]:
        """One identity for the shot, pose and expression per frame, steady over time; see `shape.fit`."""
        return fit_shot(self.shape, landmarks, weights, cuts=cuts)

    @property
    def encodes(self) -> bool:
        return True

    def free_encoder(self) -> None:
        """It is small, and stays."""

    def parts(self, crop_code: np.ndarray) -> Parts | None:
        """What the pixels of a crop (S, S, 3), code 0..1, show; None for packs that cannot tell."""
        return None if self.reader is None else self.reader.parts(crop_code)

    def look(self, code: Code, *, quad: np.ndarray, crop_code: np.ndarray) -> Look | None:
        """What a frame shows of the inside of the actor's mouth; None if nothing. For `remember`."""
        if code.shape is None:
            return None
        size = len(crop_code)
        view = View.of(self.shape, code.shape.through(crop_affine(quad, size)), size)
        seen = self.parts(crop_code)
        crop_lin = shoulder_decode(crop_code).astype(np.float32)
        return look(self.shape, view, crop_lin, None if seen is None else seen.of("mouth"))

    def openness(self, code: Code) -> float:
        """Centimetres between the inner lips of a code."""
        if code.shape is None:
            return 0.0
        marks = self.shape.marks(code.shape)
        return float(marks[62, 1] - marks[66, 1])

    @torch.no_grad()
    def encode(self, crops: Tensor, shapes: Sequence[ShapeCode] | None, quads: np.ndarray) -> Tensor:
        """Crops (N, 3, R, R) to rows (N, num_ws, w_dim), one by one, so that a batch changes no bits."""
        device = next(self.encoder.parameters()).device
        maps = self.maps(shapes, quads).to(device)
        return torch.cat(
            [self.encoder(c[None].to(device), m[None]) for c, m in zip(crops, maps, strict=True)]
        )

    def maps(self, shapes: Sequence[ShapeCode] | None, quads: np.ndarray) -> Tensor:
        """(N, C, R, R) on the network's device."""
        if shapes is None:
            raise InternalError("a geometry-aware pack was run without shape codes")
        drawn = [
            conditioning_maps(self.shape, s, q, self.resolution) for s, q in zip(shapes, quads, strict=True)
        ]
        return torch.from_numpy(np.stack(drawn)).to(next(self.network.parameters()).device)

    def synthesize(
        self,
        ws: Tensor,
        maps: Tensor | None,
        *,
        noise: Noise = "const",
        network: nn.Module | None = None,
        style: Tensor | None = None,
    ) -> Tensor:
        """Images (N, 3, R, R). These networks have no style space."""
        if maps is None or style is not None:
            raise InternalError("a geometry-aware generator needs maps and takes no style offsets")
        generator = self.network if network is None else network
        image: Tensor = generator(ws, maps, noise)
        return image

    def move(self, code: Code, moves: Sequence[tuple[Direction, float]]) -> Code:
        """Appearance adds up in w; shape moves saturate (`shape.moves`); relief amounts add up."""
        for direction, _ in moves:
            if direction.vector is not None and direction.space == "style":
                raise PackFormatError(
                    f"direction {direction.name!r} is in style space, which this pack lacks"
                )
        moved = move_appearance(code, moves)
        look = dict(code.look)
        for direction, strength in moves:
            for name, amount in direction.look.items():
                look[name] = look.get(name, 0.0) + strength * direction.scale * float(amount)
        if code.shape is None:
            return replace(moved, look=look)
        steps = [(d.shape, s * d.scale) for d, s in moves if d.shape]
        return replace(moved, look=look, shape=apply_moves(self.shape, code.shape, steps))

    def change(
        self,
        before: Code,
        after: Code,
        *,
        quad: np.ndarray,
        crop_code: np.ndarray,
        recon: np.ndarray,
        edited: np.ndarray,
        matte: np.ndarray,
        mouth: MouthMemory | None = None,
    ) -> ChangeFields:
        """The plate moved and relit, the generator's own change on top, a new mouth where there is none.

        `recon` is the crop itself: what the generator gets wrong about it cancels, and its residual is pure
        detail. Everything fades towards the matte's edge. Equal codes give equal `edit` and `recon`, and no
        flow.
        """
        if before.shape is None or after.shape is None:
            raise InternalError("a geometry-aware pack was run without shape codes")
        size = crop_code.shape[0]
        old, new = resize_square(recon, size), resize_square(edited, size)
        fade = _inwards(resize_square(matte, size), _FALLOFF if self.reader is None else _FALLOFF_LAYERED)
        if before.shape is after.shape and before.look == after.look:
            gain = np.exp(_learned(old, new) * (self.trust * fade)[..., None])
            edit = np.where(gain == 1, crop_code, shoulder_encode(shoulder_decode(crop_code) * gain))
            return ChangeFields(edit.astype(np.float32), crop_code.astype(np.float32))
        crop_lin = shoulder_decode(crop_code).astype(np.float32)
        names = {*before.look, *after.look}
        look = {name: after.look.get(name, 0.0) - before.look.get(name, 0.0) for name in names}
        fields = change_fields(
            self.shape,
            before.shape,
            after.shape,
            quad=quad,
            crop_lin=crop_lin,
            look=look | expression_look(self.shape, before.shape, after.shape),
            whole_head=self.reader is not None,
            seen=(parts := self.parts(crop_code)),
            memory=mouth,
        )
        fields = _faded(fields, fade)
        if parts is None:
            return self._mixed(fields, crop_code, old, new)
        assert self.reader is not None
        parts = brows_whole(self.reader.parts_at_edges(crop_code))
        likeness = HairLikeness.of(parts, crop_code, fields.zones)
        parts = own_hair(parts, fields.zones, likeness)
        near = fade * (1 - fields.zones.far)  # somebody else's hair may be in the picture
        alike = None if likeness is None else likeness.both(size)
        scalp = None if likeness is None else fields.zones.scalp * likeness.in_focus(size)
        light = greyed(parts, crop_lin, look.get("age", 0.0), where=near, scalp=scalp, alike=alike)
        turned = np.where(light == crop_lin, crop_code, shoulder_encode(light)).astype(np.float32)
        turns = bool(fields.turn.any())
        if turns:
            parts = outlined(parts, turned, fields.zones)
        layers = Layers.of(turned, parts, fields.zones, turns=turns)
        change = self._layered(fields, layers, turned, old, new)
        return replace(change, recon=crop_code)

    def _mixed(self, fields: Fields, crop_code: np.ndarray, old: np.ndarray, new: np.ndarray) -> ChangeFields:
        """Without knowing what the crop shows: all of it goes along with the flow."""
        edit = self._relit(fields, _moved(crop_code, fields.flow), old, new, 1.0)
        edit = np.where(fields.fade[..., None] == 0, crop_code, edit)
        as_float = (a.astype(np.float32) for a in (edit, crop_code, fields.flow, 1 - fields.revealed))
        return ChangeFields(*as_float)

    def _layered(
        self, fields: Fields, layers: Layers, crop_code: np.ndarray, old: np.ndarray, new: np.ndarray
    ) -> ChangeFields:
        """The face alone moves: over the backdrop, and behind what is before it."""
        if not fields.turn.any():  # a turn takes along ears, and what hides the skin
            free = 1 - _grown(fields.zones.ears, round(_LOBE * len(crop_code)))
            fields = replace(fields, flow=layers.held(fields.flow * free[..., None]))
        moved, face = layers.moved(fields.flow)
        if fields.turn.any():
            moved = layers.smoothed(moved, fields.flow, fields.skin)
        edited = self._relit(fields, moved, old, new, face)
        edit = layers.together(crop_code, edited, fields.turn, layers.jaw(fields.flow, fields.skin))
        edit = np.where(fields.fade[..., None] == 0, crop_code, edit)
        flow, residual = layers.carried(fields.flow, fields.turn, face, fields.revealed)
        as_float = (a.astype(np.float32) for a in (edit, crop_code, flow, residual))
        return ChangeFields(*as_float)

    def _relit(
        self, fields: Fields, moved: np.ndarray, old: np.ndarray, new: np.ndarray, face: np.ndarray | float
    ) -> np.ndarray:
        """(S, S, 3) code: what was moved, relit where it is face, with what the generator changes beyond, and
        a new mouth where one is needed. Where no gain and no mouth is, the same bits.
        """
        learned = _learned(warp(old, fields.flow), new) * (self.trust * fields.skin)[..., None]
        gain = np.exp((np.log(fields.ratio) + learned) * np.broadcast_to(face, fields.skin.shape)[..., None])
        whole = _whole(moved, fields.flow)
        relit = np.where(
            (gain == 1) & (whole == moved), moved, shoulder_encode(shoulder_decode(whole) * gain)
        )
        if fields.lid.any():
            relit = relit + fields.lid[..., None] * (shoulder_encode(fields.lid_lin) - relit)
        mouth = _mouth(fields, new, moved, self.mouth_trust)
        share = fields.revealed[..., None]
        return np.where(share == 0, relit, (1 - share) * relit + share * mouth)


def _moved(crop_code: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The crop (S, S, 3) taken from p + flow. Sampled as code and without overshoot: light of 15 on a tooth
    would ring as a black dot beside it."""
    y, x = np.mgrid[: len(flow), : flow.shape[1]]
    return sample_within(crop_code, np.stack([x, y], -1) + flow)


def _inwards(matte: np.ndarray, falloff: float) -> np.ndarray:
    """(S, S) 0 at the matte's edge and outside, 1 from `falloff` of the side inside it."""
    inside = cv2.distanceTransform((matte > 1 / 1024).astype(np.uint8), cv2.DIST_L2, 5)
    reach = falloff * len(matte)
    framed = np.pad(np.ones(np.array(matte.shape) - 2, np.uint8), 1)
    edge = cv2.distanceTransform(framed, cv2.DIST_L2, 5)
    return np.asarray(smoothstep(np.minimum(inside, edge) / reach), np.float32)


def _faded(fields: Fields, fade: np.ndarray) -> Fields:
    """Flow, gain and new mouth times `fade` (S, S)."""
    wide = fade[..., None]
    return replace(
        fields,
        flow=fields.flow * wide,
        turn=fields.turn * wide,
        ratio=1 + (fields.ratio - 1) * wide,
        revealed=fields.revealed * fade,
        lid=fields.lid * fade,
        fade=fields.fade * fade,
        skin=fields.skin * fade,
    )


def _grown(share: np.ndarray, radius_px: int) -> np.ndarray:
    """(S, S) 0..1 the share, grown by a disc and as much softened."""
    return cv2.GaussianBlur(cv2.dilate(share, disc(radius_px)), (0, 0), 0.5 * radius_px)


def _learned(old_code: np.ndarray, new_code: np.ndarray) -> np.ndarray:
    """Log gain (S, S, 3) of light between a generator's two pictures: mostly brightness, softly limited.

    It lights a face in its own way: neither a tint nor a large step of it belongs on the actor. A gain, for a
    step of code would be a glare in highlights, which the code's shoulder holds close together.
    """
    old, new = (np.log(np.maximum(shoulder_decode(np.minimum(c, 1)), 0) + _DIM) for c in (old_code, new_code))
    luma = ((new - old) @ LUMA)[..., None]
    return np.asarray(_MOST * np.tanh(luma / _MOST) + _TINT * _MOST * np.tanh((new - old - luma) / _MOST))


def _whole(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The picture (S, S, 3) code with seams between surfaces (lids, lips) softened by a pixel. As code: a
    glint's light of 15 in an eye would glare across the lid beside it.
    """
    torn = np.zeros(flow.shape[:2], np.uint8)
    for axis in (0, 1):
        step = np.abs(np.diff(flow, axis=axis)).max(2) > _TORN_PX
        torn |= np.pad(step, [(0, 1) if k == axis else (0, 0) for k in (0, 1)])
        torn |= np.pad(step, [(1, 0) if k == axis else (0, 0) for k in (0, 1)])
    share = cv2.GaussianBlur(torn.astype(np.float32), (0, 0), 0.7)[..., None]
    return picture + share * (cv2.GaussianBlur(picture, (0, 0), 0.8) - picture)


def _mouth(fields: Fields, generated: np.ndarray, moved: np.ndarray, trust: float) -> np.ndarray:
    """(S, S, 3) code: the mouth's inside where the plate hides it, as sharp and as grainy as the rest.

    What is painted takes some of the generator's picture, brought to its brightness and tint: it has the
    light of the actor's skin. What other frames of the shot show of the actor needs none.
    """
    painted, chosen = shoulder_encode(fields.mouth_lin), fields.revealed > 0.5
    if chosen.sum() < 16:
        return painted
    shift = painted[chosen].mean(0) - generated[chosen].mean(0)
    share = trust * (1 - fields.own)[..., None]
    mixed = painted + share * (generated + shift - painted)
    face = fields.skin > 0.9
    soft = softened(mixed, blur_px(moved, face))
    return np.asarray(soft + grain_like(moved, face, soft))
