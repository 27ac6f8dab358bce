"""Sweeps: runs, their folders and results."""

from argparse import ArgumentParser
from multiprocessing import active_children

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from safe_mm.creatures import world
from safe_mm.options import add_common_options
from safe_mm.runs import execute
from safe_mm.runs.run import Run, run_config, run_key, weights_hash

from .conftest import TINY_RN, fails, metrics, run_tool
from .layouts import draw_imagenet, draw_split, write_imagenet_split
from .sweeps import CONFIGS, SHORT, configs, figures, options, results, run

FEW = dict(train=2, val=1, test=2)


def test_methods_datasets_shots_and_seeds(tmp_path, monkeypatch):
    """Drawn creatures, with attention and variants."""
    monkeypatch.setattr(world, 'COUNTS', FEW)
    trained = [CONFIGS / f'{name}.py' for name in ('safe_creatures', 'safe-a_creatures')]
    others = [CONFIGS / f'{name}.py' for name in ('tip-adapter', 'zero-shot')]
    for files, iterations in ((trained, SHORT[:2]), (others, [])):
        found = run(
            tmp_path,
            *files,
            '--grid',
            '--datasets',
            'tail',
            'crest',
            '--shots',
            2,
            '--seeds',
            3,
            '--data-root',
            tmp_path / 'data',
            '--cfg-options',
            *iterations,
            *SHORT[2:],
            f'default_hooks.feature_cache.root={tmp_path}/cache',
        )
    assert set(found) == {
        (file.stem, dataset, *((0, 0) if 'zero' in file.stem else (2, 3)))
        for file in [*trained, *others]
        for dataset in ('tail', 'crest')
    }
    for (method, *_), result in found.items():
        blended = method.startswith('safe')
        assert set(result['test']) == {'seen', 'grounds', 'rendering'}
        for by in result['test'].values():
            assert {'accuracy', 'zero-shot'} <= set(by)
            assert ('beta=0.5' in by) == blended
            assert all(0 <= value <= 100 for value in by.values())
        assert bool(result['attention']) == blended
        assert result['clip'] == 'creatures-rn:seed1'
        assert set(result['seconds']) == {'train', 'test', 'test_image'}
        assert result['made']['versions']['torch'] == torch.__version__.split('+')[0]
        assert len(result['made']['weights']) == 64
        assert ('setting' in result) == (method != 'zero-shot')
        assert len(result.get('grid', [])) == (4 if blended else 0)
        assert (result['trained_parameters'] > 0) == blended

    # The same training, so the same pooling layer
    for dataset in ('tail', 'crest'):
        safe = found['safe_creatures', dataset, 2, 3]
        safe_a = found['safe-a_creatures', dataset, 2, 3]
        assert safe['grid'] == safe_a['grid']
        for variant, by in safe['test'].items():
            by.pop('accuracy')
            assert by.items() < safe_a['test'][variant].items()


def test_tuned_trunks_are_tested_each_with_its_own(tmp_path, shapes):
    """Features of a trained trunk are no other run's."""
    files = configs(tmp_path, shapes, 'fine-tune', features=tmp_path / 'cache')
    args = [*files, '--shots', 4, '--cfg-options', 'optim_wrapper.optimizer.lr=1e-2']
    both = run(tmp_path / 'both', *args, '--seeds', 1, 2)
    for seed in (1, 2):
        alone = run(tmp_path / f'alone{seed}', *args, '--seeds', seed)
        key = 'fine-tune', 'shapes', 4, seed
        assert alone[key]['test'] == both[key]['test']
    cached = list((tmp_path / 'cache').iterdir())
    assert len(cached) == 5  # test images once; train and val of each seed


def test_processes_of_loaders_end_with_their_run(tmp_path, shapes):
    """A trained trunk reads images in every iteration."""
    before = set(active_children())
    (config,) = configs(tmp_path, shapes, 'full-fine-tune')
    loaders = [f'{part}_dataloader.num_workers=1' for part in ('train', 'val', 'test')]
    run(tmp_path, config, '--shots', 1, '--seeds', 1, '--cfg-options', *SHORT[:3], *loaders)
    assert set(active_children()) <= before


def test_no_cache_writes_no_features(tmp_path, shapes):
    run(
        tmp_path,
        *configs(tmp_path, shapes, 'safe', features=tmp_path / 'cache'),
        '--shots',
        1,
        '--seeds',
        1,
        '--cfg-options',
        'default_hooks.feature_cache=None',
    )
    assert not (tmp_path / 'cache').exists()


