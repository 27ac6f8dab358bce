"""Tip-Adapter's cache, on CLIP's own pooling and on SAFE's blend."""
import json
import shutil
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.config import Config
from torch.nn import functional as F

from safe_mm.checkpoint import read_checkpoint
from safe_mm.config import share
from safe_mm.datasets.splits import read_folders
from safe_mm.models import CacheHead, TextClsHead
from safe_mm.models.cache_head import affinity, cache_keys, cache_logits
from safe_mm.models.neck import blend
from safe_mm.pooled import Pooled, pool_dataset
from safe_mm.registry import DATASETS, MODELS
from safe_mm.search import check_space, flatness, report, search

from .conftest import CONFIG, TINY_VIT, fails, run_tool, weights
from .test_processes import launch

CLIP = dict(model_name=TINY_VIT, pretrained=None)
NAMES = ('circle', 'square', 'star')
HOOKS = """
custom_hooks = [
    dict(type='safe_mm.ClassNamesHook'),
    dict(type='safe_mm.FreezeHook', trainable={trainable}),
    dict(type='safe_mm.CacheHook'),
]
search = dict(alpha=[0, 10, 1000], gamma=[1, 20, 500]{beta})
"""
POOL = "neck=dict(_delete_=True, type='safe_mm.CLIPPool', clip=None), "
TRAIN = """
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
        keys = name.endswith('-f')
        file.write_text(
            f"_base_ = ['{CONFIG}']\n"
            f"model = dict({'' if 'safe' in name else POOL}head=dict("
            f"type='safe_mm.CacheHead', train_keys={keys}))\n" +
            HOOKS.format(
                trainable=['head.keys'] if keys else
                ['neck.attn_pool_f.*'] if 'safe' in name else [],
                beta=', beta=[0, 0.5, 1]' if 'safe' in name else '') + TRAIN +
            f"train_cfg = dict(max_iters={0 if name == 'tip' else 10}, "
            'val_interval=5)\n')
        return file, ['--data-root', data, '--shots', '4']

    return write


def random_cache(classes: int = 5, width: int = 16, shots: int = 4):
    """Features of a batch, keys, labels and class weights, in float64."""
    torch.manual_seed(0)
    f = F.normalize(torch.randn(7, width).double(), dim=-1)
    keys = F.normalize(torch.randn(classes * shots, width).double(), dim=-1)
    labels = torch.arange(classes).repeat(shots)
    w = F.normalize(torch.randn(classes, width).double(), dim=-1)
    return f, keys, labels, w


def test_equations_in_float64():
    """Eq. 8-10 term by term, and the arithmetic that Tip-Adapter published."""
    f, keys, labels, w = random_cache()
    alpha, gamma = 1.7, 3.2
    one_hot = F.one_hot(labels).double()
    expected = torch.zeros(7, 5).double()
    for b in range(7):
        for j, key in enumerate(keys):
            phi = torch.exp(-gamma * (1 - f[b].dot(key)))
            expected[b] += alpha * phi * one_hot[j]
    expected += 100 * f @ w.T
    ours = alpha * cache_logits(affinity(3 * f, keys), labels, 5,
                                gamma) + 100 * f @ w.T
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)

    their_beta, near = gamma, f @ keys.T
    published = ((-1) * (their_beta - their_beta * near)).exp() @ one_hot
    torch.testing.assert_close(
        ours, 100. * f @ w.T + published * alpha, rtol=1e-12, atol=1e-12)


def test_gradients_in_float64():
    f, keys, labels, _ = random_cache()
    assert torch.autograd.gradcheck(
        lambda f, keys: cache_logits(affinity(f, keys), labels, 5, 3.),
        (f.requires_grad_(), keys.requires_grad_()))


def test_keys_are_means_of_views():
    views = torch.tensor([[2., 0], [0, 4], [0, 0], [6, 8]])
    keys = cache_keys(views, torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(
        keys, torch.tensor([[1., 0], [3 / 45**0.5, 6 / 45**0.5]]))


def test_without_weight_it_is_safe():
    """With alpha 0, and with an empty cache, logits are SAFE's."""
    head = CacheHead(CLIP, alpha=0, classes=NAMES)
    safe = TextClsHead(CLIP, classes=NAMES)
    feats = (torch.randn(4, safe.class_weights.shape[1]), )
    assert torch.equal(head(feats), safe(feats))
    width = head.keys.shape[1]
    head.set_cache(F.normalize(torch.randn(6, width), dim=-1),
                   torch.arange(6) % 3)
    assert torch.equal(head(feats), safe(feats))
    head.alpha.fill_(2.)
    assert not torch.allclose(head(feats), safe(feats), atol=0.01)
    again = CacheHead(CLIP)
    again.load_state_dict(head.state_dict())
    assert torch.equal(again(feats), head(feats))


