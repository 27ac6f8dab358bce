"""TaskRes: a trained residual on the class weights.

Yu et al., Task Residual for Tuning Vision-Language Models, CVPR 2023.
"""

from typing import Mapping, Sequence, Union

import torch
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..registry import MODELS
from .zero_shot import CROSS_ENTROPY, TextClsHead, mean_text_features


def add_residual(
    texts: torch.Tensor, residual: torch.Tensor, alpha: Union[float, torch.Tensor]
) -> torch.Tensor:
    """Unit class weights: normalize(t + alpha * x), shapes (N, D)."""
    return F.normalize(texts + alpha * residual, dim=-1)


@MODELS.register_module()
class TaskResHead(TextClsHead):
    """logit_scale * f normalize(t + alpha * x)^T, with f of unit length and x trained from zero.

    The text features t are means over templates that are not normalised: the scale of the residual
    is relative to their norm.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        alpha (float): Weight of the residual. Defaults to 0.5.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        texts (Tensor): t, shape (N, D).
        residual (nn.Parameter): x, shape (N, D).
    """

    trainable = ('residual',)
    class_bound = ('residual',)
    hyperparameters = ('alpha',)
    alpha: torch.Tensor
    texts: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        alpha: float = 0.5,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        clip = get_clip(clip)
        super().__init__(clip, classes, loss=loss)
        self.add_hyperparameter('alpha', alpha)
        self.register_buffer('texts', mean_text_features(clip, classes))
        self.residual = nn.Parameter(torch.zeros_like(self.texts))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return self.similarity(features, add_residual(self.texts, self.residual, self.alpha))
