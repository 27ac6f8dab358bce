"""Filled polygons, noise and rotation in integers.

Floating point and drawing libraries differ between machines and versions; integers do not, so that
a seed draws the same pixels everywhere. Lengths are in sixteenths of a pixel, angles in 256ths of a
turn, sines in 16384ths.
"""

import math
from typing import Tuple

import numpy as np

SUB = 16
TURN = 256
ONE = 16384
SINE = np.array([round(ONE * math.sin(2 * math.pi * k / TURN)) for k in range(TURN)])
COSINE = np.roll(SINE, -TURN // 4)


def fill_polygon(points: np.ndarray, size: int) -> Tuple[Tuple[slice, slice], np.ndarray]:
    """Pixels whose centres are inside a polygon (even-odd rule).

    Args:
        points (ndarray): Integer corners (x, y), shape (V, 2), in 1/16 pixel.
        size (int): Height and width of the picture.

    Returns:
        tuple: The rows and columns around the polygon, as slices, and a
        boolean mask of their shape.
    """
    low, high = points.min(0) // SUB, points.max(0) // SUB + 1
    left, top, right, bottom = (min(max(n, 0), size) for n in (*low.tolist(), *high.tolist()))
    toggles = np.zeros((bottom - top, right - left + 1), np.uint8)
    for (x0, y0), (x1, y1) in zip(points.tolist(), np.roll(points, -1, axis=0).tolist()):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        # rows whose centre lies in [y0, y1)
        first = max(-((SUB // 2 - y0) // SUB), top)
        last = min(-((SUB // 2 - y1) // SUB), bottom)
        rows = np.arange(first, last)
        # first column whose centre is not left of the edge
        run = (SUB * rows + SUB // 2 - y0) * (x1 - x0)
        edge = (x0 - SUB // 2) * (y1 - y0) + run
        columns = -(-edge // (SUB * max(y1 - y0, 1)))
        columns = np.minimum(np.maximum(columns, left), right)
        toggles[rows - top, columns - left] ^= 1
    mask = np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1].astype(bool)
    return (slice(top, bottom), slice(left, right)), mask


def ellipse(x: int, y: int, a: int, b: int, corners: int = 32) -> np.ndarray:
    """An ellipse as a polygon.

    Args:
        x (int): Centre, as all lengths in any one unit.
        y (int): Centre.
        a (int): Half of the width.
        b (int): Half of the height.
        corners (int): Number of corners, a divisor of 256. Defaults to 32.

    Returns:
        ndarray: Integer corners, shape (corners, 2).
    """
    turn = np.arange(0, TURN, TURN // corners)
    return np.stack(
        [x + (a * COSINE[turn] + ONE // 2) // ONE, y + (b * SINE[turn] + ONE // 2) // ONE], 1
    )


def rotate(points: np.ndarray, angle: int) -> np.ndarray:
    """Turns integer points (x, y), shape (..., 2), about the origin."""
    x, y = points[..., 0], points[..., 1]
    sine, cosine = SINE[angle % TURN], COSINE[angle % TURN]
    return np.stack([(x * cosine - y * sine) // ONE, (x * sine + y * cosine) // ONE], -1)


def noise(bits: np.random.PCG64, shape: Tuple[int, ...]) -> np.ndarray:
    """Integers from 0 to 255, from the raw stream, which numpy keeps."""
    count = int(np.prod(shape))
    raw = bits.random_raw((count + 7) // 8)
    return raw.astype('<u8').view(np.uint8)[:count].reshape(shape).astype(int)
