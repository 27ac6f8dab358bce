"""Small CLIPs with every pooling, as open_clip itself builds them."""

import json
from inspect import signature
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

import open_clip
import timm
import torch
from safetensors.torch import save_file
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

TEXT = dict(context_length=77, vocab_size=49408, width=32, heads=2, layers=1)


@register_model
def shallow_siglip(pretrained: bool = False, **kwargs) -> nn.Module:
    return timm.create_model('vit_base_patch16_siglip_224', depth=1, **kwargs)


@register_model
def shallow_pe_core(pretrained: bool = False, **kwargs) -> nn.Module:
    """Eva with a class token that its MAP head attends to."""
    return timm.create_model('vit_pe_core_base_patch16_224', depth=1, **kwargs)


@register_model
def shallow_convnext(pretrained: bool = False, **kwargs) -> nn.Module:
    return timm.create_model('convnext_atto', depths=(1,) * 4, **kwargs)


@register_model
def shallow_resnet(pretrained: bool = False, **kwargs) -> nn.Module:
    return timm.create_model('resnet18', layers=(1,) * 4, **kwargs)


@register_model
def register_vit(pretrained: bool = False, **kwargs) -> nn.Module:
    """A class token, three registers, layer scale."""
    return timm.create_model(
        'vit_tiny_patch16_224',
        img_size=64,
        embed_dim=64,
        depth=2,
        num_heads=2,
        reg_tokens=3,
        init_values=0.5,
        **kwargs,
    )


def _timm(model: str, pool: str, proj: Optional[str], size: int) -> dict:
    return dict(timm_model_name=model, timm_pool=pool, timm_proj=proj, image_size=size)


# Vision configs that are not open_clip's own
VISION = {
    'ViT-B-16-SigLIP': _timm('shallow_siglip', 'map', 'none', 224),
    'PE-Core-B-16': _timm('shallow_pe_core', 'map', None, 224),
    'registers, map': _timm('register_vit', 'map', 'none', 64),
    'registers, token': _timm('register_vit', 'token', None, 64),
    'abs_attn': _timm('shallow_convnext', 'abs_attn', 'linear', 224),
    'abs_attn alone': _timm('shallow_convnext', 'abs_attn', '', 224),
    'rot_attn': _timm('shallow_resnet', 'rot_attn', 'mlp', 224),
}
if not timm.is_model('vit_pe_core_base_patch16_224'):  # older timm
    del VISION['PE-Core-B-16']
OPEN_CLIP = ('RN50', 'ViT-B-32', 'coca_ViT-B-32')
# Height and width of images that are not square, and the grid of patches; open_clip cannot build
# its ResNets for them
WIDE = {
    'ViT-B-32': ((96, 160), (3, 5)),
    'coca_ViT-B-32': ((160, 96), (5, 3)),
    'ViT-B-16-SigLIP': ((48, 80), (3, 5)),
    'PE-Core-B-16': ((80, 48), (5, 3)),
    'registers, map': ((48, 80), (3, 5)),
    'registers, token': ((80, 48), (5, 3)),
    'abs_attn': ((96, 160), (3, 5)),
    'rot_attn': ((160, 96), (5, 3)),
}
GRIDS = {
    'RN50': (7, 7),
    'ViT-B-32': (7, 7),
    'coca_ViT-B-32': (7, 7),
    'ViT-B-16-SigLIP': (14, 14),
    'PE-Core-B-16': (14, 14),
    'registers, map': (4, 4),
    'registers, token': (4, 4),
    'abs_attn': (7, 7),
    'abs_attn alone': (7, 7),
    'rot_attn': (7, 7),
}
# Tokens attended to that are no patches; older timm's map had them all
PREFIX = 'pool_include_prefix' not in signature(VisionTransformer).parameters
LEADING = {'ViT-B-16-SigLIP': 0, 'registers, map': 4 * PREFIX, 'registers, token': 4}


class Tower(NamedTuple):
    """A CLIP that open_clip built, and what SplitCLIP needs to load it."""

    reference: nn.Module
    clip: dict
    grid: Tuple[int, int]
    leading: int

    def images(self, number: int = 2) -> torch.Tensor:
        """Random images of its size, the same ones each time."""
        size = self.reference.visual.image_size
        height, width = (size, size) if isinstance(size, int) else size
        return torch.randn(number, 3, height, width, generator=torch.Generator().manual_seed(1))


def config(name: str) -> dict:
    """Few layers, a narrow text tower, open_clip's own tokenizer."""
    if name in OPEN_CLIP:
        cfg = open_clip.get_model_config(name)
        vision = cfg['vision_cfg']
        vision['layers'] = [1] * 4 if name.startswith('RN') else 2
        cfg['text_cfg'].update(TEXT, context_length=cfg['text_cfg'].get('context_length'))
        if 'multimodal_cfg' in cfg:
            cfg['multimodal_cfg'].update(width=32, heads=2, layers=1, attn_pooler_heads=2)
        return cfg
    sigmoid = dict(init_logit_bias=-10) if 'SigLIP' in name else {}
    trunk_width = {'registers, map': 64, 'ViT-B-16-SigLIP': 768}
    return dict(
        sigmoid,
        embed_dim=trunk_width.get(name, 48),
        vision_cfg=dict(VISION[name]),
        text_cfg=dict(TEXT),
        custom_text='SigLIP' in name,
    )


def make_tower(name: str, wide: bool, folder: Path) -> Tower:
    """Builds one with weights that leave no part without effect."""
    cfg, force = config(name), None
    if wide:
        size = WIDE[name][0]
        cfg['vision_cfg']['image_size'] = size
        force = size if 'timm_model_name' in cfg['vision_cfg'] else None
    # open_clip chooses a tokenizer by 'siglip' in a name
    stem = f'tower-{name}-{wide}'.replace('SigLIP', 'sigmoid').replace(', ', '-').replace(' ', '-')
    path = folder / f'{stem}.json'
    path.write_text(json.dumps(cfg))
    open_clip.add_model_config(path)
    torch.manual_seed(0)
    reference = open_clip.create_model(stem, force_image_size=force).eval()
    trunk = getattr(reference.visual, 'trunk', None)
    if force and hasattr(trunk, 'set_input_size'):  # not by older open_clip
        trunk.set_input_size(force)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    weights = path.with_suffix('.safetensors')
    save_file({key: value.contiguous() for key, value in reference.state_dict().items()}, weights)
    return Tower(
        reference,
        dict(model_name=str(path), pretrained=str(weights)),
        WIDE[name][1] if wide else GRIDS[name],
        LEADING.get(name, 1),
    )
