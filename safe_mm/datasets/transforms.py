"""CLIP's own view of a picture."""
from types import FunctionType
from typing import Optional

import numpy as np
from mmcv.transforms import BaseTransform
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import Compose, Normalize, ToTensor

from ..clip import preprocess_cfg
from ..registry import TRANSFORMS


@TRANSFORMS.register_module()
class CLIPCrop(BaseTransform):
    """open_clip's resize and centre crop, and the mirror view if asked.

    Normalisation is left to
    :class:`safe_mm.models.CLIPDataPreprocessor`, so that mmpretrain's
    augmentations can follow.

    **Required Keys:** img (uint8 array of shape (H, W, 3)), mirror (bool,
    optional)

    **Modified Keys:** img, img_shape; **Added Keys:** flip, flip_direction

    Args:
        clip (dict, optional): ``model_name`` and ``pretrained`` of the CLIP
            whose size and interpolation to take, see
            :func:`safe_mm.clip.split_clip`. None stands for open_clip's
            defaults: 224 pixels, bicubic. Defaults to None.
    """

    def __init__(self, clip: Optional[dict] = None) -> None:
        self.cfg = preprocess_cfg(**clip) if clip else PreprocessCfg()
        steps = image_transform_v2(self.cfg, is_train=False).transforms
        self.resize_and_crop = Compose([
            step for step in steps
            if not isinstance(step, (ToTensor, Normalize, FunctionType))
        ])  # the function among them converts to RGB, which was done

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
