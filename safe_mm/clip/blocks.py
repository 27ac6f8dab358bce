"""The last blocks of a trunk, as a module to train."""

from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import nn

from ..errors import InputError

RESNET_BLOCKS = 4


def cut_blocks(trunk: nn.Module, count: int) -> nn.Sequential:
    """Takes the last blocks off a trunk; what is left feeds them.

    Args:
        trunk (nn.Module): Of a :class:`safe_mm.clip.SplitCLIP`.
        count (int): Residual blocks of a ResNet ('layer4' is the last), or transformer blocks of a
            ViT beside the one that pools.

    Raises:
        InputError: The trunk has no such blocks.
    """
    if isinstance(trunk, ModifiedResNet) and 0 < count <= RESNET_BLOCKS:
        names = [f'layer{RESNET_BLOCKS - count + 1 + i}' for i in range(count)]
        blocks = nn.Sequential(*(getattr(trunk, name) for name in names))
        for name in names:
            setattr(trunk, name, nn.Identity())
        return blocks
    if isinstance(trunk, VisionTransformer):
        blocks = trunk.transformer.resblocks
        if 0 < count <= len(blocks):
            trunk.transformer.resblocks = blocks[:-count]
            return nn.Sequential(*blocks[-count:])
    raise InputError(
        f'tune_blocks={count} is not supported by {type(trunk).__name__}. Use a ResNet (1 to '
        f'{RESNET_BLOCKS}), or a ViT of open_clip with as many blocks.'
    )
