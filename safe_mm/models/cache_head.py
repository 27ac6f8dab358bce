"""Tip-Adapter's key-value cache (SAFE, Eq. 5-10).

Pooled by CLIP's own layer the cache is Tip-Adapter's; on the blend of Eq. 3
it is SAFE-A's. The equations are the same.
"""
from typing import Optional, Sequence, Union

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InputError
from ..registry import MODELS
from .head import TextClsHead


def cache_keys(pooled: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """F_train: a key for each training image (SAFE, Eq. 5 and 9).

    Args:
        pooled (Tensor): Pooled features of all views, shape (V, C), not
            normalised.
        images (Tensor): Which image each view shows, 0 to M - 1, shape (V, ).

    Returns:
        Tensor: Mean over an image's views, of unit length, shape (M, C).
    """
    sums = pooled.new_zeros(int(images.max()) + 1, pooled.shape[1])
    return F.normalize(sums.index_add(0, images, pooled), dim=-1)


def affinity(features: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Returns f F_train^T, shape (B, M), of pooled features, shape (B, C)."""
    return F.normalize(features, dim=-1) @ keys.T


def cache_logits(affinity: torch.Tensor, labels: torch.Tensor,
                 num_classes: int, gamma: float) -> torch.Tensor:
    """phi(f F_train^T) L_train, with phi(x) = exp(-gamma (1 - x)) (Eq. 6-8).

    L_train has the one-hot labels as rows, so its product is a sum by label.

    Args:
        affinity (Tensor): f F_train^T, shape (B, M).
        labels (Tensor): Of the keys, shape (M, ).
        num_classes (int): N.
        gamma (float): Sharpness; the public code of Tip-Adapter has it as
            ``beta``.

    Returns:
        Tensor: Shape (B, N). The classifier adds alpha times this to the
        logits of Eq. 4.
    """
    weights = torch.exp(-gamma * (1 - affinity))
    return weights.new_zeros(len(weights), num_classes).index_add(
        1, labels, weights)


@MODELS.register_module()
class CacheHead(TextClsHead):
    """Adds to the text classifier what is remembered of the training images.

    logits = alpha * phi(f F_train^T) L_train + logit_scale * f W_c^T. Until
    :class:`safe_mm.engine.CacheHook` has filled the cache, it is a
    :class:`safe_mm.models.TextClsHead`. A checkpoint keeps the cache.

    Args:
        clip (dict): ``model_name`` and ``pretrained``, see
            :func:`safe_mm.clip.split_clip`.
        alpha (float): Weight of the cache. Defaults to 1.0.
        gamma (float): Sharpness of phi. Defaults to 5.5.
        train_keys (bool): Whether the keys are to be fine-tuned, as in
            Tip-Adapter-F. Defaults to False.
        templates (str | Sequence[str], optional): See
            :class:`safe_mm.models.TextClsHead`. Defaults to None.
        classes (Sequence[str], optional): Class names. Defaults to None.
        loss (dict): Config of the loss. Defaults to cross-entropy.
        init_cfg (dict, optional): mmengine's initialization config.
            Defaults to None.

    Attributes:
        keys (nn.Parameter): F_train, shape (M, C); M is 0 until it is built.
        labels (Tensor): Of the keys, shape (M, ).
        alpha (Tensor): A scalar, as is ``gamma``; the search sets both.
    """

    def __init__(self,
                 clip: dict,
                 alpha: float = 1.0,
                 gamma: float = 5.5,
                 train_keys: bool = False,
                 templates: Union[str, Sequence[str], None] = None,
                 classes: Optional[Sequence[str]] = None,
                 loss: dict = dict(type='CrossEntropyLoss', loss_weight=1.0),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(clip, templates, classes, loss, init_cfg=init_cfg)
        if alpha < 0 or gamma <= 0:
            raise InputError(f'CacheHead: alpha={alpha} should not be '
                             f'negative, and gamma={gamma} above zero.')
        self.keys = nn.Parameter(
            torch.empty(0, self.class_weights.shape[1]), train_keys)
        self.register_buffer('labels', torch.empty(0, dtype=torch.long))
        self.register_buffer('alpha', torch.tensor(float(alpha)))
        self.register_buffer('gamma', torch.tensor(float(gamma)))

    def set_cache(self, keys: torch.Tensor, labels: torch.Tensor) -> None:
        """Fills the cache; the parameter stays the same object.

        Args:
            keys (Tensor): Of unit length, shape (M, C).
            labels (Tensor): Shape (M, ).
        """
        self.keys.data = keys.to(self.keys).clone()
        self.labels = labels.to(self.keys.device)

    def forward(self, feats: Sequence[torch.Tensor]) -> torch.Tensor:
        """Pooled features, a tuple of (B, C) -> logits, shape (B, N)."""
        logits = super().forward(feats)
        if not len(self.keys):
            return logits
        return logits + self.alpha * cache_logits(
            affinity(self.pre_logits(feats), self.keys), self.labels,
            logits.shape[-1], self.gamma)

    def _load_from_state_dict(self, state_dict: dict, prefix: str,
                              *args) -> None:
        """Makes room for the cache of the checkpoint."""
        keys = state_dict.get(prefix + 'keys')
        if keys is not None:
            self.set_cache(keys, state_dict[prefix + 'labels'])
        super()._load_from_state_dict(state_dict, prefix, *args)
