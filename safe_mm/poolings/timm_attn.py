"""The attention pools that open_clip puts on convolutional timm trunks."""

from collections import OrderedDict
from typing import Any, Optional, Tuple, Type

import torch
from open_clip.timm_model import TimmModel
from timm.layers import (
    AttentionPool2d,
    RotAttentionPool2d,
    apply_rot_embed_cat,
    resample_abs_pos_embed,
)
from torch import nn
from torch.nn import functional as F

from .base import MapPooling
from .single_query import attend, project_values


class AbsAttentionPool(MapPooling):
    """Pooling layer of ``timm_pool='abs_attn'`` (timm's AttentionPool2d).

    The mean token is the query, as in CLIP's ResNets. Positions are resampled to the grid of the
    dense features. The layer has an output projection, which SAFE tunes with it. open_clip's
    ``timm_proj`` after it, if any, stays frozen.

    Args:
        head (nn.Sequential): open_clip's head, the timm layer ``pool`` first.
    """

    supports = "a timm model with timm_pool 'abs_attn'"
    projection = ('head',)
    layer: Any  # timm's
    layer_type: Type[nn.Module] = AttentionPool2d

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        children = OrderedDict(head.named_children())
        self.layer = children.pop('pool')
        self.head = nn.Sequential(children)
        self.width = self.layer.qkv.in_features

    @classmethod
    def split(cls, visual: nn.Module) -> Optional[Tuple[nn.Module, 'AbsAttentionPool']]:
        if not (
            isinstance(visual, TimmModel)
            and isinstance(getattr(visual.head, 'pool', None), cls.layer_type)
        ):
            return None
        pool = cls(visual.head)
        visual.head = nn.Identity()
        # Convolutions are faster where a pixel's channels lie side by side
        return visual.to(memory_format=torch.channels_last), pool

    @torch.no_grad()
    def start_as_mean(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """See :meth:`Pooling.start_as_mean`.

        Attention is uniform, since the query is zero; keys stay random, so that it can be learned.
        """
        query, _, value = self.layer.qkv.weight.chunk(3)
        nn.init.zeros_(query)
        nn.init.eye_(value)
        nn.init.zeros_(self.layer.qkv.bias)
        nn.init.zeros_(self.layer.pos_embed)
        self.layer.proj.weight.copy_(weight)
        self.layer.proj.bias.copy_(bias)

    def take_projection(self) -> nn.Linear:
        if len(self.head):
            return super().take_projection()
        projection, self.layer.proj = self.layer.proj, nn.Identity()
        return projection

    def put_projection(self, projection: nn.Linear) -> None:
        self.layer.proj = projection

    def attend(self, dense: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        layer = self.layer
        tokens = self.with_mean(dense) + resample_abs_pos_embed(
            layer.pos_embed[None], self.grid(dense), layer.feat_size, num_prefix_tokens=1
        )
        query_weight, key_weight, value_weight = layer.qkv.weight.chunk(3)
        query_bias, _, value_bias = layer.qkv.bias.chunk(3)
        query = F.linear(tokens[:, 0], query_weight, query_bias)
        return attend(query, tokens, key_weight, value_weight, value_bias, layer.num_heads)

    def forward(self, dense: torch.Tensor) -> torch.Tensor:
        """Dense features (B, C, h, w) -> pooled features (B, embed_dim)."""
        return self.head(self.layer.proj(self.attend(dense)[1]))


class RotAttentionPool(AbsAttentionPool):
    """Pooling layer of ``timm_pool='rot_attn'`` (timm's RotAttentionPool2d).

    Keys of the grid are rotated by their position (RoPE), so they must be computed; values are
    projected after the sum, as in the other poolings.

    Args:
        head (nn.Sequential): open_clip's head, the timm layer ``pool`` first.
    """

    supports = "a timm model with timm_pool 'rot_attn'"
    layer_type = RotAttentionPool2d
    start_as_mean = MapPooling.start_as_mean

    def attend(self, dense: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        layer, tokens = self.layer, self.with_mean(dense)
        query_weight, key_weight, value_weight = layer.qkv.weight.chunk(3)
        query_bias, key_bias, value_bias = layer.qkv.bias.chunk(3)
        query = F.linear(tokens[:, :1], query_weight, query_bias)
        keys = F.linear(tokens, key_weight, key_bias)
        query, keys = (
            x.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2) for x in (query, keys)
        )
        rope = layer.pos_embed.get_embed(self.grid(dense))
        if isinstance(rope, tuple):  # separate sines and cosines, in older timm
            rope = torch.cat(rope, dim=-1)
        rotated = apply_rot_embed_cat(keys[:, :, 1:], rope)
        keys = torch.cat([keys[:, :, :1], rotated.type_as(keys)], dim=2)
        weights = ((query * layer.scale) @ keys.transpose(-2, -1)).softmax(dim=-1)[:, :, 0]
        return weights, project_values(weights @ tokens, value_weight, value_bias)
