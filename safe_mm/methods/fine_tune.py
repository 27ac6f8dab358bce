"""Fine-tuning of CLIP's last layers, without a blend (SAFE, Sec. IV-D2).

How far the fine-tuning reaches into the trunk is an option of :class:`safe_mm.models.CLIPTrunk`.
"""

from typing import Dict, Optional, Union

import torch

from ..clip import SplitCLIP, get_clip
from ..models.part import Neck
from ..models.slim import SlimModule
from ..poolings import Pooling
from ..registry import MODELS


@MODELS.register_module()
class FineTunedPool(Neck, SlimModule):
    """CLIP's pooling layer, fine-tuned.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.
    """

    poolings = ('attn_pool_f',)
    trainable = ('attn_pool_f.*',)

    def __init__(self, clip: Union[dict, SplitCLIP], init_cfg: Optional[dict] = None) -> None:
        clip = get_clip(clip)
        super().__init__(clip.name, init_cfg)
        self.attn_pool_f = clip.pool

    def combine(self, branches: torch.Tensor) -> torch.Tensor:
        return branches[0]

    def figures(self, branches: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {}  # the unchanged CLIP is not in the model

    def clip_pool(self) -> Pooling:
        return self.attn_pool_f
