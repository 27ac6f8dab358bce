"""Attention with a single query (SAFE, Eq. 2), shared by the poolings.

Only one position is read after the attention: a mean token, a class token or a learned query. With
one query q per head, scores and weighted sum can be taken before the key and value projections,

    q . (W_k x_j) = (W_k^T q) . x_j
    sum_j a_j (W_v x_j + b_v) = W_v (sum_j a_j x_j) + b_v,

which is exactly the same function at a fraction of the work. A key bias adds the same number to all
scores of a head and cancels in the softmax. So does the shift of a layer norm in front of the keys;
its scale can be applied to the query, and both to the weighted sum in place of the values.
"""

from typing import Optional, Tuple

import torch
from torch import nn
from torch.nn import functional as F


def attend(
    query: torch.Tensor,
    tokens: torch.Tensor,
    key_weight: torch.Tensor,
    value_weight: torch.Tensor,
    value_bias: torch.Tensor,
    num_heads: int,
    norm: Optional[nn.LayerNorm] = None,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """softmax_j(q . k_j / S) of each head, and its sum over the values (Eq. 2).

    Args:
        query (Tensor): Lin_q of the query token, shape (B, D). A learned query, the same for all
            images, has B = 1.
        tokens (Tensor): Shape (B, L, C).
        key_weight (Tensor): Weight of Lin_k, shape (D, C).
        value_weight (Tensor): Weight of Lin_v, shape (D, C).
        value_bias (Tensor): Bias of Lin_v, shape (D, ).
        num_heads (int): Number of heads H, a divisor of D; S is the root of D / H.
        norm (nn.LayerNorm, optional): A norm in front of keys and values, whose scale and shift
            ``tokens`` lack, see :func:`plain_layer_norm`. Defaults to None.

    Returns:
        tuple[Tensor, Tensor]: Attention of each head, shape (B, H, L), whose rows sum to one, and
        the pooled values, the heads side by side, shape (B, D).
    """
    query = query.unflatten(-1, (num_heads, -1)).transpose(0, 1)
    key_weight = key_weight.unflatten(0, (num_heads, -1))
    query = ((query * query.shape[-1] ** -0.5) @ key_weight).transpose(0, 1)  # (B, H, C)
    if norm is not None:
        query = norm.weight * query
    weights = (query @ tokens.transpose(1, 2)).softmax(dim=-1)
    pooled = weights @ tokens
    if norm is not None:
        pooled = norm.weight * pooled + norm.bias
    return weights, project_values(pooled, value_weight, value_bias)


def project_values(
    tokens: torch.Tensor, value_weight: torch.Tensor, value_bias: torch.Tensor
) -> torch.Tensor:
    """Lin_v of each head's sum_j a_j x_j, shape (B, H, C) -> (B, D)."""
    value_weight = value_weight.unflatten(0, (tokens.shape[1], -1))
    return _HeadsLinear.apply(tokens, value_weight).flatten(1) + value_bias


def plain_layer_norm(tokens: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    """The layer norm of tokens (B, L, C) without scale and shift, so without gradients."""
    return F.layer_norm(tokens, norm.normalized_shape, eps=norm.eps)


class _HeadsLinear(torch.autograd.Function):
    """x_h W_h^T of each head: (B, H, C) and (H, D, C) -> (B, H, D).

    By autograd's own rule the weight's gradient comes out transposed and is copied, which costs a
    tenth of RN50's training step.
    """

    @staticmethod
    def forward(tokens: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.einsum('bhc,hdc->bhd', tokens, weight)

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple:
        tokens, weight = ctx.saved_tensors
        grad = grad.transpose(0, 1).to(weight.dtype)  # lower under AMP
        return (
            (grad @ weight).transpose(0, 1).to(tokens.dtype),
            grad.transpose(1, 2) @ tokens.transpose(0, 1).to(weight.dtype),
        )
