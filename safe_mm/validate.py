"""Checks a config for unknown keys and types, before anything is loaded."""

import inspect
from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Set, Tuple

from mmengine import registry as mmengine_registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    LogProcessor,
    Runner,
    TestLoop,
    ValLoop,
)
from mmengine.runner.utils import set_random_seed
from mmpretrain import registry as mmpretrain_registry
from torch.utils.data import DataLoader

from . import registry
from .clip import SplitCLIP
from .errors import InputError, near_matches
from .values import check_ranges, check_schedule, check_top_level, check_types

# Settings that a config need not have: what mmengine's Runner and the tools look up, and what other
# configs of a sweep have
OPTIONAL = (
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
    'compile',
    'activation_checkpointing',
    'efficient_conv_bn_eval',
    'tta_model',
    'tta_pipeline',
    'variants',
    'new_classes',
    'interpolations',
    'grid',
    'search',
)
# Keys that mmengine takes out of a dict before it builds the type
EVERY_TYPE = {'type', '_scope_', '_delete_', 'priority'}
LOADER = {'dataset', 'num_batch_per_epoch'}
MORE = dict(
    optim_wrapper={'constructor', 'paramwise_cfg'},
    param_scheduler={'convert_to_iter_based'},
    train_cfg={'by_epoch'},
    train_dataloader=LOADER,
    val_dataloader=LOADER,
    test_dataloader=LOADER,
)
# The same, below the top level
NESTED: Dict[str, Set[str]] = {'model.reparametrize': {'patterns'}}
# Whose parts have types of their own
TYPED = (
    'optim_wrapper',
    'param_scheduler',
    'visualizer',
    'default_hooks',
    'custom_hooks',
    'val_evaluator',
    'test_evaluator',
    'model',
    'tta_model',
)
PLAIN = dict(
    env_cfg={'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    grid={'lr', 'weight_decay'},
    auto_scale_lr={'base_batch_size', 'enable'},
)
# Parts of a CLIPClassifier whose type need not be said
IMPLIED: Dict[str, Any] = {
    'model.clip': SplitCLIP,
    'model.backbone': 'safe_mm.CLIPTrunk',
    'model.data_preprocessor': 'safe_mm.CLIPDataPreprocessor',
}
# Parts that a CLIPClassifier hands its CLIP
CLIP_PARTS = ('model.backbone', 'model.neck', 'model.head')


def validate_options(cfg: Config, options: Iterable[str]) -> None:
    """Refuses ``--cfg-options`` that set what nothing looks up.

    Raises:
        InputError: Names the option, and settings with such a name.
    """
    check_top_level(cfg._cfg_dict)
    known = {*cfg, *inspect.signature(Runner.__init__).parameters, *OPTIONAL}
    for option in options:
        first = option.split('.')[0]
        if first not in known:
            paths = [f'{path}{key}' for path, own in dicts_of(cfg._cfg_dict) for key in own]
            near = [path for path in paths if path.endswith(f'.{option}')]
            raise InputError(
                f'--cfg-options {option}: the config has no {first!r}. Near '
                f'matches: {", ".join(near) or near_matches(first, known)}.'
            )


def dicts_of(node: Any, path: str = '') -> Iterator[Tuple[str, dict]]:
    """All dicts of a config; before each the start of its keys' ``--cfg-options``."""
    children: Iterable[Tuple[Any, Any]] = ()
    if isinstance(node, dict):
        yield path, node
        children = list(node.items())
    elif isinstance(node, (list, tuple)):
        children = enumerate(node)
    for key, child in children:
        yield from dicts_of(child, f'{path}{key}.')


def validate_config(cfg: Config) -> None:
    """Checks every dict of a config whose keys are known.

    Raises:
        InputError: Names the key or type, its place, and near matches.
    """
    check_top_level(cfg._cfg_dict)
    length = cfg.get('train_cfg') or {'max_iters': 0}
    untyped: Dict[str, Callable] = dict(
        train_cfg=IterBasedTrainLoop if 'max_iters' in length else EpochBasedTrainLoop,
        val_cfg=ValLoop,
        test_cfg=TestLoop,
        log_processor=LogProcessor,
        randomness=set_random_seed,
        train_dataloader=DataLoader,
        val_dataloader=DataLoader,
        test_dataloader=DataLoader,
    )
    for path, own in dicts_of(cfg._cfg_dict):
        for key, value in own.items():
            check_ranges(f'{path}{key}', value)
    check_schedule(cfg.get('param_scheduler'))
    for name, node in cfg._cfg_dict.items():
        if name in PLAIN and isinstance(node, dict):
            check_keys(name, node, PLAIN[name])
        elif name in untyped or name in TYPED:
            walk(name, node, untyped.get(name), MORE.get(name, ()))


def walk(path: str, node: Any, kind: Optional[Callable] = None, more: Iterable[str] = ()) -> None:
    """Checks a node of a config and all below it.

    Keys of a node without a type are those that ``kind`` takes, and ``more`` in any case.
    """
    if isinstance(node, (list, tuple)):
        for number, child in enumerate(node):
            walk(f'{path}.{number}', child, None, more)
    if not isinstance(node, dict):
        return
    if 'type' in node:
        kind = find_type(path, node['type'])
    allowed = parameters(kind) if kind is not None else None
    if path in CLIP_PARTS and allowed is not None and 'clip' not in allowed:
        raise InputError(
            f'{path}.type={node["type"]!r} takes no clip and cannot be a part of this model.'
        )
    if allowed is not None:
        check_keys(path, node, allowed | EVERY_TYPE | set(more))
    if kind is not None:
        check_types(path, node, kind)
    for key, child in node.items():
        implied = IMPLIED.get(f'{path}.{key}')
        more_of = NESTED.get(f'{path}.{key}', ())
        walk(f'{path}.{key}', child, implied and find_type(path, implied), more_of)


def check_keys(path: str, node: dict, allowed: Set[str]) -> None:
    """Raises an InputError that names a key that is not allowed."""
    for key in node:
        if key not in allowed:
            raise InputError(
                f'unknown key {path}.{key}. Near matches: {near_matches(key, allowed)}; '
                f'allowed: {", ".join(sorted(allowed - EVERY_TYPE))}.'
            )


def find_type(path: str, name: Any) -> Optional[Callable]:
    """The class or function that a ``type`` names.

    Raises:
        InputError: Nothing is registered under that name.
    """
    if callable(name):
        return name
    modules = (registry, mmpretrain_registry, mmengine_registry)
    registries = [r for m in modules for r in vars(m).values() if isinstance(r, Registry)]
    known = {
        (f'{own.scope}.' if own.scope == 'safe_mm' else '') + key: kind
        for own in reversed(registries)  # so that the first one counts
        for key, kind in own.module_dict.items()
    }
    if isinstance(name, str) and name:
        if name in known:
            return known[name]
        for own in registries:  # which import what they hold, and know names of modules
            found = own.get(name)
            if found is not None:
                return found
    raise InputError(
        f'{path}.type={name!r} is not known. Near matches: {near_matches(name, known)}.'
    )


def parameters(kind: Callable) -> Optional[Set[str]]:
    """Names of the parameters of a class or function; None if any will do.

    Where a class hands ``**kwargs`` on, those of its bases count, too.
    """
    steps = [kind]
    if inspect.isclass(kind):
        steps = [vars(base)['__init__'] for base in kind.__mro__[:-1] if '__init__' in vars(base)]
    names: Set[str] = set()
    for step in steps:
        own = inspect.signature(step).parameters.values()
        names |= {p.name for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            return names - {'self'}
    return None
