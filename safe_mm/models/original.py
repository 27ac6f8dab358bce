"""The unchanged CLIP beside one that is trained."""

import copy

import torch
from torch import nn

from ..clip import SplitCLIP
from .slim import SlimModule


class OriginalCLIP(SlimModule):
    """A frozen copy of CLIP's image encoder.

    Args:
        clip (SplitCLIP): Copied before its parts are trained.
    """

    def __init__(self, clip: SplitCLIP) -> None:
        super().__init__(clip.name)
        self.trunk: nn.Module = copy.deepcopy(clip.trunk)
        self.pool: nn.Module = copy.deepcopy(clip.pool)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, inputs: torch.Tensor, start: str = 'image') -> torch.Tensor:
        """Images, or dense features -> features (B, D)."""
        return self.pool(self.trunk(inputs) if start == 'image' else inputs)
