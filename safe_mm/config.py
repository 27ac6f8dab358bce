"""From a config file and command line options to a config ready to run."""
import atexit
import difflib
import inspect
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

import torch
import torch.distributed as dist
from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.utils import digit_version

from .errors import InputError

# Settings that a config need not have: what mmengine's Runner and the tools
# look up, and what other configs of a sweep have
OPTIONAL = ('find_unused_parameters', 'model_wrapper_cfg', 'sync_bn',
            'compile', 'activation_checkpointing', 'efficient_conv_bn_eval',
            'tta_model', 'tta_pipeline', 'variants', 'grid', 'search')
# Given as options, these rule wherever they occur in a config. The top level's
# clip always does: components of different CLIPs do not fit together.
SHARED_KEYS = ('clip', 'data_root', 'task', 'shots', 'seed')


def add_common_options(parser: ArgumentParser,
                       configs: Optional[str] = None) -> None:
    """Options that training and testing have in common.

    Args:
        parser (ArgumentParser): The tool's.
        configs (str, optional): '+' for a tool that takes several configs.
            Defaults to None.
    """
    parser.add_argument('config', nargs=configs, help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument('--data-root', help='folder of the datasets')
    parser.add_argument('--shots', type=int, help='training images a class')
    parser.add_argument(
        '--seed',
        type=int,
        help='seed of the few-shot sample and of the training run')
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--no-pin-memory', action='store_true')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='override settings of the config, in the form key=value; lists '
        'as key="[a,b]"')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: Namespace) -> Config:
    """Reads the config file and applies the common options.

    Args:
        args (Namespace): Parsed from :func:`add_common_options`.

    Raises:
        InputError: No such file, or an option that cannot work here.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(find_config(args.config))
    check_options(cfg, args.cfg_options)
    given = {option.split('.')[0] for option in args.cfg_options}
    cfg.merge_from_dict(args.cfg_options)
    for key in SHARED_KEYS:
        option = getattr(args, key, None)
        if option is not None:
            cfg[key] = option
        rules = option is not None or key in given or key == 'clip'
        count = rules and key in cfg and share(cfg._cfg_dict, key, cfg[key])
        if option is not None and not count:
            raise InputError(f'--{key.replace("_", "-")} has no effect: '
                             f'nothing in {args.config} has {key}.')
    cfg.merge_from_dict(args.cfg_options)  # a nested option has the last word
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or default_work_dir(
        cfg, args.config, getattr(args, 'seeds', []))
    if 'store' in cfg.get('default_hooks', {}) and not cfg.default_hooks.store:
        cfg.default_hooks.pop('store')  # mmengine takes None for its own only
    fit_to_machine(cfg, args)
    return cfg


def has_fused_adamw() -> bool:
    """Whether torch's AdamW can update all weights in one pass over them."""
    return torch.cuda.is_available() or digit_version(
        torch.__version__) >= digit_version('2.4')


def fit_to_machine(cfg: Config, args: Namespace) -> None:
    """Sets what depends on the processors and the version of torch.

    Raises:
        InputError: An option needs a GPU, and there is none.
    """
    gpu = torch.cuda.is_available()
    if args.amp and not gpu:
        raise InputError('--amp needs a GPU, and this machine has none that '
                         'torch can use. Run without --amp.')
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer', {})
    if optimizer.get('type') == 'AdamW' and has_fused_adamw():
        optimizer.setdefault('fused', True)  # one pass over the weights
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(loader):
            cfg[loader].setdefault('pin_memory',
                                   gpu and not args.no_pin_memory)
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
    raise InputError(f'the config file {path} does not exist, neither here '
                     f'nor among those of the package in {carried.parents[1]}')


def check_options(cfg: Config, options: dict) -> None:
    """Refuses settings of what is not there, which would have no effect.

    Raises:
        InputError: Names the setting, and where one of that name is.
    """
    known = {*cfg, *inspect.signature(Runner.__init__).parameters, *OPTIONAL}
    for option in options:
        first = option.split('.')[0]
        if first not in known:
            near = [path for path in paths_of(cfg._cfg_dict)
                    if path.endswith(f'.{option}')]
            near += difflib.get_close_matches(first, known)
            raise InputError(
                f'--cfg-options {option}: the config has no {first!r}. Near '
                f'matches: {", ".join(near) or "none"}.')


def paths_of(node: Any, path: str = '') -> Iterator[str]:
    """Of all settings of a config, in the form of ``--cfg-options``."""
    items = node.items() if isinstance(node, dict) else (
        enumerate(node) if isinstance(node, (list, tuple)) else ())
    for key, child in items:
        yield f'{path}{key}'
        yield from paths_of(child, f'{path}{key}.')


def share(node: Any, key: str, value: Any, top: bool = True) -> int:
    """Sets ``key`` to ``value`` wherever it occurs below the top level.

    Returns:
        int: In how many places it was set.
    """
    if isinstance(node, (list, tuple)):
        return sum(share(child, key, value, top=False) for child in node)
    if not isinstance(node, dict):
        return 0
    count = 0
    for name, child in list(node.items()):
        if name == key and not top:
            node[name] = value
            count += 1
        elif name not in SHARED_KEYS:
            count += share(child, key, value, top=False)
    return count


def default_work_dir(cfg: Config, config_file: str,
                     seeds: Sequence[int] = ()) -> str:
    """``work_dirs/CONFIG``, and a folder for each few-shot task."""
    run = [str(cfg.task)] if 'task' in cfg else []
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
        raise InputError(f'--launcher {cfg.launcher} needs GPUs. Without any,'
                         ' use torchrun (tools/dist_train.sh).')
    if not dist.is_initialized():
        dist.init_process_group('gloo')
        # Left to itself, it may abort a process that is about to end
        atexit.register(
            lambda: dist.is_initialized() and dist.destroy_process_group())
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    print_log(
        f'{dist.get_world_size()} processes without a GPU, joined by gloo',
        'current')
