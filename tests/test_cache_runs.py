"""Tip-Adapter(-F), SAFE-A and zero-shot CLIP through the tools."""

import json
import shutil
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.config import Config
from mmpretrain import get_model
from torch.nn import functional as F

from safe_mm.checkpoint import read_checkpoint
from safe_mm.config import set_everywhere
from safe_mm.datasets.splits import read_folders
from safe_mm.pooled import pool_dataset
from safe_mm.registry import DATASETS, MODELS

from .conftest import CONFIG, fails, run_tool, weights

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
    """Writes a config of a method; gives it and its common options."""

    def write(name: str) -> tuple:
        file = tmp_path / f'{name}.py'
        file.write_text(
            f"_base_ = ['{CONFIG}']\n"
            f"model = dict({NECKS[name]}, head=dict(type='safe_mm.CacheHead', "
            f'train_keys={name.endswith("-f")}))\n{TRAIN}'
            f'train_cfg = dict(max_iters={0 if name == "tip" else 10}, '
            'val_interval=5)\n'
        )
        return file, ['--data-root', data, '--shots', '4']

    return write


def train(config, options, work_dir, *more) -> None:
    run_tool('train', config, *options, '--work-dir', work_dir, *more)


def accuracy(config, work_dir, options, out) -> float:
    run_tool(
        'test',
        config,
        work_dir,
        *options[:2],
        '--work-dir',
        out,
        '--out',
        out / 'metrics.json',
        '--out-item',
        'metrics',
    )
    return mmengine.load(out / 'metrics.json')['accuracy/top1']


def test_tip_adapter_from_the_checkpoint_alone(method, data, tmp_path):
    """No training image is needed to test, and the logits are Eq. 8's."""
    file, options = method('tip')
    train(file, options, tmp_path / 'run')
    found = read_checkpoint(str(tmp_path / 'run' / 'best_fitted_iter_0.pth'))
    state = found['state_dict']
    assert state['head.keys'].shape[0] == 24 == len(state['head.labels'])
    assert state['head.labels'].bincount().tolist() == [4] * 6
    shown = json.loads((tmp_path / 'run' / 'search.json').read_text())
    assert shown['tried'] == dict(alpha=[0, 10, 1000], gamma=[1, 20, 500])
    assert torch.tensor(shown['accuracy']).shape == (3, 3)
    assert shown['chosen']['alpha'] == state['head.alpha'].item()
    assert 'validation images' in shown['ties']
    assert (tmp_path / 'run' / 'search.png').stat().st_size > 5000
    for part in ('train', 'val'):
        shutil.rmtree(data / 'shapes' / part)
    tested = accuracy(file, tmp_path / 'run', options, tmp_path / 'out')

    # The same by hand, from the file alone
    cfg = Config.fromfile(file)
    set_everywhere(cfg._cfg_dict, 'data_root', str(data))
    cfg.model.classes = found['meta']['dataset_meta']['classes']
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(state)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    pooled = pool_dataset(model, dataset)
    f = F.normalize(pooled.branches[0], dim=-1).double()
    phi = torch.exp(-state['head.gamma'] * (1 - f @ state['head.keys'].double().T))
    logits = state['head.alpha'] * phi @ F.one_hot(
        state['head.labels']
    ).double() + model.head.logit_scale * (f @ state['head.class_weights'].double().T)
    hits = logits.argmax(-1) == pooled.labels
    assert tested == pytest.approx(100 * hits.double().mean().item())


