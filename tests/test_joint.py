"""Settings trained side by side, each as it would be alone."""

import copy

import pytest
import torch
from mmengine.runner import Runner
from mmpretrain import get_model
from mmpretrain.structures import DataSample
from torch.nn.functional import cross_entropy

from safe_mm.engine import enable_joint_training, expand_grid
from safe_mm.engine.joint_loops import MeanLoss
from safe_mm.evaluation import evaluate
from safe_mm.models import JointRuns, add_joint_runs, use_copy
from safe_mm.pooled import pool_dataset
from safe_mm.registry import MODELS

from .conftest import CONFIG, TINY_RN, config, fails, run_tool, short, training, weights

GRID = ['grid.lr=[1e-2,1e-3,0]', 'grid.weight_decay=[0.5,0]']


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('seeds', [1, 2])
def test_copies_are_as_if_alone(tiny_clip, dtype, seeds):
    """Losses, and gradients of their sum."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='safe_mm.CLIPClassifier',
            clip=tiny_clip,
            classes=['a', 'b'],
            neck=dict(type='safe_mm.BlendedAttentionPool'),
            head=dict(type='safe_mm.TextClsHead'),
        )
    ).to(dtype)
    with torch.no_grad():
        features = model.dense(torch.rand(seeds * 3, 3, 64, 64, dtype=dtype))
    runs = JointRuns(model, [{}] * 2, seeds).train()
    with torch.no_grad():
        for parameter in runs.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    samples = [DataSample().set_gt_label(i % 2) for i in range(seeds * 3)]
    losses = runs.loss(features, samples, 'dense')
    sum(losses.values()).backward()
    assert len(losses) == 2 * seeds == len({v.item() for v in losses.values()})
    for number, own in enumerate(runs.copies):
        first = number // 2 * 3
        alone = copy.deepcopy(own)
        alone.zero_grad()
        pooled = alone.neck.attn_pool_f(features[first : first + 3])
        logits = alone.head((pooled,))
        labels = torch.tensor([s.gt_label for s in samples[first : first + 3]])
        loss = cross_entropy(logits, labels)
        loss.backward()
        torch.testing.assert_close(losses[f'loss_{number}'], loss)
        for mine, theirs in zip(own.parameters(), alone.parameters()):
            if mine.requires_grad:
                torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kind', ['LoRA', 'SingularValues'])
def test_copies_have_reparametrized_weights_of_their_own(kind):
    """In the losses and in the predictions of the whole classifier."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='safe_mm.CLIPClassifier',
            clip=dict(model_name=TINY_RN, pretrained=None),
            classes=['a', 'b'],
            neck=dict(type='safe_mm.FineTunedPool'),
            head=dict(type='safe_mm.TextTowerHead'),
            reparametrize=dict(type=f'safe_mm.{kind}'),
        )
    )
    features = model.dense(torch.rand(3, 3, 64, 64)).detach()
    samples = [DataSample().set_gt_label(i % 2) for i in range(3)]
    add_joint_runs(model, [{}] * 2, 1)
    for parameter in model.runs.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    runs = model.eval().runs
    losses = model(features, samples, mode='loss', start='dense')
    together = runs.predict(features, samples, 'dense', 0)
    model.runs = None
    for number in range(2):
        model.backbone.tuned, model.neck, model.head = runs.copies[number].values()
        alone = model(features, samples, mode='loss', start='dense')['loss']
        torch.testing.assert_close(losses[f'loss_{number}'], alone)
        predicted = model(features, samples, mode='predict', start='dense')
        for one, two in zip(together[number], predicted):
            torch.testing.assert_close(one.pred_score, two.pred_score)
    assert losses['loss_0'] != losses['loss_1']


