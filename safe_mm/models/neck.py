"""CLIP's pooling layer, and its blend with a fine-tuned copy (Eq. 3)."""
import copy
from typing import Optional, Tuple, Union

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule

from ..clip import LastBlockPool, split_clip
from ..errors import InputError
from ..registry import MODELS
from .dense import last
from .run_stack import RunStack


def blend(original: torch.Tensor, finetuned: torch.Tensor,
          beta: float) -> torch.Tensor:
    """F_blend = beta * AttnPool_O(F) + AttnPool_F(F) (SAFE, Eq. 3).

    Args:
        original (Tensor): AttnPool_O(F), shape (B, C), not normalised.
        finetuned (Tensor): AttnPool_F(F), same shape.
        beta (float): Weight of the original; the paper's choice is 0.5.

    Returns:
        Tensor: Shape (B, C), not normalised.
    """
    return beta * original + finetuned


@MODELS.register_module()
class CLIPPool(BaseModule):
    """CLIP's own pooling layer, for zero-shot CLIP and Tip-Adapter.

    Args:
        clip (dict): ``model_name`` and ``pretrained``, see
            :func:`safe_mm.clip.split_clip`.
        init_cfg (dict, optional): mmengine's initialization config.
            Defaults to None.
    """

    def __init__(self, clip: dict, init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        pool = split_clip(**clip).pool
        self.attn_pool_o = copy.deepcopy(pool).requires_grad_(False)

    def poolings(self, features: torch.Tensor) -> Tuple[torch.Tensor]:
        """Dense features -> pooled features, a tuple of one (B, C)."""
        return (self.attn_pool_o(features), )

    def forward(
        self, features: Union[torch.Tensor, Tuple[torch.Tensor]]
    ) -> Tuple[torch.Tensor]:
        """Dense features, of a tuple the last -> pooled, a tuple of one."""
        return self.poolings(last(features))


@MODELS.register_module()
class BlendedAttentionPool(BaseModule):
    """Pools dense features by CLIP's own layer and its fine-tuned copy.

    In training mode AttnPool_F is used alone (SAFE, Algorithm 1); in eval
    mode the two are blended (Eq. 3).

    Args:
        clip (dict): ``model_name`` and ``pretrained``, see
            :func:`safe_mm.clip.split_clip`.
        beta (float): Weight of AttnPool_O. Defaults to 0.5.
        tune_projection (bool): For a ViT, whether to fine-tune also the norm
            and the projection behind the last block. Defaults to False.
        runs (int, optional): Train that many copies of AttnPool_F side by
            side for each seed, see :class:`safe_mm.models.RunStack`.
            Defaults to None.
        num_seeds (int): Of how many seeds. Defaults to 1.
        init_cfg (dict, optional): mmengine's initialization config.
            Defaults to None.

    Raises:
        InputError: ``beta`` is negative or no number.

    Attributes:
        attn_pool_o (nn.Module): AttnPool_O, frozen.
        attn_pool_f (nn.Module): AttnPool_F, its copy at the start.
    """

    def __init__(self,
                 clip: dict,
                 beta: float = 0.5,
                 tune_projection: bool = False,
                 runs: Optional[int] = None,
                 num_seeds: int = 1,
                 init_cfg: dict = None) -> None:
        super().__init__(init_cfg)
        if not (isinstance(beta, (int, float)) and beta >= 0):
            raise InputError(f'BlendedAttentionPool: beta={beta} should be a '
                             'number, and not negative.')
        self.beta = beta
        pool = split_clip(**clip).pool
        self.attn_pool_o = copy.deepcopy(pool).requires_grad_(False)
        self.attn_pool_f = copy.deepcopy(pool)
        if isinstance(pool, LastBlockPool) and not tune_projection:
            self.attn_pool_f.ln_post.requires_grad_(False)
            self.attn_pool_f.proj.requires_grad_(False)
        if runs:
            self.attn_pool_f = RunStack(self.attn_pool_f, runs, num_seeds)

    def forward(
        self, features: Union[torch.Tensor, Tuple[torch.Tensor]]
    ) -> Tuple[torch.Tensor]:
        """Pools dense features.

        Args:
            features (Tensor | tuple[Tensor]): Dense features F; of a tuple,
                the last. Shape (B, C, h, w) for a ResNet, (B, 1 + h*w, C)
                for a ViT.

        Returns:
            tuple[Tensor]: One tensor of shape (B, embed_dim), or
            (num_seeds * runs, B / num_seeds, embed_dim).
        """
        features = last(features)
        if self.training:
            return (self.attn_pool_f(features), )
        return (blend(*self.poolings(features), self.beta), )

    def _load_from_state_dict(self, state_dict: dict, prefix: str,
                              *args) -> None:
        """Takes the beta by which the keys of a cache were pooled.

        Of several runs, what is loaded is the best alone.
        """
        several = isinstance(self.attn_pool_f, RunStack)
        if several and not any('.pools.' in key for key in state_dict):
            self.attn_pool_f = self.attn_pool_f.pools[0]
        beta = state_dict.pop(prefix + 'beta', None)
        if beta is not None and beta.item() != self.beta:
            self.beta = beta.item()
            print_log(f'beta = {self.beta:g}, as the cache was made with',
                      'current')
        super()._load_from_state_dict(state_dict, prefix, *args)

    def poolings(self, features: torch.Tensor) -> Tuple[torch.Tensor]:
        """Dense features -> AttnPool_O(F) and AttnPool_F(F), (B, C) each."""
        return self.attn_pool_o(features), self.attn_pool_f(features)
