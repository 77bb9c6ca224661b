"""Mixtures of colours that change as little from frame to frame as the picture does.

C. Rother, V. Kolmogorov, A. Blake: "GrabCut", SIGGRAPH 2004, describe head and backdrop by five Gaussians
each. Learnt by clustering and by assigning each pixel to one of them, as OpenCV does, they come out otherwise
under another frame's grain, and whole patches of the cut flip. Learnt by a fixed number of soft steps from a
start that is smooth in the picture, they do not: A. Dempster, N. Laird, D. Rubin: "Maximum Likelihood from
Incomplete Data via the EM Algorithm", 1977.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

COMPONENTS = 5  # as many as OpenCV's cut takes
_STEPS = 8
_LEAST = 9.0  # 8-bit code squared: no colour is surer than grain lets it be
_START_WIDE = 0.5  # of the distance between neighbouring quantiles' shares


def mixture(colours: Array, weights: Array) -> Array:
    """(1, 65) float64, as `cv2.grabCut` takes it: shares, means and covariances of five Gaussians that tell
    the colours (N, 3), 8-bit code as float, of weight (N,).
    """
    rows = colours.astype(np.float64)
    total = max(float(weights.sum()), 1e-6)
    brightness = rows.mean(1)
    order = np.argsort(brightness, kind="stable")
    rank = np.empty(len(rows))
    rank[order] = np.cumsum(weights[order]) / total
    middles = (np.arange(COMPONENTS) + 0.5) / COMPONENTS
    belongs = np.exp(-0.5 * ((rank[:, None] - middles) * COMPONENTS / _START_WIDE) ** 2)
    shares, means, spreads = _gaussians(rows, weights, belongs)
    for _ in range(_STEPS):
        shares, means, spreads = _gaussians(rows, weights, _belongs(rows, shares, means, spreads))
    return np.concatenate([shares, means.ravel(), spreads.ravel()])[None]


def _gaussians(rows: Array, weights: Array, belongs: Array) -> tuple[Array, Array, Array]:
    """Shares (K,), means (K, 3) and covariances (K, 3, 3) of rows (N, 3) that belong (N, K) to them."""
    each = weights[:, None] * belongs / np.maximum(belongs.sum(1, keepdims=True), 1e-12) + 1e-9
    sums = each.sum(0)
    means = each.T @ rows / sums[:, None]
    spreads = np.empty((COMPONENTS, 3, 3))
    for k in range(COMPONENTS):
        off = rows - means[k]
        spreads[k] = (each[:, k, None] * off).T @ off / sums[k] + _LEAST * np.eye(3)
    return sums / sums.sum(), means, spreads


def _belongs(rows: Array, shares: Array, means: Array, spreads: Array) -> Array:
    """(N, K) how likely rows (N, 3) come from each Gaussian, up to a factor of each row."""
    logs = np.empty((len(rows), COMPONENTS))
    for k in range(COMPONENTS):
        root = np.linalg.inv(np.linalg.cholesky(spreads[k]))
        logs[:, k] = np.log(shares[k] * np.prod(np.diag(root)))
        logs[:, k] -= 0.5 * ((rows - means[k]) @ root.T) ** 2 @ np.ones(3)
    return np.asarray(np.exp(logs - logs.max(1, keepdims=True)))
