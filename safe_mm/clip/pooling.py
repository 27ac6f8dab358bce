"""CLIP's pooling layers: attention with a single query (SAFE, Eq. 2).

Only one position is read after the attention, the mean token of a ResNet or
the class token of a ViT. With one query q per head, scores and weighted sum
can be taken before the key and value projections,

    q . (W_k x_j) = (W_k^T q) . x_j
    sum_j a_j (W_v x_j + b_v) = W_v (sum_j a_j x_j) + b_v,

which is exactly the same function at a fraction of the work. A key bias adds
the same number to all scores of a head and cancels in the softmax.
"""
from typing import Tuple

import torch
from torch import nn
from torch.nn import functional as F


def seen_from_tokens(query: torch.Tensor, key_weight: torch.Tensor,
                     num_heads: int) -> torch.Tensor:
    """W_k^T q / S: what each head's query asks of a token (Eq. 2).

    Args:
        query (Tensor): Lin_q of the query token, shape (B, C).
        key_weight (Tensor): Weight of Lin_k, shape (C, C).
        num_heads (int): Number of heads H, a divisor of C.

    Returns:
        Tensor: Shape (B, H, C); S is the root of the head size.
    """
    query = query.unflatten(-1, (num_heads, -1)).transpose(0, 1)
    scale = query.shape[-1]**-0.5
    key_weight = key_weight.unflatten(0, (num_heads, -1))
    return ((query * scale) @ key_weight).transpose(0, 1)


def attention_weights(query: torch.Tensor,
                      tokens: torch.Tensor) -> torch.Tensor:
    """softmax_j(q . k_j / S) of Eq. 2.

    Args:
        query (Tensor): From :func:`seen_from_tokens`, shape (B, H, C).
        tokens (Tensor): What attention looks at, shape (B, L, C).

    Returns:
        Tensor: Attention of each head, shape (B, H, L); rows sum to one.
    """
    return (query @ tokens.transpose(1, 2)).softmax(dim=-1)


def project_heads(tokens: torch.Tensor, value_weight: torch.Tensor,
                  value_bias: torch.Tensor) -> torch.Tensor:
    """Lin_v of each head's sum_j a_j x_j (Eq. 2), the heads side by side.

    Args:
        tokens (Tensor): A weighted sum for each head, shape (B, H, C).
        value_weight (Tensor): Weight of Lin_v, shape (C, C).
        value_bias (Tensor): Bias of Lin_v, shape (C, ).

    Returns:
        Tensor: Shape (B, C).
    """
    value_weight = value_weight.unflatten(0, (tokens.shape[1], -1))
    return _HeadsLinear.apply(tokens, value_weight).flatten(1) + value_bias


class _HeadsLinear(torch.autograd.Function):
    """x_h W_h^T of each head: (B, H, C) and (H, D, C) -> (B, H, D).

    By autograd's own rule the weight's gradient comes out transposed and is
    copied, which costs a tenth of RN50's training step.
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
        return ((grad @ weight).transpose(0, 1).to(tokens.dtype),
                grad.transpose(1, 2) @ tokens.transpose(0, 1).to(weight.dtype))


class AttentionPool(nn.Module):
    """Pooling layer of CLIP's ResNets; parameters named as in open_clip.

    The key bias has no effect and stays frozen.

    Args:
        attnpool (open_clip.modified_resnet.AttentionPool2d): The layer whose
            parameters are taken over.
    """

    def __init__(self, attnpool: nn.Module) -> None:
        super().__init__()
        self.num_heads = attnpool.num_heads
        self.positional_embedding = attnpool.positional_embedding
        self.q_proj = attnpool.q_proj
        self.k_proj = attnpool.k_proj
        self.v_proj = attnpool.v_proj
        self.c_proj = attnpool.c_proj
        self.k_proj.bias.requires_grad_(False)
        self.width = self.q_proj.in_features

    def cells(self, features: torch.Tensor) -> torch.Tensor:
        """F_j: (B, C, h, w) -> (B, h*w, C)."""
        return features.flatten(2).transpose(1, 2)

    def tokens(self, features: torch.Tensor) -> torch.Tensor:
        """The mean token, then F_j, each with its position.

        Args:
            features (Tensor): Dense features, shape (B, C, h, w).

        Returns:
            Tensor: Shape (B, 1 + h*w, C).
        """
        x = self.cells(features)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1)
        return x + self.positional_embedding

    def attention(self, tokens: torch.Tensor) -> torch.Tensor:
        """Attention of the mean token, shape (B, num_heads, 1 + h*w)."""
        query = seen_from_tokens(
            self.q_proj(tokens[:, 0]), self.k_proj.weight, self.num_heads)
        return attention_weights(query, tokens)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Dense features (B, C, h, w) -> pooled features (B, embed_dim)."""
        x = self.tokens(features)
        pooled = project_heads(
            self.attention(x) @ x, self.v_proj.weight, self.v_proj.bias)
        return self.c_proj(pooled)


class LastBlockPool(nn.Module):
    """Last block of a ViT, as the pooling layer (SAFE, Sec. IV-A).

    The class token is the query; the residual and the MLP belong to the
    block, of which only the class token is computed. Norm and projection
    behind the block follow.

    Args:
        block (open_clip.transformer.ResidualAttentionBlock): Last block.
        ln_post (nn.LayerNorm): Norm of the class token.
        proj (nn.Parameter): Projection, shape (C, embed_dim).
    """

    def __init__(self, block: nn.Module, ln_post: nn.Module,
                 proj: nn.Parameter) -> None:
        super().__init__()
        self.block = block
        self.ln_post = ln_post
        self.proj = proj
        self.width = len(proj)

    def cells(self, features: torch.Tensor) -> torch.Tensor:
        """All but the class token: (B, 1 + h*w, C) -> (B, h*w, C)."""
        return features[:, 1:]

    def tokens(self, features: torch.Tensor) -> torch.Tensor:
        """Standardised tokens, shape (B, 1 + h*w, C) as ``features``.

        Scale and shift of the norm wait until after the sums: attention to
        scale * x_j + shift is attention to x_j by the query * scale, since
        the shift adds the same to all scores, and the weights sum to one.
        Then no gradient passes through the tokens.
        """
        norm = self.block.ln_1
        return F.layer_norm(features, norm.normalized_shape, eps=norm.eps)

    def attention(self, tokens: torch.Tensor) -> torch.Tensor:
        """Attention of the class token, shape (B, num_heads, 1 + h*w)."""
        return self._attend(tokens)[0]

    def _attend(self, tokens: torch.Tensor) -> Tuple[torch.Tensor]:
        """Attention, and the values that it pools, shape (B, C)."""
        attn, norm = self.block.attn, self.block.ln_1
        query_weight, key_weight, value_weight = attn.in_proj_weight.chunk(3)
        query_bias, _, value_bias = attn.in_proj_bias.chunk(3)
        query = F.linear(norm.weight * tokens[:, 0] + norm.bias, query_weight,
                         query_bias)
        query = seen_from_tokens(query, key_weight, attn.num_heads)
        weights = attention_weights(norm.weight * query, tokens)
        pooled = norm.weight * (weights @ tokens) + norm.bias
        return weights, project_heads(pooled, value_weight, value_bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Tokens (B, 1 + h*w, C) -> pooled features (B, embed_dim)."""
        block = self.block
        _, pooled = self._attend(self.tokens(features))
        x = features[:, 0] + block.ls_1(block.attn.out_proj(pooled))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
        return self.ln_post(x) @ self.proj
