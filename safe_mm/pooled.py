"""Pooled features of a whole data set, for all that needs no gradient."""
from typing import Iterable, List, NamedTuple

import torch
from mmengine.dataset import default_collate
from mmengine.dist import all_gather, get_rank, get_world_size, is_main_process
from mmpretrain.models import ImageClassifier
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from .models.neck import blend

BATCH = 64


class Pooled(NamedTuple):
    """Pooled features of images, before they are blended.

    Attributes:
        poolings (list[Tensor]): AttnPool_O(F) and, of a blended neck,
            AttnPool_F(F), each of shape (N, C).
        labels (Tensor): Shape (N, ).
    """
    poolings: List[torch.Tensor]
    labels: torch.Tensor

    def merged(self, beta: float) -> torch.Tensor:
        """What the neck gives with this beta (Eq. 3), shape (N, C)."""
        if len(self.poolings) == 1:
            return self.poolings[0]
        return blend(*self.poolings, beta)


@torch.no_grad()
def pool_all(model: ImageClassifier, loader: Iterable[dict]) -> Pooled:
    """Pools all batches of a loader.

    Args:
        model (ImageClassifier): With one of our necks.
        loader (Iterable[dict]): Batches of labelled images, or of dense
            features in their place.
    """
    was_training = model.training
    model.eval()
    poolings, labels = [], []
    for batch in loader:
        batch = model.data_preprocessor(batch)
        labels += [sample.gt_label for sample in batch['data_samples']]
        features = model.backbone(batch['inputs'])[-1]
        poolings.append(model.neck.poolings(features))
    model.train(was_training)
    return Pooled([torch.cat(parts) for parts in zip(*poolings)],
                  torch.cat(labels))


def pool_dataset(model: ImageClassifier, dataset: Dataset, num_workers: int,
                 desc: str) -> Pooled:
    """Pools a data set; all processes share the work and get the whole.

    Args:
        model (ImageClassifier): With one of our necks.
        dataset (Dataset): Labelled images, or dense features in their place.
        num_workers (int): Processes that load images.
        desc (str): For the progress bar.
    """
    count, world = len(dataset), get_world_size()
    each = -(-count // world)  # the same for all: gathering asks for it
    mine = [i % count for i in range(get_rank(), each * world, world)]
    loader = DataLoader(dataset, BATCH, sampler=mine, num_workers=num_workers,
                        collate_fn=default_collate)
    bar = tqdm(loader, desc, unit=f'x{BATCH}', leave=False,
               disable=not is_main_process())
    pooled = pool_all(model, bar)

    def whole(part: torch.Tensor) -> torch.Tensor:
        return torch.stack(all_gather(part), 1).flatten(0, 1)[:count]

    return Pooled([whole(p) for p in pooled.poolings], whole(pooled.labels))
