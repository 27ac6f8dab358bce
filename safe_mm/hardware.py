"""Settings that depend on the processors and the version of torch."""

import atexit
from argparse import Namespace

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.utils import digit_version

from .errors import InputError


def has_fused_adamw() -> bool:
    """Whether torch's AdamW can update all weights in one pass over them."""
    return torch.cuda.is_available() or digit_version(torch.__version__) >= digit_version('2.4')


def apply_hardware_defaults(cfg: Config, args: Namespace) -> None:
    """Sets what depends on the machine in a config.

    Raises:
        InputError: An option needs a GPU, and there is none.
    """
    gpu = torch.cuda.is_available()
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer', {})
    if optimizer.get('type') == 'AdamW' and has_fused_adamw():
        optimizer.setdefault('fused', True)
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader')
        if loader:
            loader.setdefault('pin_memory', gpu and not args.no_pin_memory)
            if not loader.num_workers:
                loader.persistent_workers = False
    cfg.launcher = args.launcher
    if args.launcher != 'none' and not gpu:
        join_processes_without_gpu(cfg)


def join_processes_without_gpu(cfg: Config) -> None:
    """Makes the process group by gloo; mmengine's own way needs CUDA.

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
        atexit.register(leave_processes)  # left alone, gloo may abort a process that ends
    cfg.model_wrapper_cfg = dict(
        type='safe_mm.DistributedClassifier',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    print_log(f'{dist.get_world_size()} processes without a GPU, joined by gloo', 'current')


def leave_processes() -> None:
    """Ends the process group, if it is not yet."""
    if dist.is_initialized():
        dist.destroy_process_group()
