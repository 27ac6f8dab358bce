"""ProGrad: prompt learning whose steps do not contradict zero-shot CLIP.

Zhu et al., Prompt-aligned Gradient for Prompt Tuning, ICCV 2023.
"""

from typing import Dict, List, Mapping, Optional, Sequence, Union

import torch
from mmengine.dist import all_reduce
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from ..clip import SplitCLIP
from ..registry import MODELS
from .coop import CoOpHead
from .zero_shot import CROSS_ENTROPY

SCALE = 1024.0  # of losses, so that their gradients do not underflow in float16


def project(own: torch.Tensor, general: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """The step of ProGrad: takes out what opposes the general direction.

    g if g h >= 0, else g - strength * (g h) h / ||h||^2.

    Args:
        own (Tensor): g, gradient of the cross-entropy, any shape.
        general (Tensor): h, gradient of the divergence from zero-shot CLIP, same shape.
        strength (float): lambda. Defaults to 1.
    """
    overlap = (own * general).sum()
    if overlap >= 0:
        return own
    return own - strength * overlap * general / general.square().sum()


def divergence(logits: torch.Tensor, zero_shot: torch.Tensor) -> torch.Tensor:
    """KL(zero-shot || own), mean over images; logits of shape (B, N)."""
    return F.kl_div(
        logits.log_softmax(-1), zero_shot.log_softmax(-1), reduction='batchmean', log_target=True
    )


class _WithGradient(torch.autograd.Function):
    """A loss with one more gradient, which is given."""

    @staticmethod
    def forward(ctx, loss: torch.Tensor, parameter: torch.Tensor, gradient: torch.Tensor):
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    def backward(ctx, scale: torch.Tensor) -> tuple:
        return scale, scale * ctx.saved_tensors[0], None


@MODELS.register_module()
class ProGradHead(CoOpHead):
    """CoOp, with the gradient of :func:`project` in place of that of the cross-entropy.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        strength (float): lambda; 0 is CoOp. Defaults to 1.
        num_tokens (int, optional): See :class:`safe_mm.methods.CoOpHead`. Defaults to 16.
        init (str, optional): See the same. Defaults to 'a photo of a'.
        classes (Sequence[str] | Mapping[str, list[str]]): See the same; the teacher is zero-shot
            CLIP with these sentences. Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.
    """

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        strength: float = 1.0,
        num_tokens: Optional[int] = 16,
        init: Optional[str] = 'a photo of a',
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        super().__init__(clip, num_tokens, init, classes=classes, loss=loss)
        self.strength = strength

    def loss(
        self, feats: Sequence[torch.Tensor], data_samples: List[DataSample], **kwargs
    ) -> Dict[str, torch.Tensor]:
        """mmpretrain's, with the projected gradient of the context vectors."""
        features, weights = feats[-1], self.current_weights()
        logits = self.similarity(features.detach(), weights)
        loss = self._get_loss(logits, data_samples, **kwargs)['loss']
        general = divergence(logits, self.text_logits(features.detach()))
        (h,) = torch.autograd.grad(SCALE * general, self.context, retain_graph=True)
        (g,) = torch.autograd.grad(SCALE * loss, self.context)
        for gradient in (g, h):
            gradient /= SCALE
            all_reduce(gradient, 'mean')  # over processes, whose batches make one
        step = project(g, h, self.strength)
        # What else is trained, such as a pooling layer, has the gradient of the cross-entropy
        logits = self.similarity(features, weights.detach())
        losses = self._get_loss(logits, data_samples, **kwargs)
        losses['loss'] = _WithGradient.apply(losses['loss'], self.context, step)
        return losses
