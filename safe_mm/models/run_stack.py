"""Several runs' pooling layers, trained side by side on the same batches."""
import copy

import torch
from torch import nn
from torch.func import functional_call, vmap


class RunStack(nn.Module):
    """Copies of a pooling layer, each trained with a setting of its own.

    Nothing passes between the copies: with the sum of their losses, each
    gets the gradient that it would get alone.

    Args:
        pool (nn.Module): The layer that all copies start from.
        runs (int): How many copies, R.
    """

    def __init__(self, pool: nn.Module, runs: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(copy.deepcopy(pool) for _ in range(runs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Dense features -> pooled features of each run, (R, B, C)."""
        if features.is_cuda:
            return self.all_at_once(features)
        return torch.stack([pool(features) for pool in self.pools])

    def all_at_once(self, features: torch.Tensor) -> torch.Tensor:
        """The same with one launch of each kernel for all runs.

        For a GPU, where a lone step is bound by launches. On a CPU it is
        slower, because it copies the parameters.
        """
        stacked = {
            name: torch.stack([pool.get_parameter(name)
                               for pool in self.pools])
            for name, _ in self.pools[0].named_parameters()
        }

        def run(parameters: dict) -> torch.Tensor:
            return functional_call(self.pools[0], parameters, (features, ))

        return vmap(run)(stacked)
