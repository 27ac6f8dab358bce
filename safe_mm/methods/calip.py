"""CALIP: image and texts attend to each other; CALIP-FS trains linear layers of that attention.

Guo et al., CALIP: Zero-Shot Enhancement of CLIP with Parameter-free Attention, AAAI 2023. Its
public code has no CALIP-FS.
"""

from typing import Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..errors import InputError
from ..models.part import Neck, apply, chunks
from ..models.slim import SlimModule
from ..registry import MODELS
from .zero_shot import CROSS_ENTROPY, TextClsHead

SHARPNESS = 2  # of the attention, in the public code
IMAGES = 64  # whose attention to all classes is in memory at once


def guided_logits(
    image: torch.Tensor, values: torch.Tensor, affinity: torch.Tensor
) -> torch.Tensor:
    """F_v F_t^a^T, with texts F_t^a = softmax(A^T) V that are sums over positions.

    The sum over positions comes last, so that no image has class texts of its own in memory.

    Args:
        image (Tensor): F_v, of unit length, shape (B, D).
        values (Tensor): V, of positions, shape (B, P, D).
        affinity (Tensor): A, of positions to classes, shape (B, P, N).

    Returns:
        Tensor: Shape (B, N).
    """
    return ((image[:, None] @ values.transpose(1, 2)) @ affinity.softmax(1))[:, 0]


def blended_logits(
    texts: torch.Tensor, values: torch.Tensor, affinity: torch.Tensor
) -> torch.Tensor:
    """F_v^a F_t^T, with F_v^a the mean + maximum over positions of F_s^a = softmax(A) V.

    Args:
        texts (Tensor): F_t, of unit length, shape (N, D).
        values (Tensor): V, of classes, shape (N, D).
        affinity (Tensor): A, of positions to classes, shape (B, P, N).

    Returns:
        Tensor: Shape (B, N).
    """
    blended = affinity.softmax(2) @ values
    return (blended.mean(1) + blended.amax(1)) @ texts.T


@MODELS.register_module()
class CALIPPool(Neck, SlimModule):
    """CLIP's pooling, and what it gives with each position as the query.

    Branches are the pooled feature F_v and the P positions F_s, shape (1 + P, B, D); features are
    the same as (B, 1 + P, D), for :class:`CALIPHead`.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.

    Raises:
        InputError: The CLIP's pooling layer gives no features of positions.
    """

    poolings = ('attn_pool_o',)
    with_positions = True

    def __init__(self, clip: Union[dict, SplitCLIP], init_cfg: Optional[dict] = None) -> None:
        clip = get_clip(clip)
        super().__init__(clip.name, init_cfg)
        if not clip.pool.gives_positions:
            raise InputError(
                f'{clip.name}: {type(clip.pool).__name__} gives no features of positions. Use a '
                'CLIP with a ModifiedResNet or a VisionTransformer pooled by its class token.'
            )
        self.attn_pool_o = clip.pool.requires_grad_(False)

    def pool(self, dense: torch.Tensor, call: Callable = apply) -> torch.Tensor:
        positions = call(self.attn_pool_o.positions, dense)
        return torch.cat([super().pool(dense, call), positions.transpose(0, 1)])

    def combine(self, branches: torch.Tensor) -> torch.Tensor:
        return branches.transpose(0, 1)

    def figures(self, branches: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {'zero-shot': branches[0]}


@MODELS.register_module()
class CALIPHead(TextClsHead):
    """logit_scale * (F_v F_t^T + beta_2 * F_v F_t^a^T + beta_3 * F_v^a F_t^T), without training.

    F_v, F_s and F_t are of unit length, F_t^a and F_v^a are not normalised.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        beta_2 (float): Weight of the logits of visual-guided texts. Defaults to 1.0.
        beta_3 (float): Weight of the logits of the textual-blended image. Defaults to 0.02.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.
    """

    with_positions = True
    hyperparameters = ('beta_2', 'beta_3')
    beta_2: torch.Tensor
    beta_3: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        beta_2: float = 1.0,
        beta_3: float = 0.02,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        super().__init__(clip, classes, loss=loss)
        self.add_hyperparameter('beta_2', beta_2)
        self.add_hyperparameter('beta_3', beta_3)

    def prepare(self, features: torch.Tensor) -> tuple:
        """Features (B, 1 + P, D) -> the three terms without their weights, each (B, N)."""
        parts = chunks(F.normalize(features, dim=-1), IMAGES)
        terms = zip(*[self.attend(part[:, 0], part[:, 1:]) for part in parts])
        guided, blended = (self.logit_scale * torch.cat(term) for term in terms)
        return self.text_logits(features[:, 0]), guided, blended

    def attend(
        self, image: torch.Tensor, positions: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """F_v (B, D) and F_s (B, P, D) -> F_v F_t^a^T and F_v^a F_t^T, each (B, N)."""
        texts = self.class_weights
        affinity = SHARPNESS * positions @ texts.T
        return guided_logits(image, positions, affinity), blended_logits(texts, texts, affinity)

    def logits(
        self, text: torch.Tensor, guided: torch.Tensor, blended: torch.Tensor
    ) -> torch.Tensor:
        return text + self.beta_2 * guided + self.beta_3 * blended


@MODELS.register_module()
class CALIPFSHead(CALIPHead):
    """CALIPHead with trained linear layers, each for positions and for texts alike.

    Q_t, K_t, V_t and Q_s, K_s, V_s are projections of F_t and F_s; F_t^a = P(softmax(Q_t K_s^T /
    sqrt(D)) V_s) and F_s^a = P(softmax(Q_s K_t^T / sqrt(D)) V_t). The layers have no bias. They
    start where the attention is that of :class:`CALIPHead`, and P at zero, so that training starts
    at zero-shot CLIP.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        beta_2 (float): Weight of the logits of visual-guided texts. Defaults to 1.0.
        beta_3 (float): Weight of the logits of the textual-blended image. Defaults to 1.0.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        query, key, value (nn.Parameter): Weights of the pre-projection, each (D, D).
        post (nn.Parameter): Weight of the post-projection P, shape (D, D).
    """

    trainable = ('query', 'key', 'value', 'post')

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        beta_2: float = 1.0,
        beta_3: float = 1.0,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        super().__init__(clip, beta_2, beta_3, classes, loss)
        identity = torch.eye(self.class_weights.shape[1])
        scale = (SHARPNESS * len(identity) ** 0.5) ** 0.5
        self.query = nn.Parameter(scale * identity)
        self.key = nn.Parameter(scale * identity)
        self.value = nn.Parameter(identity.clone())
        self.post = nn.Parameter(torch.zeros_like(identity))

    def attend(
        self, image: torch.Tensor, positions: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        texts, root = self.class_weights, len(self.query) ** 0.5
        query_t, key_t, value_t = self.project(texts)
        query_s, key_s, value_s = self.project(positions)
        guided = guided_logits(image, value_s, key_s @ query_t.T / root)
        return guided, blended_logits(texts, value_t, query_s @ key_t.T / root)

    def project(self, features: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """Q, K and P(V) of features (..., D); P is linear and may come before the sum."""
        return (
            F.linear(features, self.query),
            F.linear(features, self.key),
            F.linear(F.linear(features, self.value), self.post),
        )
