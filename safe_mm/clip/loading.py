"""open_clip's models with their weights, loaded whole or not at all."""

import warnings
from pathlib import Path
from typing import Dict, Optional, Type, Union

import open_clip
import torch
from open_clip.timm_model import TimmModel
from torch import nn

from ..errors import InputError, first_line
from .architecture import SHIPPED, base_name, choose_activation, model_config, require_transformers
from .parts import read_parts
from .preprocess import sidecar
from .torchscript import is_torchscript
from .weights import find_weights, read_state_dict

RANDOM_SEED = 0  # random weights are the same in every process and run
# What OpenAI's archives and older Hugging Face towers carry beside weights
NO_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size', 'attn_mask', 'position_ids')
CLIPModel = Union[open_clip.CLIP, open_clip.CustomTextCLIP, open_clip.CoCa]


def load_clip(model_name: str, pretrained: Optional[str]) -> CLIPModel:
    """open_clip's model in float32 on the CPU.

    Arguments and errors are those of :func:`safe_mm.clip.SplitCLIP`.
    """
    if pretrained is None:
        warnings.warn(
            f'{model_name} has random weights, because clip.pretrained is None: do not use it for '
            'results.',
            stacklevel=2,
        )
        return build(model_name, model_config(model_name).get('quick_gelu'))
    path = find_weights(base_name(model_name), pretrained)
    needed = needs_quick_gelu(model_name, pretrained, path)
    clip = build(model_name, choose_activation(model_name, needed, pretrained))
    parts = read_parts(model_name, list(clip.state_dict()))
    fill(clip, {**parts, **read_state_dict(path)}, path, model_name)
    return clip


def needs_quick_gelu(model_name: str, pretrained: str, path: Path) -> Optional[bool]:
    """Whether the weights were trained with QuickGELU, None if unknown."""
    tag_cfg = open_clip.get_pretrained_cfg(base_name(model_name), pretrained)
    if tag_cfg:
        return tag_cfg.get('quick_gelu', False)
    if path.parent == SHIPPED:
        return model_config(model_name).get('quick_gelu', False)
    if is_torchscript(path):  # the form in which OpenAI published
        return True
    return sidecar(pretrained).get('model_cfg', {}).get('quick_gelu')


def build(model_name: str, quick_gelu: Optional[bool], seed: int = RANDOM_SEED) -> CLIPModel:
    """The architecture with random weights, the same ones for one seed.

    Nothing is downloaded but the config of a text tower that is named after a model of the Hugging
    Face hub.

    Raises:
        InputError: open_clip, timm or transformers cannot build it.
    """
    cfg = model_config(model_name)
    kind, text_tower = model_class(cfg), cfg['text_cfg'].get('hf_model_name')
    cfg.pop('custom_text', None)
    cfg['quick_gelu'] = bool(quick_gelu)
    cfg['vision_cfg']['timm_model_pretrained'] = False
    cfg['text_cfg']['hf_model_pretrained'] = False
    if text_tower:
        require_transformers(f'the text tower of {model_name}')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            clip = kind(**cfg)
            set_image_size(clip.visual)
        except Exception as error:  # timm and transformers raise many types
            remedy = (
                f" Its text tower is Hugging Face's {text_tower!r}. Without network, copy the "
                'config.json of that model into a local folder, and set text_cfg.hf_model_name to '
                "that folder in a copy of the architecture's JSON file."
            )
            raise InputError(
                f'open_clip cannot build {model_name}: {first_line(error)}'
                f'{remedy if text_tower else ""}'
            ) from None
    return clip


def model_class(cfg: dict) -> Type[CLIPModel]:
    """The class that open_clip's ``create_model`` chooses for a config."""
    if not cfg.get('custom_text') and 'hf_model_name' not in cfg['text_cfg']:
        return open_clip.CLIP
    return open_clip.CoCa if 'multimodal_cfg' in cfg else open_clip.CustomTextCLIP


def set_image_size(visual: nn.Module) -> None:
    """Gives timm's ViT the image size of the config; open_clip builds it for timm's own."""
    if isinstance(visual, TimmModel):
        size = getattr(getattr(visual.trunk, 'patch_embed', None), 'img_size', None)
        if size and tuple(size) != tuple(visual.image_size):
            visual.trunk.set_input_size(img_size=tuple(visual.image_size))


def fill(clip: CLIPModel, state: Dict[str, torch.Tensor], path: Path, model_name: str) -> None:
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
