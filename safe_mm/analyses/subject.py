"""A trained model, and pictures to look at through it."""

from argparse import Namespace
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import pandas as pd
import torch
from mmengine.dataset import Compose
from mmpretrain import get_model
from PIL import Image

from ..checkpoint import checkpoint_file
from ..config import load_config
from ..datasets.build import test_datasets
from ..device import find_device
from ..errors import InputError, first_line
from ..photos import find_photos, read_photo
from ..registry import TRANSFORMS

BATCH = 64
Points = Dict[str, Tuple[float, float]]


@dataclass
class Example:
    """A picture as the model sees it.

    Attributes:
        path (Path): The file.
        picture (ndarray): The crop, RGB, uint8, shape (H, W, 3).
        inputs (Tensor): The crop, normalised, shape (3, H, W).
        label (int, optional): Of a test image.
        index (int, optional): Of a test image in its data set.
    """

    path: Path
    picture: np.ndarray
    inputs: torch.Tensor
    label: Optional[int] = None
    index: Optional[int] = None


class Subject:
    """A model with the pictures of an analysis.

    Args:
        args (Namespace): Options of tools/analyze.py.

    Raises:
        InputError: Config, checkpoint and pictures cannot be used.

    Attributes:
        model (CLIPClassifier): In eval mode.
        cfg (Config): Of the model.
        photos (list[Path]): Files that were named; empty for test images.
    """

    def __init__(self, args: Namespace) -> None:
        self.cfg = load_config(args)
        trains = bool(self.cfg.get('train_cfg'))
        if trains and not args.checkpoint:
            raise InputError(f'{args.config} needs a checkpoint, or the work dir of its training.')
        file = checkpoint_file(args.checkpoint) if trains else False
        device = find_device(args.device)
        self.model: Any = get_model(self.cfg, pretrained=file, device=device).eval()
        named = [Path(photo) for photo in args.photos]
        if not trains and args.checkpoint:
            named.insert(0, Path(args.checkpoint))  # there is none
        self.photos = [
            photo for path in named for photo in (find_photos(path) if path.is_dir() else [path])
        ]
        if named and not self.photos:
            raise InputError(f'{named[0]} has no image files.')

    @cached_property
    def dataset(self) -> Any:
        """The test images, of the first variant.

        Raises:
            InputError: The config has none.
        """
        datasets = test_datasets(self.cfg)
        if not datasets:
            raise InputError(f'{self.cfg.filename} has no test images. Name some photos.')
        return next(iter(datasets.values()))

    @property
    def pipeline(self) -> List[dict]:
        return list(self.cfg.test_dataloader.dataset.pipeline)

    def examples(self, limit: int) -> List[Example]:
        """The photos that were named, or so many test images."""
        if self.photos:
            return [self.photo(path) for path in self.photos]
        return [self.test_image(index) for index in self.chosen(limit)]

    def chosen(self, limit: int) -> List[int]:
        """Numbers of test images, in random order by a fixed seed, one of each class in turn."""
        labels = pd.Series(self.dataset.get_gt_labels()).sample(frac=1, random_state=0)
        turns = labels.groupby(labels).cumcount().sort_values(kind='stable')
        return [int(index) for index in turns.index[:limit]]

    def photo(self, path: Path) -> Example:
        """A file as an example.

        Raises:
            InputError: It is no image.
        """
        try:
            crop = Compose(self.pipeline)(dict(img_path=str(path)))['inputs']
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f'{path} cannot be read as an image: {first_line(error)}') from None
        return Example(path, *self.seen(crop))

    def test_image(self, index: int) -> Example:
        """A test image by its number."""
        info = self.dataset.get_data_info(index)
        picture, inputs = self.seen(self.dataset[index]['inputs'])
        return Example(Path(info['img_path']), picture, inputs, info['gt_label'], index)

    def seen(self, crop: torch.Tensor) -> Tuple[np.ndarray, torch.Tensor]:
        """A crop of the pipeline, uint8 and BGR -> RGB for people, normalised for the model."""
        with torch.no_grad():
            batch = self.model.data_preprocessor(dict(inputs=crop[None]))
        picture = crop.flip(0) if self.model.data_preprocessor.to_rgb else crop
        return picture.permute(1, 2, 0).numpy(), batch['inputs'][0]

    @cached_property
    def crop(self) -> Any:
        """The transform of the pipeline that cuts out what the model sees."""
        (own,) = (step for step in self.pipeline if step['type'].endswith('CLIPCrop'))
        return TRANSFORMS.build(own)

    def masks(self, example: Example) -> Dict[str, np.ndarray]:
        """Masks of the parts of a test image, by name, see :meth:`crop_masks`.

        Raises:
            InputError: The data set knows no parts.
        """
        if not self.knows('part_masks') or example.index is None:
            raise InputError('there are no masks of parts of these pictures. Use --masks.')
        return self.crop_masks(self.dataset.masks(example.index))

    def knows(self, what: str) -> bool:
        """Whether test images come with 'part_masks' or 'keypoints'."""
        return not self.photos and bool(self.dataset.metainfo.get(what))

    @property
    def class_part(self) -> str:
        """The part that tells the class; empty if the data set names none."""
        return str(self.dataset.metainfo.get('class_part', ''))

    def crop_masks(self, masks: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Masks that cover a whole picture, as the picture is cropped, bool, shape (H, W).

        Each pixel is of the part that has most of it, so that they cover the crop.
        """
        crops = []
        for mask in masks.values():
            pixels = np.repeat(255 * mask.astype(np.uint8)[..., None], 3, -1)
            crops.append(self.crop.transform(dict(img=pixels))['img'][..., 0])
        largest = np.argmax(crops, 0)
        return {name: largest == number for number, name in enumerate(masks)}

    def crop_points(self, points: Points, example: Example) -> Points:
        """Points (x, y) of a whole picture, in pixels, as the picture is cropped."""
        width, height = read_photo(example.path).size
        rows, columns = example.picture.shape[:2]
        scale = max(rows / height, columns / width)
        left = round((int(width * scale) - columns) / 2)
        top = round((int(height * scale) - rows) / 2)
        return {name: (x * scale - left, y * scale - top) for name, (x, y) in points.items()}
