"""How sharp and how grainy a crop is, so that what is added to it is neither sharper nor cleaner."""

from __future__ import annotations

from zlib import crc32

import cv2
import numpy as np

Array = np.ndarray

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_AGAIN = 1.0  # px: the blur that edges are compared under
_SOFTEST = 3.0
_BLOCK = 8
_IN_DARK = 0.3  # share of the grain that black has
_CALMEST = 0.25  # this share of the skin's blocks: the others hold pores and creases


def blur_px(crop_code: Array, face: Array) -> float:
    """Gaussian sigma in px of the sharpest edges on a face (S, S) bool of a crop (S, S, 3) code.

    From how much an edge's slope falls when it is blurred again (Zhuo and Sim, "Defocus map estimation from a
    single image", 2011).
    """
    luma = (crop_code @ _LUMA).astype(np.float32)
    near = cv2.dilate(face.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    once, twice = _slope(luma), _slope(cv2.GaussianBlur(luma, (0, 0), _AGAIN))
    if near.sum() < 500:
        return 0.0
    edges = near & (once > np.percentile(once[near], 98))
    if not edges.any():  # a face without any: drawn flat
        return 0.0
    ratio = np.maximum(once[edges] / np.maximum(twice[edges], 1e-6), 1.02)
    sigma = _AGAIN / np.sqrt(ratio * ratio - 1)
    return float(np.clip(np.percentile(sigma, 30), 0, _SOFTEST))


def softened(picture: Array, sigma: float) -> Array:
    """(S, S, 3) blurred, where it is worth it."""
    return picture if sigma < 0.3 else cv2.GaussianBlur(picture.astype(np.float32), (0, 0), sigma)


def grain_like(crop_code: Array, skin: Array, picture: Array) -> Array:
    """(S, S, 3) code: noise for a picture, as strong and as coarse as that of a crop on its calmest skin
    (S, S) bool; less where the picture is darker than that skin.

    Drawn from the crop's own bits: another frame has other grain, and the same frame the same.
    """
    fine = crop_code - cv2.GaussianBlur(crop_code.astype(np.float32), (0, 0), 1.5)
    blocks = _calm_blocks(fine, skin)
    if len(blocks) < 4:
        return np.zeros_like(crop_code, dtype=np.float32)
    strength = blocks.reshape(-1, 3).std(0)
    noise = np.random.default_rng(crc32(np.ascontiguousarray(crop_code, np.float32).tobytes()))
    drawn = noise.standard_normal(crop_code.shape).astype(np.float32)
    share = _shared(blocks)
    drawn = np.sqrt(share) * drawn[..., :1] + np.sqrt(1 - share) * drawn
    coarse = cv2.GaussianBlur(drawn, (0, 0), _coarseness(blocks))
    level = float(np.median(crop_code[skin] @ _LUMA))
    dim = _IN_DARK + (1 - _IN_DARK) * np.clip((picture @ _LUMA) / max(level, 1e-3), 0, 1)
    return np.asarray(coarse / coarse.std((0, 1)) * strength * dim[..., None], np.float32)


def _calm_blocks(fine: Array, skin: Array) -> Array:
    """(n, B, B, 3) of the skin's blocks that vary least."""
    rows, columns = (s // _BLOCK for s in skin.shape)
    cut = np.s_[: rows * _BLOCK, : columns * _BLOCK]
    tiles = fine[cut].reshape(rows, _BLOCK, columns, _BLOCK, 3).swapaxes(1, 2).reshape(-1, _BLOCK, _BLOCK, 3)
    whole = skin[cut].reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK**2).all(1)
    tiles = tiles[whole]
    order = np.argsort(tiles.std((1, 2, 3)), kind="stable")
    return tiles[order[: int(len(tiles) * _CALMEST)]]


def _coarseness(blocks: Array) -> float:
    """Sigma in px of a blur that gives white noise the blocks' likeness of neighbours."""
    green = blocks[..., 1] - blocks[..., 1].mean((1, 2), keepdims=True)
    alike = float((green[:, :, 1:] * green[:, :, :-1]).mean() / max(float((green**2).mean()), 1e-12))
    # For a Gaussian blur neighbours correlate by exp(-1 / (4 sigma^2)).
    return float(np.clip(np.sqrt(-0.25 / np.log(np.clip(alike, 0.02, 0.9))), 0.3, 1.5))


def _shared(blocks: Array) -> float:
    """0..1: how far the channels' noise is the same."""
    flat = blocks.reshape(-1, 3)
    if float(flat.std(0).min()) < 1e-6:
        return 1.0
    return float(np.clip(np.corrcoef(flat.T)[[0, 0, 1], [1, 2, 2]].mean(), 0, 1))


def _slope(luma: Array) -> Array:
    return np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1))
