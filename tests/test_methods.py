"""One suite for all methods: a new one is a line in methods.py."""

import copy
import json
import shutil
from argparse import ArgumentParser

import pytest
import torch
from mmengine.config import Config
from mmpretrain import get_model
from timm.layers import to_2tuple

from safe_mm.config import load_config
from safe_mm.errors import InputError
from safe_mm.models.slim import _tensors
from safe_mm.options import add_common_options
from safe_mm.registry import MODELS

from .conftest import fails, metrics, run_tool, weights
from .methods import (
    DISTINCT,
    METHODS,
    OWN,
    RUN,
    best,
    best_score,
    named,
    own_options,
    tolerance,
    write_config,
)

# What is no parameter of a classifier, and may change; W_c does by template mining
STATE = {'labels', 'constraint_weights', 'class_weights', 'step', 'finished'}


def build(method, folder, shapes):
    parser = ArgumentParser()
    add_common_options(parser)
    file = write_config(method, folder, shapes)
    args = [str(file), '--clip', method.clip]
    return MODELS.build(load_config(parser.parse_args(args)).model)


@named([m for m in METHODS if m.starts_at_zero_shot])
def test_starts_at_zero_shot(method, tmp_path, shapes):
    """Logits before training point to the same classes, with equal margins."""
    zero = build(METHODS[0]._replace(clip=method.clip), tmp_path, shapes).eval()
    model = build(method, tmp_path, shapes).eval()
    model.head.in_training = True
    images = torch.rand(4, 3, *to_2tuple(model.backbone.image_size))
    with torch.no_grad():
        torch.testing.assert_close(model(images), zero(images), rtol=1e-4, atol=1e-4)


@named(RUN)
def test_only_what_is_declared_changes(method, train_method, tmp_path, shapes):
    """Every other tensor is as it was built, bit by bit."""
    file, work_dir = train_method(method)
    model = build(method, tmp_path, shapes)
    before = {k: v.clone() for k, v in _tensors(model).items()}
    declared = model.trainable
    assert bool(declared) == method.trains
    changed = set()
    for saved in (best(work_dir), *work_dir.glob('iter_4.pth')):  # the start may be the best
        own = copy.deepcopy(model)
        own.load_state_dict(weights(saved), strict=False)
        after = _tensors(own)
        changed |= {k for k in before if not torch.equal(before[k], after[k])}
    fitted = {f'head.{name}' for name in model.head.fitted}
    state = {name for name in changed if name.split('.')[-1] in STATE}
    assert changed - state <= fitted.union(declared)
    assert fitted <= changed
    assert bool(changed) == (method.trains or method.fits)
    assert changed & set(declared) or not method.trains


@named(DISTINCT)
def test_cached_equals_streamed(method, train_method, tmp_path, shapes):
    file, cached = train_method(method)
    run_tool(
        'train',
        file,
        *own_options(
            method, '--work-dir', tmp_path, '--cfg-options', 'default_hooks.feature_cache=None'
        ),
    )
    assert best(cached).name == best(tmp_path).name
    one, two = weights(best(cached)), weights(best(tmp_path))
    assert one.keys() == two.keys()
    for key, value in one.items():
        if method.exact or not key.startswith('head.'):
            torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-4)
    assert best_score(cached) == pytest.approx(best_score(tmp_path), abs=tolerance(method))


@named(RUN)
def test_save_load_and_test_agree(method, train_method):
    """tools/test.py, get_model, and the config in the work dir."""
    file, work_dir = train_method(method)
    found = metrics(file, work_dir, '--clip', method.clip)['accuracy/top1']
    own = work_dir / f'{method.name}.py'
    model = get_model(str(own), pretrained=str(best(work_dir)))
    dataset = Config.fromfile(own).test_dataloader.dataset
    from mmpretrain.datasets import build_dataset

    hits = [
        sample.pred_label.item() == sample.gt_label.item()
        for sample in predict(model, build_dataset(dataset))
    ]
    assert 100 * sum(hits) / len(hits) == pytest.approx(found, abs=1e-4)


def predict(model, dataset) -> list:
    batch = [dataset[i] for i in range(len(dataset))]
    with torch.no_grad():
        return model.test_step(
            dict(
                inputs=torch.stack([one['inputs'] for one in batch]),
                data_samples=[one['data_samples'] for one in batch],
            )
        )


