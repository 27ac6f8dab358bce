"""Batches of several seeds, joined as one."""

import copy
from typing import Any, Dict, Iterator, List, Sequence

import torch
from mmengine.config import ConfigDict
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..config import set_everywhere


class JoinedLoader:
    """Batches that are each of a batch from every loader, in their order.

    Args:
        loaders (Sequence[DataLoader]): What all have in common, such as the names of the classes,
            is asked of the first.
    """

    def __init__(self, loaders: Sequence[DataLoader]) -> None:
        self.loaders = list(loaders)
        self.dataset = self.loaders[0].dataset
        self.sampler = self.loaders[0].sampler
        self.batch_size = self.loaders[0].batch_size

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        for batches in zip(*self.loaders):
            yield {key: join([batch[key] for batch in batches]) for key in batches[0]}

    def __len__(self) -> int:
        return len(self.loaders[0])


def join(parts: List[Any]) -> Any:
    """Tensors or lists, one after the other; a text is the same in all."""
    if isinstance(parts[0], str):
        return parts[0]
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(parts)
    return [item for part in parts for item in part]


def loader_of_seeds(runner: Runner, cfg: ConfigDict, seeds: Sequence[int]) -> JoinedLoader:
    """Loaders as they are in runs of each seed alone.

    Args:
        runner (Runner): Builds them.
        cfg (ConfigDict): Of a loader.
        seeds (Sequence[int]): Of few-shot samples and runs.
    """
    loaders = []
    for seed in seeds:
        own = copy.deepcopy(cfg)
        set_everywhere(own, 'seed', seed)
        loaders.append(runner.build_dataloader(own, seed=seed))
    return JoinedLoader(loaders)
