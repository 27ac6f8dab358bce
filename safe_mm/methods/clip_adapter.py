"""CLIP-Adapter: a residual bottleneck between pooling and classifier.

Gao et al., CLIP-Adapter: Better Vision-Language Models with Feature Adapters, 2023, the image
adapter of its public code.
"""

from typing import Dict, Optional, Union

import torch
from torch import nn

from ..clip import SplitCLIP, get_clip
from ..models.part import Neck
from ..models.slim import SlimModule
from ..registry import MODELS

REDUCTION = 4  # of the hidden layer
INIT_SEED = 0


def mix(
    adapted: torch.Tensor, original: torch.Tensor, ratio: Union[float, torch.Tensor]
) -> torch.Tensor:
    """Ratio * A(f) + (1 - ratio) * f, shapes (B, D), not normalised."""
    return ratio * adapted + (1 - ratio) * original


def bottleneck(width: int) -> nn.Sequential:
    """A(f) = ReLU(W_2 ReLU(W_1 f)), with a quarter of hidden units, the same in every run."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(INIT_SEED)
        return nn.Sequential(
            nn.Linear(width, width // REDUCTION, bias=False),
            nn.ReLU(),
            nn.Linear(width // REDUCTION, width, bias=False),
            nn.ReLU(),
        )


@MODELS.register_module()
class CLIPAdapter(Neck, SlimModule):
    """CLIP's pooling, then a trained bottleneck that is mixed in.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        ratio (float): Weight of the adapted feature. Defaults to 0.2.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.
    """

    poolings = ('attn_pool_o',)
    trainable = ('adapter.*',)
    hyperparameters = ('ratio',)
    ratio: torch.Tensor

    def __init__(
        self, clip: Union[dict, SplitCLIP], ratio: float = 0.2, init_cfg: Optional[dict] = None
    ) -> None:
        clip = get_clip(clip)
        super().__init__(clip.name, init_cfg)
        self.add_hyperparameter('ratio', ratio)
        self.attn_pool_o = clip.pool.requires_grad_(False)
        self.adapter = bottleneck(clip.embed_dim)

    def combine(self, branches: torch.Tensor) -> torch.Tensor:
        return mix(self.adapter(branches[0]), branches[0], self.ratio)

    def figures(self, branches: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {'zero-shot': branches[0]}
