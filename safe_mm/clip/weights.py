"""From an open_clip tag or a local file to a plain state dict."""

import re
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import open_clip
import torch
from huggingface_hub import hf_hub_url, try_to_load_from_cache
from open_clip.pretrained import download_pretrained
from safetensors.torch import load_file

from ..checkpoint import safe_load, torch_load
from ..errors import InputError, first_line
from .architecture import QUICKGELU, SHIPPED
from .torchscript import is_torchscript, load_torchscript

CONNECT_TIMEOUT = 5  # seconds
HF_NAMES = ('open_clip_model.safetensors', 'open_clip_pytorch_model.bin')


def find_weights(model_name: str, pretrained: str) -> Path:
    """The local file of an open_clip tag (downloaded if necessary) or of a path.

    ``pretrained`` may also be the name of weights that come with the package.

    Raises:
        InputError: No such tag or file, or the tag's file is not in the cache and its host cannot
            be reached.
    """
    tag_cfg = open_clip.get_pretrained_cfg(model_name, pretrained)
    if tag_cfg:
        return _cached(tag_cfg) or _download(model_name, pretrained, tag_cfg)
    shipped = SHIPPED / f'{model_name}_{pretrained}.safetensors'
    for path in (shipped, Path(pretrained).expanduser()):
        if path.is_file():
            return path
    tags = ', '.join(weight_tags(model_name)) or '(this architecture has none)'
    raise InputError(
        f'clip.pretrained={pretrained!r} is neither a file nor an open_clip tag of {model_name}. '
        f'Give the path of a checkpoint, or one of the tags {tags}.'
    )


def weight_tags(model_name: str) -> List[str]:
    """open_clip's tags of an architecture, and the package's own weights."""
    return open_clip.list_pretrained_tags_by_model(model_name) + [
        path.stem[len(model_name) + 1 :]
        for path in sorted(SHIPPED.glob(f'{model_name}_*.safetensors'))
    ]


def _cached(tag_cfg: dict) -> Optional[Path]:
    """The file of a tag if an earlier download left it, without network."""
    for repo, name in _hub_files(tag_cfg):
        file = try_to_load_from_cache(repo, name)
        if isinstance(file, str):
            return Path(file)
    if tag_cfg.get('url'):
        path = Path('~/.cache/clip').expanduser() / Path(tag_cfg['url']).name
        return path if path.is_file() else None
    return None


def _hub_files(tag_cfg: dict) -> List[Tuple[str, str]]:
    """Repository and name of each file that a tag may have on Hugging Face's hub."""
    repo, _, name = tag_cfg.get('hf_hub', '').rpartition('/')
    return [(repo, file) for file in ([name] if name else HF_NAMES)] if repo else []


def _download(model_name: str, tag: str, tag_cfg: dict) -> Path:
    hub_files = _hub_files(tag_cfg)
    url = hf_hub_url(*hub_files[0]) if hub_files else tag_cfg['url']
    reason = _unreachable(url)
    if reason is None:
        try:
            return Path(download_pretrained(tag_cfg))
        except Exception as error:  # the hub's client raises many types
            reason = first_line(error)
    if tag_cfg.get('quick_gelu'):  # known of the tag, not of its file
        model_name += QUICKGELU
    raise InputError(
        f'the weights {tag!r} are not cached on this machine and cannot be downloaded ({reason}). '
        f'Download {url} on a machine with network, copy the file here, and give its path: --clip '
        f'{model_name}:PATH'
    )


def _unreachable(url: str) -> Optional[str]:
    """Why ``url`` cannot be reached, or None.

    Asked once, so that a machine without network fails in seconds, not after minutes of retries.
    """
    request = urllib.request.Request(url, method='HEAD')
    try:
        urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT).close()
    except urllib.error.HTTPError:
        return None  # the host answers
    except OSError as error:
        reason = getattr(error, 'reason', error)
        if not isinstance(reason, ssl.SSLError):  # the hub's client has certificates of its own
            return str(reason)
    return None


def read_state_dict(path: Path) -> Dict[str, torch.Tensor]:
    """Reads weights without running any code in the file.

    The file is ``.safetensors``, a checkpoint saved by ``torch.save`` (a state dict, or a dict with
    one under ``state_dict``), or a TorchScript archive. Tensors are on the CPU, those of floating
    point in float32.

    Raises:
        InputError: The file is damaged or holds more than plain tensors.
    """
    return safe_load(path, _read_state_dict)


def _read_state_dict(path: Path) -> Dict[str, torch.Tensor]:
    content: Any
    if path.suffix == '.safetensors':
        content = load_file(path)
    elif is_torchscript(path):
        content = load_torchscript(path)
    else:
        content = torch_load(path)
    if isinstance(content, dict):
        content = content.get('state_dict', content)
    if not isinstance(content, dict):
        raise InputError(f'{path} holds a {type(content).__name__}, not a state dict.')
    state = {
        re.sub(r'^module\.', '', str(key)): value.float() if value.is_floating_point() else value
        for key, value in content.items()
        if isinstance(value, torch.Tensor)
    }
    if not state:
        raise InputError(f'{path} holds no tensors: it is not a state dict.')
    return state