def test_safe_a_is_safe_with_a_cache(method, tmp_path):
    """Its pooling layer is SAFE's, and the search does not lose to it."""
    file, options = method('safe-a')
    train(file, options, tmp_path / 'safe-a')
    train(
        CONFIG,
        options,
        tmp_path / 'safe',
        '--cfg-options',
        'train_dataloader.batch_size=24',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        'train_cfg.max_iters=10',
        'train_cfg.val_interval=5',
        'default_hooks.checkpoint.interval=5',
        'param_scheduler=None',
    )
    best = next((tmp_path / 'safe').glob('best*.pth'))
    one = read_checkpoint(str(tmp_path / 'safe-a' / 'best_fitted_iter_10.pth'))
    safe = read_checkpoint(str(best))
    pooling = [k for k in safe['state_dict'] if k.startswith('neck')]
    assert len(pooling) > 10
    for key in pooling:
        assert torch.equal(safe['state_dict'][key], one['state_dict'][key])
    shown = json.loads((tmp_path / 'safe-a' / 'search.json').read_text())
    found = torch.tensor(shown['accuracy'])
    assert (
        found[1, 0].tolist() == [safe['message_hub']['runtime_info']['best_score']] * 3
    )  # beta 0.5 and alpha 0 are SAFE
    assert one['state_dict']['neck.beta'] == shown['chosen']['beta']
    # mmpretrain's own interface knows it, too
    cfg = Config.fromfile(tmp_path / 'safe-a' / 'safe-a.py')
    cfg.model.neck.beta = 0.25
    model = get_model(cfg, pretrained=str(tmp_path / 'safe-a' / 'best_fitted_iter_10.pth'))
    assert model.neck.beta == shown['chosen']['beta'] != 0.25
    assert torch.equal(model.head.keys, one['state_dict']['head.keys'])

    fails('has not been fitted', 'test', file, best, *options[:2], '--work-dir', tmp_path / 'out')

    # SAFE-A with trained keys starts from either, and keeps what fits
    file, options = method('safe-a-f')
    # Even where the search found no use for the cache
    none = dict(one, state_dict=dict(one['state_dict']))
    none['state_dict']['head.alpha'] = torch.tensor(0.0)
    torch.save(none, tmp_path / 'none.pth')
    for number, start in enumerate((best, tmp_path / 'none.pth')):
        work_dir = tmp_path / f'keys{number}'
        train(
            file,
            options,
            work_dir,
            '--cfg-options',
            f'load_from={start}',
            'train_cfg.val_interval=10',
        )
        tuned = weights(work_dir / 'best_fitted_iter_10.pth')
        for key in pooling:
            assert torch.equal(tuned[key], safe['state_dict'][key]), key
        moved = (tuned['head.keys'] - one['state_dict']['head.keys']).abs()
        assert moved.max() > 0
    fails('load_from=CHECKPOINT', 'train', file, *options, '--work-dir', tmp_path / 'none')


def test_safe_a_resumes_and_trains_without_its_cache(method, tmp_path):
    """Nor does a cache that is loaded act on what trains the pooling."""
    file, options = method('safe-a')
    train(file, options, tmp_path / 'whole')
    done = tmp_path / 'whole' / 'best_fitted_iter_10.pth'
    whole = weights(done)
    broken = tmp_path / 'broken'
    broken.mkdir()
    shutil.copy(tmp_path / 'whole' / 'iter_5.pth', broken)
    for best in (tmp_path / 'whole').glob('best_accuracy*_5.pth'):
        shutil.copy(best, broken)
    fails(
        'has not been fitted.*--resume',
        'test',
        file,
        broken / 'iter_5.pth',
        *options[:2],
        '--work-dir',
        tmp_path / 'out',
    )
    train(file, options, broken, '--resume')
    resumed = weights(broken / 'best_fitted_iter_10.pth')
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key

    # The same steps from the same weights, with a cache in the checkpoint that says nonsense, and
    # without
    start = read_checkpoint(str(done))
    start['state_dict']['head.keys'] *= -1
    torch.save(start, tmp_path / 'cache.pth')
    for key in ('keys', 'labels', 'alpha', 'gamma', 'finished'):
        del start['state_dict']['head.' + key]
    torch.save(start, tmp_path / 'plain.pth')
    for name in ('cache', 'plain'):
        train(file, options, tmp_path / name, '--cfg-options', f'load_from={tmp_path}/{name}.pth')
    one, two = (weights(tmp_path / name / 'best_fitted_iter_10.pth') for name in ('cache', 'plain'))
    for key, value in one.items():
        assert torch.equal(value, two[key]), key
    # Its search is of the config, where an option reaches it
    train(
        file,
        options,
        tmp_path / 'grid',
        '--grid',
        '--cfg-options',
        'search.alpha=[3.0]',
        'grid.lr=[1e-3,1e-5]',
        'grid.weight_decay=[0]',
    )
    assert weights(next((tmp_path / 'grid').glob('best_fitted*')))['head.alpha'] == 3
    fails(
        'search.alpha=3 must be a list',
        'train',
        file,
        *options,
        '--work-dir',
        tmp_path / 'bad',
        '--cfg-options',
        'search.alpha=3',
    )


