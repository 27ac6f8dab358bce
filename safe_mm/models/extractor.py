"""The part of a model that computes the features of a stage."""

from typing import Any, Optional

import torch
from torch import nn

from .part import Neck


class Extractor(nn.Module):
    """Images -> dense features of a trunk, or pooled ones if a neck is given.

    The feature cache makes a key of its repr, parameters and buffers. They tell all that the
    features depend on, and nothing of a neck that comes after pooling.
    """

    def __init__(self, trunk: nn.Module, neck: Optional[Neck] = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.pool: Any = neck.pool if neck else None
        self.with_positions = bool(neck and neck.with_positions)
        self.poolings = nn.ModuleList(
            [getattr(neck, name) for name in neck.poolings] if neck else []
        )

    def extra_repr(self) -> str:
        return 'with_positions' if self.with_positions else ''

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) -> dense, or pooled (B, branches, D)."""
        dense = self.trunk(images)
        dense = dense[-1] if isinstance(dense, (tuple, list)) else dense
        return dense if self.pool is None else self.from_dense(dense)

    def from_dense(self, dense: torch.Tensor) -> torch.Tensor:
        """Dense features -> pooled (B, branches, D)."""
        return self.pool(dense.contiguous()).transpose(0, 1)  # as it is read from disk
