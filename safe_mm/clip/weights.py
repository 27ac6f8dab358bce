"""From an open_clip tag or a local file to a plain state dict."""

import re
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import open_clip
import torch
from open_clip.pretrained import download_pretrained
from safetensors.torch import load_file

from ..checkpoint import safe_load, torch_load
from ..errors import InputError
from .architecture import QUICKGELU, SHIPPED
from .torchscript import is_torchscript, load_torchscript

CONNECT_TIMEOUT = 5  # seconds
HF_NAMES = ('open_clip_model.safetensors', 'open_clip_pytorch_model.bin')


def find_weights(model_name: str, pretrained: str) -> Path:
    """The local file for an open_clip tag (downloaded if need be) or a path.

    Args:
        model_name (str): Name of an open_clip architecture.
        pretrained (str): open_clip tag, such as ``'openai'``, the name of weights that come with
            the package, or a path.

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
    tags = weight_tags(model_name)
    raise InputError(
        f'clip.pretrained={pretrained!r} is neither a file nor an open_clip '
        f'tag of {model_name}. Give the path of a checkpoint, or one of the '
        f'tags {", ".join(tags) or "(this architecture has none)"}.'
    )


def weight_tags(model_name: str) -> List[str]:
    """open_clip's tags of an architecture, and the package's own weights."""
    return open_clip.list_pretrained_tags_by_model(model_name) + [
        path.stem[len(model_name) + 1 :]
        for path in sorted(SHIPPED.glob(f'{model_name}_*.safetensors'))
    ]


def _hub_files(tag_cfg: dict) -> Tuple[str, List[str]]:
    """Repository and possible file names of a tag kept on the HF hub."""
    repo, _, name = tag_cfg['hf_hub'].rpartition('/')
    return repo, [name] if name else list(HF_NAMES)


def _cached(tag_cfg: dict) -> Optional[Path]:
    """The file of a tag if an earlier download left it, without network."""
    if tag_cfg.get('hf_hub'):
        from huggingface_hub import try_to_load_from_cache

        repo, names = _hub_files(tag_cfg)
        found = [try_to_load_from_cache(repo, name) for name in names]
        for file in found:
            if isinstance(file, str):
                return Path(file)
    if tag_cfg.get('url'):
        path = Path('~/.cache/clip').expanduser() / Path(tag_cfg['url']).name
        return path if path.is_file() else None
    return None


def _download(model_name: str, tag: str, tag_cfg: dict) -> Path:
    url = tag_cfg.get('url')
    if tag_cfg.get('hf_hub'):
        from huggingface_hub import hf_hub_url

        repo, names = _hub_files(tag_cfg)
        url = hf_hub_url(repo, names[0])
    reason = _unreachable(url)
    if reason is None:
        try:
            return Path(download_pretrained(tag_cfg))
        except Exception as error:  # whatever the hub's client raises
            reason = str(error).strip().splitlines()[0]
    if tag_cfg.get('quick_gelu'):  # the tag tells; its file alone does not
        model_name += QUICKGELU
    raise InputError(
        f'the weights {tag!r} are not in the cache of this machine and cannot '
        f'be downloaded ({reason}). Fetch {url} on a machine with network, '
        f'copy the file here, and give its path: --clip {model_name}:PATH'
    )


def _unreachable(url: str) -> Optional[str]:
    """Why ``url`` cannot be reached, or None.

    Asked once, so that a machine without network fails in seconds instead of after a minute of
    retries.
    """
    try:
        request = urllib.request.Request(url, method='HEAD')
        urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        reason = getattr(error, 'reason', error)
        # An answer of any kind is one; certificates are the hub client's own matter.
        answered = isinstance(error, urllib.error.HTTPError)
        if not answered and not isinstance(reason, ssl.SSLError):
            return str(reason)
    return None


def read_state_dict(path: Path) -> Dict[str, torch.Tensor]:
    """Reads weights without running anything that a file may carry.

    Args:
        path (Path): ``.safetensors``, a checkpoint saved by ``torch.save`` (a state dict, or a dict
            with one under ``state_dict``), or a TorchScript archive.

    Returns:
        dict[str, Tensor]: Floating point tensors in float32, on the CPU.

    Raises:
        InputError: The file is damaged or holds more than plain tensors.
    """
    return safe_load(path, _read_state_dict)


def _read_state_dict(path: Path) -> Dict[str, torch.Tensor]:
    if path.suffix == '.safetensors':
        state = load_file(path)
    elif is_torchscript(path):
        state = load_torchscript(path)
    else:
        state = torch_load(path)
    if isinstance(state, dict):
        state = state.get('state_dict', state)
    if not isinstance(state, dict):
        raise InputError(f'{path} holds a {type(state).__name__}, not a state dict.')
    state = {
        re.sub(r'^module\.', '', str(key)): value
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    if not state:
        raise InputError(f'{path} holds no tensors: it is not a state dict.')
    return {
        key: value.float() if value.is_floating_point() else value for key, value in state.items()
    }
