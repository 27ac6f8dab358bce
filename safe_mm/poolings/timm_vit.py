"""The last block of a timm ViT."""

from typing import Any, Optional, Tuple

import torch
from open_clip.timm_model import TimmModel
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import nn
from torch.nn import functional as F

from .base import TokenPooling
from .map_head import head_of, without_head
from .single_query import attend, plain_layer_norm


class TimmLastBlockPool(TokenPooling):
    """Last block of a timm ViT, as the pooling layer (SAFE, Sec. IV-A).

    The same as :class:`safe_mm.poolings.LastBlockPool`, for trunks of timm pooled by their class
    token, such as MobileCLIP-B; registers may follow the class token. SAFE leaves norm and head
    after the block frozen.

    Args:
        visual (open_clip.timm_model.TimmModel): Whose last block, norm and head are taken over.
    """

    supports = "a timm VisionTransformer with timm_pool 'token'"
    projection = ('norm', 'head')
    block: Any  # timm's Block

    def __init__(self, visual: TimmModel) -> None:
        trunk = visual.trunk
        super().__init__(trunk.patch_embed.grid_size, trunk.num_prefix_tokens)
        self.block = trunk.blocks[-1]
        self.norm = trunk.norm
        self.head = head_of(visual)
        self.width = trunk.embed_dim

    @classmethod
    def split(cls, visual: nn.Module) -> Optional[Tuple[nn.Module, 'TimmLastBlockPool']]:
        if not (
            isinstance(visual, TimmModel)
            and isinstance(visual.trunk, VisionTransformer)
            and visual.trunk.global_pool == 'token'
            and _is_plain(visual.trunk.blocks[-1])
        ):
            return None
        pool = cls(visual)
        visual.trunk.blocks = visual.trunk.blocks[:-1]
        visual.trunk.norm = nn.Identity()
        return without_head(visual), pool

    def attend(self, dense: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        attn, norm = self.block.attn, self.block.norm1
        tokens = plain_layer_norm(dense, norm)
        query_weight, key_weight, value_weight = attn.qkv.weight.chunk(3)
        query_bias, _, value_bias = attn.qkv.bias.chunk(3)
        query = F.linear(norm.weight * tokens[:, 0] + norm.bias, query_weight, query_bias)
        return attend(query, tokens, key_weight, value_weight, value_bias, attn.num_heads, norm)

    def forward(self, dense: torch.Tensor) -> torch.Tensor:
        """Tokens (B, K + h*w, C) -> pooled features (B, embed_dim)."""
        block = self.block
        pooled = block.attn.proj_drop(block.attn.proj(self.attend(dense)[1]))
        x = dense[:, 0] + block.drop_path1(block.ls1(pooled))
        x = x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
        return self.head(self.norm(x))


def _is_plain(block: nn.Module) -> bool:
    """Whether a block computes what :class:`TimmLastBlockPool` does."""
    if type(block) is not Block or type(block.attn) is not Attention:
        return False
    attn = block.attn
    steps = (attn.q_norm, attn.k_norm, getattr(attn, 'norm', nn.Identity()))
    return (
        all(isinstance(step, nn.Identity) for step in steps)
        and getattr(attn, 'gate', None) is None
        and attn.qkv.bias is not None
        and isinstance(block.norm1, nn.LayerNorm)
    )
