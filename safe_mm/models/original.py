"""The unchanged CLIP beside one that is trained."""

import torch
from torch import nn

from ..clip import SplitCLIP
from .slim import SlimModule


class OriginalCLIP(SlimModule):
    """CLIP's image encoder, frozen.

    Args:
        clip (SplitCLIP): None of whose parts is trained elsewhere.
    """

    def __init__(self, clip: SplitCLIP) -> None:
        super().__init__(clip.name)
        self.trunk: nn.Module = clip.trunk
        self.pool: nn.Module = clip.pool
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, inputs: torch.Tensor, start: str = 'image') -> torch.Tensor:
        """Images, or dense features -> features (B, D)."""
        return self.pool(self.trunk(inputs) if start == 'image' else inputs)
