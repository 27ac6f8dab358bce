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
        stacked = {
            name: torch.stack([pool.get_parameter(name)
                               for pool in self.pools])
            for name, _ in self.pools[0].named_parameters()
        }

        def run(parameters: dict) -> torch.Tensor:
            return functional_call(self.pools[0], parameters, (features, ))

        return vmap(run)(stacked)