def test_copies_share_what_is_frozen(tiny_clip):
    """One original pooling layer, computed once for all predictions."""
    model = MODELS.build(
        dict(
            type='safe_mm.CLIPClassifier',
            clip=tiny_clip,
            classes=['a', 'b'],
            neck=dict(type='safe_mm.BlendedAttentionPool'),
            head=dict(type='safe_mm.TextClsHead'),
        )
    )
    runs = JointRuns(model, [{}] * 3).eval()
    assert all(own.neck.attn_pool_o is model.neck.attn_pool_o for own in runs.copies)
    called = []
    model.neck.attn_pool_o.register_forward_hook(lambda *x: called.append(1))
    with torch.no_grad():
        features = model.dense(torch.rand(2, 3, 64, 64))
        found = runs.predict(features, [DataSample(), DataSample()], 'dense', 0)
    assert len(found) == 3 and len(called) == 1


@pytest.fixture(scope='module')
def work_dir(shapes, tmp_path_factory):
    """Of a grid of six settings."""
    folder = tmp_path_factory.mktemp('grid')
    run_tool(
        'train',
        CONFIG,
        '--grid',
        '--data-root',
        shapes,
        '--work-dir',
        folder,
        *short(20, 'train_cfg.val_interval=10', *GRID),
    )
    return folder


def test_every_setting_is_as_if_alone(shapes, tmp_path):
    """Not the chosen one only."""
    options = ['--data-root', shapes, '--work-dir', tmp_path, *short(10, *GRID)]
    cfg = config(*options)
    enable_joint_training(cfg, expand_grid(cfg))
    cfg.experiment_name = 'grid'
    runner = Runner.from_cfg(cfg)
    runner.train()
    copies = runner.model.runs.copies
    settings = runner.model.runs.settings
    ends = []
    for number in (0, 1, 2, 4):
        alone = config(*options)
        alone.optim_wrapper.optimizer.update(settings[number])
        alone.experiment_name = f'alone{number}'
        lone = Runner.from_cfg(alone)
        lone.train()
        mine = copies[number].neck.attn_pool_f.state_dict()
        ends.append(lone.model.neck.attn_pool_f.state_dict())
        torch.testing.assert_close(mine, ends[-1], rtol=0, atol=1e-5)
    key = 'block.mlp.c_fc.weight'
    for one, two in zip(ends, ends[1:]):  # and the settings matter
        assert (one[key] - two[key]).abs().max() > 1e-4


def validated(shapes, tmp_path, *grid):
    """A grid that was validated once: its runner, the accuracies that it noted, and accuracy and
    loss of each layer on features pooled anew.
    """
    cfg = config(
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        *short(10, 'train_cfg.val_interval=10', *grid),
    )
    enable_joint_training(cfg, expand_grid(cfg))
    cfg.experiment_name = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    model = runner.model
    runner.train()
    accuracies, losses = [], []
    loader = runner.val_loop.dataloader
    for number in range(len(model.runs.copies)):
        use_copy(model, number)
        accuracies.append(evaluate(model, loader, runner.cfg.val_evaluator)['accuracy'])
        pooled = pool_dataset(model, loader.dataset)
        logits = model.head((model.neck.combine(pooled.branches),))
        losses.append(cross_entropy(logits, pooled.labels).item())
    found = [s['validation'] for s in runner.message_hub.get_info('grid')]
    return runner, found, accuracies, losses


def test_every_setting_is_validated_as_if_alone(shapes, tmp_path):
    _, found, expected, _ = validated(shapes, tmp_path, *GRID)
    assert found == pytest.approx(expected, abs=1e-3)
    assert len(set(found)) > 1  # and the settings matter


def test_of_equals_the_least_loss_is_chosen(shapes, tmp_path):
    """Of three equal settings the order is not what decides."""
    runner, found, _, losses = validated(
        shapes,
        tmp_path,
        'grid.lr=[0,1e-6,1e-5]',
        'grid.weight_decay=[0]',
        'train_cfg.val_begin=2',  # else the start, where all are the same, would win
    )
    assert len(set(found)) == 1
    best = losses.index(min(losses))
    assert best > 0
    assert runner.message_hub.get_info('setting') == runner.model.runs.settings[best]


