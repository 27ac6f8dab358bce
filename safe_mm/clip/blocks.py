"""The blocks of a trunk: their names, and the last ones as a module to train."""

from typing import List

from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import nn

from ..errors import InputError

RESNET_BLOCKS = 4


def block_names(trunk: nn.Module) -> List[str]:
    """Names of the blocks of a ResNet, the stages of a trunk of timm, or four blocks of a ViT.

    Raises:
        InputError: A trunk of another kind.
    """
    if isinstance(trunk, ModifiedResNet):
        return [f'layer{number + 1}' for number in range(RESNET_BLOCKS)]
    if isinstance(trunk, VisionTransformer):
        count = len(trunk.transformer.resblocks)
        blocks = sorted({round(count * part / 4) for part in (1, 2, 3, 4)} - {0})
        return [f'transformer.resblocks.{block - 1}' for block in blocks]
    stages = getattr(getattr(trunk, 'trunk', None), 'feature_info', None)
    if stages is None:
        raise InputError(f'no layers are known of a {type(trunk).__name__}. Use --layers.')
    names = [stage['module'] if isinstance(stage, dict) else stage for stage in stages]
    return [f'trunk.{name}' for name in dict.fromkeys(names)]


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
