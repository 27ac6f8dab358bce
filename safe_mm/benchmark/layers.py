"""Attention with trained branches or factors in each layer, as plain modules."""

from math import sqrt
from typing import Callable, Sequence

import torch
from open_clip.modified_resnet import AttentionPool2d
from torch import nn
from torch.nn import functional as F

Layer = Callable[[torch.Tensor, torch.Tensor], nn.Module]  # from weight and bias


class LowRank(nn.Module):
    """x W^T + b + scale * dropout(x) A^T B^T."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, rank: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer('weight', weight.detach())
        self.register_buffer('bias', bias.detach())
        self.down = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(rank, weight.shape[1])))
        self.up = nn.Parameter(torch.zeros(len(weight), rank))
        self.dropout, self.scale = dropout, 1 / sqrt(rank)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = F.dropout(x, self.dropout, self.training) @ self.down.T @ self.up.T
        return F.linear(x, self.weight, self.bias) + self.scale * branch


class Factored(nn.Module):
    """x V diag(sigma) U^T + b."""

    left: torch.Tensor
    right: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        left, sigma, right = torch.linalg.svd(weight.detach(), full_matrices=False)
        self.register_buffer('weight', weight.detach())  # open_clip asks for its type
        self.register_buffer('bias', bias.detach())
        self.register_buffer('left', left)
        self.register_buffer('right', right)
        self.sigma = nn.Parameter(sigma)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(F.linear(x, self.right) * self.sigma, self.left, self.bias)


class Attention(nn.Module):
    """nn.MultiheadAttention with modules for queries, keys, values and output."""

    def __init__(self, layers: Sequence[nn.Module], heads: int) -> None:
        super().__init__()
        self.layers, self.heads = nn.ModuleList(layers), heads

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, need_weights=False, attn_mask=None
    ) -> tuple:
        *inner, out = self.layers
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in zip(inner, (q, k, v))
        )
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        return out(x.transpose(1, 2).flatten(2)), None


class AttentionPool(nn.Module):
    """The attention pool of ResNets, all tokens as queries, with such modules."""

    def __init__(self, pool: AttentionPool2d, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.positional_embedding = pool.positional_embedding
        self.attention = Attention(layers, pool.num_heads)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = features.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.positional_embedding
        return self.attention(x, x, x)[0][:, 0]


def replace_attention(model: nn.Module, layer: Layer, out: Layer) -> None:
    """Puts :class:`Attention` in the place of open_clip's.

    Args:
        model (nn.Module): To be changed.
        layer (Callable): Weight and bias -> a module for queries, keys or values.
        out (Callable): The same for the output.
    """
    for parent in list(model.modules()):
        for name, old in list(parent.named_children()):
            if isinstance(old, nn.MultiheadAttention):
                parts = zip(old.in_proj_weight.chunk(3), old.in_proj_bias.chunk(3))
                layers = [layer(*part) for part in parts]
                layers.append(out(old.out_proj.weight, old.out_proj.bias))
                setattr(parent, name, Attention(layers, old.num_heads))
            elif isinstance(old, AttentionPool2d):
                inner = (old.q_proj, old.k_proj, old.v_proj)
                layers = [layer(linear.weight, linear.bias) for linear in inner]
                layers.append(out(old.c_proj.weight, old.c_proj.bias))
                setattr(parent, name, AttentionPool(old, layers))


def linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    """A frozen layer."""
    layer = nn.Linear(*weight.shape[::-1])
    layer.weight, layer.bias = (nn.Parameter(own, requires_grad=False) for own in (weight, bias))
    return layer
