"""Where pooling layers look."""

from typing import Dict, Iterable, List

import torch
from torch.nn import functional as F

from .models import CLIPClassifier
from .poolings import Pooling


def attention_map(pool: Pooling, features: torch.Tensor) -> torch.Tensor:
    """How a pooling layer spreads its attention over a picture.

    The mean over heads of the softmax of Eq. 2, without tokens that have no place in the picture,
    see :meth:`Pooling.attention`. Dense features -> maps (B, h, w), each of which sums to one.
    """
    weights = pool.attention(features).mean(1)
    return weights / weights.sum((1, 2), keepdim=True)


def attention_maps(model: CLIPClassifier, features: torch.Tensor) -> Dict[str, torch.Tensor]:
    """:func:`attention_map` of each pooling layer of a model by name, and their combination.

    The latter is 'combined', as the neck combines its branches; it sums to one, too.
    """
    maps = {
        name: attention_map(getattr(model.neck, name), features) for name in model.neck.poolings
    }
    combined = model.neck.combine(torch.stack(list(maps.values())))
    return dict(maps, combined=combined / combined.sum((1, 2), keepdim=True))


def attention_share(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The share of attention that falls on a part of each picture, between 0 and 1.

    Attention is taken to be even within a cell of the map.

    Args:
        maps (Tensor): Attention, shape (B, h, w); each map sums to one.
        masks (Tensor): True on the part, shape (B, H, W).
    """
    height, width = maps.shape[1:]
    covered = F.adaptive_avg_pool2d(masks.float()[:, None], (height, width))
    return (maps * covered[:, 0]).sum((1, 2))


@torch.no_grad()
def attention_on_part(
    model: CLIPClassifier, loader: Iterable[dict], masks: torch.Tensor
) -> Dict[str, float]:
    """:func:`attention_share` of each of :func:`attention_maps` in percent, mean of images.

    Args:
        model (CLIPClassifier): Pools.
        loader (Iterable[dict]): Batches of images or of dense features.
        masks (Tensor): True on the part, in the loader's order, shape (N, H, W).
    """
    model.eval()
    shares: Dict[str, List[torch.Tensor]] = {}
    start = 0
    for batch in loader:
        batch = model.data_preprocessor(batch)
        dense = model.dense(batch['inputs'], batch.get('start', 'image'))
        own_masks = masks[start : start + len(dense)].to(dense.device)
        for name, maps in attention_maps(model, dense).items():
            shares.setdefault(name, []).append(attention_share(maps, own_masks))
        start += len(dense)
    return {name: 100 * torch.cat(share).mean().item() for name, share in shares.items()}
