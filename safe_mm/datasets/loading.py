"""Photos from files, as users and as the published benchmarks have them."""

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageOps

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
            with Image.open(results['img_path']) as photo:
                upright = ImageOps.exif_transpose(photo) if results.get('exif', True) else photo
                results['img'] = np.array(eight_bits(upright).convert('RGB'))[..., ::-1]
            results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def eight_bits(photo: Image.Image) -> Image.Image:
    """A photo of at most 8 bits a channel; Pillow itself would clip grey ones of 16 bits."""
    if photo.mode not in ('F', 'I') and not photo.mode.startswith('I;16'):
        return photo
    pixels = np.array(photo).astype(float)  # Pillow before 11.3 reads 16 bits as 32 of mode I
    if photo.mode == 'F' or pixels.min() < 0 or pixels.max() > 65535:
        raise OSError(f'its pixels have 32 bits, mode {photo.mode}; save it with 8 or 16')
    return Image.fromarray((pixels / 257).round().astype(np.uint8))
