"""Pooled features of a whole dataset, for all that needs no gradient."""

from typing import Dict, NamedTuple, Union

import torch
from mmengine.dataset import default_collate
from mmengine.dist import all_gather, get_rank, get_world_size, is_main_process
from mmpretrain.datasets import BaseDataset
from torch.utils.data import DataLoader
from tqdm import tqdm

from .feature_cache import CachedFeatures
from .models import CLIPClassifier

BATCH = 64


class Pooled(NamedTuple):
    """Pooled features of views, before a neck combines them.

    Attributes:
        branches (Tensor): Shape (branches, V, D).
        labels (Tensor): Shape (V, ).
        images (Tensor): Which image each view shows, counted from 0, (V, ).
    """

    branches: torch.Tensor
    labels: torch.Tensor
    images: torch.Tensor


@torch.no_grad()
def pool_dataset(
    model: CLIPClassifier,
    dataset: Union[BaseDataset, CachedFeatures],
    num_workers: int = 0,
    desc: str = 'pooled features',
) -> Pooled:
    """Pools labelled images or cached features; all processes share the work and get the whole."""
    count, world = len(dataset), get_world_size()
    each = -(-count // world)  # the same for all: gathering requires it
    mine = [i % count for i in range(get_rank(), each * world, world)]
    loader = DataLoader(
        dataset, BATCH, sampler=mine, num_workers=num_workers, collate_fn=default_collate
    )
    was_training = model.training
    model.eval()
    branches, labels = [], []
    for batch in tqdm(loader, desc, unit=f'x{BATCH}', leave=False, disable=not is_main_process()):
        batch = model.data_preprocessor(batch)
        labels += [sample.gt_label for sample in batch.pop('data_samples')]
        branches.append(model.pool(**batch).transpose(0, 1))
    model.train(was_training)

    def whole(part: torch.Tensor) -> torch.Tensor:
        return torch.stack(all_gather(part), 1).flatten(0, 1)[:count]

    number: Dict[str, int] = {}  # of each image
    paths = [dataset.get_data_info(i)['img_path'] for i in range(count)]
    images = torch.tensor([number.setdefault(path, len(number)) for path in paths])
    all_labels = whole(torch.cat(labels))
    return Pooled(
        whole(torch.cat(branches)).transpose(0, 1), all_labels, images.to(all_labels.device)
    )
