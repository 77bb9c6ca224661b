"""Colour: from the plate's own space to the code space that the networks see, and exactly back.

    plate -> linear Rec.709 (OCIO) -> sRGB curve up to 0.8, then a logarithmic shoulder to linear 64

The shoulder joins with equal slope and reaches code 1 at linear 64, so highlights fit into a network's range;
below 0.8 a picture looks as a photograph does. Nothing is clipped here: code may be below 0 and above 1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import numpy as np

from stit_vfx.errors import ColourSpaceError

# Pinned by name: "latest" moves, and spaces are renamed between versions. Addressed by alias for that reason.
BUILTIN_CONFIG = "ocio://studio-config-v4.0.0_aces-v2.0_ocio-v2.5"
LINEAR = "lin_rec709"
DATA = "data"

# C1 join at code 0.8, code 1 at linear 64: A ln(1 + (64 - k) / B) = 0.2 with A / B the sRGB slope at k.
KNEE_CODE = 0.8
TOP_LINEAR = 64.0


def srgb_encode(lin: np.ndarray) -> np.ndarray:
    """sRGB's curve (IEC 61966-2-1), float64, its straight part continued below zero."""
    power = 1.055 * np.maximum(lin, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(lin <= 0.0031308, 12.92 * lin, power)


def srgb_decode(code: np.ndarray) -> np.ndarray:
    """The other way; the knot is where the encoded straight part ends, so that both are exact inverses."""
    power = ((np.maximum(code, 0.0404) + 0.055) / 1.055) ** 2.4
    return np.where(code <= 12.92 * 0.0031308, code / 12.92, power)


@dataclass(frozen=True)
class Shoulder:
    """Constants of the curve: `knee` linear; above it code = 0.8 + a ln(1 + (x - knee) / b)."""

    knee: float
    a: float
    b: float


@lru_cache(maxsize=1)
def shoulder() -> Shoulder:
    """Solve for the shoulder's constants (a = 0.02775, b = 0.04704 for knee 0.8 and top 64)."""
    knee = float(srgb_decode(np.array(KNEE_CODE)))
    slope = 1.055 / 2.4 * knee ** (1 / 2.4 - 1)
    low, high = 1e-6, 100.0
    for _ in range(200):
        b = (low + high) / 2
        too_high = slope * b * np.log1p((TOP_LINEAR - knee) / b) > 1 - KNEE_CODE
        low, high = (low, b) if too_high else (b, high)
    return Shoulder(knee, slope * b, b)


def shoulder_encode(lin: np.ndarray) -> np.ndarray:
    """Linear Rec.709 -> code, float64."""
    lin = np.asarray(lin, np.float64)
    curve = shoulder()
    above = KNEE_CODE + curve.a * np.log1p(np.maximum(lin - curve.knee, 0) / curve.b)
    return np.where(lin <= curve.knee, srgb_encode(np.minimum(lin, curve.knee)), above)


def shoulder_decode(code: np.ndarray) -> np.ndarray:
    """Code -> linear Rec.709, float64. Codes far above 1 are enormous light: keep resampled code near 1."""
    code = np.asarray(code, np.float64)
    curve = shoulder()
    above = curve.knee + curve.b * np.expm1(np.maximum(code - KNEE_CODE, 0) / curve.a)
    return np.where(code <= KNEE_CODE, srgb_decode(np.minimum(code, KNEE_CODE)), above)


# OCIO -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlateColour:
    """A plate's colour space in a config, why it was taken, and whether that was a guess (W302)."""

    space: str
    why: str
    guessed: bool
    config: Any = field(repr=False, compare=False)


def load_config(name: str | None = None) -> Any:
    """The OCIO config: `name`, else $OCIO, else the pinned built-in one. Raises ColourSpaceError.

    Configs that cannot reach linear Rec.709 are refused: an unset or broken one would do nothing, silently.
    """
    import PyOpenColorIO as ocio

    chosen = name or os.environ.get("OCIO") or BUILTIN_CONFIG
    ocio.SetLoggingLevel(ocio.LOGGING_LEVEL_NONE)
    try:
        config = ocio.Config.CreateFromFile(chosen)
        config.validate()
    except Exception as error:
        raise ColourSpaceError(
            f"the OCIO config cannot be used: {_first_line(error)}",
            where=chosen,
            hint="Check $OCIO or --ocio, or unset it to use the built-in config",
        ) from None
    if not config.hasRole("scene_linear"):
        raise ColourSpaceError(
            "the OCIO config has no scene_linear role", where=chosen, hint="Use a config with the usual roles"
        )
    _linear_space(config, chosen)
    return config


def _linear_space(config: Any, name: str) -> tuple[Any, str]:
    """(config, space) of linear Rec.709: the config's own, else the built-in one's through interchange."""
    if config.getColorSpace(LINEAR) is not None:
        return config, LINEAR
    if config.hasRole("aces_interchange"):
        return _builtin(), LINEAR
    raise ColourSpaceError(
        f"the OCIO config has neither {LINEAR} nor the aces_interchange role",
        where=name,
        hint="Use an ACES or Blender config, or add the role",
    )


@lru_cache(maxsize=1)
def _builtin() -> Any:
    import PyOpenColorIO as ocio

    return ocio.Config.CreateFromFile(BUILTIN_CONFIG)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["unknown reason"])[0][:200]


