"""LoRA in both towers of CLIP.

Zanella and Ben Ayed, Low-Rank Few-Shot Adaptation of Vision-Language Models, CVPR Workshops 2024
(CLIP-LoRA), after Hu et al., LoRA, ICLR 2022.
"""

from math import sqrt

import torch
from torch import nn

from ..errors import InputError
from ..models.reparametrize import Reparametrization
from ..registry import MODELS


def low_rank(down: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """The update B A of one weight or of several packed in a tensor.

    Args:
        down (Tensor): A, shape (blocks, rank, columns).
        up (Tensor): B, shape (blocks, rows / blocks, rank).

    Returns:
        Tensor: Shape (rows, columns).
    """
    return (up @ down).flatten(0, 1)


@MODELS.register_module()
class LoRA(Reparametrization):
    """W + alpha / sqrt(rank) * B A for queries, keys and values of all attention layers.

    Args:
        weight (Tensor): W, shape (rows, columns).
        blocks (int): How many weights are stacked along its rows.
        rank (int): Of the update. Defaults to 2.
        alpha (float): Scale of the update; divided by the root of the rank, as in the public code.
            Defaults to 1.
        dropout (float): Dropout probability of the input of A, with one mask for all tokens of an
            iteration. Defaults to 0.25.

    Raises:
        InputError: ``rank`` or ``dropout`` is out of range.

    Attributes:
        down (nn.Parameter): A, at random, shape (blocks, rank, columns).
        up (nn.Parameter): B, zero at the start, shape (blocks, rows / blocks, rank).
        step (Tensor): Iterations so far, so that a resumed run drops the same inputs.
    """

    patterns = ('*.in_proj_weight', '*.[qkv]_proj.weight', '*.qkv.weight', '*.self.*.weight')
    trainable = ('down', 'up')
    interpolated = ('up',)
    step: torch.Tensor

    def __init__(
        self,
        weight: torch.Tensor,
        blocks: int,
        rank: int = 2,
        alpha: float = 1.0,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        if rank < 1 or not 0 <= dropout < 1:
            raise InputError(
                f'LoRA: rank={rank} should be at least 1, and dropout={dropout} in [0, 1).'
            )
        rows, columns = weight.shape
        self.scale, self.dropout = alpha / sqrt(rank), dropout
        down = torch.empty(blocks, rank, columns)  # drawn on the CPU: the same on all devices
        for own in down:
            nn.init.kaiming_uniform_(own, a=sqrt(5))
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(blocks, rows // blocks, rank))
        self.register_buffer('step', torch.tensor(0))
        self.seed = int(torch.randint(2**31, ()))  # each layer drops inputs of its own

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        down: torch.Tensor = self.down
        if self.training and self.dropout:
            generator = torch.Generator().manual_seed(self.seed + int(self.step))
            self.step += 1
            drawn = torch.rand(len(down), 1, down.shape[-1], generator=generator)
            down = down * (drawn >= self.dropout).to(down) / (1 - self.dropout)
        return weight + self.scale * low_rank(down, self.up)
