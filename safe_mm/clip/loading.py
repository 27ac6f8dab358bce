"""open_clip's models with their weights, loaded whole or not at all."""

import warnings
from pathlib import Path
from typing import Dict, Optional, Type

import open_clip
import torch
from open_clip.timm_model import TimmModel
from torch import nn

from ..errors import InputError
from .architecture import SHIPPED, base_name, choose_activation, model_config, require_transformers
from .preprocess import sidecar
from .torchscript import is_torchscript
from .weights import find_weights, read_state_dict

RANDOM_SEED = 0  # random weights are the same in every process and run
# What OpenAI's archives and older Hugging Face towers carry beside weights
NO_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size', 'attn_mask', 'position_ids')


def load_clip(model_name: str, pretrained: Optional[str]) -> nn.Module:
    """open_clip's model in float32 on the CPU: a CLIP, CustomTextCLIP or CoCa.

    Arguments and errors are those of :func:`safe_mm.clip.SplitCLIP`.
    """
    if pretrained is None:
        warnings.warn(
            f'{model_name} has random weights, because clip.pretrained is '
            'None: good for trying things out, not for results.',
            stacklevel=2,
        )
        return build(model_name, model_config(model_name).get('quick_gelu'))
    path = find_weights(base_name(model_name), pretrained)
    quick_gelu = choose_activation(
        model_name, needs_quick_gelu(model_name, pretrained, path), pretrained
    )
    clip = build(model_name, quick_gelu)
    fill(clip, read_state_dict(path), path, model_name)
    return clip


def needs_quick_gelu(model_name: str, pretrained: str, path: Path) -> Optional[bool]:
    """What the weights were trained with, or None if nothing tells."""
    tag_cfg = open_clip.get_pretrained_cfg(base_name(model_name), pretrained)
    if tag_cfg:
        return tag_cfg.get('quick_gelu', False)
    if path.parent == SHIPPED:
        return model_config(model_name).get('quick_gelu', False)
    if is_torchscript(path):  # the form in which OpenAI published
        return True
    return sidecar(pretrained).get('model_cfg', {}).get('quick_gelu')


def build(model_name: str, quick_gelu: Optional[bool], seed: int = RANDOM_SEED) -> nn.Module:
    """The architecture with random weights, the same ones for one seed.

    Nothing is downloaded but the config of a text tower that is named after a model of the Hugging
    Face hub.

    Raises:
        InputError: open_clip, timm or transformers cannot build it.
    """
    cfg = model_config(model_name)
    kind = model_class(cfg)
    cfg.pop('custom_text', None)
    cfg['quick_gelu'] = bool(quick_gelu)
    cfg['vision_cfg']['timm_model_pretrained'] = False
    cfg['text_cfg']['hf_model_pretrained'] = False
    if cfg['text_cfg'].get('hf_model_name'):
        require_transformers(f'the text tower of {model_name}')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            clip = kind(**cfg)
            set_image_size(clip.visual)
        except Exception as error:  # whatever timm and transformers raise
            raise InputError(_why_not(model_name, error)) from None
    return clip


def _why_not(model_name: str, error: Exception) -> str:
    text = model_config(model_name)['text_cfg'].get('hf_model_name')
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    remedy = (
        ''
        if text is None
        else (
            f" Its text tower is {text!r} of Hugging Face. Without network, copy that model's "
            'config.json into a folder here, and set text_cfg.hf_model_name to that folder in a '
            "copy of the architecture's JSON file."
        )
    )
    return f'open_clip cannot build {model_name}: {reason}{remedy}'


def model_class(cfg: dict) -> Type[nn.Module]:
    """The class that open_clip's ``create_model`` chooses for a config."""
    custom = cfg.get('custom_text') or 'hf_model_name' in cfg['text_cfg']
    if not custom:
        return open_clip.CLIP
    return open_clip.CoCa if 'multimodal_cfg' in cfg else open_clip.CustomTextCLIP


def set_image_size(visual: nn.Module) -> None:
    """Gives timm's ViT the image size of open_clip's config.

    open_clip builds it for timm's own size and only notes the other.
    """
    if isinstance(visual, TimmModel):
        embed = getattr(visual.trunk, 'patch_embed', None)
        built_for = getattr(embed, 'img_size', None)
        if built_for and tuple(built_for) != tuple(visual.image_size):
            visual.trunk.set_input_size(img_size=tuple(visual.image_size))


def fill(clip: nn.Module, state: Dict[str, torch.Tensor], path: Path, model_name: str) -> None:
    """Loads a state dict if it fits exactly.

    Raises:
        InputError: Weights are missing, foreign or of another shape.
    """
    expected = clip.state_dict()
    state = {k: v for k, v in state.items() if k in expected or k.split('.')[-1] not in NO_WEIGHTS}
    for name in ('logit_scale', 'logit_bias'):  # some files have a vector
        if name in expected and name in state and state[name].shape == (1,):
            state[name] = state[name].reshape(expected[name].shape)
    problems = [f'lacks {k}' for k in expected if k not in state]
    problems += [f'has {k}' for k in state if k not in expected]
    problems += [
        f'{k} is {tuple(state[k].shape)} instead of {tuple(v.shape)}'
        for k, v in expected.items()
        if k in state and state[k].shape != v.shape
    ]
    if problems:
        raise InputError(
            f'{path} does not hold the weights of {model_name}: {"; ".join(problems[:3])} '
            f'({len(problems)} differences). Set clip.model_name to the architecture of the file.'
        )
    clip.load_state_dict(state)
