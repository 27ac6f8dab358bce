"""open_clip's models with their weights, loaded whole or not at all."""
import warnings
from pathlib import Path
from typing import Dict, Optional

import open_clip
import torch

from ..errors import InputError
from .architecture import (
    SHIPPED,
    base_name,
    choose_activation,
    model_config,
)
from .preprocess import sidecar
from .torchscript import is_torchscript
from .weights import find_weights, read_state_dict

RANDOM_SEED = 0  # random weights are the same in every process and run
# What OpenAI's archives carry beside weights
NO_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size', 'attn_mask')


def load_clip(model_name: str, pretrained: Optional[str]) -> open_clip.CLIP:
    """open_clip's model in float32 on the CPU.

    Arguments and errors are those of :func:`safe_mm.clip.split_clip`.
    """
    if pretrained is None:
        warnings.warn(
            f'{model_name} has random weights, because clip.pretrained is '
            'None: good for trying things out, not for results.',
            stacklevel=2)
        return build(model_name, model_config(model_name).get('quick_gelu'))
    path = find_weights(base_name(model_name), pretrained)
    quick_gelu = choose_activation(
        model_name, needs_quick_gelu(model_name, pretrained, path), pretrained)
    clip = build(model_name, quick_gelu)
    fill(clip, read_state_dict(path), path, model_name)
    return clip


def needs_quick_gelu(model_name: str, pretrained: str,
                     path: Path) -> Optional[bool]:
    """What the weights were trained with, or None if nothing tells."""
    tag_cfg = open_clip.get_pretrained_cfg(base_name(model_name), pretrained)
    if tag_cfg:
        return tag_cfg.get('quick_gelu', False)
    if path.parent == SHIPPED:
        return model_config(model_name).get('quick_gelu', False)
    if is_torchscript(path):  # the form in which OpenAI published
        return True
    return sidecar(pretrained).get('model_cfg', {}).get('quick_gelu')


def build(model_name: str,
          quick_gelu: Optional[bool],
          seed: int = RANDOM_SEED) -> open_clip.CLIP:
    """The architecture with random weights, the same ones for one seed."""
    cfg = model_config(model_name)
    if cfg.pop('custom_text', False) or 'hf_model_name' in cfg['text_cfg']:
        raise InputError(f'{model_name} is not a plain CLIP: its text encoder'
                         " is not open_clip's own, which is not supported.")
    cfg['quick_gelu'] = bool(quick_gelu)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return open_clip.CLIP(**cfg)
        except (TypeError, AttributeError, ValueError) as error:
            raise InputError(f'open_clip cannot build {model_name}: '
                             f'{error}') from None


def fill(clip: open_clip.CLIP, state: Dict[str, torch.Tensor], path: Path,
         model_name: str) -> None:
    """Loads a state dict if it fits exactly.

    Raises:
        InputError: Weights are missing, foreign or of another shape.
    """
    expected = clip.state_dict()
    state = {
        k: v
        for k, v in state.items() if k.split('.')[-1] not in NO_WEIGHTS
    }
    if state.get('logit_scale', expected['logit_scale']).shape == (1, ):
        state['logit_scale'] = state['logit_scale'][0]
    problems = [f'lacks {k}' for k in expected if k not in state]
    problems += [f'has {k}' for k in state if k not in expected]
    problems += [
        f'{k} is {tuple(state[k].shape)} instead of {tuple(v.shape)}'
        for k, v in expected.items()
        if k in state and state[k].shape != v.shape
    ]
    if problems:
        raise InputError(
            f'{path} does not hold the weights of {model_name}: '
            f'{"; ".join(problems[:3])} ({len(problems)} differences). Set '
            'clip.model_name to the architecture of the file.')
    clip.load_state_dict(state)