@pytest.mark.parametrize('beta', [0.5, None])
def test_search_finds_what_was_planted(beta):
    """Keys tell the classes where texts do not, and only for one beta."""
    f, keys, labels, w = random_cache(width=64)
    noise = torch.randn(20, 64).double()
    target = keys + 0.02 * noise
    # blend(o, f, 0.5) is the target; other betas add noise
    validation = Pooled([2 * noise, target - noise], labels)
    torch.testing.assert_close(validation.merged(0.5), target)
    space = dict(alpha=[0, 200.], gamma=[5., 0.001])
    if beta is None:
        space['beta'] = [0, 0.5, 1]
    choice = search(space, lambda beta: keys, labels, validation, w,
                    torch.tensor(100.).double(), 0.5)
    assert choice.accuracy.max() == 100
    assert (choice.alpha, choice.gamma) == (200., 5.)
    assert choice.beta == (0.5 if beta is None else None)
    assert choice.accuracy.shape == (3 if beta is None else 1, 2, 2)
    # The table says what a direct evaluation says
    logits = 100 * F.normalize(target, dim=-1) @ w.T
    index = 1 if beta is None else 0
    assert choice.accuracy[index, 0, 0] == pytest.approx(
        100 * (logits.argmax(-1) == labels).double().mean().item())


def test_ties_go_to_the_least_loss_and_are_told():
    f, keys, labels, w = random_cache()
    validation = Pooled([keys], labels)  # found by any positive alpha
    space = dict(alpha=[2., 20., 10.], gamma=[20.])
    choice = search(space, lambda beta: keys, labels, validation, w,
                    torch.tensor(1.).double(), 0.)
    assert choice.alpha == 20. and choice.accuracy.min() == 100
    assert choice.flatness == (
        '3 of 3 settings are best on 20 validation images, 3 within one image '
        'of it')
    assert 'The largest alpha won' in ' '.join(report(choice, space))


def test_without_a_cache_gamma_does_not_count():
    accuracy = torch.tensor([[[50., 50, 50], [60, 50, 60]]])
    assert flatness(accuracy, [0, 1], 10).startswith('2 of 4 settings')


@pytest.mark.parametrize('space', [
    None, dict(), dict(alpha=[1]), dict(alpha=[], gamma=[1]),
    dict(alpha=1, gamma=[1]), dict(alpha=[-1], gamma=[1]),
    dict(alpha=[1], gamma=[1], delta=[1]),
    dict(alpha=[1], gamma=[1], beta=[-1]),
    dict(alpha=[1], gamma=[1], beta=['x'])
])
def test_bad_search_space(space):
    with pytest.raises(ValueError, match='search'):
        check_space(space)


def accuracy(config, work_dir, options, out) -> float:
    run_tool('test', config, work_dir, *options[:2], '--work-dir', out,
             '--out', out / 'metrics.json', '--out-item', 'metrics')
    return mmengine.load(out / 'metrics.json')['accuracy/top1']


def test_tip_adapter_from_the_checkpoint_alone(method, data, tmp_path):
    """No training image is needed to test, and the logits are Eq. 8's."""
    file, options = method('tip')
    run_tool('train', file, *options, '--work-dir', tmp_path / 'run')
    found = read_checkpoint(str(tmp_path / 'run' / 'best_cache_iter_0.pth'))
    state = found['state_dict']
    assert state['head.keys'].shape[0] == 24 == len(state['head.labels'])
    assert state['head.labels'].bincount().tolist() == [4] * 6
    shown = json.loads((tmp_path / 'run' / 'search.json').read_text())
    assert torch.tensor(shown['accuracy']).shape == (1, 3, 3)
    assert shown['chosen']['alpha'] == state['head.alpha'].item()
    assert 'validation images' in shown['flatness']
    assert (tmp_path / 'run' / 'search.png').stat().st_size > 5000
    for part in ('train', 'val'):
        shutil.rmtree(data / 'shapes' / part)
    tested = accuracy(file, tmp_path / 'run', options, tmp_path / 'out')

    # The same by hand, from the file alone
    cfg = Config.fromfile(file)
    share(cfg._cfg_dict, 'clip', cfg.clip)
    share(cfg._cfg_dict, 'data_root', str(data))
    cfg.model.head.classes = found['meta']['dataset_meta']['classes']
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(state, strict=False)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    pooled = pool_dataset(model, dataset, 0, '')
    f = F.normalize(pooled.poolings[0], dim=-1).double()
    phi = torch.exp(-state['head.gamma'] * (
        1 - f @ state['head.keys'].double().T))
    logits = state['head.alpha'] * phi @ F.one_hot(
        state['head.labels']).double() + model.head.logit_scale * (
            f @ state['head.class_weights'].double().T)
    hits = logits.argmax(-1) == pooled.labels
    assert tested == pytest.approx(100 * hits.double().mean().item())