def test_a_loss_that_is_not_a_number_is_the_greatest():
    metric = MeanLoss()
    for score in (0.5, float('nan'), 0):
        metric.process({}, [dict(pred_score=torch.tensor([score]), gt_label=torch.tensor(0))])
    losses = metric.results
    assert losses[0] < losses[1] == losses[2] < float('inf')


def test_chosen_setting_is_as_if_alone(shapes, tmp_path, work_dir):
    """The chosen weights are those of a run with that setting, 1e-5."""
    (best,) = work_dir.glob('*.pth')  # nothing else is saved
    log = next(work_dir.glob('*/*.log')).read_text()
    chosen = next(line for line in log.splitlines() if line.endswith('chosen'))
    lr, decay = (chosen.split(f'{key}=')[1].split()[0] for key in ('lr', 'weight_decay'))
    run_tool(
        *training(shapes, tmp_path),
        *short(
            20,
            'train_cfg.val_interval=10',
            f'optim_wrapper.optimizer.lr={lr}',
            f'optim_wrapper.optimizer.weight_decay={decay}',
        ),
    )
    found = weights(best)
    for key, value in weights(tmp_path / best.name).items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-5)


def test_report_names_every_setting(work_dir):
    log = next(work_dir.glob('*/*.log')).read_text()
    lines = [line for line in log.splitlines() if ' validation=' in line]
    assert len(lines) == 6
    accuracy = [float(line.split('validation=')[1].split()[0]) for line in lines]
    chosen = [line.endswith('chosen') for line in lines]
    assert sum(chosen) == 1
    assert accuracy[chosen.index(True)] == max(accuracy) > min(accuracy)


def test_config_in_the_work_dir_is_for_inference(shapes, work_dir):
    """It builds an ordinary model, which takes the best run's weights."""
    (best,) = work_dir.glob('*.pth')
    alone = get_model(config('--data-root', shapes), pretrained=str(best))
    model = get_model(str(work_dir / 'tiny.py'), pretrained=str(best))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), alone(x))


def test_chosen_weights_are_an_ordinary_models(shapes, work_dir, tmp_path):
    run_tool('test', CONFIG, work_dir, '--data-root', shapes, '--work-dir', tmp_path, *short(20))


@pytest.mark.parametrize(
    'option, message',
    [
        ('optim_wrapper.clip_grad.max_norm=1', 'clip_grad'),
        ('optim_wrapper.paramwise_cfg.norm_decay_mult=0', 'paramwise_cfg'),
        ('optim_wrapper.type=AmpOptimWrapper', 'AmpOptimWrapper'),
        ('param_scheduler.1.type=ReduceOnPlateauLR', 'ReduceOnPlateau'),
        ('custom_hooks.0.type=safe_mm.ResumableEarlyStoppingHook', 'EarlyStopping'),
        ('default_hooks.ema.type=EMAHook', 'EMAHook'),
        ('load_from=best.pth', 'load_from'),
        ('optim_wrapper.constructor=DefaultOptimWrapperConstructor', 'constructor'),
        ('val_cfg.type=ValLoop', 'val_cfg.type'),
        ('default_hooks.checkpoint.type=CheckpointHook', 'SlimCheckpointHook'),
        ('model.backbone.tune_blocks=9', 'tune_blocks=9'),
        ('default_hooks.checkpoint.save_best=auto', "save_best='auto'"),
        ('train_cfg.val_begin=99999', 'without validation'),
        ('grid.lr=1e-3', 'a grid needs'),
        ('grid.lr=[]', 'a grid needs'),
        ('grid.beta=[1]', 'unknown key grid.beta'),
    ],
)
def test_what_would_mix_runs(shapes, option, message):
    fails(message, 'train', CONFIG, '--grid', '--data-root', shapes, '--cfg-options', option)


@pytest.mark.parametrize('option', ['--resume', '--no-validate'])
def test_what_a_grid_cannot_do(shapes, option):
    fails(
        f'--grid and --seeds .*{option}', 'train', CONFIG, '--grid', option, '--data-root', shapes
    )
