"""CLIP-SVD: the singular values of CLIP's weights are trained.

Koleilat et al., Singular Value Few-shot Adaptation of Vision-Language Models, TMLR 2025.
"""

import torch
from torch import nn

from ..models.reparametrize import Reparametrization
from ..registry import MODELS


def replace_values(
    weight: torch.Tensor, left: torch.Tensor, change: torch.Tensor, right: torch.Tensor
) -> torch.Tensor:
    """W + U diag(sigma - sigma_0) V^T, which is U diag(sigma) V^T.

    Args:
        weight (Tensor): W, one weight or several stacked along the rows, shape (rows, columns).
        left (Tensor): U of each, shape (blocks, rows / blocks, k).
        change (Tensor): sigma - sigma_0, shape (blocks, k).
        right (Tensor): V^T, shape (blocks, k, columns).
    """
    blocks = weight.unflatten(0, (len(left), -1))
    return torch.baddbmm(blocks, left * change[:, None], right).flatten(0, 1)


@MODELS.register_module()
class SingularValues(Reparametrization):
    """U diag(sigma) V^T for the linear layers of all transformer blocks and attention pools.

    Args:
        weight (Tensor): W, shape (rows, columns).
        blocks (int): How many weights are stacked along its rows; each has values of its own.

    Attributes:
        sigma (nn.Parameter): Shape (blocks, k), k the smaller side of a weight; at the start the
            singular values.
    """

    patterns = (
        *('*.in_proj_weight', '*.attn.out_proj.weight', '*.mlp.c_fc.weight', '*.mlp.c_proj.weight'),
        *('*.attn_pool_f.[qkvc]_proj.weight',),
        *('*.attn.qkv.weight', '*.attn.proj.weight', '*.mlp.fc[12].weight'),  # timm
        *('*.attention.*.weight', '*.intermediate.dense.weight', '*.output.dense.weight'),
    )
    trainable = interpolated = ('sigma',)
    left: torch.Tensor
    right: torch.Tensor
    start: torch.Tensor

    def __init__(self, weight: torch.Tensor, blocks: int) -> None:
        super().__init__()
        left, sigma, right = torch.linalg.svd(
            weight.unflatten(0, (blocks, -1)), full_matrices=False
        )
        self.sigma = nn.Parameter(sigma.clone())
        for name, tensor in dict(left=left, start=sigma, right=right).items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return replace_values(weight, self.left, self.sigma - self.start, self.right)
