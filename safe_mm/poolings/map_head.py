"""The attention head with a learned query (MAP) of timm's ViTs."""

from collections import OrderedDict
from typing import Any, Optional, Tuple

import torch
from open_clip.timm_model import TimmModel
from timm.layers import AttentionPoolLatent
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from .base import TokenPooling
from .single_query import attend


class MapHead(TokenPooling):
    """Pooling layer of SigLIP (``timm.layers.AttentionPoolLatent``).

    The learned latent is the query. The pooling layer has an MLP of its own, which SAFE tunes with
    it. What follows (the classifier of timm's model and open_clip's projection; nothing for SigLIP)
    stays frozen.

    Args:
        visual (open_clip.timm_model.TimmModel): Whose layer and what follows it are taken over.
    """

    supports = "a timm ViT with timm_pool 'map'"
    projection = ('head',)
    layer: Any  # timm's AttentionPoolLatent

    def __init__(self, visual: TimmModel) -> None:
        trunk = visual.trunk
        super().__init__(trunk.patch_embed.grid_size, trunk.num_prefix_tokens)
        # Where timm's model has no such switch, it attends to all tokens
        self.attends_leading = getattr(trunk, 'pool_include_prefix', True)
        self.layer = trunk.attn_pool
        self.head = head_of(visual)
        self.width = self.layer.kv.in_features

    @classmethod
    def split(cls, visual: nn.Module) -> Optional[Tuple[nn.Module, 'MapHead']]:
        if not (
            isinstance(visual, TimmModel)
            and isinstance(visual.trunk, (VisionTransformer, Eva))
            and _has_one_query(getattr(visual.trunk, 'attn_pool', None))
        ):
            return None
        pool = cls(visual)
        return without_head(visual), pool

    def attend(self, dense: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        layer = self.layer
        tokens = dense if self.attends_leading else self.patch_features(dense)
        key_weight, value_weight = layer.kv.weight.chunk(2)
        return attend(
            layer.q(layer.latent[:, 0]),
            tokens,
            key_weight,
            value_weight,
            layer.kv.bias.chunk(2)[1],
            layer.num_heads,
        )

    def forward(self, dense: torch.Tensor) -> torch.Tensor:
        """Tokens (B, K + h*w, C) -> pooled features (B, embed_dim)."""
        layer = self.layer
        x = layer.proj_drop(layer.proj(self.attend(dense)[1]))
        return self.head(x + layer.mlp(layer.norm(x)))


def _has_one_query(layer: Optional[nn.Module]) -> bool:
    """Whether the layer is what timm's ViTs build for 'map'."""
    return (
        isinstance(layer, AttentionPoolLatent)
        and layer.latent_len == 1
        and layer.pool == 'token'
        and layer.pos_embed is None
        and layer.mlp is not None
        and layer.kv.bias is not None
        and isinstance(layer.k_norm, nn.Identity)
    )


def head_of(visual: TimmModel) -> nn.Sequential:
    """What follows the pooling of timm's ViT: its head, and open_clip's."""
    trunk = visual.trunk
    return nn.Sequential(
        OrderedDict(fc_norm=trunk.fc_norm, drop=trunk.head_drop, fc=trunk.head, proj=visual.head)
    )


def without_head(visual: TimmModel) -> TimmModel:
    """Makes timm's ViT return all tokens."""
    visual.trunk.reset_classifier(0, global_pool='')
    visual.trunk.attn_pool = None  # which Eva keeps in timm before 1.0.31
    visual.trunk.fc_norm = visual.trunk.head_drop = nn.Identity()
    visual.head = nn.Identity()
    return visual