def test_safe_a_is_safe_with_a_cache(method, tmp_path):
    """Its pooling layer is SAFE's, and the search does not lose to it."""
    file, options = method('safe-a')
    run_tool('train', file, *options, '--work-dir', tmp_path / 'safe-a')
    run_tool('train', CONFIG, *options, '--work-dir', tmp_path / 'safe',
             '--cfg-options', 'train_dataloader.batch_size=24',
             'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
             'train_cfg.max_iters=10', 'train_cfg.val_interval=5',
             'default_hooks.checkpoint.interval=5', 'param_scheduler=None')
    best = next((tmp_path / 'safe').glob('best*.pth'))
    one = read_checkpoint(str(tmp_path / 'safe-a' / 'best_cache_iter_10.pth'))
    safe = read_checkpoint(str(best))
    pooling = [k for k in safe['state_dict'] if k.startswith('neck')]
    assert len(pooling) > 10
    for key in pooling:
        assert torch.equal(safe['state_dict'][key], one['state_dict'][key])
    shown = json.loads((tmp_path / 'safe-a' / 'search.json').read_text())
    found = torch.tensor(shown['accuracy'])
    assert found[1, 0].tolist() == [safe['message_hub']['runtime_info'][
        'best_score']] * 3  # beta 0.5 and alpha 0 are SAFE
    assert one['meta']['cache']['beta'] == shown['chosen']['beta']

    fails('has no cache', 'test', file, best, *options[:2], '--work-dir',
          tmp_path / 'out')

    # SAFE-A with trained keys starts from either, and keeps what fits
    file, options = method('safe-a-f')
    # Even where the search found no use for the cache
    none = dict(one, state_dict=dict(one['state_dict']))
    none['state_dict']['head.alpha'] = torch.tensor(0.)
    torch.save(none, tmp_path / 'none.pth')
    for number, start in enumerate((best, tmp_path / 'none.pth')):
        work_dir = tmp_path / f'keys{number}'
        run_tool('train', file, *options, '--work-dir', work_dir,
                 '--cfg-options', f'load_from={start}',
                 'train_cfg.val_interval=10')
        tuned = weights(work_dir / 'best_cache_iter_10.pth')
        for key in pooling:
            assert torch.equal(tuned[key], safe['state_dict'][key]), key
        moved = (tuned['head.keys'] - one['state_dict']['head.keys']).abs()
        assert moved.max() > 0
    fails('load_from=CHECKPOINT', 'train', file, *options, '--work-dir',
          tmp_path / 'none')


def test_safe_a_resumes_and_trains_without_its_cache(method, tmp_path):
    """Nor does a cache that is loaded act on what trains the pooling."""
    file, options = method('safe-a')
    run_tool('train', file, *options, '--work-dir', tmp_path / 'whole')
    done = tmp_path / 'whole' / 'best_cache_iter_10.pth'
    whole = weights(done)
    broken = tmp_path / 'broken'
    broken.mkdir()
    shutil.copy(tmp_path / 'whole' / 'iter_5.pth', broken)
    for best in (tmp_path / 'whole').glob('best_accuracy*_5.pth'):
        shutil.copy(best, broken)
    fails('no best_cache', 'test', file, broken, *options[:2], '--work-dir',
          tmp_path / 'out')
    run_tool('train', file, *options, '--work-dir', broken, '--resume')
    resumed = weights(broken / 'best_cache_iter_10.pth')
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key

    # The same steps from the same weights, with a cache in the checkpoint
    # that says nonsense, and without
    start = read_checkpoint(str(done))
    start['state_dict']['head.keys'] *= -1
    torch.save(start, tmp_path / 'cache.pth')
    for key in ('keys', 'labels', 'alpha', 'gamma'):
        del start['state_dict']['head.' + key]
    torch.save(start, tmp_path / 'plain.pth')
    for name in ('cache', 'plain'):
        run_tool('train', file, *options, '--work-dir', tmp_path / name,
                 '--cfg-options', f'load_from={tmp_path}/{name}.pth')
    one, two = (weights(tmp_path / name / 'best_cache_iter_10.pth')
                for name in ('cache', 'plain'))
    for key, value in one.items():
        assert torch.equal(value, two[key]), key
    # Its search is of the config, where an option reaches it
    run_tool('train', file, *options, '--work-dir', tmp_path / 'grid',
             '--grid', '--cfg-options', 'search.alpha=[3.0]',
             'grid.lr=[1e-3,1e-5]', 'grid.weight_decay=[0]')
    assert weights(next((tmp_path / 'grid').glob('best_cache*')))[
        'head.alpha'] == 3
    fails('search=dict', 'train', file, *options, '--work-dir',
          tmp_path / 'bad', '--cfg-options', 'search.alpha=3')


