"""SAFE-A through the tools."""

import json
import shutil

import torch
from mmengine.config import Config
from mmpretrain import get_model

from safe_mm.checkpoint import read_checkpoint
from safe_mm.pooled import pool_dataset
from safe_mm.registry import DATASETS

from .caches import train
from .conftest import CONFIG, fails, run_tool, weights


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


def test_without_validation_keys_are_of_blended_features(method, tmp_path):
    file, options = method('safe-a')
    train(file, options, tmp_path, '--no-validate')
    cfg = str(tmp_path / 'safe-a.py')
    model = get_model(cfg, pretrained=str(tmp_path / 'best_fitted_iter_10.pth'))
    pooled = pool_dataset(model, DATASETS.build(Config.fromfile(cfg).train_dataloader.dataset))
    keys = model.head.keys.clone()
    model.head.fit(model.neck.combine(pooled.branches), pooled.labels, pooled.images)
    torch.testing.assert_close(model.head.keys, keys)


def test_safe_a_resumes_and_trains_without_its_cache(method, tmp_path):
    """Nor does a cache that is loaded act on what trains the pooling."""
    file, options = method('safe-a')
    train(file, options, tmp_path / 'whole')
    done = tmp_path / 'whole' / 'best_fitted_iter_10.pth'
    whole = weights(done)
    broken = tmp_path / 'broken'
    broken.mkdir()
    shutil.copy(tmp_path / 'whole' / 'iter_5.pth', broken)
    for best in (tmp_path / 'whole').glob('best_accuracy*_[05].pth'):
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
            tmp_path / f'from{seed}',
            '--cfg-options',
            f'load_from={best}',
            'train_cfg.max_iters=0',
        )
        run_tool('train', file, *options, '--seed', seed, '--work-dir', tmp_path / f'own{seed}')
        one = weights(tmp_path / f'from{seed}' / 'best_fitted_iter_0.pth')
        two = weights(tmp_path / f'own{seed}' / 'best_fitted_iter_10.pth')
        assert len(one['head.keys']) > 0
        for key, value in two.items():
            torch.testing.assert_close(one[key], value, rtol=0, atol=1e-5)
