"""Runs that train side by side: copies of what a classifier trains."""

import copy
from typing import Dict, List, Sequence

import torch
from mmpretrain.structures import DataSample
from torch import nn

from .classifier import CLIPClassifier


class JointRuns(nn.Module):
    """Copies of what a classifier may train; they share all frozen modules.

    Nothing passes between the copies: with the sum of their losses, each gets the gradient that it
    would get alone.

    Args:
        model (CLIPClassifier): What all copies start from.
        runs (int): How many copies share a batch, R.
        num_seeds (int): How many batches come joined as one, S, each for R copies of its own.
            Defaults to 1.
    """

    def __init__(self, model: CLIPClassifier, runs: int, num_seeds: int = 1) -> None:
        super().__init__()
        self.runs, self.num_seeds = runs, num_seeds
        shared = [m for outer in model._frozen for m in outer.modules()]
        shared += [p for p in model.parameters() if not p.requires_grad]
        parts = nn.ModuleDict(dict(tuned=model.backbone.tuned, neck=model.neck, head=model.head))
        self.copies = nn.ModuleList(
            copy.deepcopy(parts, {id(one): one for one in shared}) for _ in range(num_seeds * runs)
        )

    def of_seed(self, number: int) -> Sequence[nn.ModuleDict]:
        """The R copies of one of the seeds."""
        return self.copies[number * self.runs : (number + 1) * self.runs]

    def loss(
        self, inputs: torch.Tensor, data_samples: List[DataSample], start: str
    ) -> Dict[str, torch.Tensor]:
        """A loss for each copy.

        Args:
            inputs (Tensor): Features of a frozen stage, of S * B images.
            data_samples (list[DataSample]): Labels of S * B images.
            start (str): The stage of ``inputs``.
        """
        size, losses = len(data_samples) // self.num_seeds, {}
        for number, part in enumerate(inputs.chunk(self.num_seeds)):
            samples = data_samples[number * size : (number + 1) * size]
            for run, own in enumerate(self.of_seed(number)):
                branches = (
                    part.transpose(0, 1) if (start == 'pooled') else own.neck.pool(own.tuned(part))
                )
                features = (own.neck.combine(branches),)
                losses[f'loss_{number * self.runs + run}'] = own.head.loss(features, samples)[
                    'loss'
                ]
        return losses

    def predict(
        self, inputs: torch.Tensor, data_samples: List[DataSample], start: str, number: int
    ) -> List[List[DataSample]]:
        """Predictions of the copies of a seed; shared modules run once."""
        known: Dict[tuple, torch.Tensor] = {}

        def shared(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
            key = module, id(x)
            if key not in known:
                known[key] = module(x)
            return known[key]

        predictions = []
        for own in self.of_seed(number):
            if start == 'pooled':
                branches = inputs.transpose(0, 1)
            else:
                dense = shared(own.tuned, inputs)
                branches = torch.stack(
                    [shared(getattr(own.neck, name), dense) for name in own.neck.poolings]
                )
            predictions.append(
                own.head.predict((own.neck.combine(branches),), copy.deepcopy(data_samples))
            )
        return predictions


def use_copy(model: CLIPClassifier, number: int) -> None:
    """Gives a classifier the parts of one of its joint runs."""
    own = model.runs.copies[number]
    model.backbone.tuned, model.neck, model.head = (own.tuned, own.neck, own.head)


def add_joint_runs(model: CLIPClassifier, runs: int, num_seeds: int) -> None:
    """Makes a classifier train copies of itself; checkpoints have one."""
    model.runs = JointRuns(model, runs, num_seeds)
    first = model.runs.copies[0]  # DDP wants a gradient for each parameter
    model.neck, model.head = first.neck, first.head
    model._register_state_dict_hook(_leave_out_runs)


def _leave_out_runs(module: nn.Module, state: dict, prefix: str, local_metadata: dict) -> None:
    for key in [k for k in state if k.startswith(f'{prefix}runs.')]:
        del state[key]
