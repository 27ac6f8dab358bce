"""What is compared, open_clip's encoder (baseline) and SAFE's parts (candidate), and its work."""

import copy
from functools import lru_cache
from typing import Any, Callable, List, Optional

import torch
from mmpretrain.structures import DataSample
from timm.layers import to_2tuple
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from ..clip import SplitCLIP
from ..clip.loading import build
from ..hardware import has_fused_adamw
from ..methods.zero_shot import text_logits
from .timing import DEVICE, Work

BATCH, CLASSES = 8, 100


@lru_cache(maxsize=1)
def parts(name: str) -> SplitCLIP:
    """A CLIP with random weights, in eval mode; copy what you change."""
    clip = SplitCLIP(name, None)
    clip.trunk.to(DEVICE)
    clip.pool.to(DEVICE)
    return clip


def pooling_layer(visual: Any) -> nn.Module:
    """The attention pool of open_clip's ResNet, or the last block of its ViT."""
    is_vit = hasattr(visual, 'transformer')
    return visual.transformer.resblocks[-1] if is_vit else visual.attnpool


def pool(visual: Any, dense: torch.Tensor) -> torch.Tensor:
    """Dense features -> image features (B, D), by open_clip's own modules."""
    pooled = pooling_layer(visual)(dense)
    return pooled if dense.dim() == 4 else visual.ln_post(pooled[:, 0]) @ visual.proj


class Baseline(nn.Module):
    """open_clip's visual encoder, frozen except for the pooling layer.

    In eval mode: the BatchNorms of a frozen trunk keep their statistics.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.visual = build(name, False).visual.requires_grad_(False)
        pooling_layer(self.visual).requires_grad_(True)
        self.eval().to(DEVICE)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.visual(images)

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """The pooling layer alone, on dense features."""
        return pool(self.visual, features)


def tuned_pool(name: str) -> nn.Module:
    """The pooling layer as SAFE trains it."""
    pool = copy.deepcopy(parts(name).pool)
    for part in pool.projection:
        getattr(pool, part).requires_grad_(False)
    return pool


def random_images(name: str, batch: int = BATCH) -> torch.Tensor:
    return torch.randn(batch, 3, *to_2tuple(parts(name).image_size), device=DEVICE)


def samples_of(labels: torch.Tensor) -> List[DataSample]:
    return [DataSample().set_gt_label(label).to(DEVICE) for label in labels]


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
    labels = torch.arange(BATCH, device=DEVICE) % classes
    scale = torch.tensor(100.0, device=DEVICE)
    weights = torch.randn(classes, parts(name).embed_dim, device=DEVICE)
    class_weights = F.normalize(weights, dim=-1)
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


class Costs:
    """The work of the parts of a CLIP with random weights, each for :meth:`Machine.floor`."""

    def __init__(self, name: str) -> None:
        trunk, pool = parts(name).trunk, tuned_pool(name)
        image = random_images(name, 1).requires_grad_()  # no fused layers
        features = trunk(image).detach()
        self.trunk_flops = operations(lambda: trunk(image))
        self.pool_flops = operations(lambda: pool(features))
        self.train_flops = operations(lambda: pool(features).sum().backward())
        self.frozen = 4 * sum(p.numel() for p in trunk.parameters())
        self.trained = 4 * sum(p.numel() for p in pool.parameters() if p.requires_grad)

    def trunk(self, images: int = 1) -> Work:
        return [(images * self.trunk_flops, self.frozen)]

    def pooling(self, images: int = BATCH) -> Work:
        return [(images * self.pool_flops, self.trained)]

    def training(self) -> Work:
        """Forward and backward pass: weights read twice, gradient written."""
        return [(BATCH * self.train_flops, 3 * self.trained)]

    def step(self) -> Work:
        """And AdamW: gradient read, weights and two moments read and written."""
        return [(BATCH * self.train_flops, 10 * self.trained)]


def operations(run: Callable[[], object]) -> int:
    """Of matrix products and convolutions; an addition counts as one.

    Without fused attention, whose operations torch does not count on a CPU.
    """
    fused = torch.backends.cuda.flash_sdp_enabled()  # CPUs included
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        with FlopCounterMode(display=False) as counter:
            run()
    finally:
        torch.backends.cuda.enable_flash_sdp(fused)
    return counter.get_total_flops()
