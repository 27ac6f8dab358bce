"""Features from disk change nothing but the time a run takes."""

import errno
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from open_clip.transformer import QuickGELU
from safetensors.torch import load_file, save_file

from safe_mm import feature_cache
from safe_mm.errors import InputError
from safe_mm.feature_cache import cache_features
from safe_mm.registry import DATASETS, MODELS

from .conftest import TINY, config, run_tool, short, training, weights
from .forks import Forked

HOOK = 'default_hooks.feature_cache.type=safe_mm.FeatureCacheHook'
ROOT_OF_CACHE = 'default_hooks.feature_cache.root'


@pytest.fixture
def images(shapes):
    """A model and a dataset of images."""
    cfg = config('--data-root', shapes, '--shots', 16)
    return (MODELS.build(cfg.model).eval(), DATASETS.build(cfg.train_dataloader.dataset))


def cached(images, root: Path, stage: str = 'dense', **kwargs):
    model, dataset = images
    return cache_features(model, dataset, stage, root, **kwargs)


def files(root: Path) -> list:
    return sorted(root.rglob('*.safetensors'))


@pytest.mark.parametrize(
    'stage, dtype, close',
    [
        ('dense', torch.float32, 1e-5),
        ('dense', torch.float16, 2e-3),
        ('dense', torch.bfloat16, 3e-2),
        ('pooled', torch.float32, 1e-5),
    ],
)
def test_features_are_the_models(images, tmp_path, stage, dtype, close):
    model, dataset = images
    features = cached(images, tmp_path, stage, dtype=dtype)
    assert len(features) == len(dataset) == 2 * 6 * 10  # two views
    assert len(files(tmp_path)) == 2
    for index in (0, 63, 64, 119):
        kept, image = features[index], dataset[index]
        batch = model.data_preprocessor(dict(inputs=image['inputs'][None], data_samples=None))
        with torch.no_grad():
            expected = (
                model.dense(batch['inputs'])[0]
                if (stage == 'dense')
                else model.pool(batch['inputs'])[:, 0]
            )
        assert kept['inputs'].dtype == dtype and kept['start'] == stage
        error = (kept['inputs'].float() - expected).norm() / expected.norm()
        assert error < close
        samples = kept['data_samples'], image['data_samples']
        assert samples[0].gt_label == samples[1].gt_label
        assert samples[0].img_path == samples[1].img_path
    assert not torch.equal(features[0]['inputs'], features[60]['inputs'])


def test_second_use_computes_nothing(images, tmp_path, monkeypatch):
    cached(images, tmp_path)
    monkeypatch.setattr(images[0].backbone, 'forward', lambda x: pytest.fail('computed again'))
    assert len(cached(images, tmp_path)) == 120


@pytest.mark.parametrize('name', TINY.values(), ids=TINY)
def test_pooled_features_come_from_dense_ones_on_disk(name, shapes, tmp_path, monkeypatch):
    cfg = config('--data-root', shapes, '--shots', 16, '--clip', f'{name}:None')
    images = MODELS.build(cfg.model).eval(), DATASETS.build(cfg.train_dataloader.dataset)
    model = images[0]
    expected = cached(images, tmp_path / 'alone', 'pooled').features(range(120))
    cached(images, tmp_path, dtype=torch.float16)  # not exact, so not used
    cached(images, tmp_path)
    monkeypatch.setattr(model.backbone, 'forward', None)
    with pytest.raises(TypeError):
        cached(images, tmp_path, 'pooled', dtype=torch.float16)
    assert torch.equal(cached(images, tmp_path, 'pooled').features(range(120)), expected)


def test_another_trunk_picture_or_view_is_another_cache(images, tmp_path):
    model, dataset = images
    folders = {cached(images, tmp_path).folder}
    with torch.no_grad():
        next(model.backbone.parameters()).add_(1)
    folders.add(cached(images, tmp_path).folder)
    model.data_preprocessor.mean += 1
    folders.add(cached(images, tmp_path).folder)
    folders.add(cached(images, tmp_path, dtype=torch.float16).folder)
    path = Path(dataset.get_data_info(5)['img_path'])
    path.touch()
    folders.add(cached(images, tmp_path).folder)
    dataset.pipeline.transforms[1].resize_and_crop.transforms[0].size += 8
    dataset.pipeline.transforms[1].cfg.size = 40
    folders.add(cached(images, tmp_path).folder)
    next(m for m in model.backbone.modules() if hasattr(m, 'mlp')).mlp.gelu = QuickGELU()
    folders.add(cached(images, tmp_path).folder)
    folders.add(cached(images, tmp_path, 'pooled').folder)
    with torch.no_grad():
        next(model.neck.attn_pool_f.parameters()).add_(1)
    folders.add(cached(images, tmp_path).folder)  # comes before the pooling
    assert len(folders) == 8
    folders.add(cached(images, tmp_path, 'pooled').folder)
    assert len(folders) == 9


