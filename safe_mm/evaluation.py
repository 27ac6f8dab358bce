"""One pass over test data for all values of beta."""
import math
from typing import Dict, Sequence

import torch
from mmpretrain.models import ImageClassifier
from torch.utils.data import DataLoader
from tqdm import tqdm

from .models.neck import blend

ZERO_SHOT = math.inf  # the beta with which only AttnPool_O counts


@torch.no_grad()
def dense_features(model: ImageClassifier, loader: DataLoader,
                   name: str) -> Dict[str, torch.Tensor]:
    """G(x) and labels of all images, in memory.

    Args:
        model (ImageClassifier): With a ``CLIPTrunk``.
        loader (DataLoader): Labelled images.
        name (str): For the progress bar.

    Returns:
        dict[str, Tensor]: 'features' as the trunk gives them, and 'labels'
        of shape (N, ).
    """
    model.eval()
    features, labels = [], []
    for batch in tqdm(loader, name, leave=False):
        batch = model.data_preprocessor(batch)
        features.append(model.backbone(batch['inputs'])[0])
        labels += [sample.gt_label for sample in batch['data_samples']]
    return dict(features=torch.cat(features), labels=torch.cat(labels))


@torch.no_grad()
def accuracy_by_beta(model: ImageClassifier, data: Dict[str, torch.Tensor],
                     betas: Sequence[float]) -> Dict[float, float]:
    """Accuracy in percent for each beta of Eq. 3.

    Args:
        model (ImageClassifier): With a ``BlendedAttentionPool``.
        data (dict[str, Tensor]): From :func:`dense_features`.
        betas (Sequence[float]): ``ZERO_SHOT`` stands for CLIP's own pooling
            alone.
    """
    neck = model.neck.eval()
    batches = data['features'].split(256)
    original = torch.cat([neck.attn_pool_o(f) for f in batches])
    finetuned = torch.cat([neck.attn_pool_f(f) for f in batches])
    accuracy = {}
    for beta in betas:
        pooled = original if beta == ZERO_SHOT else blend(
            original, finetuned, beta)
        hits = model.head((pooled, )).argmax(-1) == data['labels']
        accuracy[beta] = 100 * hits.float().mean().item()
    return accuracy
