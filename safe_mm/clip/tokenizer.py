"""The tokenizer of a CLIP, from open_clip."""

from pathlib import Path
from typing import Callable, List

import open_clip
from open_clip.tokenizer import HFTokenizer

from ..errors import InputError, first_line
from .architecture import SHIPPED, model_config, open_clip_name, require_transformers


def get_tokenizer(model_name: str) -> Callable:
    """Sentences -> token ids of shape (len(sentences), context length).

    A ``bpe_path`` among the ``tokenizer_kwargs`` of an open_clip JSON file is a path relative to
    that file.

    Raises:
        InputError: A tokenizer of Hugging Face cannot be loaded.
    """
    cfg = model_config(model_name)['text_cfg']
    name = open_clip_name(model_name)
    kwargs = dict(cfg.get('tokenizer_kwargs') or {})
    if 'bpe_path' in kwargs:
        is_file = model_name.endswith('.json')
        folder = Path(model_name).expanduser().parent if is_file else SHIPPED
        kwargs['bpe_path'] = str(folder / kwargs['bpe_path'])
    by_name = 'that of SigLIP' if 'siglip' in name.lower() else None  # as open_clip does
    source = cfg.get('hf_tokenizer_name') or by_name
    if not source:
        return open_clip.get_tokenizer(name, **kwargs)
    require_transformers(f'the tokenizer of {model_name}')
    try:
        if not Path(source).is_dir():
            return open_clip.get_tokenizer(name, **kwargs)
        # Perhaps in a package, whose place open_clip does not know
        more = {key: cfg[key] for key in ('context_length', 'tokenizer_mode') if key in cfg}
        return HFTokenizer(source, **more, **kwargs)
    except Exception as error:  # transformers and the hub raise many types
        raise InputError(
            f'the tokenizer of {model_name} ({source}, of Hugging Face) cannot be loaded: '
            f'{first_line(error)} Connect to the network to download it once; or copy its files '
            'into a local folder, and set text_cfg.hf_tokenizer_name to that folder in a copy of '
            "the architecture's JSON file."
        ) from None


def token_counts(tokenize: Callable, texts: List[str]) -> List[int]:
    """Tokens of each sentence, start and end included, as if the context were long enough."""
    longest = max(len(text.encode()) for text in texts) + 3  # a token has at least a byte
    (padding,) = tokenize([''], context_length=longest)[:, -1].tolist()
    return (tokenize(texts, context_length=longest) != padding).sum(1).tolist()
