"""Pooled features of a whole dataset, for all that needs no gradient."""

from typing import Dict, Iterator, List, NamedTuple, Union

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
    batches = [mine[first : first + BATCH] for first in range(0, each, BATCH)]
    loaded = load(dataset, batches, num_workers)
    bar = tqdm(
        loaded, desc, len(batches), unit=f'x{BATCH}', leave=False, disable=not is_main_process()
    )
    was_training = model.training
    model.eval()
    pooled = []
    for batch in bar:
        batch = model.data_preprocessor(batch)
        batch.pop('data_samples', None)
        pooled.append(model.pool(**batch).transpose(0, 1))
    model.train(was_training)
    # Image i was pooled by process i % world
    branches = torch.stack(all_gather(torch.cat(pooled)), 1).flatten(0, 1)[:count].transpose(0, 1)

    infos = [dataset.get_data_info(i) for i in range(count)]
    number: Dict[str, int] = {}  # of each image
    images = [number.setdefault(info['img_path'], len(number)) for info in infos]
    labels = [int(info['gt_label']) for info in infos]
    return Pooled(branches, *(torch.tensor(x, device=branches.device) for x in (labels, images)))


def load(
    dataset: Union[BaseDataset, CachedFeatures], batches: List[List[int]], num_workers: int
) -> Iterator[dict]:
    """Batches of images, or of cached features, which are read without their labels."""
    if isinstance(dataset, CachedFeatures):
        for batch in batches:
            yield dict(inputs=dataset.features(batch), start=[dataset.stage])
        return
    yield from DataLoader(
        dataset, batch_sampler=batches, num_workers=num_workers, collate_fn=default_collate
    )
