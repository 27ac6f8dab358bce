"""CLAP: a linear probe that starts from the class texts and is held near them.

Silva-Rodriguez et al., A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models,
CVPR 2024: the zero-shot-initialised probe (ZS-LP) and its class-adaptive constraint.
"""

from typing import Dict, Mapping, Sequence, Union

import torch
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..registry import MODELS
from .zero_shot import CROSS_ENTROPY, TextClsHead, mean_text_features


def constraint_weights(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """lambda_k: the mean zero-shot probability of class k on its own training images.

    Args:
        logits (Tensor): Of zero-shot CLIP, shape (V, N).
        labels (Tensor): Each class at least once, shape (V, ).

    Returns:
        Tensor: Shape (N, ).
    """
    one_hot = F.one_hot(labels, logits.shape[1]).to(logits)
    return (one_hot * logits.softmax(-1)).sum(0) / one_hot.sum(0)


def constraint(
    prototypes: torch.Tensor, texts: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Mean over classes of lambda_k ||w_k - t_k||^2; w and t (N, D), lambda (N, )."""
    return (weights * (prototypes - texts).square().sum(-1)).mean()


@MODELS.register_module()
class CLAPHead(TextClsHead):
    """logit_scale * f normalize(w)^T, with f of unit length and w trained from the class texts.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        constrained (bool): Whether w is held near the texts (CLAP) or free (ZS-LP). Defaults to
            True.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        texts (Tensor): t, means over templates that are not normalised, shape (N, D).
        prototypes (nn.Parameter): w, shape (N, D).
        constraint_weights (Tensor): lambda, shape (N, ); zero without constraint.
    """

    trainable = ('prototypes',)
    class_bound = ('prototypes',)
    texts: torch.Tensor
    constraint_weights: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        constrained: bool = True,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        clip = get_clip(clip)
        super().__init__(clip, classes, loss=loss)
        self.fits = 'before' if constrained else ''
        self.register_buffer('texts', mean_text_features(clip, classes))
        self.prototypes = nn.Parameter(self.texts.clone())
        self.register_buffer('constraint_weights', torch.zeros(len(self.texts)))
        self.register_buffer('finished', torch.tensor(False))

    def fit(self, features: torch.Tensor, labels: torch.Tensor, images: torch.Tensor) -> None:
        """Sets the weights of the constraint; training follows."""
        self.constraint_weights = constraint_weights(self.text_logits(features), labels)

    def penalties(self) -> Dict[str, torch.Tensor]:
        if not self.fits:
            return {}
        return dict(loss_clap=constraint(self.prototypes, self.texts, self.constraint_weights))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return self.similarity(features, F.normalize(self.prototypes, dim=-1))
