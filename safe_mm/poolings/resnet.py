"""The attention pool of CLIP's ResNets."""

from typing import Optional, Tuple

import torch
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from torch import nn
from torch.nn import functional as F

from .base import MapPooling
from .single_query import attend


class AttentionPool(MapPooling):
    """Pooling layer of CLIP's ResNets; parameters named as in open_clip.

    The mean token is the query. SAFE tunes the whole layer with its output projection, as in the
    paper. The key bias has no effect and stays frozen.

    Args:
        attnpool (open_clip.modified_resnet.AttentionPool2d): The layer whose parameters are taken
            over.
    """

    supports = 'a ModifiedResNet'
    gives_positions = True
    without_effect = ('k_proj.bias',)

    def __init__(self, attnpool: AttentionPool2d) -> None:
        super().__init__()
        self.num_heads = attnpool.num_heads
        self.positional_embedding = attnpool.positional_embedding
        self.q_proj = attnpool.q_proj
        self.k_proj = attnpool.k_proj
        self.v_proj = attnpool.v_proj
        self.c_proj = attnpool.c_proj
        self.k_proj.bias.requires_grad_(False)
        self.width = self.q_proj.in_features

    @classmethod
    def split(cls, visual: nn.Module) -> Optional[Tuple[nn.Module, 'AttentionPool']]:
        if not isinstance(visual, ModifiedResNet):
            return None
        pool = cls(visual.attnpool)
        visual.attnpool = nn.Identity()
        # Convolutions are faster where a pixel's channels lie side by side
        return visual.to(memory_format=torch.channels_last), pool

    def tokens(self, dense: torch.Tensor) -> torch.Tensor:
        """The mean token, then F_j, each with its position, shape (B, 1 + h*w, C)."""
        return self.with_mean(dense) + self.positional_embedding

    def attend(self, dense: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        tokens = self.tokens(dense)
        return attend(
            self.q_proj(tokens[:, 0]),
            tokens,
            self.k_proj.weight,
            self.v_proj.weight,
            self.v_proj.bias,
            self.num_heads,
        )

    def positions(self, dense: torch.Tensor) -> torch.Tensor:
        tokens = self.tokens(dense)
        query, key, value = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in (self.q_proj(tokens[:, 1:]), self.k_proj(tokens), self.v_proj(tokens))
        )
        pooled = F.scaled_dot_product_attention(query, key, value)
        return self.c_proj(pooled.transpose(1, 2).flatten(2))

    def take_projection(self) -> nn.Linear:
        projection, self.c_proj = self.c_proj, nn.Identity()
        return projection

    def put_projection(self, projection: nn.Linear) -> None:
        self.c_proj = projection

    def forward(self, dense: torch.Tensor) -> torch.Tensor:
        """Dense features (B, C, h, w) -> pooled features (B, embed_dim)."""
        return self.c_proj(self.attend(dense)[1])
