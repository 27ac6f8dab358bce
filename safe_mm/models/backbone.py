"""The feature extractor G of SAFE: CLIP's image encoder before pooling."""
import copy
from typing import Tuple

import torch
from mmengine.model import BaseModule

from ..clip import split_clip
from ..errors import InputError
from ..registry import MODELS
from .dense import is_dense


@MODELS.register_module()
class CLIPTrunk(BaseModule):
    """Images -> dense features F = G(x) (SAFE, Sec. III).

    Args:
        clip (dict): ``model_name`` and ``pretrained``, see
            :func:`safe_mm.clip.split_clip`.
        init_cfg (dict, optional): mmengine's initialization config.
            Defaults to None.

    Raises:
        InputError: The CLIP cannot be had, or images are not of its size.
    """

    def __init__(self, clip: dict, init_cfg: dict = None) -> None:
        super().__init__(init_cfg)
        split = split_clip(**clip)
        self.model_name = clip['model_name']
        self.image_size = split.image_size
        self.trunk = copy.deepcopy(split.trunk)

    def forward(self, images: torch.Tensor) -> Tuple[torch.Tensor]:
        """Extracts dense features.

        Args:
            images (Tensor): Normalised images, shape (B, 3, H, W); dense
                features pass as they are.

        Returns:
            tuple[Tensor]: One tensor: the map before ``attnpool``, shape
            (B, C, h, w), for a ResNet; the tokens before the last block,
            shape (B, 1 + h*w, C), class token first, for a ViT.
        """
        if is_dense(images):
            return (images, )
        if tuple(images.shape[-2:]) != (self.image_size, ) * 2:
            raise InputError(
                f'{self.model_name} takes images of {self.image_size} x '
                f'{self.image_size} pixels, but got '
                f'{tuple(images.shape[-2:])}. Give the pipeline\'s CLIPCrop '
                'the same clip as the model.')
        return (self.trunk(images), )
