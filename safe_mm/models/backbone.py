"""The feature extractor G of SAFE: CLIP's image encoder before pooling."""

from typing import Optional, Tuple, Union

import torch
from torch import nn

from ..clip import SplitCLIP, get_clip
from ..clip.blocks import cut_blocks
from ..errors import InputError
from ..registry import MODELS
from .slim import SlimModule


@MODELS.register_module()
class CLIPTrunk(SlimModule):
    """Images -> dense features F = G(x) (SAFE, Sec. III).

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        tune_blocks (int): How many of the last blocks are trained; see
            :func:`safe_mm.clip.blocks.cut_blocks`. Defaults to 0.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.

    Raises:
        InputError: The CLIP cannot be loaded, it has no such blocks, or images are not of its size.

    Attributes:
        trunk (nn.Module): The frozen blocks, images -> 'stem' features.
        tuned (nn.Module): The trained ones, which follow.
    """

    def __init__(
        self, clip: Union[dict, SplitCLIP], tune_blocks: int = 0, init_cfg: Optional[dict] = None
    ) -> None:
        clip = get_clip(clip)
        super().__init__(clip.name, init_cfg)
        size = clip.image_size
        self.image_size = (size, size) if isinstance(size, int) else size
        self.trunk = clip.trunk
        self.trainable = ('tuned.*',) if tune_blocks else ()
        self.tuned = cut_blocks(self.trunk, tune_blocks) if tune_blocks else nn.Identity()

    def forward(self, images: torch.Tensor) -> Tuple[torch.Tensor]:
        """Extracts dense features.

        Args:
            images (Tensor): Normalised images, shape (B, 3, H, W).

        Returns:
            tuple[Tensor]: One tensor, what the pooling layer takes: a map, shape (B, C, h, w), of a
            convolutional trunk; tokens, shape (B, K + h*w, C), leading ones first, of a ViT.
        """
        if tuple(images.shape[-2:]) != self.image_size:
            height, width = self.image_size
            raise InputError(
                f'{self._source} takes images of {height} x {width} pixels (height x width), but '
                f"got {tuple(images.shape[-2:])}. Set the size of the pipeline's CLIPCrop, or use "
                '--clip, which does so.'
            )
        return (self.tuned(self.trunk(images)),)
