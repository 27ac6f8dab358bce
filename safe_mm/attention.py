"""Where pooling layers look."""
from typing import Dict, Union

import torch
from torch.nn import functional as F

from .clip.pooling import AttentionPool, LastBlockPool
from .models.neck import BlendedAttentionPool


def attention_map(pool: Union[AttentionPool, LastBlockPool],
                  features: torch.Tensor) -> torch.Tensor:
    """How a pooling layer spreads its attention over a picture.

    The mean over heads of the softmax of Eq. 2. What goes to the query's own
    token, which has no place in the picture, is left out.

    Args:
        pool (nn.Module): A pooling layer.
        features (Tensor): Dense features, see ``pool``.

    Returns:
        Tensor: Shape (B, h, w), of square pictures; each map sums to one.
    """
    weights = pool.attention(pool.tokens(features)).mean(1)[:, 1:]
    weights = weights / weights.sum(-1, keepdim=True)
    side = int(weights.shape[-1]**0.5)
    return weights.unflatten(-1, (side, side))


def neck_attention(neck: BlendedAttentionPool,
                   features: torch.Tensor) -> Dict[str, torch.Tensor]:
    """Attention of the original, the fine-tuned and the blended pooling.

    The blend looks where its two parts look, in proportion to their weights
    in Eq. 3.

    Args:
        neck (BlendedAttentionPool): The two pooling layers and beta.
        features (Tensor): Dense features.

    Returns:
        dict[str, Tensor]: 'original', 'finetuned' and 'blend', each of shape
        (B, h, w) and with maps that sum to one.
    """
    original = attention_map(neck.attn_pool_o, features)
    finetuned = attention_map(neck.attn_pool_f, features)
    blend = (neck.beta * original + finetuned) / (neck.beta + 1)
    return dict(original=original, finetuned=finetuned, blend=blend)


def attention_share(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The share of attention that falls on a part of each picture.

    Attention is taken to be even within a cell of the map.

    Args:
        maps (Tensor): Attention, shape (B, h, w); each map sums to one.
        masks (Tensor): True on the part, shape (B, H, W).

    Returns:
        Tensor: Shape (B, ), between 0 and 1.
    """
    covered = F.adaptive_avg_pool2d(masks.float()[:, None], maps.shape[-2:])
    return (maps * covered[:, 0]).sum((1, 2))
