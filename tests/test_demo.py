"""The demo, on a few pictures and iterations."""
import math

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from PIL import Image

from safe_mm.creatures import world
from safe_mm.evaluation import ZERO_SHOT, accuracy_by_beta
from safe_mm.pooled import pool_all
from safe_mm.registry import MODELS

from .conftest import ROOT, TINY_RN, run_tool

CONFIG = ROOT / 'configs' / 'safe' / 'safe_creatures-rn.py'


def test_demo(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(world, 'COUNTS', dict(train=2, val=1, test=2))
    run_tool(
        'demo', CONFIG, '--work-dir', tmp_path / 'demo', '--data-root',
        tmp_path / 'world', '--shots', 1, '--cfg-options', 'task=tail',
        'train_cfg.max_iters=2', 'train_cfg.val_interval=1',
        'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
        'test_dataloader.num_workers=0',
        f'default_hooks.store.root={tmp_path}/store')
    table = capsys.readouterr().out
    assert "Task 'tail': accuracy in percent, mean of 3 seeds" in table
    rows = [line.split()[-3:] for line in table.splitlines()
            if 'shots  SAFE' in line or line.startswith('zero-shot')]
    cells = [float(cell) for row in rows for cell in row]
    assert len(cells) == 9  # of three methods and three variants
    assert all(0 <= cell <= 100 for cell in cells)
    for name in ('accuracy', 'attention'):
        picture = np.array(Image.open(tmp_path / 'demo' / f'{name}.png'))
        assert picture.std() > 10  # not empty
        assert str(tmp_path / 'demo' / f'{name}.png') in table


@pytest.mark.parametrize('beta', [0., 0.5, 2., ZERO_SHOT])
def test_accuracy_by_beta_is_the_models(beta):
    """Against the model itself, in eval mode, with its neck's beta."""
    init_default_scope('mmpretrain')
    clip = dict(model_name=TINY_RN, pretrained=None)
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='safe_mm.CLIPTrunk', clip=clip),
            neck=dict(type='safe_mm.BlendedAttentionPool', clip=clip,
                      beta=1e9 if math.isinf(beta) else beta),
            head=dict(type='safe_mm.TextClsHead', clip=clip,
                      classes=list('abcdefgh')))).eval()
    torch.manual_seed(0)
    pool = model.neck.attn_pool_o
    side = int((len(pool.positional_embedding) - 1)**0.5)
    features = torch.randn(40, pool.width, side, side)
    with torch.no_grad():
        for parameter in model.neck.attn_pool_f.parameters():
            parameter.copy_(torch.randn_like(parameter))
        scores = model.head(model.neck(features))
    labels = scores.argmax(-1)
    labels[:10] = (labels[:10] + 1) % 8  # wrong on a quarter
    loader = [
        dict(
            inputs=features[part],
            data_samples=[DataSample().set_gt_label(k) for k in labels[part]])
        for part in (slice(0, 25), slice(25, 40))
    ]
    assert accuracy_by_beta(
        model.head, pool_all(model, loader), [beta]) == {beta: 75.0}
    other = accuracy_by_beta(
        model.head, pool_all(model, loader), [0., 2., ZERO_SHOT])
    assert len(set(other.values())) > 1  # beta matters here
