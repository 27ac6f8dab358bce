"""GDA: Gaussian discriminant analysis beside the text classifier.

Wang et al., A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation, 2024: classes are
Gaussians with one covariance, whose inverse is estimated by the ridge of Kubokawa and Srivastava.
"""

from math import log
from typing import Mapping, Sequence, Tuple, Union

import torch
from torch.nn import functional as F

from ..clip import SplitCLIP
from ..errors import InputError
from ..registry import MODELS
from .zero_shot import CROSS_ENTROPY, TextClsHead


def discriminant(
    features: torch.Tensor, labels: torch.Tensor, num_classes: int
) -> Tuple[torch.Tensor, torch.Tensor]:
    """The linear classifier of Gaussians with one covariance.

    Sigma^-1 = D pinv((V - 1) S + tr(S) I), with S the covariance of the features about the means
    mu_k of their classes; W = mu Sigma^-1, b_k = log(1/N) - mu_k Sigma^-1 mu_k / 2.

    Args:
        features (Tensor): Of unit length, shape (V, D).
        labels (Tensor): Shape (V, ).
        num_classes (int): N.

    Returns:
        tuple[Tensor]: W, shape (N, D), and b, shape (N, ).

    Raises:
        InputError: The features of each class do not differ.
    """
    one_hot = F.one_hot(labels, num_classes).to(features)
    means = (one_hot.T @ features) / one_hot.sum(0)[:, None]
    centred = features - means[labels]
    scatter = centred.T @ centred  # (V - 1) S
    trace = scatter.trace() / (len(features) - 1)
    if not trace > 1e-8:
        raise InputError(
            'GDA needs several different views of each class: the covariance '
            'of the training features is zero. Set '
            'train_dataloader.dataset.views, as configs/gda.py does.'
        )
    width = features.shape[1]
    precision = width * torch.linalg.pinv(
        scatter + trace * torch.eye(width).to(features), hermitian=True
    )
    weight = means @ precision
    return weight, log(1 / num_classes) - (weight * means).sum(1) / 2


@MODELS.register_module()
class GDAHead(TextClsHead):
    """logits = logit_scale * f W_c^T + alpha * (f W^T + b), f of unit length.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        alpha (float): Weight of the Gaussian classifier. Defaults to 1.0.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        weight (Tensor): W, shape (N, D).
        bias (Tensor): b, shape (N, ).
    """

    fits = 'after'
    class_bound = ('weight', 'bias')
    hyperparameters = ('alpha',)
    alpha: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        alpha: float = 1.0,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        super().__init__(clip, classes, loss=loss)
        self.add_hyperparameter('alpha', alpha)
        self.register_buffer('weight', torch.zeros_like(self.class_weights))
        self.register_buffer('bias', torch.zeros(len(self.class_weights)))
        self.register_buffer('finished', torch.tensor(False))

    def fit(self, features: torch.Tensor, labels: torch.Tensor, images: torch.Tensor) -> None:
        """Each view is a sample of its own; computed in float64."""
        weight, bias = discriminant(
            F.normalize(features.double(), dim=-1), labels, len(self.weight)
        )
        self.weight, self.bias = weight.to(self.weight), bias.to(self.bias)

    def reset_fit(self) -> None:
        self.weight, self.bias = self.weight * 0, self.bias * 0

    def prepare(self, features: torch.Tensor) -> tuple:
        return self.text_logits(features), F.linear(
            F.normalize(features, dim=-1), self.weight, self.bias
        )

    def logits(self, text: torch.Tensor, gauss: torch.Tensor) -> torch.Tensor:
        return text + self.alpha * gauss
