"""Tip-Adapter(-F) and zero-shot CLIP through the tools."""

import json
import shutil

import pytest
import torch
from mmengine.config import Config
from torch.nn import functional as F

from safe_mm.checkpoint import read_checkpoint
from safe_mm.config import set_everywhere
from safe_mm.pooled import pool_dataset
from safe_mm.registry import DATASETS, MODELS

from .caches import POOL, train
from .conftest import CONFIG, fails, metrics, run_tool, weights


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
    tested = metrics(file, tmp_path / 'run', *options[:2])['accuracy/top1']

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
    data = ['--data-root', shapes]
    assert 0 <= metrics(file, *data)['accuracy/top1'] <= 100
    fails('takes no checkpoint', 'test', file, tmp_path, *data)
    fails('trains nothing. Use tools/test.py', 'train', file, *data)
    fails('needs a checkpoint', 'test', method('tip')[0], *data)
