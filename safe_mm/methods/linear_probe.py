"""Linear probe: logistic regression on CLIP's image features.

Radford et al., 2021, Sec. 3.2 and Appendix A: scikit-learn's L-BFGS, at most 1,000 iterations, L2
strength chosen on validation images. As in CoOp's evaluation, features follow the projection and
are not normalised.
"""

from typing import TYPE_CHECKING, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..errors import InputError
from ..models.part import Neck
from ..poolings import Pooling
from ..registry import MODELS
from .zero_shot import CROSS_ENTROPY, TextClsHead

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

MAX_ITER = 1000


def logistic_regression(
    solver: 'LogisticRegression', features: np.ndarray, labels: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Minimises the cross-entropy of all samples + ||W||^2 / (2 C).

    Args:
        solver (LogisticRegression): Has C, and where it starts from.
        features (ndarray): Shape (V, D).
        labels (ndarray): 0 to N - 1, each at least once, shape (V, ).

    Returns:
        tuple[ndarray]: W, shape (N, D), and the bias, shape (N, ).
    """
    solver.fit(features, labels)
    weight, bias = solver.coef_, solver.intercept_
    if len(weight) == 1:  # two classes: sigmoid(z) = softmax(-z/2, z/2)
        weight = np.concatenate([-weight / 2, weight / 2])
        bias = np.concatenate([-bias / 2, bias / 2])
    return weight, bias


class PatchMean(nn.Module):
    """Dense features -> their mean over the patch grid, (B, C).

    Args:
        pooling (Pooling): Knows where the patches are.
    """

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.patches, self.grid = pooling.patch_features, pooling.grid

    def forward(self, dense: torch.Tensor) -> torch.Tensor:
        return self.patches(dense).mean(1)


@MODELS.register_module()
class MeanPool(Neck):
    """The trunk's features averaged, in the place of CLIP's pooling layer: no text fits to them.

    What a linear probe reaches on them tells how much the pooling layer leaves out.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
    """

    poolings = ('mean',)
    matches_text = False

    def __init__(self, clip: Union[dict, SplitCLIP]) -> None:
        super().__init__()
        self.mean = PatchMean(get_clip(clip).pool)

    def combine(self, branches: torch.Tensor) -> torch.Tensor:
        return branches[0]

    def figures(self, branches: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {}

    def attention_maps(self, dense: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {}


@MODELS.register_module()
class LinearProbeHead(TextClsHead):
    """A linear classifier that is fitted after training.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        C (float): Inverse strength of the L2 regularisation; a search fits again for each
            value. Defaults to 1.0.
        text (bool): Whether a text classifier trains the neck before, as in SAFE with a linear
            probe. Defaults to False.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        weight (Tensor): Shape (N, D); (N, 0) before the fit.
        bias (Tensor): Shape (N, ).
    """

    fits = 'after'
    fitted = ('weight', 'bias')
    hyperparameters = ('C',)
    refit_for = ('C',)
    C: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        C: float = 1.0,
        text: bool = False,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        from sklearn.linear_model import LogisticRegression  # takes a second

        super().__init__(clip, classes if text else (), loss=loss)
        self.needs_text = text
        self.add_hyperparameter('C', C)
        # In a search, a fit starts from that of the value before
        self._solver = LogisticRegression(max_iter=MAX_ITER, warm_start=True)
        width = self.class_weights.shape[1] if text else 0  # 0 until the fit, or a checkpoint
        self.register_buffer('weight', torch.zeros(len(classes), width))
        self.register_buffer('bias', torch.zeros(len(classes)))
        self.register_buffer('finished', torch.tensor(False))

    def fit(self, features: torch.Tensor, labels: torch.Tensor, images: torch.Tensor) -> None:
        """Logistic regression on all views."""
        self._solver.set_params(C=self.C.item())
        weight, bias = logistic_regression(
            self._solver, features.cpu().numpy(), labels.cpu().numpy()
        )
        self.weight = torch.from_numpy(weight).to(self.weight)
        self.bias = torch.from_numpy(bias).to(self.bias)

    def text_logits(self, features: torch.Tensor) -> Optional[torch.Tensor]:
        return super().text_logits(features) if len(self.class_weights) else None

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        if self.in_training:  # of the neck
            return super().text_logits(features)
        if features.shape[-1] != self.weight.shape[1]:
            raise InputError(
                f'the linear probe was fitted to features of {self.weight.shape[1]} numbers, and '
                f'these have {features.shape[-1]}. Use the config in its work dir.'
            )
        return F.linear(features, self.weight, self.bias)
