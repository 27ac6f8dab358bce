"""LP++: a linear probe blended with the class texts.

Huang et al., LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP, CVPR 2024. Step sizes
follow from the data by Lipschitz bounds.
"""

from typing import Mapping, Sequence, Tuple, Union

import torch
from torch.nn import functional as F

from ..clip import SplitCLIP
from ..registry import MODELS
from .zero_shot import CROSS_ENTROPY, TextClsHead

MOMENTUM = 0.9
INIT_ALPHA = 250  # of the mean cosine between features and their class text
BLEND_INTERVAL = 10  # epochs between updates of alpha


def step_sizes(features: torch.Tensor, cosines: torch.Tensor) -> Tuple[float, float]:
    """Of the prototypes and of alpha, by bounds on the curvature of the cross-entropy.

    4 V / lambda_max(F^T F) and V / (4 max_k sum_i (f_i t_k)^2).

    Args:
        features (Tensor): F, of unit length, shape (V, D).
        cosines (Tensor): F T^T, shape (V, N).
    """
    count = len(features)
    curvature = torch.linalg.eigvalsh(features.T @ features)[-1]
    return (4 * count / curvature).item(), (count / (4 * cosines.square().sum(0).max())).item()


def train(
    features: torch.Tensor, labels: torch.Tensor, texts: torch.Tensor, epochs: int
) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradient descent on the mean cross-entropy of f w_k + b_k + alpha_k f t_k.

    Starts from the sums of each class's features, b of zero, and one alpha for all classes. Every
    epoch takes a step with momentum on w and b; every tenth, one on alpha.

    Args:
        features (Tensor): Of unit length, shape (V, D).
        labels (Tensor): Shape (V, ).
        texts (Tensor): Unit text features t, shape (N, D).
        epochs (int): Number of steps.

    Returns:
        tuple[Tensor]: w, shape (N, D), b and alpha, shape (N, ).
    """
    one_hot = F.one_hot(labels, len(texts)).to(features)
    cosines = features @ texts.T
    weight, bias = one_hot.T @ features, features.new_zeros(len(texts))
    own = (one_hot * cosines).sum(0) / one_hot.sum(0)
    alpha = (INIT_ALPHA * own.mean()).expand(len(texts)).clone()
    rate, alpha_rate = step_sizes(features, cosines)
    velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    for epoch in range(epochs):
        logits = features @ weight.T + bias + alpha * cosines
        error = (logits.softmax(-1) - one_hot) / len(features)
        velocity = MOMENTUM * velocity + error.T @ features
        bias_velocity = MOMENTUM * bias_velocity + error.sum(0)
        weight, bias = weight - rate * velocity, bias - rate * bias_velocity
        if (epoch + 1) % BLEND_INTERVAL == 0:
            alpha = alpha - alpha_rate * (error * cosines).sum(0)
    return weight, bias, alpha


@MODELS.register_module()
class LPPlusPlusHead(TextClsHead):
    """logits_k = f w_k + b_k + alpha_k f t_k, with f and t of unit length.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        epochs (int): Steps of gradient descent; a search fits again for each value.
            Defaults to 300.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        weight (Tensor): w, shape (N, D).
        bias (Tensor): b, shape (N, ).
        alpha (Tensor): Weight of each class's text, shape (N, ).
    """

    fits = 'after'
    class_bound = ('weight', 'bias', 'alpha')
    hyperparameters = ('epochs',)
    refit_for = ('epochs',)
    epochs: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    alpha: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        epochs: int = 300,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        super().__init__(clip, classes, loss=loss)
        self.add_hyperparameter('epochs', epochs)
        self.register_buffer('weight', torch.zeros_like(self.class_weights))
        self.register_buffer('bias', torch.zeros(len(self.class_weights)))
        self.register_buffer('alpha', torch.zeros(len(self.class_weights)))
        self.register_buffer('finished', torch.tensor(False))

    def fit(self, features: torch.Tensor, labels: torch.Tensor, images: torch.Tensor) -> None:
        """Each view is a sample of its own."""
        self.weight, self.bias, self.alpha = train(
            F.normalize(features, dim=-1), labels, self.class_weights, int(self.epochs)
        )

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        if self.in_training:  # of the neck
            return self.text_logits(features)
        unit = F.normalize(features, dim=-1)
        return unit @ (self.weight + self.alpha[:, None] * self.class_weights).T + self.bias
