"""The preprocessing of a CLIP, from open_clip."""

import json
from pathlib import Path
from typing import Optional

import open_clip
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from ..errors import InputError
from .architecture import base_name, model_config, open_clip_name


def sidecar(pretrained: Optional[str]) -> dict:
    """``open_clip_config.json`` beside a local checkpoint, or ``{}``."""
    if pretrained is None:
        return {}
    weights = Path(pretrained).expanduser()
    path = weights.parent / 'open_clip_config.json'
    if not (weights.is_file() and path.is_file()):
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(
            f'{path}, beside the weights, is not a JSON object: {error}. Correct or remove it.'
        ) from None


def preprocess_cfg(model_name: str, pretrained: Optional[str]) -> PreprocessCfg:
    """Size, interpolation, mean and std for a model and its weights.

    Arguments as for :class:`safe_mm.clip.SplitCLIP`. ``mean`` and ``std`` are for pixels in [0, 1].
    """
    cfg = model_config(model_name)
    tag_cfg = pretrained and open_clip.get_pretrained_cfg(base_name(model_name), pretrained)
    own = open_clip.get_model_config(open_clip_name(model_name)).get('preprocess_cfg', {})
    overlay = tag_cfg or sidecar(pretrained).get('preprocess_cfg', own)
    size = cfg['vision_cfg'].get('image_size', PreprocessCfg.size)
    size = size if isinstance(size, int) else tuple(size)  # JSON has lists
    return PreprocessCfg(**{**merge_preprocess_dict(PreprocessCfg(), overlay), 'size': size})
