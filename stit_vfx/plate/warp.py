"""Warps between the plate and the crop. One convention everywhere: pixel centres at integers, so that the
crop's corners are at -0.5 and size - 0.5. Matrices are float64 and act on (x, y, 1).
"""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.errors import QuadFileError

Roi = tuple[int, int, int, int]
"""A region of the plate in px: x0, y0, and x1, y1 behind its last pixel."""

# Above this many plate pixels per crop pixel, bilinear or cubic sampling alone would alias.
SUPERSAMPLE_FROM = 1.3


def crop_matrix(quad: np.ndarray, size: int) -> np.ndarray:
    """(3, 3) from plate px to crop px. `quad` (4, 2), rows NW SW SE NE, may be any convex quadrilateral.

    Solved in float64: OpenCV's own function rounds the corners to float32. Raises QuadFileError for a quad
    without area.
    """
    low, high = -0.5, size - 0.5
    corners = np.array([[low, low], [low, high], [high, high], [high, low]])
    rows, target = [], []
    for (x, y), (u, v) in zip(np.asarray(quad, np.float64), corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        target += [u, v]
    try:
        solution = np.linalg.solve(np.array(rows), np.array(target))
    except np.linalg.LinAlgError:
        raise QuadFileError(f"the corners {np.asarray(quad).tolist()} have no area") from None
    return np.append(solution, 1.0).reshape(3, 3)


def apply_matrix(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(..., 2) points through a (3, 3) matrix."""
    moved = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return moved[..., :2] / moved[..., 2:]


def quad_side(quad: np.ndarray) -> float:
    """Longest side of a quad, plate px."""
    return float(np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1).max())


def crop(image: np.ndarray, quad: np.ndarray, size: int) -> np.ndarray:
    """Cut the quad out of an image (H, W, C) as (size, size, C) float32, cubic, antialiased.

    Beyond the image its edge is repeated; `coverage` says where that was. What is not finite is filled from
    its neighbours first: one NaN would spread over 28 pixels.
    """
    factor = quad_side(quad) / size
    over = int(np.ceil(factor)) if factor > SUPERSAMPLE_FROM else 1
    image, matrix = _near(image, quad, crop_matrix(quad, size * over))
    image, _ = without_holes(image)
    large = cv2.warpPerspective(
        image, matrix, (size * over, size * over), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return large if over == 1 else cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)


def without_holes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, C) float32 with pixels that are not finite filled from around, and where they were.

    Returns (image, holes (H, W) bool); the image itself if there are none. Far inside large holes the mean
    of the picture is taken.
    """
    holes = ~np.isfinite(image).all(-1)
    if not holes.any():
        return image, holes
    known = (~holes).astype(np.float32)
    filled = np.where(holes[..., None], 0, image).astype(np.float32)
    mean = filled.sum((0, 1)) / max(float(known.sum()), 1)
    weight = cv2.blur(known, (5, 5), borderType=cv2.BORDER_CONSTANT)[..., None]
    around = cv2.blur(filled, (5, 5), borderType=cv2.BORDER_CONSTANT).reshape(filled.shape)
    guess = np.where(weight > 0.5 / 25, around / np.maximum(weight, 1 / 25), mean)
    filled[holes] = guess[holes]
    return filled, holes


def _near(image: np.ndarray, quad: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of the image around the quad, and the matrix from it: OpenCV warps float32 coordinates."""
    x0, y0, x1, y1 = quad_roi(quad, image.shape[:2], margin=4)
    if x1 <= x0 or y1 <= y0:
        return np.ascontiguousarray(image, np.float32), matrix
    shift = np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]], np.float64)
    return np.ascontiguousarray(image[y0:y1, x0:x1], np.float32), matrix @ shift


def quad_roi(quad: np.ndarray, shape: tuple[int, int], *, margin: int = 0) -> Roi:
    """(x0, y0, x1, y1) of the quad's bounding box inside an image of `shape` (H, W); may be empty."""
    low = np.floor(np.min(quad, axis=0)).astype(int) - margin
    high = np.ceil(np.max(quad, axis=0)).astype(int) + margin + 1
    x0, y0 = np.clip(low, 0, (shape[1], shape[0]))
    x1, y1 = np.clip(high, 0, (shape[1], shape[0]))
    return int(x0), int(y0), int(x1), int(y1)


def grid(roi: Roi) -> np.ndarray:
    """(h, w, 2) plate px of the pixels of a region."""
    x0, y0, x1, y1 = roi
    ys, xs = np.mgrid[y0:y1, x0:x1].astype(np.float64)
    return np.stack([xs, ys], axis=-1)


def coverage(quad: np.ndarray, size: int, shape: tuple[int, int]) -> np.ndarray:
    """(size, size) float32: 1 where the crop's pixel centre lies inside the plate, else 0."""
    points = apply_matrix(np.linalg.inv(crop_matrix(quad, size)), grid((0, 0, size, size)))
    inside = (points >= -0.5).all(-1) & (points[..., 0] < shape[1] - 0.5) & (points[..., 1] < shape[0] - 0.5)
    return inside.astype(np.float32)


def sample(image: np.ndarray, points: np.ndarray, *, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """An image (H, W, C) at points (h, w, 2) px, (h, w, C) float32; its edge is repeated outside."""
    maps = np.ascontiguousarray(points, np.float32)
    found = cv2.remap(
        np.ascontiguousarray(image, np.float32),
        maps,
        None,
        how,
        borderMode=cv2.BORDER_REPLICATE,  # type: ignore[call-overload]
    )
    return found if found.ndim == image.ndim else found[..., None]


def uncrop(image_crop: np.ndarray, quad: np.ndarray, roi: Roi) -> np.ndarray:
    """A crop (S, S, C) as seen in a region of the plate, (h, w, C): bilinear, antialiased, 0 outside."""
    points = apply_matrix(crop_matrix(quad, image_crop.shape[0]), grid(roi))
    inside = inside_crop(points, image_crop.shape[0])
    seen = sample_crop(image_crop, points, quad)
    return np.where(inside if seen.ndim == 2 else inside[..., None], seen, 0).astype(np.float32)


def inside_crop(points: np.ndarray, size: int) -> np.ndarray:
    """(h, w) bool: which points (h, w, 2) in crop px lie inside the crop."""
    return np.asarray(((points > -0.5) & (points < size - 0.5)).all(-1))


def sample_crop(image_crop: np.ndarray, points: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """A crop (S, S, C) at points (h, w, 2) in crop px, as large as the quad is in the plate.

    A crop with many more pixels than its quad is averaged down first; sampled as it is, it would alias.
    """
    size = image_crop.shape[0]
    small = max(1, round(quad_side(quad)))
    if size <= SUPERSAMPLE_FROM * small:
        return sample(image_crop, points)
    shrunk = cv2.resize(image_crop.astype(np.float32), (small, small), interpolation=cv2.INTER_AREA)
    return sample(shrunk.reshape(small, small, *image_crop.shape[2:]), (points + 0.5) * (small / size) - 0.5)


def resize_square(picture: np.ndarray, size: int) -> np.ndarray:
    """A square picture at another size, float32: area average downwards, cubic and unclamped upwards."""
    if len(picture) == size:
        return picture.astype(np.float32)
    how = cv2.INTER_AREA if size < len(picture) else cv2.INTER_CUBIC
    return cv2.resize(picture.astype(np.float32), (size, size), interpolation=how)