def test_caches_of_seeds_that_were_trained_in_one_pass(method, tmp_path):
    """As README has it; the same as those of SAFE-A's own runs."""
    file, options = method('safe-a')
    safe = tmp_path / 'safe.py'
    text = file.read_text().replace('CacheHead', 'TextClsHead')
    safe.write_text(text.replace(', train_keys=False', ''))
    fails(
        'do not support several seeds with a search',
        'train',
        safe,
        *options,
        '--seeds',
        1,
        2,
        '--work-dir',
        tmp_path / 'none',
    )
    safe.write_text(safe.read_text() + 'search = None\n')
    run_tool('train', safe, *options, '--seeds', 1, 2, '--work-dir', tmp_path)
    for seed in (1, 2):
        (best,) = tmp_path.glob(f'best_seed{seed}_*.pth')
        run_tool(
            'train',
            file,
            *options,
            '--seed',
            seed,
            '--work-dir',
            tmp_path / 'from',
            '--cfg-options',
            f'load_from={best}',
            'train_cfg.max_iters=0',
        )
        run_tool('train', file, *options, '--seed', seed, '--work-dir', tmp_path / 'own')
        one = weights(tmp_path / 'from' / 'best_fitted_iter_0.pth')
        two = weights(tmp_path / 'own' / 'best_fitted_iter_10.pth')
        assert len(one['head.keys']) > 0
        for key, value in two.items():
            torch.testing.assert_close(one[key], value, rtol=0, atol=1e-5)


def test_other_shots_make_another_cache(method, tmp_path):
    file, options = method('tip-f')
    train(file, options, tmp_path / 'four')
    run_tool(
        'train',
        file,
        *options[:2],
        '--shots',
        2,
        '--work-dir',
        tmp_path / 'two',
        '--no-validate',
        '--cfg-options',
        f'load_from={tmp_path}/four/best_fitted_iter_10.pth',
    )
    found = weights(tmp_path / 'two' / 'best_fitted_iter_10.pth')
    assert len(found['head.keys']) == 12
    assert found['head.alpha'] == 1 and found['head.gamma'] == 5.5


def test_other_classes_and_empty_classes_are_refused(method, data, tmp_path):
    file, options = method('tip')
    train(file, options, tmp_path / 'run')
    first = min((data / 'shapes' / 'train').iterdir()).name
    for part in ('train', 'val', 'test'):
        (data / 'shapes' / part / first).rename(data / 'shapes' / part / 'aardvark')
    fails(
        f"first '{first}' against 'aardvark'",
        'test',
        file,
        tmp_path / 'run',
        '--data-root',
        data,
        '--work-dir',
        tmp_path / 'out',
    )
    shutil.rmtree(data / 'shapes' / 'train' / 'aardvark')
    fails(
        "class 'aardvark' has no training image",
        'train',
        file,
        *options,
        '--work-dir',
        tmp_path / 'empty',
    )


def test_zero_shot_takes_no_checkpoint(tmp_path, shapes, method):
    file = tmp_path / 'zero-shot.py'
    file.write_text(
        f"_base_ = ['{CONFIG}']\n"
        f'model = dict({POOL})\n'
        'train_dataloader = val_dataloader = val_evaluator = None\n'
        'train_cfg = val_cfg = optim_wrapper = param_scheduler = None\n'
        'test_dataloader = dict(num_workers=0)\n'
    )
    run_tool(
        'test',
        file,
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path / 'out',
        '--out',
        tmp_path / 'm.json',
        '--out-item',
        'metrics',
    )
    assert 0 <= mmengine.load(tmp_path / 'm.json')['accuracy/top1'] <= 100
    data = ['--data-root', shapes]
    fails('takes no checkpoint', 'test', file, tmp_path, *data)
    fails('trains nothing. Use tools/test.py', 'train', file, *data)
    fails('needs a checkpoint', 'test', method('tip')[0], *data)
