"""Joseph's projector: the weights of rays through a slice by linear interpolation.

A ray is followed along that axis of the slice, z or x, to which its direction
is closer. Where it crosses row k of voxels across that axis, at p_k voxels
from the first, the two neighbours get

    w(floor p_k) = (1 - f) l,   w(floor p_k + 1) = f l,   f = p_k - floor p_k,

with the length l = 1 / max(|cos t|, |sin t|) of the ray between two rows at
tilt t (P. M. Joseph, IEEE Trans. Med. Imaging 1 (1982) 192,
10.1109/TMI.1982.4307572). Neighbours outside of the slice are left out,
weights of zero are kept.

Everything is in single precision and p_k a running sum along the ray, because
ASTRA's CPU projector ``linear`` computes it so: the matrix equals that of
astra-toolbox 2.5 to the bit, but for the sign of some zeros at 90 and 180
degrees. What was reconstructed with ASTRA is thus reproduced to the digit.

Formulas: weights of Joseph's projector (`joseph_matrix`).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse


def joseph_matrix(angles: np.ndarray, offsets: np.ndarray, columns: int, shape: tuple[int, int]) -> sparse.csr_matrix:
    """Weights of all rays through one slice.

    Parameters
    ----------
    angles : array (tilt,)
        Degrees.
    offsets : array (tilt,)
        Column on which the centre of the slice falls, pixels from the middle of the image.
    columns : int
        Columns of the images.
    shape : tuple of int
        Shape of the slice (z, x), voxels as wide as a pixel.

    Returns
    -------
    csr_matrix (tilt * u, z * x), float32
        Lengths in voxels, the indices of each row sorted.
    """
    t = np.deg2rad(angles)
    # Towards larger u, and along the ray; both (x, z).
    across = np.stack([np.cos(t), np.sin(t)], 1)
    along = np.stack([np.sin(t), -np.cos(t)], 1).astype(np.float32)
    single = across.astype(np.float32)
    edges = (-offsets[:, None] * across - 0.5 * columns * single.astype(float)).astype(np.float32)
    middles = np.arange(columns, dtype=np.float32) + np.float32(0.5)

    weights, indices, counts = [], [], []
    for edge, step, ray in zip(edges, single, along, strict=True):
        block = _one_tilt(edge[:, None] + middles * step[:, None], ray, shape)
        weights.append(block.data)
        indices.append(block.indices)
        counts.append(np.diff(block.indptr))
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts), dtype=np.int64)])
    size = (len(t) * columns, shape[0] * shape[1])
    return sparse.csr_matrix((np.concatenate(weights), np.concatenate(indices), starts), size)


def _one_tilt(points: np.ndarray, ray: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """Weights (u, z * x) of parallel rays through the points (2, u), both in the order (x, z)."""
    nz, nx = shape
    counts, strides = (nx, nz), (1, nx)
    main = int(abs(ray[0]) < abs(ray[1]))
    other = 1 - main
    slope = ray[other] / ray[main]
    first = [np.float32(-0.5 * (n - 1)) for n in counts]

    position = np.empty((points.shape[1], counts[main]), np.float32)
    position[:, 0] = points[other] + (first[main] - points[main]) * slope - first[other]
    position[:, 1:] = slope
    np.cumsum(position, axis=1, dtype=np.float32, out=position)
    low = np.floor(position)
    position -= low
    length = np.sqrt(ray[1] * ray[1] + ray[0] * ray[0]) / abs(ray[main])
    weights = np.stack([(1 - position) * length, position * length], 2)
    # A ray may pass at any distance, farther than an index can count.
    index = np.clip(low, -2, counts[other]).astype(np.int32)
    index = np.stack([index, index + 1], 2)
    inside = (index >= 0) & (index < counts[other])
    index *= strides[other]
    index += (strides[main] * np.arange(counts[main], dtype=np.int32))[:, None]
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(inside, axis=(1, 2)))])
    found = sparse.csr_matrix((weights[inside], index[inside], starts), (points.shape[1], nz * nx))
    found.sort_indices()
    return found