@pytest.mark.parametrize('damage', ['cut', 'foreign', 'moved', 'gone'])
def test_damaged_file_is_computed_again(images, tmp_path, damage):
    cached(images, tmp_path)
    first, second = files(tmp_path)
    whole = load_file(first)['features'].clone()
    other = second.stat().st_mtime_ns
    if damage == 'cut':
        first.write_bytes(first.read_bytes()[:-100])
    elif damage == 'foreign':
        save_file(dict(features=torch.zeros_like(whole)), first, dict(key='another', chunk='0'))
    elif damage == 'moved':
        shutil.copy(second, first)
    else:
        first.unlink()
    cached(images, tmp_path)
    torch.testing.assert_close(load_file(first)['features'], whole)
    assert second.stat().st_mtime_ns == other  # only what was damaged


def test_killed_extraction_goes_on(images, tmp_path, monkeypatch):
    model = images[0]
    forward, batches = model.backbone.forward, []

    def killed(x):
        if sum(batches) >= feature_cache.CHUNK:
            raise KeyboardInterrupt
        batches.append(len(x))
        return forward(x)

    monkeypatch.setattr(model.backbone, 'forward', killed)
    with pytest.raises(KeyboardInterrupt):
        cached(images, tmp_path)
    assert len(files(tmp_path)) == 1
    monkeypatch.setattr(model.backbone, 'forward', lambda x: batches.append(len(x)) or forward(x))
    cached(images, tmp_path)
    assert sum(batches) == 120  # none twice


@pytest.mark.parametrize('when', ['before', 'while'])
def test_full_disk(images, tmp_path, monkeypatch, when):
    if when == 'before':
        usage = namedtuple('usage', 'total used free')
        monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(1, 1, 0))
    else:

        def full(tensors, path, metadata):
            Path(path).write_bytes(b'half')
            raise OSError(errno.ENOSPC, 'No space left on device')

        monkeypatch.setattr(feature_cache, 'save_file', full)
    old = tmp_path / 'old.safetensors'
    old.touch()
    with pytest.raises(InputError, match='No space left.*float16'):
        cached(images, tmp_path)
    assert [p for p in tmp_path.rglob('*') if p.is_file()] == [old]


def test_run_is_the_same(shapes, tmp_path):
    """Order of the data, weights and best score, on line and cached."""
    for name, hook in (('images', []), ('features', [HOOK]), ('again', [HOOK])):
        run_tool(
            *training(shapes, tmp_path / name),
            *short(24, 'train_cfg.val_interval=8', *hook),
            *([f'{ROOT_OF_CACHE}={tmp_path}/cache'] if hook else []),
        )
    images, *others = (tmp_path / name for name in ('images', 'features', 'again'))
    for other in others:
        assert [p.name for p in sorted(other.glob('*.pth'))] == [
            p.name for p in sorted(images.glob('*.pth'))
        ]
        mine, theirs = (weights(p / 'iter_24.pth') for p in (images, other))
        for key, value in mine.items():
            torch.testing.assert_close(theirs[key], value, rtol=0, atol=1e-5)


def test_two_runs_that_start_at_once(shapes, tmp_path):
    """Runs that know nothing of each other share a cache unharmed."""
    more = short(8, HOOK, f'{ROOT_OF_CACHE}={tmp_path}/cache')
    runs = [
        Forked(tmp_path / f'{name}.log', *training(shapes, tmp_path / name), *more)
        for name in ('one', 'two')
    ]
    assert [run.wait() for run in runs] == [0, 0]
    kept = [p.suffix for p in (tmp_path / 'cache').rglob('*') if p.is_file()]
    assert kept == ['.safetensors'] * 3  # and no drafts
    one, two = (weights(tmp_path / name / 'iter_8.pth') for name in ('one', 'two'))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_random_pipeline_is_refused(shapes, tmp_path):
    cfg = config('--data-root', shapes, '--work-dir', tmp_path, *short(8, HOOK))
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(2, dict(type='RandomFlip', prob=0.5))
    with pytest.raises(InputError, match='RandomFlip .* is random'):
        Runner.from_cfg(cfg).train()


@pytest.mark.parametrize('num_workers', [0, 1])
def test_trained_trunk_reads_images(shapes, tmp_path, num_workers):
    """Nothing of it is frozen, so nothing can be cached."""
    cfg = config(
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        *short(8, HOOK, f'{ROOT_OF_CACHE}={tmp_path}/cache'),
    )
    cfg.model.trainable = ['backbone.*', 'neck.attn_pool_f.*']
    cfg.train_dataloader.update(num_workers=num_workers, persistent_workers=num_workers > 0)
    runner = Runner.from_cfg(cfg)
    start = runner.model.backbone.state_dict()
    start = {key: value.clone() for key, value in start.items()}
    runner.train()
    assert runner.model.frozen_stage == 'image'
    assert not (tmp_path / 'cache').exists()
    end = runner.model.backbone.state_dict()
    assert any(not torch.equal(end[k], v) for k, v in start.items())
