"""What tests share: small CLIPs, drawn pictures, the tools as functions."""

import gc
import json
import runpy
import shutil
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable

import open_clip
import pytest
import torch
from mmengine import load
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.visualization import UniversalVisualizer

from safe_mm.checkpoint import read_checkpoint
from safe_mm.config import load_config
from safe_mm.datasets.splits import read_folders
from safe_mm.options import add_common_options

from .shapes import draw_shapes

ROOT = Path(__file__).parents[1]
TINY_RN = str(ROOT / 'tests' / 'data' / 'tiny-rn.json')
TINY_VIT = str(ROOT / 'tests' / 'data' / 'tiny-vit.json')
TINY = {'ResNet': TINY_RN, 'ViT': TINY_VIT}
CONFIG = str(ROOT / 'tests' / 'data' / 'tiny.py')

# On a GPU, too, two runs are compared to the digit.
torch.backends.cudnn.deterministic = True
torch.backends.cudnn.allow_tf32 = False
# Tests start many short runs: no worker processes, and a schedule to match.
SHORT = [
    'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
    'param_scheduler.0.end=4',
    'param_scheduler.1.begin=4',
]


def short(iters: int, *more: str) -> list:
    """Options for a run of ``iters`` iterations."""
    return [
        '--cfg-options',
        *SHORT,
        f'train_cfg.max_iters={iters}',
        f'param_scheduler.1.end={iters}',
        *more,
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What shares fixtures runs in one process: a file, or a method of the matrix."""
    for item in items:
        method = item.callspec.params.get('method') if hasattr(item, 'callspec') else None
        item.add_marker(pytest.mark.xdist_group(getattr(method, 'id', item.path.name)))


@pytest.fixture(scope='session', autouse=True)
def plain_configs():
    """Configs are not formatted by yapf, which costs time in each of many short runs.

    mmengine's fork does without it.
    """
    with pytest.MonkeyPatch.context() as patch:
        same = lambda text, **kwargs: (text, True)  # noqa: E731
        patch.setattr('mmengine.config.config.FormatCode', same, raising=False)
        yield


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    forget_runs()
    init_default_scope('mmpretrain')


def forget_runs() -> None:
    """Clears mmengine's global instances: runs started in the same second would share a log."""
    for manager in (MessageHub, MMLogger, UniversalVisualizer):
        manager._instance_dict.clear()


@pytest.fixture(params=TINY)
def tiny_clip(request):
    """A small CLIP of either kind, with random weights."""
    return dict(model_name=TINY[request.param], pretrained=None)


def run_tool(name: str, *args: str) -> None:
    """Runs a tool in this process, as from the command line."""
    forget_runs()
    argv, sys.argv = sys.argv, [name, *map(str, args)]
    try:
        runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name='__main__')
    finally:
        sys.argv = argv


def metrics(*args: str, run: Callable = run_tool) -> dict:
    """What tools/test.py finds."""
    with TemporaryDirectory() as folder:
        out = Path(folder, 'metrics.json')
        run('test', *args, '--work-dir', folder, '--out', out, '--out-item', 'metrics')
        return load(out)


def training(shapes: str, work_dir: Path) -> list:
    """The tool, config and options of a short run, for :func:`run_tool` and :func:`fails`."""
    return ['train', CONFIG, '--data-root', shapes, '--work-dir', work_dir]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def require_two_devices() -> None:
    """Skips a test of two processes on a single GPU, which they cannot share."""
    if torch.cuda.device_count() == 1:
        pytest.skip('there is one GPU, not two')


@pytest.fixture(scope='session')
def shapes(tmp_path_factory) -> str:
    """Data root with drawn pictures of six classes."""
    root = tmp_path_factory.mktemp('data')
    draw_shapes(root, images=20)
    return str(root)


@pytest.fixture(scope='session')
def shallow(tmp_path_factory):
    """Registers open_clip's architectures with fewer layers."""
    folder = tmp_path_factory.mktemp('architectures')

    def register(name: str) -> str:
        cfg = open_clip.get_model_config(name)
        deep = cfg['vision_cfg'].get('layers')
        if deep:
            cfg['vision_cfg']['layers'] = [1] * 4 if isinstance(deep, list) else 2
        cfg['text_cfg'].update(layers=1, vocab_size=49408)
        file = folder / f'shallow-{name}.json'
        file.write_text(json.dumps(cfg))
        return str(file)

    return register


def config(*args) -> Config:
    """The config of the short runs, as the tools see it."""
    parser = ArgumentParser()
    add_common_options(parser)
    return load_config(parser.parse_args([CONFIG, *map(str, args)]))


def weights(path: Path) -> dict:
    """What a checkpoint holds for the model."""
    return read_checkpoint(str(path))['state_dict']


def fails(message: str, name: str, *args: str):
    """Runs a tool that should end with one short message."""
    with pytest.raises(SystemExit, match=message) as error:
        run_tool(name, *args)
    assert str(error.value).startswith('error: ')
    assert len(str(error.value)) < 600


@pytest.fixture(scope='session')
def trained(shapes, tmp_path_factory):
    """Work dir of a short run of tools/train.py."""
    work_dir = tmp_path_factory.mktemp('trained')
    run_tool(
        *training(shapes, work_dir),
        *short(120, 'train_cfg.val_interval=30', 'default_hooks.checkpoint.interval=30'),
    )
    return work_dir


@pytest.fixture(scope='session')
def train_method(shapes, tmp_path_factory):
    """Trains a method once; gives its config and work dir."""
    from .methods import own_options, write_config  # which import from here

    known = {}

    def train(method) -> tuple:
        if method.id not in known:
            folder = tmp_path_factory.mktemp(method.name)
            file = write_config(method, folder, shapes)
            run_tool('train', file, *own_options(method, '--work-dir', folder / 'run'))
            known[method.id] = file, folder / 'run'
        return known[method.id]

    return train


@pytest.fixture
def data(tmp_path, shapes):
    """The shapes, with folders of their own for train, val and test."""
    source, root = Path(shapes) / 'shapes', tmp_path / 'data'
    for part, items in read_folders(source).items():
        for path, _, _ in items:
            target = root / 'shapes' / part / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, target)
    return root


@pytest.fixture
def method(tmp_path, data):
    """Writes a config of a method with a cache; gives it and its common options."""
    from .caches import cache_config  # which imports from here

    def write(name: str) -> tuple:
        file = tmp_path / f'{name}.py'
        file.write_text(cache_config(name))
        return file, ['--data-root', data, '--shots', '4']

    return write


def pytest_collection_finish():
    """Imported modules are left out of garbage collection, which is faster."""
    gc.freeze()
