"""The tokenizer of a CLIP, as open_clip makes it."""
from pathlib import Path
from typing import Callable

import open_clip

from .architecture import SHIPPED, model_config, open_clip_name


def get_tokenizer(model_name: str) -> Callable:
    """Sentences -> token ids of shape (len(sentences), context length).

    A ``bpe_path`` among the ``tokenizer_kwargs`` of an open_clip JSON file is
    a path relative to that file.

    Args:
        model_name (str): See :func:`safe_mm.clip.split_clip`.
    """
    kwargs = dict(model_config(model_name)['text_cfg'].get('tokenizer_kwargs')
                  or {})
    if 'bpe_path' in kwargs:
        is_file = model_name.endswith('.json')
        folder = Path(model_name).expanduser().parent if is_file else SHIPPED
        kwargs['bpe_path'] = str(folder / kwargs['bpe_path'])
    return open_clip.get_tokenizer(open_clip_name(model_name), **kwargs)
