"""Modules whose checkpoint has a hash in place of CLIP's frozen weights."""

import hashlib
from typing import Dict, List, Optional, Set

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import nn

from ..errors import InputError

HASH = 'frozen_sha256'


def frozen_keys(module: nn.Module) -> List[str]:
    """Names of the tensors that training leaves unchanged, sorted.

    These are the frozen parameters, and the persistent buffers of modules whose parameters are all
    frozen (statistics of a frozen BatchNorm).
    """
    keys = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    for name, child in module.named_modules():
        own = list(child.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            keys += persistent_buffers(child, name)
    return sorted(keys)


def persistent_buffers(module: nn.Module, name: str = '') -> Dict[str, torch.Tensor]:
    """A module's own buffers that its state dict has, by their names below its own."""
    prefix = name + '.' if name else ''
    return {
        prefix + key: buffer
        for key, buffer in module.named_buffers(recurse=False)
        if key not in module._non_persistent_buffers_set
    }


def digest(tensors: Dict[str, torch.Tensor]) -> str:
    """SHA-256 of tensors, by name and content."""
    sha = hashlib.sha256()
    for key in sorted(tensors):
        sha.update(key.encode())
        tensor = tensors[key].detach().cpu().contiguous()
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


class SlimModule(BaseModule):
    """Has the SHA-256 of CLIP's frozen weights in its state dict, and not the weights.

    It is verified on loading by whatever loads a checkpoint (Runner, ``get_model``, an inferencer,
    EMA).

    Args:
        source (str): Name of the CLIP, for messages.
        init_cfg (dict, optional): mmengine's initialization config.

    Raises:
        InputError: On loading, if the frozen weights are of another CLIP.
    """

    def __init__(self, source: str, init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self._source = source
        self._loaded: Set[str] = set()  # not CLIP's: always saved
        self._hashes: Dict[tuple, str] = {}
        self._frozen: Optional[List[str]] = None
        self._register_state_dict_hook(_leave_out_frozen)

    def frozen_hash(self, keys: List[str]) -> str:
        """SHA-256 of these tensors, computed once."""
        if tuple(keys) not in self._hashes:
            tensors = _tensors(self)
            self._hashes[tuple(keys)] = digest({k: tensors[k] for k in keys})
        return self._hashes[tuple(keys)]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        expected = state_dict.pop(prefix + HASH, None)
        own = _tensors(self)
        missing = sorted(k for k in own if prefix + k not in state_dict)
        self._loaded |= own.keys() - set(missing)
        if expected is not None and missing:
            found = self.frozen_hash(missing)
            if bytes(expected.cpu().tolist()).hex() != found:
                raise InputError(
                    'the checkpoint does not fit the model: it was trained '
                    f'with other frozen weights than {self._source}. Use the '
                    'config in its work dir, or the same --clip.'
                )
            state_dict.update({prefix + k: own[k] for k in missing})
        super()._load_from_state_dict(state_dict, prefix, *args)


def note_frozen(model: nn.Module) -> None:
    """Notes what is frozen in the modules of a model, for copies that freeze all (EMA)."""
    for module in model.modules():
        if isinstance(module, SlimModule):
            module._frozen = frozen_keys(module)


def _tensors(module: nn.Module) -> Dict[str, torch.Tensor]:
    """All parameters and persistent buffers by name."""
    tensors: Dict[str, torch.Tensor] = dict(module.named_parameters())
    for name, child in module.named_modules():
        tensors.update(persistent_buffers(child, name))
    return tensors


def _leave_out_frozen(module: SlimModule, state: dict, prefix: str, local_metadata: dict) -> None:
    frozen = frozen_keys(module) if module._frozen is None else module._frozen
    keys = [key for key in frozen if key not in module._loaded]
    if keys:
        sha = np.frombuffer(bytes.fromhex(module.frozen_hash(keys)), np.uint8)
        state[prefix + HASH] = torch.from_numpy(sha.copy())
    for key in keys:
        state.pop(prefix + key, None)