def test_other_shots_make_another_cache(method, tmp_path):
    file, options = method('tip-f')
    run_tool('train', file, *options, '--work-dir', tmp_path / 'four')
    run_tool('train', file, *options[:2], '--shots', 2, '--work-dir',
             tmp_path / 'two', '--no-validate', '--cfg-options',
             f'load_from={tmp_path}/four/best_cache_iter_10.pth')
    found = weights(tmp_path / 'two' / 'best_cache_iter_10.pth')
    assert len(found['head.keys']) == 12
    assert found['head.alpha'] == 1 and found['head.gamma'] == 5.5


def test_killed_keys_resume(method, tmp_path):
    """Keys go on from the checkpoint; they are not made anew."""
    file, options = method('tip-f')
    run_tool('train', file, *options, '--work-dir', tmp_path / 'whole')
    broken = tmp_path / 'broken'
    broken.mkdir()
    shutil.copy(tmp_path / 'whole' / 'iter_5.pth', broken)
    for best in (tmp_path / 'whole').glob('best_accuracy*.pth'):
        shutil.copy(best, broken)
    run_tool('train', file, *options, '--work-dir', broken, '--resume')
    for name in ('iter_10.pth', 'best_cache_iter_10.pth'):
        one, two = (weights(f / name) for f in (tmp_path / 'whole', broken))
        for key, value in one.items():
            assert torch.equal(value, two[key]), (name, key)
    tested = [accuracy(file, tmp_path / name, options, tmp_path / 'out')
              for name in ('whole', 'broken')]
    assert tested[0] == tested[1] > 0
    fails('has no cache that is ready', 'test', file, broken / 'iter_10.pth',
          *options[:2], '--work-dir', tmp_path / 'out')
    start = weights(tmp_path / 'whole' / 'iter_5.pth')['head.keys']
    end = weights(tmp_path / 'whole' / 'iter_10.pth')['head.keys']
    assert not torch.equal(start, end)


def test_two_processes_make_the_same_cache(method, tmp_path):
    for name in ('tip', 'tip-f', 'safe-a'):
        file, options = method(name)
        run_tool('train', file, *options, '--work-dir', tmp_path / name / '1')
        launch('train', 2, *options, '--work-dir', tmp_path / name / '2',
               '--cfg-options', 'train_dataloader.batch_size=12', config=file)
        one, two = (weights(next((tmp_path / name / n).glob('best_cache*')))
                    for n in '12')
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


def test_other_classes_and_empty_classes_are_refused(method, data, tmp_path):
    file, options = method('tip')
    run_tool('train', file, *options, '--work-dir', tmp_path / 'run')
    first = min((data / 'shapes' / 'train').iterdir()).name
    for part in ('train', 'val', 'test'):
        (data / 'shapes' / part / first).rename(
            data / 'shapes' / part / 'aardvark')
    fails(f"first '{first}' against 'aardvark'", 'test', file,
          tmp_path / 'run', '--data-root', data, '--work-dir',
          tmp_path / 'out')
    shutil.rmtree(data / 'shapes' / 'train' / 'aardvark')
    fails("class 'aardvark' has no training image", 'train', file, *options,
          '--work-dir', tmp_path / 'empty')


def test_zero_shot_takes_no_checkpoint(tmp_path, shapes, method):
    file = tmp_path / 'zero-shot.py'
    file.write_text(
        f"_base_ = ['{CONFIG}']\n"
        f'model = dict({POOL})\n'
        'train_dataloader = val_dataloader = val_evaluator = None\n'
        'train_cfg = val_cfg = optim_wrapper = param_scheduler = None\n'
        'test_dataloader = dict(num_workers=0)\n')
    run_tool('test', file, '--data-root', shapes, '--work-dir',
             tmp_path / 'out', '--out', tmp_path / 'm.json', '--out-item',
             'metrics')
    assert 0 <= mmengine.load(tmp_path / 'm.json')['accuracy/top1'] <= 100
    fails('takes no checkpoint', 'test', file, tmp_path)
    fails('give it to test.py', 'train', file)
    fails('give a checkpoint of it', 'test', method('tip')[0])


def test_cache_of_a_blend_is_of_the_blend():
    """The head behind SAFE's neck gets F_blend, as Eq. 9 asks for."""
    pooled = Pooled([torch.randn(3, 4), torch.randn(3, 4)], torch.arange(3))
    expected = F.normalize(0.7 * pooled.poolings[0] + pooled.poolings[1],
                           dim=-1)
    keys = cache_keys(pooled.merged(0.7), torch.arange(3))
    torch.testing.assert_close(keys, expected)
    torch.testing.assert_close(pooled.merged(0.7), blend(*pooled.poolings,
                                                         0.7))