def test_stopped_sweep_continues(tmp_path, shapes, monkeypatch):
    """Only what has no result is executed again."""
    args = (*configs(tmp_path, shapes, 'tip-adapter'), '--shots', 1, 2, '--seeds', 1, 2)
    first = run(tmp_path, *args)
    assert len(first) == 4
    next((tmp_path / 'sweep').rglob('*shots2_seed2*/result.json')).unlink()
    executed = []
    train = execute.train_and_test
    monkeypatch.setattr(
        execute, 'train_and_test', lambda cfg: executed.append((cfg.shots, cfg.seed)) or train(cfg)
    )
    again = run(tmp_path, *args)
    assert executed == [(2, 2)]
    assert figures(again) == figures(first)


def test_a_failed_run_does_not_stop_the_rest(tmp_path):
    for name in ('dtd', 'eurosat'):
        draw_split(name, tmp_path / 'data')
    args = [
        CONFIGS / 'safe.py',
        '--datasets',
        'dtd',
        'eurosat',
        '--shots',
        1,
        '--seeds',
        1,
        '--data-root',
        tmp_path / 'data',
        '--work-dir',
        tmp_path / 'sweep',
        '--clips',
        f'{TINY_RN}:None',
        '--cfg-options',
        *SHORT,
        f'default_hooks.feature_cache.root={tmp_path}/cache',
    ]
    image = next((tmp_path / 'data' / 'dtd').rglob('*.jpg'))
    whole = image.read_bytes()
    for broken in image.parent.parent.rglob('*.jpg'):
        broken.write_bytes(b'none')
    with pytest.raises(SystemExit, match='1 run failed:\n.*cannot be read'):
        run_tool('sweep', *args)
    assert set(results(tmp_path)) == {('safe', 'eurosat', 1, 1)}
    (error,) = (tmp_path / 'sweep').rglob('error.txt')
    assert 'cannot be read as an image' in error.read_text()
    for broken in image.parent.parent.rglob('*.jpg'):
        broken.write_bytes(whole)
    run_tool('sweep', *args)
    assert len(results(tmp_path)) == 2
    assert not list((tmp_path / 'sweep').rglob('error.txt'))


def test_dry_run_lists_what_is_left(tmp_path, shapes, capsys):
    files = configs(tmp_path, shapes, 'tip-adapter', 'zero-shot')
    run(tmp_path, files[0], '--shots', 1, '--seeds', 1)
    capsys.readouterr()
    run(tmp_path, *files, '--shots', 1, 2, '--seeds', 1, '--dry-run')
    assert capsys.readouterr().out.splitlines()[-3:] == [
        'tip-adapter, creatures-rn, 2 shots, seed 1',
        'zero-shot, creatures-rn',
        '2 runs to do',
    ]


def test_out_of_distribution(tmp_path):
    """Trained on ImageNet once, by its published split, tested on its variants."""
    draw_imagenet(tmp_path / 'data')
    write_imagenet_split(tmp_path / 'data')
    few = [f'{part}_dataloader.dataset.num_classes=3' for part in ('train', 'val', 'test')]
    few += [f'variants.imagenet_{v}.num_classes=2' for v in 'ar']
    run_tool(
        'sweep',
        CONFIGS / 'safe-a.py',
        '--datasets',
        'imagenet_variants',
        '--shots',
        2,
        '--seeds',
        1,
        '--data-root',
        tmp_path / 'data',
        '--work-dir',
        tmp_path / 'sweep',
        '--clips',
        f'{TINY_RN}:None',
        '--cfg-options',
        *SHORT,
        *few,
        f'default_hooks.feature_cache.root={tmp_path}/cache',
    )
    (result,) = results(tmp_path).values()
    assert list(result['test']) == [
        'imagenet',
        'imagenetv2',
        'imagenet_sketch',
        'imagenet_a',
        'imagenet_r',
    ]
    for by in result['test'].values():
        assert {'accuracy', 'zero-shot', 'beta=0', 'beta=0.5'} < set(by)

    # One of them by the weights alone
    file = next((tmp_path / 'sweep').rglob('best_fitted_*.pth'))
    tested = metrics(
        CONFIGS / 'safe-a.py',
        file,
        '--dataset',
        'imagenet_variants',
        '--variant',
        'imagenet_r',
        '--clip',
        f'{TINY_RN}:None',
        '--data-root',
        tmp_path / 'data',
        '--cfg-options',
        *few,
        'test_dataloader.num_workers=0',
    )
    assert tested['accuracy/top1'] == pytest.approx(result['test']['imagenet_r']['accuracy'])


