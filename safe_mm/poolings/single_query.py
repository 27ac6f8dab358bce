"""Attention with a single query (SAFE, Eq. 2), shared by the poolings.

Only one position is read after the attention: a mean token, a class token or a learned query. With
one query q per head, scores and weighted sum can be taken before the key and value projections,

    q . (W_k x_j) = (W_k^T q) . x_j
    sum_j a_j (W_v x_j + b_v) = W_v (sum_j a_j x_j) + b_v,

which is exactly the same function at a fraction of the work. A key bias adds the same number to all
scores of a head and cancels in the softmax.
"""

from typing import Tuple

import torch
from torch import nn
from torch.nn import functional as F


def seen_from_tokens(query: torch.Tensor, key_weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """W_k^T q / S: what each head's query asks of a token (Eq. 2).

    Args:
        query (Tensor): Lin_q of the query token, shape (B, D). A learned query, the same for all
            images, has B = 1 here and below.
        key_weight (Tensor): Weight of Lin_k, shape (D, C).
        num_heads (int): Number of heads H, a divisor of D.

    Returns:
        Tensor: Shape (B, H, C); S is the root of the head size.
    """
    query = query.unflatten(-1, (num_heads, -1)).transpose(0, 1)
    scale = query.shape[-1] ** -0.5
    key_weight = key_weight.unflatten(0, (num_heads, -1))
    return ((query * scale) @ key_weight).transpose(0, 1)


def attention_weights(query: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """softmax_j(q . k_j / S) of Eq. 2.

    Args:
        query (Tensor): From :func:`seen_from_tokens`, shape (B, H, C).
        tokens (Tensor): What attention looks at, shape (B, L, C).

    Returns:
        Tensor: Attention of each head, shape (B, H, L); rows sum to one.
    """
    return (query @ tokens.transpose(1, 2)).softmax(dim=-1)


def project_heads(
    tokens: torch.Tensor, value_weight: torch.Tensor, value_bias: torch.Tensor
) -> torch.Tensor:
    """Lin_v of each head's sum_j a_j x_j (Eq. 2), the heads side by side.

    Args:
        tokens (Tensor): A weighted sum for each head, shape (B, H, C).
        value_weight (Tensor): Weight of Lin_v, shape (D, C).
        value_bias (Tensor): Bias of Lin_v, shape (D, ).

    Returns:
        Tensor: Shape (B, D).
    """
    value_weight = value_weight.unflatten(0, (tokens.shape[1], -1))
    return _HeadsLinear.apply(tokens, value_weight).flatten(1) + value_bias


def standardise(tokens: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    """The layer norm of tokens (B, L, C) without its scale and shift.

    Scale and shift wait until after the sums, see :func:`attend_normed`. Then no gradient passes
    through the tokens.
    """
    return F.layer_norm(tokens, norm.normalized_shape, eps=norm.eps)


def attend_normed(
    query: torch.Tensor,
    tokens: torch.Tensor,
    norm: nn.LayerNorm,
    key_weight: torch.Tensor,
    value_weight: torch.Tensor,
    value_bias: torch.Tensor,
    num_heads: int,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Attention to tokens behind a layer norm.

    Attention to scale * x_j + shift is attention to x_j by the query * scale, since the shift adds
    the same to all scores, and the weights sum to one.

    Args:
        query (Tensor): Lin_q of the query token, shape (B, D).
        tokens (Tensor): From :func:`standardise`, shape (B, L, C).
        norm (nn.LayerNorm): The norm in front of keys and values.
        key_weight (Tensor): Weight of Lin_k, shape (D, C).
        value_weight (Tensor): Weight of Lin_v, shape (D, C).
        value_bias (Tensor): Bias of Lin_v, shape (D, ).
        num_heads (int): Number of heads H, a divisor of D.

    Returns:
        tuple[Tensor, Tensor]: Attention of each head, shape (B, H, L), and the pooled values, shape
        (B, D).
    """
    query = seen_from_tokens(query, key_weight, num_heads)
    weights = attention_weights(norm.weight * query, tokens)
    pooled = norm.weight * (weights @ tokens) + norm.bias
    return weights, project_heads(pooled, value_weight, value_bias)


class _HeadsLinear(torch.autograd.Function):
    """x_h W_h^T of each head: (B, H, C) and (H, D, C) -> (B, H, D).

    By autograd's own rule the weight's gradient comes out transposed and is copied, which costs a
    tenth of RN50's training step.
    """

    generate_vmap_rule = True

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
