"""Checks a config for unknown keys and types, before anything is loaded."""

import difflib
import inspect
from typing import Any, Callable, Iterable, Optional, Set

from mmengine import registry as mmengine_registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, TestLoop, ValLoop
from mmengine.runner.utils import set_random_seed
from mmpretrain import registry as mmpretrain_registry
from torch.utils.data import DataLoader

from . import registry
from .clip import SplitCLIP
from .errors import InputError

# Keys that mmengine takes out of a dict before it builds the type
EVERY_TYPE = {'type', '_scope_', '_delete_', 'priority'}
MORE = dict(
    optim_wrapper={'constructor', 'paramwise_cfg'},
    param_scheduler={'convert_to_iter_based'},
    train_cfg={'by_epoch'},
    dataloader={'dataset', 'num_batch_per_epoch'},
)
PLAIN = dict(
    env_cfg={'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    grid={'lr', 'weight_decay'},
    auto_scale_lr={'base_batch_size', 'enable'},
)
# Parts of a CLIPClassifier whose type need not be said
IMPLIED = {'model.clip': SplitCLIP, 'model.backbone': 'safe_mm.CLIPTrunk'}


def validate_config(cfg: Config) -> None:
    """Checks every dict of a config whose keys are known.

    Raises:
        InputError: Names the key or type, its place, and near matches.
    """
    loop = (
        IterBasedTrainLoop
        if not cfg.get('train_cfg', {}) or ('max_iters' in cfg.train_cfg)
        else EpochBasedTrainLoop
    )
    untyped = dict(
        train_cfg=loop,
        val_cfg=ValLoop,
        test_cfg=TestLoop,
        log_processor=LogProcessor,
        randomness=set_random_seed,
    )
    for name, node in cfg._cfg_dict.items():
        if name in PLAIN and isinstance(node, dict):
            check_keys(name, node, PLAIN[name])
        elif name in untyped and isinstance(node, dict):
            walk(name, node, untyped[name], MORE.get(name, set()))
        elif name.endswith('_dataloader') and isinstance(node, dict):
            walk(name, node, DataLoader, MORE['dataloader'])
        elif name in (
            'optim_wrapper',
            'param_scheduler',
            'visualizer',
            'default_hooks',
            'custom_hooks',
            'val_evaluator',
            'test_evaluator',
            'model',
            'tta_model',
        ):
            walk(name, node, None, MORE.get(name, set()))


def walk(path: str, node: Any, kind: Optional[Callable] = None, more: Iterable[str] = ()) -> None:
    """Checks a node of a config and all below it.

    Args:
        path (str): Where it is, for messages.
        node (Any): The node.
        kind (Callable, optional): What takes its keys, if it has no type.
        more (Iterable[str]): Keys that are allowed beside.
    """
    if isinstance(node, (list, tuple)):
        for number, child in enumerate(node):
            walk(f'{path}.{number}', child, None, more)
    if not isinstance(node, dict):
        return
    if 'type' in node:
        kind = find_type(path, node['type'])
    allowed = parameters(kind) if kind is not None else None
    if allowed is not None:
        check_keys(path, node, allowed | EVERY_TYPE | set(more))
    for key, child in node.items():
        implied = IMPLIED.get(f'{path}.{key}')
        walk(f'{path}.{key}', child, implied and find_type(path, implied))


def check_keys(path: str, node: dict, allowed: Set[str]) -> None:
    """Raises an InputError that names a key that is not allowed."""
    for key in node:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed)
            raise InputError(
                f'unknown key {path}.{key}. Near matches: '
                f'{", ".join(near) or "none"}; allowed: '
                f'{", ".join(sorted(allowed - EVERY_TYPE))}.'
            )


def find_type(path: str, name: Any) -> Optional[Callable]:
    """The class or function that a ``type`` names.

    Raises:
        InputError: Nothing is registered under that name.
    """
    if not isinstance(name, str):
        return name
    known: Set[str] = set()
    for module in (registry, mmpretrain_registry, mmengine_registry):
        for own in vars(module).values():
            if isinstance(own, Registry):
                found = own.get(name)
                if found is not None:
                    return found
                scope = f'{own.scope}.' if own.scope == 'safe_mm' else ''
                known |= {scope + key for key in own.module_dict}
    near = difflib.get_close_matches(name, known)
    raise InputError(
        f'{path}.type={name!r} is not known. Near matches: {", ".join(near) or "none"}.'
    )


def parameters(kind: Callable) -> Optional[Set[str]]:
    """Names of the parameters of a class or function; None if any will do.

    Where a class hands ``**kwargs`` on, those of its bases count, too.
    """
    if not inspect.isclass(kind):
        steps = [kind]
    else:
        steps = [vars(base)['__init__'] for base in kind.__mro__[:-1] if '__init__' in vars(base)]
    names: Set[str] = set()
    for step in steps:
        own = inspect.signature(step).parameters.values()
        names |= {p.name for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            return names - {'self'}
    return None
