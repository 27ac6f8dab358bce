"""The datasets of a config."""

import hashlib
import os
from typing import Dict

from mmengine.config import Config
from mmpretrain.datasets import BaseDataset

from ..errors import InputError, warn_once
from ..registry import DATASETS
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
    """Reads all annotations, and an image of each part.

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
        test_datasets(cfg)
    except InputError as error:
        warn_once(f'the trained weights cannot be tested: {error}')
    return datasets


def hash_of_list(dataset: BaseDataset) -> str:
    """16 hexadecimal digits for the names and labels of images, wherever their folder is."""
    sha = hashlib.sha256()
    for number in range(len(dataset)):
        info = dataset.get_data_info(number)
        path = os.path.relpath(info.get('img_path', '/'), dataset.data_root or '/')
        sha.update(f'{path}\n{info.get("gt_label")}\n'.encode())
    return sha.hexdigest()[:16]
