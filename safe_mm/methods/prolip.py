"""ProLIP: CLIP's last visual projection is fine-tuned, and held near its start.

Fahes et al., Fine-Tuning CLIP's Last Visual Projector: A Few-Shot Cornucopia, WACV 2026.
"""

import copy
from typing import Dict, Optional, Union

import torch
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..errors import InputError
from ..models.part import Neck
from ..models.slim import SlimModule
from ..poolings import Pooling
from ..registry import MODELS


@MODELS.register_module()
class ProLIPPool(Neck, SlimModule):
    """CLIP's pooling up to its last linear layer, and that layer, fine-tuned.

    The loss has a term ``||W - W_0||^2 / shots``, a sum of squares. The bias of a ResNet's layer
    stays frozen.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        shots (int): K, which ``--shots`` sets. Defaults to 16.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.

    Raises:
        InputError: ``shots`` is below 1, or the pooling layer ends in no linear layer.

    Attributes:
        attn_pool_o (Pooling): Dense features -> the input of the projection.
        proj_o (nn.Linear): W_0, frozen.
        proj (nn.Linear): W.
    """

    poolings = ('attn_pool_o',)
    trainable = ('proj.weight',)

    def __init__(
        self, clip: Union[dict, SplitCLIP], shots: int = 16, init_cfg: Optional[dict] = None
    ) -> None:
        if shots < 1:
            raise InputError(f'ProLIPPool: shots={shots} should be at least 1.')
        clip = get_clip(clip)
        super().__init__(clip.name, init_cfg)
        self.shots = shots
        self.proj = clip.pool.take_projection()
        self.proj_o = copy.deepcopy(self.proj).requires_grad_(False)
        self.attn_pool_o = clip.pool.requires_grad_(False)

    def combine(self, branches: torch.Tensor) -> torch.Tensor:
        return self.proj(branches[0])

    def figures(self, branches: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {'zero-shot': self.proj_o(branches[0])}

    def clip_pool(self) -> Pooling:
        pool = copy.deepcopy(self.attn_pool_o)
        pool.put_projection(self.proj)
        return pool

    def penalties(self) -> Dict[str, torch.Tensor]:
        distance = F.mse_loss(self.proj.weight, self.proj_o.weight, reduction='sum')
        return dict(loss_prolip=distance / self.shots)