def resolve_space(
    header: Mapping[str, Any], path: str, *, override: str | None = None, config: Any = None
) -> PlateColour:
    """The plate's colour space: what the user says, else the header, the config's file rules, scene_linear.

    Raises ColourSpaceError for an unknown name.
    """
    config = config or load_config()
    if override is not None:
        return PlateColour(known_space(config, override), "as asked for", False, config)
    for name, why in _from_header(header):
        if (space := config.getColorSpace(name)) is not None and not space.isData():
            return PlateColour(space.getName(), why, False, config)
    space, rule = config.getColorSpaceFromFilepath(path)
    if not config.filepathOnlyMatchesDefaultRule(path) and not _is_generic_exr_rule(config, rule):
        return PlateColour(space, f"file rule {config.getFileRules().getName(rule)}", False, config)
    linear = config.getColorSpace("scene_linear").getName()
    return PlateColour(linear, "the config's scene_linear; the header does not say", True, config)


def _is_generic_exr_rule(config: Any, rule: int) -> bool:
    # ACES configs call every EXR ACES2065-1, which plates on disk hardly ever are.
    return str(config.getFileRules().getName(rule)) == "EXR"


def _from_header(header: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    if isinstance(interop := header.get("colorInteropID"), str):
        found.append((interop, "header: colorInteropID"))
    if (chromaticities := header.get("chromaticities")) is not None and (name := _standard(chromaticities)):
        found.append((name, "header: chromaticities"))
    return found


# CIE xy of R, G, B, white -> alias that every ACES config of OCIO knows.
_STANDARD = {
    "lin_rec709": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    "acescg": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767),
    "aces2065_1": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767),
    "lin_p3d65": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
    "lin_rec2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
}


def _standard(chromaticities: Any) -> str | None:
    values = np.array(chromaticities, np.float64).ravel()
    close = [name for name, known in _STANDARD.items() if np.allclose(values, known, atol=2e-4)]
    return close[0] if close else None


def known_space(config: Any, name: str) -> str:
    """A colour space, alias or role of the config by its own name. Raises ColourSpaceError."""
    if (space := config.getColorSpace(name)) is not None:
        return str(space.getName())
    names = [str(known) for known in config.getColorSpaceNames()]
    aliases = [str(alias) for known in names for alias in config.getColorSpace(known).getAliases()]
    close = get_close_matches(name, [*names, *aliases], n=1)
    raise ColourSpaceError(
        f"colourspace: the OCIO config has no colour space {name!r}",
        hint=f"Did you mean {close[0]!r}?" if close else f"For example {LINEAR}, acescg, {names[0]!r}",
    )


def is_data(config: Any, name: str) -> bool:
    """Whether a colour space of the config holds numbers that are not light, such as mattes."""
    space = config.getColorSpace(name)
    return space is not None and bool(space.isData())


def processor(config: Any, source: str, target: str, target_config: Any = None) -> Any:
    """An OCIO processor between two spaces, over the interchange where the configs differ."""
    import PyOpenColorIO as ocio

    try:
        if target_config is None or target_config is config:
            return config.getProcessor(source, target)
        return ocio.Config.GetProcessorFromConfigs(config, source, target_config, target)
    except Exception as error:
        raise ColourSpaceError(f"no way from {source} to {target}: {_first_line(error)}") from None


def conversion(config: Any, source: str, target: str, target_config: Any = None) -> Conversion:
    """The way from a space to another, which may belong to another config."""
    return Conversion(processor(config, source, target, target_config))


def stored_space(config: Any, name: str) -> tuple[Any, str] | None:
    """(config, space) for how a file says its values are stored; None if nobody knows that name.

    Names that the user's config does not have are looked up in the built-in one, where the configs can meet.
    """
    configs = [config, _builtin()] if config.hasRole("aces_interchange") else [config]
    for each in configs:
        for known in (name, _OLDER_NAMES.get(name, name)):
            if (space := each.getColorSpace(known)) is not None:
                return each, str(space.getName())
    return None


# Colour interop ids are aliases only in configs of OCIO 2.4 and later.
_OLDER_NAMES = {"srgb_rec709_scene": "srgb_tx", "lin_rec709_scene": LINEAR}


def interop_id(config: Any, name: str) -> str | None:
    """The colour interop id of a linear space, such as `lin_ap1_scene`, if it has one."""
    aliases = [str(alias) for alias in config.getColorSpace(name).getAliases()]
    return next((alias for alias in aliases if re.fullmatch(r"lin_[a-z0-9]+_scene", alias)), None)


