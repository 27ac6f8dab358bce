"""SAFE: fine-tune the pooling layer, and blend it with the original.

Zhu et al., Semantic-Aware FinE-tuning (arXiv 2311.04464), Sec. III.
"""

import copy
from typing import Callable, Dict, Optional, Sequence, Union

import torch

from ..clip import SplitCLIP, get_clip
from ..errors import InputError
from ..models.part import Neck, apply
from ..models.slim import SlimModule
from ..poolings import Pooling
from ..registry import MODELS

BETAS = (0, 0.1, 0.25, 0.5, 0.75, 1, 2, 4)  # of Fig. 5, and beyond


def blend(
    original: torch.Tensor, finetuned: torch.Tensor, beta: Union[float, torch.Tensor]
) -> torch.Tensor:
    """F_blend = beta * AttnPool_O(F) + AttnPool_F(F) (SAFE, Eq. 3).

    Args:
        original (Tensor): AttnPool_O(F), shape (B, D), not normalised.
        finetuned (Tensor): AttnPool_F(F), same shape.
        beta (float): Weight of the original; the paper's choice is 0.5.

    Returns:
        Tensor: Shape (B, D), not normalised.
    """
    return beta * original + finetuned


@MODELS.register_module()
class BlendedAttentionPool(Neck, SlimModule):
    """Pools dense features by CLIP's own layer and its fine-tuned copy.

    In training mode AttnPool_F is used alone (SAFE, Algorithm 1); in eval mode the two are blended
    (Eq. 3).

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        beta (float): Weight of AttnPool_O. Defaults to 0.5.
        tune_projection (bool): Whether to fine-tune also what lies after the pooling layer proper,
            its ``projection``: for a ViT, the norm and the projection after the last block.
            Defaults to False.
        frozen (bool): Whether AttnPool_F comes from a checkpoint and is not trained. Defaults to
            False.
        shots (int, optional): K, which ``--shots`` sets. If given, the loss has ProLIP's term
            ``||theta_F - theta_O||^2 / shots``. Defaults to None.
        betas (Sequence[float]): Whose accuracy is reported beside that of ``beta``. Defaults to
            those of Fig. 5, 2 and 4.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.

    Raises:
        InputError: ``beta`` is negative or not a number.

    Attributes:
        attn_pool_o (Pooling): AttnPool_O, frozen.
        attn_pool_f (Pooling): AttnPool_F, its copy at the start.
    """

    poolings = ('attn_pool_o', 'attn_pool_f')
    hyperparameters = ('beta',)
    beta: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        beta: float = 0.5,
        tune_projection: bool = False,
        frozen: bool = False,
        shots: Optional[int] = None,
        betas: Sequence[float] = BETAS,
        init_cfg: Optional[dict] = None,
    ) -> None:
        clip = get_clip(clip)
        super().__init__(clip.name, init_cfg)
        self.add_hyperparameter('beta', beta)
        self.betas, self.shots = betas, shots
        self.trainable = () if frozen else ('attn_pool_f.*',)
        self.needs_checkpoint = frozen
        self.attn_pool_f = copy.deepcopy(clip.pool)
        self.attn_pool_o = clip.pool.requires_grad_(False)
        for name in () if tune_projection else clip.pool.projection:
            getattr(self.attn_pool_f, name).requires_grad_(False)

    def pool(self, dense: torch.Tensor, call: Callable = apply) -> torch.Tensor:
        if self.training:
            return self.attn_pool_f(dense)[None]
        return super().pool(dense, call)

    def combine(self, branches: torch.Tensor) -> torch.Tensor:
        return branches[-1] if self.training else blend(branches[0], branches[1], self.beta)

    def combine_maps(self, maps: torch.Tensor) -> torch.Tensor:
        return blend(maps[0], maps[1], self.beta)

    def clip_pool(self) -> Pooling:
        if self.beta:
            raise InputError(
                f'a CLIP has one pooling layer, and a blend of beta {self.beta.item():g} has two. '
                'Set model.neck.beta=0 for the tuned one alone.'
            )
        return self.attn_pool_f

    def penalties(self) -> Dict[str, torch.Tensor]:
        if self.shots is None:
            return {}
        start = dict(self.attn_pool_o.named_parameters())
        distances = [
            (own - start[name]).square().sum()
            for name, own in self.attn_pool_f.named_parameters()
            if own.requires_grad
        ]
        return dict(loss_prolip=torch.stack(distances).sum() / self.shots)

    def figures(self, branches: torch.Tensor) -> Dict[str, torch.Tensor]:
        """'zero-shot' and the blend for each of ``betas``."""
        original, finetuned = branches
        blends = {f'beta={beta:g}': blend(original, finetuned, beta) for beta in self.betas}
        return {'zero-shot': original, **blends}
