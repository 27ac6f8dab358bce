"""Runs that train side by side: copies of what a classifier trains."""

import copy
from functools import cache
from typing import Any, Callable, Dict, List

import torch
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn.utils import parametrize

from .classifier import CLIPClassifier
from .part import losses


class JointRuns(nn.Module):
    """Copies of what a classifier trains; all frozen modules are shared.

    Nothing passes between the copies: with the sum of their losses, each gets the gradient that it
    would get alone.

    Args:
        model (CLIPClassifier): What all copies start from.
        settings (list[dict]): What differs in the optimizer, for each run of a seed.
        num_seeds (int): How many batches of different few-shot samples come joined as one. Each
            has a run of every setting. Defaults to 1.

    Attributes:
        copies (nn.ModuleList): A copy for each run, all settings of the first seed first.
    """

    def __init__(self, model: CLIPClassifier, settings: List[dict], num_seeds: int = 1) -> None:
        super().__init__()
        self.settings, self.num_seeds = settings, num_seeds
        shared: List[object] = [m for outer in model._frozen for m in outer.modules()]
        shared += [p for p in model.parameters() if not p.requires_grad]
        parts = nn.ModuleDict(dict(tuned=model.backbone.tuned, neck=model.neck, head=model.head))
        self.copies: Any = nn.ModuleList(
            copy.deepcopy(parts, {id(one): one for one in shared})
            for _ in range(num_seeds * len(settings))
        )

    def loss(
        self, inputs: torch.Tensor, data_samples: List[DataSample], start: str
    ) -> Dict[str, torch.Tensor]:
        """A loss for each copy, of the images of its seed.

        Args:
            inputs (Tensor): Features of a frozen stage, of the same number of images for each seed.
            data_samples (list[DataSample]): Labels of all images.
            start (str): The stage of ``inputs``.
        """
        size, found = len(data_samples) // self.num_seeds, {}
        for number, own in enumerate(self.copies):
            first = number // len(self.settings) * size
            part = inputs[first : first + size]
            # One cache a copy: torch's does not tell a copy from the module it was copied from
            with parametrize.cached():
                pooled = start == 'pooled'
                branches = part.transpose(0, 1) if pooled else own.neck.pool(own.tuned(part))
                features = (own.neck.combine(branches),)
                terms = losses(own.neck, own.head, features, data_samples[first : first + size])
            parts = [value for name, value in terms.items() if 'loss' in name]
            found[f'loss_{number}'] = torch.stack(parts).sum()
        return found

    def predict(
        self, inputs: torch.Tensor, data_samples: List[DataSample], start: str, seed: int
    ) -> List[List[DataSample]]:
        """Predictions of the runs of the ``seed``-th seed; shared modules run once."""

        @cache
        def once(module: Callable, x: torch.Tensor) -> torch.Tensor:
            return module(x)

        predictions = []
        first = seed * len(self.settings)
        for own in self.copies[first : first + len(self.settings)]:
            with parametrize.cached():
                if start == 'pooled':
                    branches = inputs.transpose(0, 1)
                else:
                    branches = own.neck.pool(once(own.tuned, inputs), once)
                features = (own.neck.combine(branches),)
                predictions.append(own.head.predict(features, copy.deepcopy(data_samples)))
        return predictions


def add_joint_runs(model: CLIPClassifier, settings: List[dict], num_seeds: int) -> None:
    """Makes a classifier train copies of itself; checkpoints have one."""
    model.head.in_training = True
    model.runs = JointRuns(model, settings, num_seeds)
    use_copy(model, 0)  # DDP needs a gradient for each parameter
    model._register_state_dict_hook(_leave_out_runs)


def use_copy(model: CLIPClassifier, number: int) -> None:
    """Gives a classifier the parts of one of its joint runs."""
    own = model.runs.copies[number]
    model.backbone.tuned, model.neck, model.head = own.tuned, own.neck, own.head


def _leave_out_runs(module: nn.Module, state: dict, prefix: str, local_metadata: dict) -> None:
    for key in [k for k in state if k.startswith(f'{prefix}runs.')]:
        del state[key]
