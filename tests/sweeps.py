"""Short sweeps, for tests."""
from safe_mm.sweep.records import read_records

from .conftest import ROOT, run_tool

CONFIGS = ROOT / 'configs'
SAFE = CONFIGS / 'safe' / 'safe_creatures-rn.py'
SAFE_A = CONFIGS / 'safe_a' / 'safe-a_creatures-rn.py'
TIP_F = CONFIGS / 'tip_adapter' / 'tip-adapter-f_creatures-rn.py'
ZERO = CONFIGS / 'zero_shot' / 'zero-shot_creatures-rn.py'
PHOTOS = CONFIGS / 'safe' / 'safe_rn50_caltech101.py'
FEW = dict(train=2, val=1, test=2)
SHORT = ['train_cfg.max_iters=2', 'train_cfg.val_interval=1',
         'param_scheduler=None', 'train_dataloader.num_workers=0',
         'val_dataloader.num_workers=0', 'test_dataloader.num_workers=0']


def options(folder, *args) -> list:
    """Of a short sweep that keeps everything in a folder."""
    return [*args, '--data-root', folder / 'data', '--records',
            folder / 'sweep' / 'records.jsonl', '--cfg-options', *SHORT,
            f'default_hooks.store.root={folder}/store']


def run(folder, *args) -> list:
    run_tool('sweep', *options(folder, *args))
    return read_records(folder / 'sweep' / 'records.jsonl')


def names(records: list) -> list:
    return [tuple(r['key'][k] for k in ('config', 'task', 'shots', 'seed'))
            for r in records]
