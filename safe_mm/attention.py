"""How much of the attention of pooling layers falls on a part."""

from typing import Dict, Iterable, List

import torch
from torch.nn import functional as F

from .models import CLIPClassifier


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
    """:func:`attention_share` of each of a neck's attention maps in percent, mean of images.

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
        for name, maps in model.neck.attention_maps(dense).items():
            shares.setdefault(name, []).append(attention_share(maps, own_masks))
        start += len(dense)
    return {name: 100 * torch.cat(share).mean().item() for name, share in shares.items()}