class Conversion:
    """One direction between two spaces: an exact float64 matrix where OCIO has only matrices, else OCIO."""

    def __init__(self, ocio_processor: Any) -> None:
        self.matrix = _matrix(ocio_processor)
        self._cpu = None if self.matrix is not None else _cpu(ocio_processor)

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """(..., 3) to (..., 3) float64 (float32 precision where OCIO computes)."""
        if self.matrix is not None:
            return np.asarray(rgb, np.float64) @ self.matrix.T
        import PyOpenColorIO as ocio

        assert self._cpu is not None
        flat = np.ascontiguousarray(rgb, np.float32).reshape(1, -1, 3).copy()
        self._cpu.apply(ocio.PackedImageDesc(flat, flat.shape[1], 1, 3))
        return flat.reshape(rgb.shape).astype(np.float64)


def _cpu(ocio_processor: Any) -> Any:
    import PyOpenColorIO as ocio

    depth = ocio.BIT_DEPTH_F32
    return ocio_processor.getOptimizedCPUProcessor(depth, depth, ocio.OPTIMIZATION_LOSSLESS)


def _matrix(ocio_processor: Any) -> np.ndarray | None:
    """The product of the processor's matrices, float64; None if it has anything else."""
    import PyOpenColorIO as ocio

    product = np.eye(3)
    for transform in ocio_processor.createGroupTransform():
        if not isinstance(transform, ocio.MatrixTransform) or any(transform.getOffset()):
            return None
        matrix = np.array(transform.getMatrix(), np.float64).reshape(4, 4)[:3, :3]
        inverse = transform.getDirection() == ocio.TRANSFORM_DIR_INVERSE
        product = (np.linalg.inv(matrix) if inverse else matrix) @ product
    return product


class CodeSpace:
    """Plate light to code space and back. `encode` and `decode` are inverse to float64 where OCIO allows."""

    def __init__(self, to_linear: Conversion, from_linear: Conversion) -> None:
        self._to, self._from = to_linear, from_linear
        if to_linear.matrix is not None:
            self._from.matrix = np.linalg.inv(to_linear.matrix)

    @classmethod
    def of(cls, colour: PlateColour) -> CodeSpace:
        """The code space for plates of a colour space."""
        config, (other, linear) = colour.config, _linear_space(colour.config, "the OCIO config")
        if is_data(config, colour.space):
            # OCIO would not complain: it passes data through everything unchanged.
            raise ColourSpaceError(
                f"{colour.space} is for data, not for pictures", hint="Name the plate's colour space"
            )
        there = processor(config, colour.space, linear, other)
        back = (
            processor(config, linear, colour.space)
            if other is config
            else processor(other, linear, colour.space, config)
        )
        return cls(Conversion(there), Conversion(back))

    def encode(self, plate_lin: np.ndarray) -> np.ndarray:
        """(..., 3) scene-linear as in the plate -> (..., 3) float32 code, unclamped. Input must be finite."""
        return _by_blocks(plate_lin, lambda block: shoulder_encode(self._to.apply(block)))

    def decode(self, plate_code: np.ndarray) -> np.ndarray:
        """(..., 3) code -> (..., 3) float32 scene-linear as in the plate."""
        return _by_blocks(plate_code, lambda block: self._from.apply(shoulder_decode(block)))

    def to_display8(self, plate_lin: np.ndarray) -> np.ndarray:
        """(H, W, 3) light -> uint8 for finders and previews. What is not finite is black.

        Looked up by half float, which is ten times as fast as the curve and within one step of it.
        """
        table = _display_table()
        out = np.empty(np.shape(plate_lin), np.uint8)
        for row, line in enumerate(np.asarray(plate_lin)):
            finite = np.where(np.isfinite(line), line, 0)
            light = np.clip(self._to.apply(finite), 0, TOP_LINEAR).astype(np.float16)
            out[row] = table[light.view(np.uint16)]
        return out


# Small enough for a processor's cache; whole 4K frames in float64 would wait for memory.
_BLOCK_PX = 1 << 14


def _by_blocks(rgb: np.ndarray, convert: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A conversion of (..., 3) to float32, a few thousand pixels at a time. Values beyond float32 are inf."""
    flat = np.asarray(rgb).reshape(-1, 3)
    out = np.empty(flat.shape, np.float32)
    with np.errstate(over="ignore"):
        for start in range(0, len(flat), _BLOCK_PX):
            out[start : start + _BLOCK_PX] = convert(flat[start : start + _BLOCK_PX])
    return out.reshape(np.shape(rgb))


@lru_cache(maxsize=1)
def _display_table() -> np.ndarray:
    """8-bit code of every half float from 0 to the top of the curve, by its bits."""
    top = int(np.array(TOP_LINEAR, np.float16).view(np.uint16))
    light = np.arange(top + 1, dtype=np.uint16).view(np.float16)
    return np.rint(np.clip(shoulder_encode(light), 0, 1) * 255).astype(np.uint8)
