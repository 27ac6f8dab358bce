"""Loading of photos in mmcv's pipelines."""

import numpy as np
from mmcv.transforms import BaseTransform

from ..photos import read_photo
from ..registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadPhoto(BaseTransform):
    """Decodes a photo by Pillow, as open_clip does.

    A rotation in the photo's EXIF data is applied where the sample has ``exif``, which
    :class:`safe_mm.datasets.FewShotDataset` sets. Sixteen bits are scaled to eight. An image that
    is there already is kept, since mmpretrain's inferencers load their own.

    **Required Keys:** img_path (or img), exif (bool, optional)

    **Added Keys:** img (uint8 array of shape (H, W, 3), BGR as mmcv has it), img_shape, ori_shape

    Raises:
        OSError: The file is no image, or has pixels of more than 16 bits.
    """

    def transform(self, results: dict) -> dict:
        """Adds ``img``."""
        if 'img' not in results:
            photo = read_photo(results['img_path'], results.get('exif', True))
            results['img'] = np.array(photo)[..., ::-1]
            results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
