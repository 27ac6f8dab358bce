"""Configs of methods with a cache on coloured shapes, for tests."""

from .conftest import CONFIG, run_tool

POOL = "neck=dict(_delete_=True, type='safe_mm.CLIPPool')"
NECKS = {'tip': POOL, 'tip-f': POOL, 'safe-a': 'neck=dict()', 'safe-a-f': 'neck=dict(frozen=True)'}
TRAIN = """
search = dict(alpha=[0, 10, 1000], gamma=[1, 20, 500], beta=[0, 0.5, 1])
param_scheduler = None
train_dataloader = dict(batch_size=24, num_workers=0)
val_dataloader = dict(num_workers=0)
test_dataloader = dict(num_workers=0)
default_hooks = dict(checkpoint=dict(interval=5))
"""


def cache_config(name: str) -> str:
    """The text of a config of a method of ``NECKS``."""
    return (
        f"_base_ = ['{CONFIG}']\n"
        f"model = dict({NECKS[name]}, head=dict(type='safe_mm.CacheHead', "
        f'train_keys={name.endswith("-f")}))\n{TRAIN}'
        f'train_cfg = dict(max_iters={0 if name == "tip" else 10}, '
        'val_interval=5)\n'
    )


def train(config, options, work_dir, *more) -> None:
    run_tool('train', config, *options, '--work-dir', work_dir, *more)
