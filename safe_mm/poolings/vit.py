"""The last block of open_clip's ViT."""

from typing import Optional, Tuple

import torch
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import nn
from torch.nn import functional as F

from .base import TokenPooling
from .single_query import attend, plain_layer_norm


class LastBlockPool(TokenPooling):
    """Last block of a ViT, as the pooling layer (SAFE, Sec. IV-A).

    The class token is the query; the residual and the MLP belong to the block, of which only the
    class token is computed. Norm and projection after the block follow.

    Args:
        visual (open_clip.transformer.VisionTransformer): Whose last block, norm and projection are
            taken over.
    """

    supports = 'a VisionTransformer pooled by its class token'
    gives_positions = True
    projection = ('ln_post', 'proj')
    block: ResidualAttentionBlock

    def __init__(self, visual: VisionTransformer) -> None:
        super().__init__(visual.grid_size, leading=1)
        self.block = visual.transformer.resblocks[-1]
        self.ln_post = visual.ln_post
        self.proj = visual.proj
        self.width = len(self.proj)

    @classmethod
    def split(cls, visual: nn.Module) -> Optional[Tuple[nn.Module, 'LastBlockPool']]:
        if not (
            isinstance(visual, VisionTransformer)
            and visual.attn_pool is None
            and visual.pool_type == 'tok'
            and isinstance(visual.transformer.resblocks[-1], ResidualAttentionBlock)
        ):
            return None
        pool = cls(visual)
        visual.transformer.resblocks = visual.transformer.resblocks[:-1]
        return without_pooling(visual), pool

    def attend(self, dense: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        attn, norm = self.block.attn, self.block.ln_1
        tokens = plain_layer_norm(dense, norm)
        query_weight, key_weight, value_weight = attn.in_proj_weight.chunk(3)
        query_bias, _, value_bias = attn.in_proj_bias.chunk(3)
        query = F.linear(norm.weight * tokens[:, 0] + norm.bias, query_weight, query_bias)
        return attend(query, tokens, key_weight, value_weight, value_bias, attn.num_heads, norm)

    def positions(self, dense: torch.Tensor) -> torch.Tensor:
        return self._project(self.patch_features(self.block(dense)))

    def take_projection(self) -> nn.Linear:
        projection, self.proj = linear_of(self.proj), None
        return projection

    def put_projection(self, projection: nn.Linear) -> None:
        self.proj = nn.Parameter(projection.weight.detach().T.contiguous())

    def forward(self, dense: torch.Tensor) -> torch.Tensor:
        """Tokens (B, 1 + h*w, C) -> pooled features (B, embed_dim)."""
        block = self.block
        x = dense[:, 0] + block.ls_1(block.attn.out_proj(self.attend(dense)[1]))
        return self._project(x + block.ls_2(block.mlp(block.ln_2(x))))

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        x = self.ln_post(x)
        return x if self.proj is None else x @ self.proj


def linear_of(projection: nn.Parameter) -> nn.Linear:
    """open_clip's projection (C, D) as a layer without bias."""
    width, embed_dim = projection.shape
    layer = nn.Linear(width, embed_dim, bias=False)
    layer.weight = nn.Parameter(projection.detach().T.contiguous(), projection.requires_grad)
    return layer


def without_pooling(visual: VisionTransformer) -> VisionTransformer:
    """Makes open_clip's ViT return all tokens, as its last block does."""
    visual.attn_pool = None
    visual.ln_post = nn.Identity()
    visual.proj = None
    visual.pool_type = 'none'
    visual.output_tokens = False
    return visual
