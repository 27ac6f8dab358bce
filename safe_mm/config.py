"""From a config file and command line options to a config ready to run."""

import atexit
import difflib
import inspect
import os
from argparse import Namespace
from copy import deepcopy
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Tuple

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import digit_version

from .clip import preprocess_cfg
from .clip.architecture import base_name
from .clip.weights import weight_tags
from .datasets.classes import read_classes
from .errors import InputError
from .validate import validate_config

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
    'grid',
    'search',
)
# Given as options, these are set wherever they occur in a config
EVERYWHERE = ('data_root', 'shots', 'seed')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def load_config(args: Namespace) -> Config:
    """Reads the config file and applies the common options.

    Args:
        args (Namespace): Of :func:`safe_mm.options.add_common_options`.

    Raises:
        InputError: No such file, or an option that cannot work here.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(find_config(args.config))
    check_options(cfg, args.cfg_options)
    if args.dataset:
        use_dataset(cfg, args.dataset)
    if args.clip:
        use_clip(cfg, *parse_clip(args.clip))
    merge_options(cfg, args.cfg_options)
    for key in EVERYWHERE:
        option = getattr(args, key, None)
        if option is not None:
            cfg[key] = option
        if option is not None or key in args.cfg_options:
            count = set_everywhere(cfg._cfg_dict, key, cfg[key])
            if option is not None and not count:
                raise InputError(
                    f'--{key.replace("_", "-")} has no effect: nothing in {args.config} has {key}.'
                )
    merge_options(cfg, args.cfg_options)  # nested options have priority
    cfg.work_dir = (
        args.work_dir
        or cfg.get('work_dir')
        or default_work_dir(cfg, args.config, getattr(args, 'seeds', []))
    )
    hooks = cfg.get('default_hooks', {})
    if 'feature_cache' in hooks and not hooks.feature_cache:
        hooks.pop('feature_cache')  # mmengine takes None for its own only
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    validate_config(cfg)
    name_classes(cfg)
    apply_hardware_defaults(cfg, args)
    return cfg


def merge_options(cfg: Config, options: dict) -> None:
    """Applies ``--cfg-options``.

    Raises:
        InputError: A list is indexed beyond its end, or by a name.
    """
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f'--cfg-options {" ".join(options)}: {error}') from None


def name_classes(cfg: Config) -> None:
    """Writes class names and templates into the config.

    The config in a work dir then builds its model without the data.
    """
    model = cfg.get('model', {})
    if isinstance(model.get('classes'), dict):
        names, templates = read_classes(model.classes, model.get('templates'))
        model.classes, model.templates = list(names), templates


def has_fused_adamw() -> bool:
    """Whether torch's AdamW can update all weights in one pass over them."""
    return torch.cuda.is_available() or digit_version(torch.__version__) >= digit_version('2.4')


def apply_hardware_defaults(cfg: Config, args: Namespace) -> None:
    """Sets what depends on the processors and the version of torch.

    Raises:
        InputError: An option needs a GPU, and there is none.
    """
    gpu = torch.cuda.is_available()
    if args.amp and not gpu:
        raise InputError('--amp needs a GPU, and torch finds none. Run without --amp.')
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer', {})
    if optimizer.get('type') == 'AdamW' and has_fused_adamw():
        optimizer.setdefault('fused', True)  # one pass over the weights
    for loader in LOADERS:
        if cfg.get(loader):
            cfg[loader].setdefault('pin_memory', gpu and not args.no_pin_memory)
            if not cfg[loader].num_workers:
                cfg[loader].persistent_workers = False
    cfg.launcher = args.launcher
    if args.launcher != 'none' and not gpu:
        join_processes_without_gpu(cfg)


def find_config(path: str) -> str:
    """``path``, or the config of that name that came with the package."""
    carried = Path(__file__).parent / '.mim' / 'configs' / path
    for candidate in (Path(path), carried):
        if candidate.is_file():
            return str(candidate)
    raise InputError(
        f'the config file {path} does not exist, neither here '
        f'nor among those of the package in {carried.parents[1]}'
    )


def check_options(cfg: Config, options: dict) -> None:
    """Refuses settings of what is not there, which would have no effect.

    Raises:
        InputError: Names the setting, and where one of that name is.
    """
    known = {*cfg, *inspect.signature(Runner.__init__).parameters, *OPTIONAL}
    for option in options:
        first = option.split('.')[0]
        if first not in known:
            near = [path for path in paths_of(cfg._cfg_dict) if path.endswith(f'.{option}')]
            near += difflib.get_close_matches(first, known)
            raise InputError(
                f'--cfg-options {option}: the config has no {first!r}. Near '
                f'matches: {", ".join(near) or "none"}.'
            )


