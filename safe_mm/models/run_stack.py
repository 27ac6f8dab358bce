"""Several runs' pooling layers, trained side by side."""
import copy
from typing import Sequence

import torch
from torch import nn
from torch.func import functional_call, vmap


class RunStack(nn.Module):
    """Copies of a pooling layer, each trained with a setting of its own.

    Nothing passes between the copies: with the sum of their losses, each
    gets the gradient that it would get alone.

    Args:
        pool (nn.Module): The layer that all copies start from.
        runs (int): How many copies share a batch, R.
        num_seeds (int): How many batches of B images come joined as one, S,
            each for R copies of its own. Defaults to 1.
    """

    def __init__(self, pool: nn.Module, runs: int, num_seeds: int = 1) -> None:
        super().__init__()
        self.runs, self.num_seeds = runs, num_seeds
        self.pools = nn.ModuleList(
            copy.deepcopy(pool) for _ in range(num_seeds * runs))

    def of_seed(self, number: int) -> Sequence[nn.Module]:
        """The R layers of one of the seeds."""
        return self.pools[number * self.runs:(number + 1) * self.runs]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Dense features of S*B images -> pooled of each run, (S*R, B, C)."""
        if features.is_cuda:
            return self.all_at_once(features)
        parts = features.chunk(self.num_seeds)
        return torch.stack([
            pool(part) for number, part in enumerate(parts)
            for pool in self.of_seed(number)
        ])

    def all_at_once(self, features: torch.Tensor) -> torch.Tensor:
        """The same with one launch of each kernel for all runs.

        For a GPU, where a lone step is bound by launches. On a CPU it is
        slower, because it copies the parameters.
        """
        stacked = {
            name: torch.stack([pool.get_parameter(name)
                               for pool in self.pools]
                              ).unflatten(0, (self.num_seeds, self.runs))
            for name, _ in self.pools[0].named_parameters()
        }

        def run(parameters: dict, part: torch.Tensor) -> torch.Tensor:
            return functional_call(self.pools[0], parameters, (part, ))

        parts = features.unflatten(0, (self.num_seeds, -1))
        return vmap(vmap(run, (0, None)))(stacked, parts).flatten(0, 1)
