"""CoCoOp: context vectors that depend on the image.

Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022.
"""

from typing import Mapping, Optional, Sequence, Union

import torch
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..models.part import chunks
from ..registry import MODELS
from .coop import INIT_SEED, CoOpHead, assemble
from .zero_shot import CROSS_ENTROPY

REDUCTION = 16  # of the hidden layer
PROMPTS_PER_BATCH = 256


def meta_net(embed_dim: int, width: int) -> nn.Sequential:
    """pi: image feature -> what is added to each context vector, the same in every run."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(INIT_SEED)
        return nn.Sequential(
            nn.Linear(embed_dim, embed_dim // REDUCTION),
            nn.ReLU(),
            nn.Linear(embed_dim // REDUCTION, width),
        )


@MODELS.register_module()
class CoCoOpHead(CoOpHead):
    """Text classifier of prompts with context vectors v_m + pi(f), f the unit image feature.

    The text encoder runs for each pair of an image and a class, in training and after it.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        num_tokens (int, optional): See :class:`safe_mm.methods.CoOpHead`. Defaults to None.
        init (str, optional): See the same. Defaults to 'a photo of a'.
        classes (Sequence[str] | Mapping[str, list[str]]): See the same. Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        meta_net (nn.Sequential): pi, D -> D / 16 -> width.
    """

    trainable = ('context', 'meta_net.*')

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        num_tokens: Optional[int] = None,
        init: Optional[str] = 'a photo of a',
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        clip = get_clip(clip)
        super().__init__(clip, num_tokens, init, classes=classes, loss=loss)
        self.meta_net = meta_net(clip.embed_dim, self.text.width)

    def merge(self) -> None:
        """Class weights depend on the image."""

    def weights_of(self, features: torch.Tensor) -> torch.Tensor:
        """Class weights of each image, (B, D) -> (B, N, D)."""
        context = self.context + self.meta_net(features)[:, None]  # (B, M, width)
        tokens, slots = (x.repeat(features.shape[0], 1) for x in (self.tokens, self.slots))
        each = context.repeat_interleave(len(self.tokens), 0)
        prompts = assemble(self.text.embed(tokens), each, slots)
        weights = self.text.encode(tokens, prompts, self.length)
        return weights.unflatten(0, (-1, len(self.tokens)))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        self.check_classes()
        unit = F.normalize(features, dim=-1)
        rows = [
            self.similarity(own[:, None], self.weights_of(own))[:, 0]
            for own in chunks(unit, max(1, PROMPTS_PER_BATCH // len(self.tokens)))
        ]
        return torch.cat(rows)
