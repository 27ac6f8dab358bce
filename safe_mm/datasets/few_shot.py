"""Few-shot classification data."""

import random
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmpretrain.datasets import BaseDataset
from PIL import Image

from ..errors import InputError, counted, warn_once
from ..registry import DATASETS
from .lists import read_data
from .splits import PARTS, SUBSETS, Item, Split, few_shot, items_of, labels_of, subset_labels


@DATASETS.register_module()
class FewShotDataset(BaseDataset):
    """Images of a published split file or of folders, K a class if asked.

    Args:
        split (str): 'train', 'val' or 'test'. Defaults to 'test'.
        shots (int, optional): K: 'train' has K images a class and 'val' min(K, 4), drawn by the
            published procedure (:func:`safe_mm.datasets.splits.few_shot`). None takes all images of
            the split. Defaults to None.
        seed (int): Seed of the draw. Defaults to 1.
        subset (str, optional): Half of the classes: 'base', the first ceil(N / 2) labels, or 'new',
            the rest, which then count from 0. The sample is drawn from all classes before. Defaults
            to None.
        data_root (str): The folder that holds the folders of the datasets. Defaults to ''.
        data_prefix (str): The image folder below ``data_root``. Defaults to ''.
        ann_file (str): The split file below ``data_root``, a JSON ``{"train": [[path, label, class
            name], ...], ...}``; or ``classnames.txt`` of ImageNet, or ``variants.txt`` of
            FGVC-Aircraft, see :mod:`safe_mm.datasets.lists`. Without one, the image folder has a
            folder for each class, see :func:`safe_mm.datasets.splits.read_folders`. Defaults to ''.
        mirror (bool): Whether each image is followed by its horizontal flip, as a second view.
            Defaults to False.
        views (int, optional): Number of random views of each image, in place of the image and its
            horizontal flip. Random transforms then draw the same numbers for a view each time, by
            ``seed``, so that features can be cached. Defaults to None.
        exif (bool): Whether a rotation in a photo's EXIF data is applied. The published benchmarks
            have it False, since their reference code ignores it. Defaults to True.
        templates (str | Sequence[str], optional): Prompt templates for the data, see
            :func:`safe_mm.prompts.class_prompts`. Defaults to None.
        classes (Sequence[str], optional): Names of all classes in place of the split's. Defaults to
            None.
        num_classes (int, optional): Expected number of classes with images in each part, before
            ``subset``. Test data may have fewer than there are names; the model then chooses among
            those. Defaults to None.
        pipeline (Sequence): Transforms. Defaults to an empty tuple.
        lazy_init (bool): Whether to read class names only. Defaults to False.

    Raises:
        InputError: No such data or subset, a bad split file, missing images.
    """

    def __init__(
        self,
        split: str = 'test',
        shots: Optional[int] = None,
        seed: int = 1,
        subset: Optional[str] = None,
        data_root: str = '',
        data_prefix: str = '',
        ann_file: str = '',
        mirror: bool = False,
        views: Optional[int] = None,
        exif: bool = True,
        templates: Union[str, Sequence[str], None] = None,
        classes: Optional[Sequence[str]] = None,
        num_classes: Optional[int] = None,
        pipeline: Sequence = (),
        lazy_init: bool = False,
    ) -> None:
        if split not in PARTS:
            raise InputError(f'split={split!r} should be one of {PARTS}.')
        if shots is not None and shots < 1:
            raise InputError(f'shots={shots} should be at least 1.')
        if subset not in (None, *SUBSETS):
            raise InputError(f'subset={subset!r} should be one of {SUBSETS}, or None.')
        self.split = split
        self.subset = subset
        self._names = classes
        self._labels = range(0)  # in the split, of the data's classes
        self.shots = shots
        self.seed = seed
        self.mirror = mirror
        self.views = views
        self.exif = exif
        self.templates = templates
        self.num_classes = num_classes
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=data_prefix,
            pipeline=pipeline,
            serialize_data=False,  # it takes longer than a few shots save
            lazy_init=lazy_init,
        )
        if lazy_init:
            self._read_annotations()

    def load_data_list(self) -> List[dict]:
        """Reads the split, draws the few-shot sample, checks the images."""
        split, source, folder = self._read_annotations()
        if not split.get(self.split) and not (
            self.split == 'val' and self.shots and 'train' in split
        ):
            raise InputError(f'{source} has no images for {self.split!r}.')
        self._check_classes(split, source)
        if self.shots is not None:
            if self.split == 'train':
                self._check_shots(split, self.shots, source)
            split = few_shot(split, self.shots, self.seed)
            if not split[self.split]:
                raise InputError(
                    f'{source} has no images left for {self.split!r} beside {self.shots} training '
                    'images a class. Use fewer shots, or a split file with images for it.'
                )

        items = items_of(split[self.split], self._labels)
        check_images(folder, items)
        flips = (False, True) if self.mirror and not self.views else (False,)
        return [
            dict(
                img_path=str(folder / path), gt_label=label, mirror=flip, view=view, exif=self.exif
            )
            for view in range(self.views or 1)
            for flip in flips
            for path, label, _ in items
        ]

    def _read_annotations(self) -> Tuple[Split, Path, Path]:
        """Reads the split; notes class names and templates."""
        folder = Path(self.img_prefix)
        source = Path(self.ann_file) if self.ann_file else folder
        split, names = read_data(source, folder)
        given = self._names or names
        if len(given) != len(names):
            raise InputError(
                f'{source} has {counted(len(names), "class")}, but '
                f'{counted(len(given), "class name")} given.'
            )
        self._labels = subset_labels(len(names), self.subset)
        self._metainfo['classes'] = tuple(given[label] for label in self._labels)
        self._metainfo['templates'] = self.templates
        return split, source, folder

    def _check_classes(self, split: Split, source: Path) -> None:
        present = labels_of({self.split: split.get(self.split, [])})
        if self.num_classes not in (None, len(present)) and present:
            raise InputError(
                f'{source}: there are images of {counted(len(present), "class")} for '
                f'{self.split!r}, and not of {self.num_classes}. Unpack all of the data, see '
                'tools/prepare_dataset.py.'
            )
        own = [label - self._labels.start for label in present if label in self._labels]
        if 'train' not in split and len(own) < len(self._labels):
            self._metainfo['class_ids'] = own  # a variant lacks classes

    def _check_shots(self, split: Split, shots: int, source: Path) -> None:
        """Refuses classes without training images, and names those that have fewer than K."""
        items = items_of(split.get('train', []), self._labels)
        counts = Counter(label for _, label, _ in items)
        names = self._metainfo['classes']
        none = [name for label, name in enumerate(names) if not counts[label]]
        if none:
            raise InputError(
                f'{source}: the class {none[0]!r} has no training image ({len(none)} of '
                f'{len(names)} classes have none). Add some, or remove the class.'
            )
        short = [
            f'{name} ({counts[label]})' for label, name in enumerate(names) if counts[label] < shots
        ]
        if short:
            warn_once(
                f'{source}: {counted(len(short), "class")} with fewer than {shots} training '
                f'images; all of them are used: {", ".join(short)}'
            )

    def prepare_data(self, idx: int) -> dict:
        """Runs the pipeline; an error names the image."""
        try:
            with fixed_draws(self.seed, idx) if self.views else nullcontext():
                packed = super().prepare_data(idx)
            return self.add_class_ids(packed)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            path = self.get_data_info(idx)['img_path']
            raise InputError(
                f'{path} cannot be read as an image ({error}). Replace it, or remove it from the '
                'split.'
            ) from None

    def add_class_ids(self, packed: dict) -> dict:
        """Tells the classifier which classes the data has, if not all."""
        ids = self._metainfo.get('class_ids')
        if ids is not None and isinstance(packed, dict):
            packed['data_samples'].set_metainfo(dict(class_ids=ids))
        return packed


@contextmanager
def fixed_draws(seed: int, index: int) -> Iterator[None]:
    """Random transforms draw the same for the same seed and index of a view.

    The states of all generators are restored afterwards.
    """
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        own = np.random.SeedSequence([seed, index]).generate_state(1)[0]
        random.seed(int(own))
        np.random.seed(own)
        torch.manual_seed(int(own))
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def check_images(folder: Path, items: List[Item]) -> None:
    """Raises an InputError that names the first missing image."""
    missing = [path for path, _, _ in items if not (folder / path).is_file()]
    if missing:
        raise InputError(
            f'{folder / missing[0]} does not exist, nor do {len(missing) - 1} more of the '
            f'{len(items)} images needed. Check --data-root, and unpack all of the archive.'
        )
