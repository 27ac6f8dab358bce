"""The attentional pooler of CoCa."""

from typing import Optional, Tuple

import torch
from open_clip.transformer import AttentionalPooler, VisionTransformer
from torch import nn
from torch.nn import functional as F

from .base import TokenPooling
from .single_query import attend, plain_layer_norm
from .vit import linear_of, without_pooling


class AttentionalPool(TokenPooling):
    """Pooling layer of open_clip's CoCa (``transformer.AttentionalPooler``).

    The pooler has many learned queries. The first gives the image feature, the others are for
    captions and are not computed. SAFE leaves norm and projection after the pooler frozen, as it
    does for a ViT.

    open_clip's two-pooler variants (``attentional_pool`` is 'parallel' or 'cascade') are not
    supported: no published model has them.

    Args:
        visual (open_clip.transformer.VisionTransformer): Whose pooler, norm and projection are
            taken over.
    """

    supports = 'a VisionTransformer with the attentional pooler of CoCa'
    projection = ('ln_post', 'proj')
    layer: AttentionalPooler

    def __init__(self, visual: VisionTransformer) -> None:
        super().__init__(visual.grid_size, leading=1)
        self.layer = visual.attn_pool
        self.ln_post = visual.ln_post
        self.proj = visual.proj
        self.width = self.layer.ln_k.normalized_shape[0]

    @classmethod
    def split(cls, visual: nn.Module) -> Optional[Tuple[nn.Module, 'AttentionalPool']]:
        if not (
            isinstance(visual, VisionTransformer)
            and visual.attn_pool is not None
            and visual.attn_pool_contrastive is None
            and visual.pool_type == 'tok'
        ):
            return None
        pool = cls(visual)
        return without_pooling(visual), pool

    def attend(self, dense: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Of the first query."""
        layer, attn = self.layer, self.layer.attn
        query_weight, key_weight, value_weight = _weights(attn)
        query_bias, _, value_bias = attn.in_proj_bias.chunk(3)
        query = F.linear(layer.ln_q(layer.query[:1]), query_weight, query_bias)
        tokens = plain_layer_norm(dense, layer.ln_k)
        return attend(
            query, tokens, key_weight, value_weight, value_bias, attn.num_heads, layer.ln_k
        )

    def take_projection(self) -> nn.Linear:
        projection, self.proj = linear_of(self.proj), None
        return projection

    def put_projection(self, projection: nn.Linear) -> None:
        self.proj = nn.Parameter(projection.weight.detach().T.contiguous())

    def forward(self, dense: torch.Tensor) -> torch.Tensor:
        """Tokens (B, 1 + h*w, C) -> pooled features (B, embed_dim)."""
        x = self.ln_post(self.layer.attn.out_proj(self.attend(dense)[1]))
        return x if self.proj is None else x @ self.proj


def _weights(attn: nn.MultiheadAttention) -> Tuple[torch.Tensor, ...]:
    """Weights of Lin_q, Lin_k and Lin_v.

    torch keeps them in one tensor where queries are as wide as tokens.
    """
    if attn.in_proj_weight is not None:
        return attn.in_proj_weight.chunk(3)
    return attn.q_proj_weight, attn.k_proj_weight, attn.v_proj_weight
