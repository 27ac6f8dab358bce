"""One pass over test data for all values of beta."""
import math
from typing import Callable, Dict, Iterable, Sequence

import torch
from mmpretrain.models import ImageClassifier

from .attention import attention_share, neck_attention
from .models.head import TextClsHead, text_logits
from .pooled import Pooled

ZERO_SHOT = math.inf  # the beta with which only AttnPool_O counts


def accuracy(head: TextClsHead, logits_of: Callable, features: torch.Tensor,
             labels: torch.Tensor) -> float:
    """Accuracy in percent, among the classes that the data has.

    Args:
        head (TextClsHead): Knows those classes.
        logits_of (Callable): Pooled features, (B, C) -> logits, (B, N).
        features (Tensor): Pooled features, shape (M, C).
        labels (Tensor): Shape (M, ).
    """
    found = torch.cat([
        head.choose(logits_of(part)).argmax(-1)
        for part in features.split(1024)
    ])  # in parts, for a cache of many keys
    return 100 * (found == labels).sum().item() / len(labels)


@torch.no_grad()
def deployed_accuracy(model: ImageClassifier, pooled: Pooled) -> float:
    """Accuracy in percent of a model as it is, with its beta and its cache."""
    features = pooled.merged(getattr(model.neck, 'beta', 0.))
    return accuracy(model.head, lambda part: model.head((part, )), features,
                    pooled.labels)


@torch.no_grad()
def accuracy_by_beta(head: TextClsHead, pooled: Pooled,
                     betas: Sequence[float]) -> Dict[float, float]:
    """Accuracy in percent of the text classifier (Eq. 4) for each beta.

    Args:
        head (TextClsHead): A cache, if it has one, is left aside.
        pooled (Pooled): Of a ``BlendedAttentionPool``.
        betas (Sequence[float]): ``ZERO_SHOT`` stands for CLIP's own pooling
            alone.
    """

    def logits(part: torch.Tensor) -> torch.Tensor:
        return text_logits(part, head.class_weights, head.logit_scale)

    return {
        beta: accuracy(
            head, logits, pooled.poolings[0] if beta == ZERO_SHOT else
            pooled.merged(beta), pooled.labels)
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
