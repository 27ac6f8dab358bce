"""What is compared: open_clip's encoder as it is (baseline), and SAFE's parts (candidate)."""

import copy
from functools import lru_cache
from typing import Callable, Optional

import torch
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP
from ..clip.loading import build
from ..config import has_fused_adamw
from ..methods.zero_shot import text_logits

BATCH, CLASSES = 8, 100


@lru_cache(maxsize=1)
def parts(name: str) -> SplitCLIP:
    """A CLIP with random weights, in eval mode; copy what you change."""
    return SplitCLIP(name, None)


class Baseline(nn.Module):
    """open_clip's visual encoder, frozen except for the pooling layer.

    In eval mode: the BatchNorms of a frozen trunk keep their statistics.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        visual = build(name, False).visual.requires_grad_(False)
        is_vit = hasattr(visual, 'transformer')
        self.visual = visual
        self.layer = visual.transformer.resblocks[-1] if is_vit else visual.attnpool
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
    return torch.randn(batch, 3, parts(name).image_size, parts(name).image_size)


@torch.no_grad()
def dense(name: str, batch: int = BATCH) -> torch.Tensor:
    """Dense features of random images."""
    return parts(name).trunk(random_images(name, batch))


def baseline_step(name: str, on_features: bool = False) -> Callable:
    """A training step of open_clip's modules with torch's default AdamW."""
    model = Baseline(name)
    loss = text_loss(name, model.pool if on_features else model)
    return training_step(loss, model, fused=None)


def candidate_step(name: str, classes: int = CLASSES) -> Callable:
    """A training step of SAFE on dense features."""
    pool = tuned_pool(name)
    return training_step(text_loss(name, pool, classes), pool)


def text_loss(name: str, encode: Callable, classes: int = CLASSES) -> Callable:
    """Inputs of ``encode`` -> cross-entropy of their similarity to random texts."""
    labels, scale = torch.arange(BATCH) % classes, torch.tensor(100.0)
    class_weights = F.normalize(torch.randn(classes, parts(name).embed_dim), dim=-1)
    return lambda inputs: F.cross_entropy(text_logits(encode(inputs), class_weights, scale), labels)


def training_step(
    loss: Callable, model: nn.Module, fused: Optional[bool] = has_fused_adamw()
) -> Callable:
    """Inputs of ``loss`` -> forward pass, backward pass and AdamW."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=fused)

    def step(inputs: torch.Tensor) -> None:
        loss(inputs).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
