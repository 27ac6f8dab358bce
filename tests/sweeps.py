"""Short sweeps, for tests."""

import json
from pathlib import Path

from .conftest import ROOT, run_tool
from .methods import METHODS, write_config

CONFIGS = ROOT / 'configs'
SHORT = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=1',
    'param_scheduler=None',
    'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
]


def configs(folder: Path, data: str, *names: str, **kwargs: Path) -> list:
    """Config files of methods on the coloured shapes."""
    by_name = {method.name: method for method in METHODS}
    folder = folder / 'configs'
    return [write_config(by_name[name], folder, data, **kwargs) for name in names]


def options(folder: Path, *args) -> list:
    """Of a sweep with a small CLIP that keeps everything in a folder."""
    return [*args, '--clips', 'creatures-rn', '--work-dir', folder / 'sweep']


def results(folder: Path) -> dict:
    """(method, dataset, shots, seed) -> result of a sweep in a folder."""
    found = {}
    for file in (folder / 'sweep').rglob('result.json'):
        result = json.loads(file.read_text())
        found[tuple(result[key] for key in ('method', 'dataset', 'shots', 'seed'))] = result
    return found


def run(folder: Path, *args) -> dict:
    run_tool('sweep', *options(folder, *args))
    return results(folder)


def figures(found: dict) -> dict:
    """What must be the same wherever a run is executed."""
    return {key: (result['test'], result.get('validation')) for key, result in found.items()}
