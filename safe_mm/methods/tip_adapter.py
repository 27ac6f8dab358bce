"""Tip-Adapter's key-value cache, and SAFE-A's (SAFE, Eq. 5-10).

Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, 2022. On the
features of CLIP's own pooling the cache is Tip-Adapter's; on the blend of SAFE's Eq. 3 it is
SAFE-A's.
"""

from typing import Mapping, Sequence, Union

import torch
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP
from ..errors import InputError
from ..registry import MODELS
from .zero_shot import CROSS_ENTROPY, TextClsHead


def cache_keys(features: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """F_train: a key for each training image (SAFE, Eq. 5 and 9).

    Args:
        features (Tensor): Of all views, not normalised, shape (V, D).
        images (Tensor): Which image each view shows, 0 to M - 1, shape (V, ).

    Returns:
        Tensor: Mean over an image's views, of unit length, shape (M, D).
    """
    sums = features.new_zeros(int(images.max()) + 1, features.shape[1])
    return F.normalize(sums.index_add(0, images, features), dim=-1)


def affinity(features: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Returns f F_train^T, shape (B, M), of features, shape (B, D)."""
    return F.normalize(features, dim=-1) @ keys.T


def cache_logits(
    affinity: torch.Tensor,
    labels: torch.Tensor,
    num_classes: int,
    gamma: Union[float, torch.Tensor],
) -> torch.Tensor:
    """phi(f F_train^T) L_train, with phi(x) = exp(-gamma (1 - x)) (Eq. 6-8).

    L_train has the one-hot labels as rows, so its product is a sum by label.

    Args:
        affinity (Tensor): f F_train^T, shape (B, M).
        labels (Tensor): Of the keys, shape (M, ).
        num_classes (int): N.
        gamma (float): Sharpness; the public code of Tip-Adapter has it as ``beta``.

    Returns:
        Tensor: Shape (B, N). The classifier adds alpha times this to the
        logits of Eq. 4.
    """
    weights = torch.exp(-gamma * (1 - affinity))
    return weights.new_zeros(weights.shape[0], num_classes).index_add(1, labels, weights)


@MODELS.register_module()
class CacheHead(TextClsHead):
    """Adds to the text classifier a cache of the training images.

    logits = alpha * phi(f F_train^T) L_train + logit_scale * f W_c^T.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        alpha (float): Weight of the cache. Defaults to 1.0.
        gamma (float): Sharpness of phi. Defaults to 5.5.
        train_keys (bool): Whether the keys are fine-tuned, as in Tip-Adapter-F. Defaults to False.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        keys (nn.Parameter): F_train, shape (M, D); M is 0 before the fit.
        labels (Tensor): Of the keys, shape (M, ).
    """

    fitted = ('keys',)
    hyperparameters = ('alpha', 'gamma')
    alpha: torch.Tensor
    gamma: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        alpha: float = 1.0,
        gamma: float = 5.5,
        train_keys: bool = False,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        super().__init__(clip, classes, loss=loss)
        if not gamma > 0:
            raise InputError(f'CacheHead: gamma={gamma} must be above zero.')
        self.fits = 'before' if train_keys else 'after'
        self.trainable = ('keys',) if train_keys else ()
        self.add_hyperparameter('alpha', alpha)
        self.add_hyperparameter('gamma', gamma)
        self.keys = nn.Parameter(torch.empty(0, self.class_weights.shape[1]), train_keys)
        self.register_buffer('labels', torch.empty(0, dtype=torch.long))
        self.register_buffer('finished', torch.tensor(False))

    def fit(self, features: torch.Tensor, labels: torch.Tensor, images: torch.Tensor) -> None:
        """Fills the cache with a key for each image (Eq. 5, 9)."""
        of_image = labels.new_zeros(int(images.max()) + 1)
        self._set_cache(cache_keys(features, images), of_image.index_copy(0, images, labels))

    def reset_fit(self) -> None:
        self._set_cache(self.keys[:0], self.labels[:0])

    def _set_cache(self, keys: torch.Tensor, labels: torch.Tensor) -> None:
        # The parameter stays the one that the optimizer has
        self.keys.data = keys.detach().to(self.keys).clone()
        self.labels = labels.to(self.keys.device)

    def prepare(self, features: torch.Tensor) -> tuple:
        return self.text_logits(features), affinity(features, self.keys)

    def logits(self, text: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        if not len(self.keys):
            return text
        return text + self.alpha * cache_logits(near, self.labels, text.shape[-1], self.gamma)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Makes room for the cache of the checkpoint."""
        keys = state_dict.get(prefix + 'keys')
        if keys is not None:
            self._set_cache(keys, state_dict[prefix + 'labels'])
        super()._load_from_state_dict(state_dict, prefix, *args)
