"""The demo, on a few pictures and iterations."""

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from PIL import Image

from safe_mm.creatures import world
from safe_mm.evaluation import evaluate
from safe_mm.models import CLIPClassifier

from .conftest import ROOT, TINY_RN, fails, run_tool

CONFIG = ROOT / 'configs' / 'safe_creatures.py'


def test_demo(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(world, 'COUNTS', dict(train=2, val=1, test=2))
    run_tool(
        'demo',
        CONFIG,
        '--work-dir',
        tmp_path / 'demo',
        '--data-root',
        tmp_path / 'world',
        '--shots',
        1,
        '--dataset',
        'tail',
        '--cfg-options',
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=1',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        'test_dataloader.num_workers=0',
        f'default_hooks.feature_cache.root={tmp_path}/cache',
    )
    table = capsys.readouterr().out
    assert 'Dataset tail: accuracy in percent, mean of 3 seeds' in table
    rows = [
        line.split()[-3:]
        for line in table.splitlines()
        if 'shots  SAFE' in line or line.startswith('zero-shot')
    ]
    cells = [float(cell) for row in rows for cell in row]
    assert len(cells) == 9  # of three methods and three variants
    assert all(0 <= cell <= 100 for cell in cells)
    for name in ('accuracy', 'attention'):
        picture = np.array(Image.open(tmp_path / 'demo' / f'{name}.png'))
        assert picture.std() > 10  # not empty
        assert str(tmp_path / 'demo' / f'{name}.png') in table


def test_masks_have_the_size_of_the_pictures(monkeypatch, tmp_path):
    monkeypatch.setattr(world, 'COUNTS', dict(train=2, val=1, test=2))
    shown = {}
    monkeypatch.setattr('safe_mm.plots.plot_attention', lambda *args: shown.update(args=args))
    options = ['train_cfg.max_iters=1', 'train_cfg.val_interval=1']
    options += [f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')]
    options += ['default_hooks.feature_cache=None']
    args = ['--data-root', tmp_path / 'world', '--shots', 1, '--seed', 1]
    run_tool('demo', CONFIG, *args, '--work-dir', tmp_path / 'demo', '--cfg-options', *options)
    pictures, masks, *_ = shown['args']
    assert {image.shape for image in pictures} == {(160, 160, 3)}
    assert {mask.shape for mask in masks} == {(160, 160)}
    own = [np.array(Image.open(file)) > 0 for file in sorted((tmp_path / 'world').rglob('masks/*'))]
    assert own[0].shape == (112, 112) and 0 < np.mean(masks) < np.mean(own)


def test_demo_shows_safe_alone(shapes):
    data = '--dataset', 'folder', '--data-root', f'{shapes}/shapes', '--clip', 'creatures-rn'
    fails('tip-adapter.py does not train', 'demo', CONFIG.with_name('tip-adapter.py'), *data)


def test_demo_of_a_folder(tmp_path, capsys):
    """Photos without masks of parts, of other sizes than the crop."""
    folder = tmp_path / 'photos'
    for kind, box in (('wide', (90, 40)), ('high', (40, 90))):
        (folder / kind).mkdir(parents=True)
        for i in range(10):
            Image.effect_noise(box, 20 + 5 * i).save(folder / kind / f'{i}.png')
    options = ['train_cfg.max_iters=2', 'train_cfg.val_interval=1']
    options += [f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')]
    options += [f'default_hooks.feature_cache.root={tmp_path}/cache']
    args = ['--dataset', 'folder', '--data-root', folder, '--shots', 2, '--seed', 1]
    run_tool('demo', CONFIG, *args, '--work-dir', tmp_path / 'demo', '--cfg-options', *options)
    table = capsys.readouterr().out
    assert 'Dataset folder: accuracy in percent, mean of 1 seed\n' in table
    assert 'test images' in table and 'Attention on the part' not in table
    assert np.array(Image.open(tmp_path / 'demo' / 'attention.png')).std() > 10


@pytest.mark.parametrize(
    'name, beta', [('beta=0', 0.0), ('beta=0.5', 0.5), ('beta=2', 2.0), ('zero-shot', 1e9)]
)
def test_figures_are_the_models_accuracy(name, beta):
    """Against the model itself, in eval mode, with its neck's beta."""
    model = CLIPClassifier(
        clip=dict(model_name=TINY_RN, pretrained=None),
        neck=dict(type='safe_mm.BlendedAttentionPool', beta=beta),
        head=dict(type='safe_mm.TextClsHead'),
        classes=list('abcdefgh'),
    ).eval()
    torch.manual_seed(0)
    pool = model.neck.attn_pool_o
    side = int((len(pool.positional_embedding) - 1) ** 0.5)
    features = torch.randn(40, pool.width, side, side)
    with torch.no_grad():
        for parameter in model.neck.attn_pool_f.parameters():
            parameter.copy_(torch.randn_like(parameter))
        original, tuned = model.pool(features, 'dense')
        for parameter in model.neck.attn_pool_f.c_proj.parameters():
            parameter *= original.norm() / tuned.norm()  # both count
        scores = model(features, start='dense')
    labels = scores.argmax(-1)
    labels[:10] = (labels[:10] + 1) % 8  # wrong on a quarter

    class Loader(list):
        class dataset(list):  # noqa: N801
            metainfo = {}

    Loader.dataset = Loader.dataset(range(40))
    loader = Loader(
        dict(
            inputs=features[part],
            start='dense',
            data_samples=[DataSample().set_gt_label(k) for k in labels[part]],
        )
        for part in (slice(0, 25), slice(25, 40))
    )
    found = evaluate(
        model, loader, [dict(type='Accuracy', topk=(1,)), dict(type='safe_mm.FigureAccuracy')]
    )
    assert found['accuracy'] == found[name] == 75.0
    assert len(set(found.values())) > 3  # beta matters here
