"""Where pooling layers look."""

from typing import Dict, Iterable

import torch
from torch.nn import functional as F

from .models import CLIPClassifier
from .poolings import Pooling


def attention_map(pool: Pooling, features: torch.Tensor) -> torch.Tensor:
    """How a pooling layer spreads its attention over a picture.

    The mean over heads of the softmax of Eq. 2. What goes to tokens without a place in the picture
    is left out, see :meth:`Pooling.attention`.

    Args:
        pool (Pooling): A pooling layer.
        features (Tensor): Dense features, see ``pool``.

    Returns:
        Tensor: Shape (B, h, w); each map sums to one.
    """
    weights = pool.attention(features).mean(1)
    return weights / weights.flatten(1).sum(-1)[:, None, None]


def attention_maps(model: CLIPClassifier, features: torch.Tensor) -> Dict[str, torch.Tensor]:
    """Attention of each pooling layer of a model, and of all together.

    Args:
        model (CLIPClassifier): Pools.
        features (Tensor): Dense features.

    Returns:
        dict[str, Tensor]: By the name of the layer, and 'combined' as the neck combines its
        branches; shape (B, h, w), maps that sum to one.
    """
    maps = {
        name: attention_map(getattr(model.neck, name), features) for name in model.neck.poolings
    }
    combined = model.neck.combine(torch.stack(list(maps.values())))
    return dict(maps, combined=combined / combined.sum((1, 2), keepdim=True))


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


@torch.no_grad()
def attention_on_part(
    model: CLIPClassifier, loader: Iterable[dict], masks: torch.Tensor
) -> Dict[str, float]:
    """Share of each pooling's attention on a part, in percent, mean of images.

    Args:
        model (CLIPClassifier): Pools.
        loader (Iterable[dict]): Batches of images or of dense features.
        masks (Tensor): True on the part, in the loader's order, shape (N, H, W).

    Returns:
        dict[str, float]: For each of :func:`attention_maps`.
    """
    model.eval()
    shares: Dict[str, list] = {}
    start = 0
    for batch in loader:
        batch = model.data_preprocessor(batch)
        dense = model.dense(batch['inputs'], batch.get('start', 'image'))
        here = masks[start : start + len(dense)]
        for name, spread in attention_maps(model, dense).items():
            shares.setdefault(name, []).append(attention_share(spread, here.to(spread.device)))
        start += len(dense)
    return {name: 100 * torch.cat(share).mean().item() for name, share in shares.items()}
