"""CLIP's own resize and crop, and the random crop of few-shot work."""

from types import FunctionType
from typing import Tuple, Union

import numpy as np
from mmcv.transforms import BaseTransform
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import (
    Compose,
    InterpolationMode,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ToTensor,
)

from ..registry import TRANSFORMS


@TRANSFORMS.register_module()
class CLIPCrop(BaseTransform):
    """open_clip's resize and centre crop, and the mirror view if asked.

    Normalisation is left to :class:`safe_mm.models.CLIPDataPreprocessor`, so that mmpretrain's
    augmentations can follow.

    **Required Keys:** img (uint8 array of shape (H, W, 3)), mirror (bool, optional)

    **Modified Keys:** img, img_shape; **Added Keys:** flip, flip_direction

    Args:
        size (int | tuple[int]): Of the result in pixels, as the CLIP takes them; ``--clip`` sets
            it. Defaults to 224.
        interpolation (str): As open_clip has it. Defaults to 'bicubic'.
        resize_mode (str): The same. Defaults to 'shortest'.
    """

    def __init__(
        self,
        size: Union[int, Tuple[int, int]] = 224,
        interpolation: str = 'bicubic',
        resize_mode: str = 'shortest',
    ) -> None:
        self.cfg = PreprocessCfg(size=size, interpolation=interpolation, resize_mode=resize_mode)
        steps = image_transform_v2(self.cfg, is_train=False).transforms
        self.resize_and_crop = Compose(
            [step for step in steps if not isinstance(step, (ToTensor, Normalize, FunctionType))]
        )  # the function among them converts to RGB, which was done

    def transform(self, results: dict) -> dict:
        """Crops ``results['img']`` in Pillow, as open_clip does."""
        image = self.resize_and_crop(Image.fromarray(results['img']))
        results['flip'] = results.get('mirror', False)
        results['flip_direction'] = 'horizontal' if results['flip'] else None
        image = np.array(image)
        results['img'] = image[:, ::-1] if results['flip'] else image
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.cfg})'


@TRANSFORMS.register_module()
class CLIPRandomCrop(BaseTransform):
    """A random resized crop, flipped horizontally with probability 0.5.

    The augmentation of few-shot work on CLIP, such as Tip-Adapter's.

    **Required Keys:** img (uint8 array of shape (H, W, 3)); **Modified Keys:** img, img_shape

    Args:
        size (int | tuple[int]): Of the result in pixels, as the CLIP takes them; ``--clip`` sets
            it. Defaults to 224.
        interpolation (str): As open_clip has it. Defaults to 'bicubic'.
        resize_mode (str): Has no effect; a crop has no margins. Defaults to 'shortest'.
        scale (tuple[float]): Range of the crop's share of the area. Defaults to (0.5, 1).
    """

    def __init__(
        self,
        size: Union[int, Tuple[int, int]] = 224,
        interpolation: str = 'bicubic',
        resize_mode: str = 'shortest',
        scale: Tuple[float, float] = (0.5, 1),
    ) -> None:
        crop = RandomResizedCrop(size, tuple(scale), interpolation=InterpolationMode(interpolation))
        self.augment = Compose([crop, RandomHorizontalFlip()])

    def transform(self, results: dict) -> dict:
        """Crops ``results['img']`` in Pillow, by torch's random numbers."""
        results['img'] = np.array(self.augment(Image.fromarray(results['img'])))
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.augment})'