def paths_of(node: Any, path: str = '') -> Iterator[str]:
    """Of all settings of a config, in the form of ``--cfg-options``."""
    items = (
        node.items()
        if isinstance(node, dict)
        else (enumerate(node) if isinstance(node, (list, tuple)) else ())
    )
    for key, child in items:
        yield f'{path}{key}'
        yield from paths_of(child, f'{path}{key}.')


def set_everywhere(node: Any, key: str, value: Any, top: bool = True) -> int:
    """Sets ``key`` to ``value`` wherever it occurs below the top level.

    Returns:
        int: In how many places it was set.
    """
    if isinstance(node, (list, tuple)):
        return sum(set_everywhere(child, key, value, False) for child in node)
    if not isinstance(node, dict):
        return 0
    count = 0
    for name, child in list(node.items()):
        if name == key and not top:
            node[name] = value
            count += 1
        elif name not in EVERYWHERE:
            count += set_everywhere(child, key, value, False)
    return count


def parse_clip(text: str) -> Tuple[str, Optional[str]]:
    """'NAME:WEIGHTS' -> both; without WEIGHTS, OpenAI's or the package's.

    Raises:
        InputError: There are no such weights of this architecture.
    """
    name, _, weights = text.partition(':')
    if weights:
        return name, None if weights == 'None' else weights
    tags = weight_tags(base_name(name))
    if not tags:
        raise InputError(
            f'--clip {text} needs weights: --clip {text}:WEIGHTS, a file, or None for random ones.'
        )
    return name, 'openai' if 'openai' in tags else tags[0]


def use_clip(cfg: Config, model_name: str, pretrained: Optional[str]) -> None:
    """Puts a CLIP, with its view of a picture, in place of the config's."""
    cfg.model.clip = dict(model_name=model_name, pretrained=pretrained)
    view = preprocess_cfg(model_name, pretrained)
    for step in find_types(cfg._cfg_dict, 'safe_mm.CLIPCrop', 'safe_mm.CLIPRandomCrop'):
        step.update(size=view.size, interpolation=view.interpolation, resize_mode=view.resize_mode)


def find_types(node: Any, *names: str) -> Iterator[dict]:
    """All dicts of a config with one of these types."""
    if isinstance(node, dict):
        if node.get('type') in names:
            yield node
        node = list(node.values())
    for child in node if isinstance(node, (list, tuple)) else ():
        yield from find_types(child, *names)


def dataset_base(name: str) -> Config:
    """The config base of a dataset, such as 'dtd'.

    Raises:
        InputError: There is none of that name.
    """
    folder = Path(find_config('_base_/datasets/caltech101.py')).parent
    bases = {path.stem: path for path in sorted(folder.glob('*.py'))}
    if name not in bases:
        near = difflib.get_close_matches(name, bases) or bases
        raise InputError(f'the dataset {name!r} is not known; there are {", ".join(near)}.')
    return Config.fromfile(bases[name])


def use_dataset(cfg: Config, name: str) -> None:
    """Puts a dataset in place of the config's.

    What says which images there are is replaced; views and few-shot samples stay.

    Raises:
        InputError: There is no such dataset, or the config has no ``dataset``.
    """
    base = dataset_base(name)
    if not isinstance(cfg.get('dataset'), dict):
        raise InputError(f'--dataset {name} has no effect: the config has no dataset=dict(...).')
    nodes = [cfg[loader].dataset for loader in LOADERS if cfg.get(loader)]
    for node in nodes:
        for key in cfg.dataset:
            node.pop(key, None)
        node.update(deepcopy(base.dataset))
    cfg.dataset = base.dataset
    cfg.model.classes = deepcopy(base.dataset)
    cfg.pop('variants', None)
    if 'variants' in base:
        cfg.variants = base.variants
    cfg.dataset_name = name


def default_work_dir(cfg: Config, config_file: str, seeds: Sequence[int] = ()) -> str:
    """``work_dirs/CONFIG``, and a folder for each few-shot task."""
    run = [cfg.dataset_name] if 'dataset_name' in cfg else []
    names = {key: cfg[key] for key in ('shots', 'seed') if key in cfg}
    if seeds:
        names['seed'] = '-'.join(map(str, seeds))
    run += [f'{key}{name}' for key, name in names.items()]
    return str(Path('work_dirs', Path(config_file).stem, '_'.join(run)))


def join_processes_without_gpu(cfg: Config) -> None:
    """Makes the process group by gloo; mmengine's own way asks for CUDA.

    Raises:
        InputError: The launcher is not torchrun.
    """
    if cfg.launcher != 'pytorch':
        raise InputError(
            f'--launcher {cfg.launcher} needs GPUs. Without any,'
            ' use torchrun (tools/dist_train.sh).'
        )
    if not dist.is_initialized():
        dist.init_process_group('gloo')
        # Left to itself, it may abort a process that is about to end
        atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())
    cfg.model_wrapper_cfg = dict(
        type='safe_mm.DistributedClassifier',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    print_log(f'{dist.get_world_size()} processes without a GPU, joined by gloo', 'current')