DTD = Run('safe', 'dtd', None, 1, 1)


def key(*args, run=DTD) -> dict:
    parser = ArgumentParser()
    add_common_options(parser, configs='+')
    run = run._replace(config=str(CONFIGS / f'{run.config}.py'))
    args = parser.parse_args([run.config, *map(str, args)])
    args.grid, args.work_dir = False, 'sweep'
    return run_key(run_config(args, run), run)


def test_a_run_is_identified_by_all_that_it_depends_on(tmp_path, shapes):
    for name in ('dtd', 'ucf101'):
        draw_split(name, tmp_path)
        draw_split(name, tmp_path / 'elsewhere')
    weights = tmp_path / 'rn.safetensors'
    save_file(dict(a=torch.zeros(1)), weights)
    root = ['--data-root', tmp_path]
    clip = f'model.clip.pretrained={weights}'
    first = key(*root, '--cfg-options', clip)
    assert first == key(
        '--data-root',
        tmp_path / 'elsewhere',
        '--cfg-options',
        clip,
        'default_hooks.feature_cache.root=elsewhere',
        'train_dataloader.num_workers=0',
    )
    others = [
        key(*root, '--cfg-options', clip, option)
        for option in (
            'train_cfg.max_iters=5',
            'model.neck.beta=1',
            'optim_wrapper.optimizer.lr=1',
            'randomness.seed=7',
            'default_hooks.feature_cache.dtype=float16',
        )
    ] + [
        key(*root, '--cfg-options', clip, run=DTD._replace(shots=2)),
        key(*root, '--cfg-options', clip, run=DTD._replace(dataset='ucf101')),
    ]
    save_file({'a': load_file(weights)['a'] + 1}, weights)
    weights_hash.cache_clear()
    others.append(key(*root, '--cfg-options', clip))
    assert len({str(k) for k in [first, *others]}) == 1 + len(others)
    assert [k['method_hash'] == first['method_hash'] for k in others] == [
        False,
        False,
        False,
        True,
        False,
        True,
        True,
        False,
    ]


def test_shots_of_the_model_are_a_setting_unless_of_the_sample(tmp_path):
    """ProLIP's penalty is divided by K, or by a constant."""
    draw_split('dtd', tmp_path)
    run = DTD._replace(config='prolip')
    common = ['--data-root', tmp_path, '--cfg-options', 'model.clip.pretrained=None']
    keys = [
        key(*common, *more, run=run._replace(shots=shots))
        for shots, more in [(1, []), (2, []), (1, ['model.neck.shots=99'])]
    ]
    one, two, other = (k['method_hash'] for k in keys)
    assert one == two != other


def test_folders_are_other_data(tmp_path):
    """Nothing but its path tells a folder of photos from another with the same classes."""
    hashes = []
    for name in ('one', 'two'):
        for kind in ('cat', 'dog'):
            (tmp_path / name / kind).mkdir(parents=True)
            Image.new('RGB', (8, 8)).save(tmp_path / name / kind / '0.png')
        args = ['--data-root', tmp_path / name, '--cfg-options', 'model.clip.pretrained=None']
        hashes.append(key(*args, run=DTD._replace(dataset='folder'))['data_hash'])
    assert hashes[0] != hashes[1]


def test_the_split_of_imagenet_makes_other_data(tmp_path, shapes):
    """With it and without it, a run has another place."""
    draw_imagenet(tmp_path)
    run = Run('safe', 'imagenet', f'{TINY_RN}:None', 1, 1)
    few = [f'{part}_dataloader.dataset.num_classes=3' for part in ('train', 'val', 'test')]
    args = ['--data-root', tmp_path, '--cfg-options', *few]
    without = key(*args, run=run)
    write_imagenet_split(tmp_path)
    found = key(*args, run=run)
    assert without['data_hash'] != found['data_hash']
    assert without['method_hash'] == found['method_hash']


def test_bad_options(tmp_path, shapes):
    (file,) = configs(tmp_path, shapes, 'tip-adapter')
    fails(
        'dataset .clothes. is not known', 'sweep', *options(tmp_path, file, '--datasets', 'clothes')
    )
    fails(
        '--seed is not supported here. Use --seeds', 'sweep', *options(tmp_path, file, '--seed', 1)
    )
    fails('--launcher and --amp', 'sweep', *options(tmp_path, file, '--launcher', 'pytorch'))
    (tmp_path / 'file').touch()
    fails('file cannot be created', 'sweep', file, '--work-dir', tmp_path / 'file')
