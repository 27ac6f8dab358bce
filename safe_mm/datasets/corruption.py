"""Corruptions and renderings of photos, to test out of the distribution of the training photos."""

import io
import zlib

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from PIL import Image
from torchvision.transforms.functional import (
    adjust_contrast,
    gaussian_blur,
    invert,
    rgb_to_grayscale,
)

from ..errors import InputError
from ..registry import TRANSFORMS


def blur(image: Image.Image) -> Image.Image:
    """Gaussian, of a standard deviation of 3 pixels."""
    return gaussian_blur(image, 19, 3)


def noise(image: Image.Image) -> Image.Image:
    """Gaussian, of a standard deviation of 0.2, the same for a photo each time."""
    pixels = np.asarray(image)
    draws = torch.Generator().manual_seed(zlib.crc32(pixels.tobytes()))
    shift = 0.2 * 255 * torch.randn(pixels.shape, generator=draws).numpy()
    return Image.fromarray((pixels + shift).round().clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image) -> Image.Image:
    """Compressed at quality 5 of 100."""
    file = io.BytesIO()
    image.save(file, 'JPEG', quality=5)
    return Image.open(file)


def grey(image: Image.Image) -> Image.Image:
    """Luminance alone."""
    return rgb_to_grayscale(image, 3)


def contrast(image: Image.Image) -> Image.Image:
    """A fifth of the contrast, around the mean luminance."""
    return adjust_contrast(image, 0.2)


def negative(image: Image.Image) -> Image.Image:
    """Every channel inverted."""
    return invert(image)


def edges(image: Image.Image) -> Image.Image:
    """Dark lines on white: the gradient of the luminance, smoothed and scaled to its maximum."""
    luminance = np.asarray(gaussian_blur(rgb_to_grayscale(image), 7, 1), dtype=np.float32)
    slope = np.hypot(*np.gradient(luminance))
    lines = 255 * (1 - slope / max(slope.max(), 1))
    return Image.fromarray(lines.round().astype(np.uint8)).convert('RGB')


CORRUPTIONS = {f.__name__: f for f in (blur, noise, jpeg, grey, contrast, negative, edges)}


@TRANSFORMS.register_module()
class Corruption(BaseTransform):
    """Corrupts an image, at a fixed severity and the same each time.

    After the crop, so that the severity is of pixels that CLIP takes.

    **Required and modified key:** img (uint8 array of shape (H, W, 3), BGR as mmcv loads it)

    Args:
        name (str): 'blur', 'noise', 'jpeg', 'grey' or 'contrast', or a rendering: 'negative' or
            'edges'.

    Raises:
        InputError: There is none of that name.
    """

    def __init__(self, name: str) -> None:
        if name not in CORRUPTIONS:
            raise InputError(f'Corruption(name={name!r}) should be one of {tuple(CORRUPTIONS)}.')
        self.name = name

    def transform(self, results: dict) -> dict:
        """Corrupts ``results['img']``."""
        rgb = np.ascontiguousarray(results['img'][..., ::-1])
        results['img'] = np.array(CORRUPTIONS[self.name](Image.fromarray(rgb)))[..., ::-1]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.name!r})'
