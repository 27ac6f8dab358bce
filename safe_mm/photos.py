"""Photos from files, as users and as the published benchmarks have them."""

from pathlib import Path
from typing import List, Union

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')


def read_photo(path: Union[str, Path], exif: bool = True) -> Image.Image:
    """Decodes a photo to RGB with 8 bits a channel; 16 bits are scaled.

    Args:
        path (str | Path): The file.
        exif (bool): Whether to apply the rotation of its EXIF data. Defaults to True.

    Raises:
        OSError: The file is no image, or has pixels of more than 16 bits.
    """
    with Image.open(path) as photo:
        return to_rgb(photo, exif)


def to_rgb(photo: Image.Image, exif: bool = True) -> Image.Image:
    """An image of Pillow as :func:`read_photo` reads its file."""
    upright = ImageOps.exif_transpose(photo) if exif else photo
    return eight_bits(upright).convert('RGB')


def eight_bits(photo: Image.Image) -> Image.Image:
    """A photo of at most 8 bits a channel; Pillow itself would clip grey ones of 16 bits."""
    if photo.mode not in ('F', 'I') and not photo.mode.startswith('I;16'):
        return photo
    pixels = np.array(photo).astype(float)  # Pillow before 11.3 reads 16 bits as 32 of mode I
    if photo.mode == 'F' or pixels.min() < 0 or pixels.max() > 65535:
        raise OSError(f'its pixels have 32 bits, mode {photo.mode}; save it with 8 or 16')
    return Image.fromarray((pixels / 257).round().astype(np.uint8))


def find_photos(folder: Path) -> List[Path]:
    """Image files in a folder and below, sorted."""
    return sorted(file for file in folder.rglob('*') if file.suffix.lower() in SUFFIXES)
