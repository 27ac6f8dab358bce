"""What is compared: open_clip's encoder as it is, and SAFE's parts."""

import copy
from functools import lru_cache
from typing import Callable, Optional

import torch
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP
from ..clip.loading import build
from ..hardware import has_fused_adamw
from ..methods.zero_shot import text_logits

BATCH, CLASSES = 8, 100


@lru_cache(maxsize=1)
def parts(name: str) -> SplitCLIP:
    """A CLIP of random weights; copy what is to be changed."""
    return SplitCLIP(name, None)


class Naive(nn.Module):
    """open_clip's visual encoder, all of it frozen but the pooling layer.

    In eval mode: a frozen trunk keeps the statistics of its BatchNorms.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.visual = build(name, False, seed=0).visual.requires_grad_(False)
        vit = hasattr(self.visual, 'transformer')
        self.layer = self.visual.transformer.resblocks[-1] if vit else self.visual.attnpool
        self.layer.requires_grad_(True)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.visual(images)

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """The pooling layer alone, on dense features."""
        pooled = self.layer(features)
        if features.dim() == 4:
            return pooled
        return self.visual.ln_post(pooled[:, 0]) @ self.visual.proj


def tuned_pool(name: str) -> nn.Module:
    """The pooling layer as SAFE trains it."""
    pool = copy.deepcopy(parts(name).pool)
    for part in pool.projection:
        getattr(pool, part).requires_grad_(False)
    return pool


def random_images(name: str, batch: int = BATCH) -> torch.Tensor:
    size = parts(name).image_size
    return torch.randn(batch, 3, size, size)


def dense(name: str, batch: int = BATCH) -> torch.Tensor:
    with torch.no_grad():
        return parts(name).trunk.eval()(random_images(name, batch))


def training_step(
    pool: Callable, layer: nn.Module, fused: Optional[bool], classes: int = CLASSES
) -> Callable:
    """Takes inputs; forward pass, cross-entropy, backward pass and AdamW."""
    trained = [p for p in layer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=fused)
    labels, state = torch.arange(BATCH) % classes, {}

    def run(inputs: torch.Tensor) -> None:
        pooled = pool(inputs)
        if not state:
            weights = torch.randn(classes, pooled.shape[-1])
            state['weights'] = F.normalize(weights, dim=-1)
        logits = text_logits(pooled, state['weights'], torch.tensor(100.0))
        logits = logits.reshape(-1, classes)
        F.cross_entropy(logits, labels.repeat(len(logits) // BATCH), reduction='sum').backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def naive_step(name: str, on_features: bool = False) -> Callable:
    """A step of stock modules and torch.optim.AdamW."""
    naive = Naive(name)
    return training_step(naive.pool if on_features else naive, naive.layer, None)


def safe_step(name: str, classes: int = CLASSES) -> Callable:
    """A step of SAFE on dense features."""
    pool = tuned_pool(name)
    return training_step(pool, pool, has_fused_adamw(), classes)
