"""Heat maps over pictures."""

import numpy as np
from PIL import Image

RED = (255, 0, 0)
OPACITY = 0.75  # where the map is highest


def overlay(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture, red where a map is above its mean.

    Args:
        picture (ndarray): RGB, uint8, shape (H, W, 3).
        heat (ndarray): Not negative, shape (h, w); it is interpolated to the picture's size.

    Returns:
        ndarray: Of the shape and type of the picture.
    """
    height, width = picture.shape[:2]
    above = np.clip(heat - heat.mean(), 0, None)
    above = (above / max(above.max(), 1e-12)).astype(np.float32)
    smooth = Image.fromarray(above).resize((width, height), Image.Resampling.BICUBIC)
    alpha = OPACITY * np.clip(np.array(smooth), 0, 1)[..., None]
    return ((1 - alpha) * picture + alpha * np.array(RED)).round().astype(np.uint8)
