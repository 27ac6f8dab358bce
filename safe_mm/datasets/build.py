"""The datasets of a config."""

import hashlib
import os
from typing import Dict, Set

from mmengine.config import Config
from mmpretrain.datasets import BaseDataset

from ..errors import InputError, counted, warn_once
from ..registry import DATASETS
from .check import equal_images
from .variants import variant_dataset

Datasets = Dict[str, BaseDataset]


def training_datasets(cfg: Config) -> Datasets:
    """The images of 'train' and 'val', where the config has them.

    Raises:
        InputError: They cannot be used.
    """
    loaders = {part: cfg.get(f'{part}_dataloader') for part in ('train', 'val')}
    return {part: DATASETS.build(own.dataset) for part, own in loaders.items() if own}


def test_datasets(cfg: Config) -> Datasets:
    """Test images by variant, which the config's ``variants`` describe.

    Raises:
        InputError: They cannot be used.
    """
    if not cfg.get('test_dataloader'):
        return {}
    return {
        name: DATASETS.build(variant_dataset(cfg, changes))
        for name, changes in cfg.get('variants', {'test': {}}).items()
    }


def check_before_training(cfg: Config) -> Datasets:
    """Reads all annotations, and an image of each part; warns of test images in the others.

    Returns:
        dict[str, BaseDataset]: Those of training and validation.

    Raises:
        InputError: Images of training or validation cannot be used. If only those of the test
            cannot, there is a warning.
    """
    datasets = training_datasets(cfg)
    for part, dataset in datasets.items():
        if 'inputs' not in dataset[0]:
            raise InputError(
                f"{part}_dataloader.dataset.pipeline gives no 'inputs'. Its last step should be "
                "dict(type='PackInputs')."
            )
    try:
        warn_of_copies(datasets, test_datasets(cfg))
    except (InputError, OSError) as error:
        warn_once(f'the trained weights cannot be tested: {error}')
    return datasets


def warn_of_copies(datasets: Datasets, tests: Datasets) -> None:
    """Warns of test images with the content of other images, under another name."""
    known, tested = (set().union(*map(paths_of, own.values())) for own in (datasets, tests))
    sizes = set(map(os.path.getsize, known))
    alike = {path for path in tested - known if os.path.getsize(path) in sizes}
    groups = map(set, equal_images(known | alike))
    shared = [sorted(group) for group in groups if group & known and group & alike]
    if shared:
        warn_once(
            f'{counted(len(shared), "test image")} with the content of a training or validation '
            f'image, such as {" = ".join(shared[0])}'
        )


def paths_of(dataset: BaseDataset) -> Set[str]:
    """Image files of a dataset, each once."""
    infos = map(dataset.get_data_info, range(len(dataset)))
    return {info['img_path'] for info in infos if 'img_path' in info}


def hash_of_list(dataset: BaseDataset) -> str:
    """16 hexadecimal digits for the names and labels of images, wherever their folder is."""
    sha = hashlib.sha256()
    for number in range(len(dataset)):
        info = dataset.get_data_info(number)
        path = os.path.relpath(info.get('img_path', '/'), dataset.data_root or '/')
        sha.update(f'{path}\n{info.get("gt_label")}\n'.encode())
    return sha.hexdigest()[:16]
