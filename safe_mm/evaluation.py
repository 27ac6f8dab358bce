"""One pass over test data for all values of beta."""
import math
from typing import Dict, Iterable, Sequence

import torch
from mmpretrain.models import ImageClassifier

from .attention import attention_share, neck_attention
from .pooled import pool_all

ZERO_SHOT = math.inf  # the beta with which only AttnPool_O counts


@torch.no_grad()
def accuracy_by_beta(model: ImageClassifier, loader: Iterable[dict],
                     betas: Sequence[float]) -> Dict[float, float]:
    """Accuracy in percent for each beta of Eq. 3.

    Args:
        model (ImageClassifier): With a ``BlendedAttentionPool``.
        loader (Iterable[dict]): Batches of labelled images, or of dense
            features in their place.
        betas (Sequence[float]): ``ZERO_SHOT`` stands for CLIP's own pooling
            alone.
    """
    pooled = pool_all(model, loader)

    def accuracy(features: torch.Tensor) -> float:
        found = torch.cat([
            model.head.choose(model.head((part, ))).argmax(-1)
            for part in features.split(1024)
        ])  # in parts, for a cache of many keys
        hits = found == pooled.labels
        return 100 * hits.sum().item() / len(hits)

    return {
        beta: accuracy(pooled.poolings[0] if beta == ZERO_SHOT else pooled.
                       merged(beta))
        for beta in betas
    }


@torch.no_grad()
def attention_on_part(model: ImageClassifier, loader: Iterable[dict],
                      masks: torch.Tensor) -> Dict[str, float]:
    """Share of each pooling's attention on a part, in percent, mean of images.

    Args:
        model (ImageClassifier): With a ``BlendedAttentionPool``.
        loader (Iterable[dict]): Batches of images or of dense features.
        masks (Tensor): True on the part, in the loader's order, shape
            (N, H, W).

    Returns:
        dict[str, float]: For each of :func:`safe_mm.attention.neck_attention`.
    """
    model.eval()
    shares: Dict[str, list] = {}
    start = 0
    for batch in loader:
        inputs = model.data_preprocessor(batch)['inputs']
        maps = neck_attention(model.neck, model.backbone(inputs)[0])
        here = masks[start:start + len(inputs)]
        for pooling, spread in maps.items():
            shares.setdefault(pooling, []).append(
                attention_share(spread, here.to(spread.device)))
        start += len(inputs)
    return {
        pooling: 100 * torch.cat(share).mean().item()
        for pooling, share in shares.items()
    }