@named([m for m in DISTINCT if m.trains])
def test_killed_run_resumes(method, train_method, tmp_path):
    """From the checkpoint of half its length, to the same bits."""
    file, work_dir = train_method(method)
    shutil.copy(work_dir / 'iter_2.pth', tmp_path)
    for half in work_dir.glob('best_accuracy*_[02].pth'):
        shutil.copy(half, tmp_path)
    run_tool('train', file, *own_options(method, '--work-dir', tmp_path, '--resume'))
    whole, resumed = weights(best(work_dir)), weights(best(tmp_path))
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key


@named(DISTINCT)
def test_joint_training_equals_alone_or_is_refused(method, tmp_path, shapes):
    file = write_config(
        method, tmp_path, shapes, 'grid = dict(lr=[1e-2, 1e-3], weight_decay=[0.01])'
    )
    args = own_options(method, '--work-dir', tmp_path / 'joint', '--grid')
    if not (method.trains and method.joint):
        fails('--grid and --seeds do not support', 'train', file, *args)
        return
    run_tool('train', file, *args)
    log = next((tmp_path / 'joint').glob('*/*.log')).read_text()
    chosen = next(x for x in log.splitlines() if x.endswith('chosen'))
    if 'lr=' not in chosen:  # the start, which is that of any setting
        chosen = 'lr=1e-2'
    run_tool(
        'train',
        file,
        *own_options(
            method,
            '--work-dir',
            tmp_path / 'alone',
            '--cfg-options',
            'optim_wrapper.optimizer.weight_decay=0.01',
            'optim_wrapper.optimizer.lr=' + chosen.split('lr=')[1].split()[0],
        ),
    )
    one, two = (weights(best(tmp_path / name)) for name in ('joint', 'alone'))
    for key, value in one.items():  # Adam enlarges what rounding does to gradients near zero
        distance = (two[key].float() - value.float()).abs().sum()
        assert distance <= 1e-5 * value.numel() + 1e-4 * value.float().abs().sum(), key


@named([m for m in OWN if m.trains])
def test_trains_in_mixed_precision(method, train_method, tmp_path):
    """With weights in float32 and nearly the same losses; bfloat16 on a CPU, float16 on a GPU."""
    file, work_dir = train_method(method)
    more = ['train_cfg.max_iters=2']
    if torch.cuda.is_available():  # a loss scale that skips no steps
        more += ['optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.loss_scale=512.']
    else:
        pytest.importorskip('torch', '2.2')  # pytorch#111276: masks of text encoders
    run_tool(
        'train', file, *own_options(method, '--work-dir', tmp_path, '--amp', '--cfg-options', *more)
    )
    assert {value.dtype for value in weights(tmp_path / 'iter_2.pth').values()} <= {
        value.dtype for value in weights(work_dir / 'iter_2.pth').values()
    }
    losses = []
    for folder in (work_dir, tmp_path):
        (log,) = folder.glob('*/vis_data/scalars.json')
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        losses.append([line['loss'] for line in lines if 'loss' in line][:2])
    assert losses[0] == pytest.approx(losses[1], rel=0.1, abs=0.1)


def test_unfinished_and_foreign_checkpoints_are_refused(train_method, tmp_path):
    """By the model itself, so for all who load one."""
    by_name = {method.id: method for method in RUN}
    file, work_dir = train_method(by_name['safe-a'])
    cfg = str(work_dir / 'safe-a.py')
    unfinished = get_model(cfg, pretrained=str(work_dir / 'iter_4.pth'))
    with pytest.raises(InputError, match='has not been fitted'):
        unfinished(torch.rand(1, 3, 160, 160))
    other = Config.fromfile(cfg)
    other.model.clip.model_name = 'creatures-vit'
    with pytest.raises(InputError, match='does not fit the model'):
        get_model(other, pretrained=str(best(work_dir)))
    state = weights(best(work_dir))
    state['backbone.frozen_sha256'] = state['backbone.frozen_sha256'] + 1
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'other.pth')
    with pytest.raises(InputError, match='other frozen weights'):
        get_model(cfg, pretrained=str(tmp_path / 'other.pth'))
