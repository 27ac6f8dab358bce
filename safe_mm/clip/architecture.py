"""open_clip's architectures by name, and which activation weights need."""

import difflib
import json
import logging
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Optional

import open_clip
from mmengine.logging import print_log

from ..errors import InputError
from .parts import PACKAGED, packaged

QUICKGELU = '-quickgelu'
REQUIRED = ('embed_dim', 'vision_cfg', 'text_cfg')
# Small CLIPs that come with the package, known to open_clip by name
SHIPPED = Path(__file__).parents[1] / 'small_clip'
open_clip.add_model_config(SHIPPED)


def open_clip_name(model_name: str) -> str:
    """The name under which open_clip knows an architecture.

    A path of an open_clip JSON file is registered with open_clip first.
    """
    if not model_name.endswith('.json'):
        return model_name.replace('/', '-')
    path = Path(model_name).expanduser()
    try:
        cfg = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f'clip.model_name={model_name!r} cannot be read as an open_clip JSON file: {error}'
        ) from None
    if not isinstance(cfg, dict) or not set(REQUIRED) <= cfg.keys():
        raise InputError(
            f'clip.model_name={model_name!r} is not an open_clip JSON file: it lacks '
            f'{", ".join(REQUIRED)}.'
        )
    if path.stem not in open_clip.list_models():
        open_clip.add_model_config(path)
    if open_clip.get_model_config(path.stem) != cfg:
        raise InputError(f'open_clip has another architecture named {path.stem!r}: rename {path}.')
    return path.stem


def base_name(model_name: str) -> str:
    """The name without ``-quickgelu``, under which tags are listed."""
    return re.sub(f'{QUICKGELU}$', '', open_clip_name(model_name))


def model_config(model_name: str) -> dict:
    """open_clip's configuration of an architecture.

    A name ``package:PACKAGE/PATH`` of a text tower becomes the folder in that package.

    Raises:
        InputError: open_clip has none of that name, or its package is not installed.
    """
    name = open_clip_name(model_name)
    cfg = open_clip.get_model_config(name)
    if cfg is None:
        near = difflib.get_close_matches(name, open_clip.list_models())
        raise InputError(
            f'clip.model_name={model_name!r} is not an open_clip model. Near matches: '
            f'{", ".join(near) or "none"}. A path of an open_clip JSON file is accepted too.'
        )
    cfg.pop('preprocess_cfg', None)  # of :mod:`safe_mm.clip.preprocess`
    text = cfg['text_cfg']
    for key in ('hf_model_name', 'hf_tokenizer_name'):
        if str(text.get(key)).startswith(PACKAGED):
            text[key] = str(packaged(text[key][len(PACKAGED) :]))
    return cfg


def require_transformers(what: str) -> None:
    """Raises an InputError that names ``what`` if Hugging Face's package is not installed."""
    if find_spec('transformers') is None:
        raise InputError(
            f'{what} needs the package transformers, which is missing: pip install transformers'
        )


def choose_activation(model_name: str, needed: Optional[bool], source: str) -> bool:
    """Whether to build with QuickGELU, given what the weights need.

    The wrong activation loads without an error and costs accuracy. OpenAI's weights, and some
    others, were trained with QuickGELU. ``needed`` is None if this is unknown; ``source`` names the
    weights in messages.

    Raises:
        InputError: ``-quickgelu`` was asked for and the weights need GELU.
    """
    named = model_config(model_name).get('quick_gelu', False)
    if needed is None:
        print_log(
            f'{source} does not say which activation it needs: {model_name} uses '
            f'{"QuickGELU" if named else "GELU"}. For weights from OpenAI, set a model_name that '
            f'ends in {QUICKGELU}.',
            'current',
            level=logging.WARNING,
        )
        return named
    if named and not needed:
        raise InputError(
            f'{source} was trained with GELU, but {model_name} has QuickGELU. Use '
            f'clip.model_name={base_name(model_name)!r}.'
        )
    return needed
