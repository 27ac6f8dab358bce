"""The part of a model that computes the features of a stage."""

from typing import Sequence

import torch
from torch import nn


class Extractor(nn.Module):
    """Images -> dense features of a trunk, or pooled ones if there are poolings."""

    def __init__(self, trunk: nn.Module, poolings: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.trunk = trunk
        self.poolings = nn.ModuleList(poolings)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) -> dense, or pooled (B, branches, D)."""
        dense = self.trunk(images)
        dense = dense[-1] if isinstance(dense, (tuple, list)) else dense
        if not len(self.poolings):
            return dense
        return torch.stack([pool(dense) for pool in self.poolings], dim=1)
