"""The tools from end to end, on drawn pictures and small CLIPs."""
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from safe_mm.checkpoint import find_checkpoint, read_checkpoint
from safe_mm.clip import split_clip
from safe_mm.config import add_common_options, load_config
from safe_mm.engine import ResumableEarlyStoppingHook
from safe_mm.models.head import text_class_weights
from safe_mm.prompts import class_prompts
from safe_mm.registry import MODELS

from .conftest import (
    CONFIG,
    ROOT,
    SHORT,
    TINY_RN,
    free_port,
    run_tool,
    short,
)
from .test_clip_weights import Payload

RN = f'clip.model_name={TINY_RN}'


def config(*args):
    parser = ArgumentParser()
    add_common_options(parser)
    return load_config(parser.parse_args([CONFIG, *map(str, args)]))


@pytest.fixture(scope='module')
def trained(shapes, tmp_path_factory):
    """Work dir of a short run of tools/train.py."""
    work_dir = tmp_path_factory.mktemp('trained')
    run_tool('train', CONFIG, '--data-root', shapes, '--work-dir', work_dir,
             *short(120, 'train_cfg.val_interval=30',
                    'default_hooks.checkpoint.interval=30'))
    return work_dir


def test_checkpoints_are_slim_and_safe(trained):
    names = sorted(p.name for p in trained.glob('*.pth'))
    assert len(names) == 3 and names[1:] == ['iter_120.pth', 'iter_90.pth']
    best = torch.load(trained / names[0], weights_only=True)
    assert 'optimizer' not in best
    keys = best['state_dict'].keys()
    assert {k.split('.')[0] for k in keys} == {'neck', 'head'}
    assert 'head.class_weights' in keys
    assert not any('attn_pool_o' in k or 'ln_post' in k for k in keys)
    assert best['meta']['dataset_meta']['classes'][0] == 'blue_shape'
    assert best['meta']['clip']['model_name'].endswith('tiny-vit.json')
    last = torch.load(trained / 'iter_120.pth', weights_only=True)
    assert last['meta']['iter'] == 120 and 'param_schedulers' in last


def test_rn50_trains_59_mb():
    clip = dict(model_name='RN50', pretrained=None)
    neck = MODELS.build(
        dict(type='safe_mm.BlendedAttentionPool', clip=clip))
    size = sum(4 * p.numel() for p in neck.parameters() if p.requires_grad)
    assert 58e6 < size < 60e6


@pytest.mark.parametrize('model', [None, RN], ids=['ViT', 'ResNet'])
def test_frozen_tensors_stay_bit_identical(shapes, tmp_path, model):
    options = short(50, 'train_cfg.val_interval=25')
    if model:
        options.append(model)
    cfg = config('--data-root', shapes, '--work-dir', tmp_path, *options)
    runner = Runner.from_cfg(cfg)
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    for name, value in runner.model.state_dict().items():
        if name == 'head.class_weights':
            continue  # was not there before
        tuned = name.startswith('neck.attn_pool_f.') and not any(
            part in name for part in ('ln_post', 'f.proj', 'k_proj.bias'))
        assert torch.equal(value, before[name]) != tuned, name


def test_test_tool(trained, shapes, tmp_path):
    out = tmp_path / 'metrics.json'
    run_tool('test', CONFIG, trained, '--data-root', shapes, '--work-dir',
             tmp_path, '--out', out, '--out-item', 'metrics', *short(120))
    accuracy = mmengine.load(out)['accuracy/top1']
    assert accuracy > 60  # colours are easy; chance is 16.7

    out = tmp_path / 'pred.pkl'
    run_tool('test', CONFIG, next(trained.glob('best_*.pth')), '--data-root',
             shapes, '--work-dir', tmp_path, '--out', out, '--tta',
             *short(120))
    predictions = mmengine.load(out)
    hits = [bool(p['pred_label'] == p['gt_label']) for p in predictions]
    assert len(hits) == 36 and 100 * sum(hits) / 36 > 60


def test_pictures_of_predictions(trained, shapes, tmp_path):
    run_tool('test', CONFIG, trained, '--data-root', shapes, '--work-dir',
             tmp_path, '--show-dir', tmp_path / 'show', '--interval', '12',
             *short(120))
    assert list((tmp_path / 'show').glob('*.png'))


def test_mmpretrain_inferencer(trained, shapes):
    """A checkpoint works in mmpretrain's own interface."""
    from mmpretrain import ImageClassificationInferencer
    cfg = config('--data-root', shapes)
    inferencer = ImageClassificationInferencer(
        cfg, pretrained=str(next(trained.glob('best_*.pth'))))
    result = inferencer(str(Path(shapes, 'shapes/red_shape/000.png')))[0]
    assert result['pred_class'] in inferencer.classes


TRAIN = [
    sys.executable, str(ROOT / 'tools' / 'train.py'), CONFIG, '--cfg-options',
    *SHORT, 'param_scheduler.1.end=60', 'train_cfg.max_iters=60',
    'train_cfg.val_interval=10', 'default_hooks.checkpoint.interval=5'
]


def test_killed_and_resumed_run_ends_the_same(shapes, tmp_path):
    """SIGKILL at a random iteration; final and best weights bit by bit."""
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    data = ['--data-root', shapes, '--work-dir']
    run_tool('train', *TRAIN[2:], *data, whole)

    with open(tmp_path / 'log', 'w') as log:
        process = subprocess.Popen([*TRAIN, *data, str(broken)], stdout=log,
                                   stderr=log)
        step, until = 5 * random.randrange(1, 9), time.time() + 120
        while not (broken / f'iter_{step}.pth').exists():
            assert process.poll() is None and time.time() < until
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not (broken / 'iter_60.pth').exists()
    run_tool('train', *TRAIN[2:], *data, broken, '--resume')

    files = [sorted(f.name for f in d.glob('*.pth')) for d in (whole, broken)]
    assert files[0] == files[1]
    for name in files[0]:
        expected = read_checkpoint(str(whole / name))
        actual = read_checkpoint(str(broken / name))
        for key, value in expected['state_dict'].items():
            assert torch.equal(actual['state_dict'][key], value), (name, key)
        for state, other in zip(
                expected.get('optimizer', {}).get('state', {}).values(),
                actual.get('optimizer', {}).get('state', {}).values()):
            assert torch.equal(state['exp_avg_sq'], other['exp_avg_sq'])


def weights(path: Path) -> dict:
    return read_checkpoint(str(path))['state_dict']


def test_two_processes_take_the_same_step(shapes, tmp_path):
    """Two processes with batches of 4 against one with batches of 8."""
    options = [
        '--data-root', shapes,
        *short(8, 'default_hooks.checkpoint.interval=1',
               'default_hooks.checkpoint.max_keep_ckpts=9',
               'train_cfg.val_interval=8', 'optim_wrapper.optimizer.lr=1e-5')
    ]
    run_tool('train', CONFIG, '--work-dir', tmp_path / 'one', *options)
    env = dict(os.environ, PORT=str(free_port()),
               OMP_NUM_THREADS='1', PATH=f'{Path(sys.executable).parent}:'
               + os.environ['PATH'])
    result = subprocess.run(
        ['bash', str(ROOT / 'tools' / 'dist_train.sh'), CONFIG, '2',
         '--work-dir', str(tmp_path / 'two'), *options,
         'train_dataloader.batch_size=4'],
        env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    start = config('--data-root', shapes).model
    start = MODELS.build(start.neck).state_dict()
    for step in (1, 8):
        one = weights(tmp_path / 'one' / f'iter_{step}.pth')
        two = weights(tmp_path / 'two' / f'iter_{step}.pth')
        assert one.keys() == two.keys()
        for key in one:
            torch.testing.assert_close(one[key], two[key], rtol=0, atol=1e-6)
        moved = max((one['neck.' + k] - v).abs().max().item()
                    for k, v in start.items() if 'neck.' + k in one)
        assert moved > 2e-6  # more than what is tolerated

    result = subprocess.run(
        ['bash', str(ROOT / 'tools' / 'dist_test.sh'), CONFIG,
         str(tmp_path / 'two'), '2', '--work-dir', str(tmp_path / 'two'),
         '--out', str(tmp_path / 'two.json'), '--out-item', 'metrics',
         *options],
        env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    run_tool('test', CONFIG, tmp_path / 'two', '--work-dir', tmp_path, '--out',
             tmp_path / 'one.json', '--out-item', 'metrics', *options)
    assert mmengine.load(tmp_path / 'one.json') == mmengine.load(
        tmp_path / 'two.json')


def test_processes_exchange_trainable_tensors_only(shapes, tmp_path,
                                                   monkeypatch):
    """Asked of DDP itself; one process is enough for that."""
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    for key in ('RANK', 'LOCAL_RANK'):
        monkeypatch.setenv(key, '0')
    monkeypatch.setenv('WORLD_SIZE', '1')
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    monkeypatch.setenv('MASTER_PORT', str(free_port()))
    cfg = config('--launcher', 'pytorch', '--data-root', shapes, '--work-dir',
                 tmp_path, *short(8))
    try:
        runner = Runner.from_cfg(cfg)
        runner.train()
        exchanged = runner.model._get_ddp_logging_data()
        trainable = [p for p in runner.model.parameters() if p.requires_grad]
        assert exchanged['num_parameter_tensors'] == len(trainable) > 0
        assert exchanged['total_parameter_size_bytes'] == sum(
            4 * p.numel() for p in trainable)
        assert not exchanged['find_unused_parameters']
    finally:
        torch.distributed.destroy_process_group()


def test_early_stopping(shapes, tmp_path):
    cfg = config(
        '--data-root', shapes, '--work-dir', tmp_path,
        *short(30, 'train_cfg.val_interval=3', 'optim_wrapper.optimizer.lr=0.',
               'default_hooks.checkpoint.interval=3'))
    cfg.custom_hooks.append(
        dict(type='safe_mm.ResumableEarlyStoppingHook', patience=2))
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 9  # the first score, and twice none better
    assert list(tmp_path.glob('best_*_iter_3.pth'))  # ties to the earliest

    hook = ResumableEarlyStoppingHook(patience=2)
    runner.message_hub.load_state_dict(
        read_checkpoint(str(tmp_path / 'iter_6.pth'))['message_hub'])
    hook.before_train(runner)
    assert hook.wait_count == 1 and hook.best_score > 0
    assert not runner.train_loop.stop_training
    runner.message_hub.update_info('early_stopping', [2, 50.])
    hook.before_train(runner)
    assert runner.train_loop.stop_training  # a stopped run stays so


def fails(message: str, name: str, *args: str):
    with pytest.raises(SystemExit, match=message) as error:
        run_tool(name, *args)
    assert str(error.value).startswith('error: ')
    assert len(str(error.value)) < 600


def test_payload_in_a_checkpoint(shapes, tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, evil=Payload(marker)), path)
    fails('evil.pth is refused', 'test', CONFIG, path, '--data-root', shapes,
          '--work-dir', tmp_path)
    fails('evil.pth is refused', 'train', CONFIG, '--resume', path,
          '--data-root', shapes, '--work-dir', tmp_path)
    assert not marker.exists()


def test_payload_in_load_from(shapes, tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, evil=Payload(marker)), path)
    fails('evil.pth is refused', 'train', CONFIG, '--data-root', shapes,
          '--work-dir', tmp_path, '--cfg-options', f'load_from={path}')
    fails('evil.pth does not exist; it should be a local file', 'train',
          CONFIG, '--data-root', shapes, '--work-dir', tmp_path,
          '--cfg-options', 'load_from=http://127.0.0.1/evil.pth')
    assert not marker.exists()


def test_names_of_results(trained, shapes, tmp_path):
    options = ['--data-root', shapes, '--work-dir', tmp_path, '--out']
    fails('ends in .pkl', 'test', CONFIG, trained, *options, 'x.json')
    fails('ends in .json', 'test', CONFIG, trained, *options, 'x.txt',
          '--out-item', 'metrics')


def test_bad_checkpoints(trained, shapes, tmp_path):
    options = ['--data-root', shapes, '--work-dir', tmp_path]
    fails('gone.pth does not exist', 'test', CONFIG, tmp_path / 'gone.pth',
          *options)
    torn = tmp_path / 'torn.pth'
    torn.write_bytes((trained / 'iter_120.pth').read_bytes()[:-5000])
    fails('torn.pth cannot be read; it may be truncated', 'test', CONFIG,
          torn, *options)
    fails('no best_', 'test', CONFIG, tmp_path, *options)
    fails('does not fit the model: neck.*tiny-vit.*tiny-rn', 'test', CONFIG,
          trained, *options, '--cfg-options', RN)


def test_checkpoint_on_other_frozen_weights(trained, shapes, tmp_path):
    path = tmp_path / 'changed.pth'
    checkpoint = read_checkpoint(str(next(trained.glob('best_*.pth'))))
    checkpoint['meta']['frozen_sha256'] = '0' * 64
    torch.save(checkpoint, path)
    fails('not those of this model', 'test', CONFIG, path,
          '--data-root', shapes, '--work-dir', tmp_path)


def test_data_with_other_classes(trained, tmp_path):
    """A checkpoint of six classes against data with five."""
    run_tool('draw_shapes', tmp_path, '--images', '10')
    for file in (tmp_path / 'shapes' / 'red_shape').glob('*'):
        file.unlink()
    (tmp_path / 'shapes' / 'red_shape').rmdir()
    fails('trained on 6 classes, and the data has 5; .*yellow_shape', 'test',
          CONFIG, trained, '--data-root', tmp_path, '--work-dir', tmp_path)


def test_head_with_other_classes(shapes, tmp_path):
    fails('dataset has 6 classes, but the classifier 2', 'train', CONFIG,
          '--data-root', shapes, '--work-dir', tmp_path,
          *short(8, 'model.head.classes=[a,b]'))


@pytest.mark.parametrize('args,message', [
    (['--data-root', '/nowhere'], 'nowhere/shapes does not exist'),
    (['--shots', '0'], 'shots=0'),
    (['--cfg-options', 'clip.pretrained=gone.pt'], 'gone.pt'),
    (['--launcher', 'slurm'], 'needs GPUs'),
    (['--amp'], '--amp needs a GPU'),
])
def test_bad_options(shapes, tmp_path, args, message):
    if torch.cuda.is_available() and args[0] in ('--launcher', '--amp'):
        pytest.skip('there is a GPU')
    fails(message, 'train', CONFIG, '--data-root', shapes, '--work-dir',
          tmp_path, *args)


def test_missing_config():
    fails('nothing.py does not exist', 'train', 'nothing.py')


def test_shared_keys_rule_everywhere(shapes):
    cfg = config('--shots', 4, '--seed', 3, '--data-root', shapes,
                 '--cfg-options', 'clip.pretrained=x.pt',
                 'val_dataloader.dataset.seed=9')
    assert cfg.train_dataloader.dataset.shots == 4
    assert cfg.train_dataloader.dataset.seed == 3
    assert cfg.val_dataloader.dataset.seed == 9  # a nested option wins
    assert cfg.randomness.seed == 3
    assert cfg.test_dataloader.dataset.data_root == shapes
    assert 'shots' not in cfg.test_dataloader.dataset
    for part in (cfg.model.backbone, cfg.model.neck, cfg.model.head,
                 cfg.model.data_preprocessor,
                 cfg.test_dataloader.dataset.pipeline[1]):
        assert part.clip.pretrained == 'x.pt'
    assert cfg.work_dir == 'work_dirs/safe_tiny-vit_shapes/shots4_seed3'


def test_values_nested_in_a_config_are_kept(shapes, tmp_path):
    """Without options, a user's own config is taken as it is."""
    own = tmp_path / 'own.py'
    own.write_text(f"_base_ = ['{CONFIG}']\n"
                   "randomness = dict(seed=7)\n"
                   "train_dataloader = dict(dataset=dict(shots=2))\n"
                   "test_dataloader = dict(dataset=dict(data_root='/else'))")
    parser = ArgumentParser()
    add_common_options(parser)
    cfg = load_config(parser.parse_args([str(own)]))
    assert cfg.randomness.seed == 7
    assert cfg.train_dataloader.dataset.shots == 2
    assert cfg.test_dataloader.dataset.data_root == '/else'
    size = cfg.test_dataloader.dataset.pipeline[1].clip.model_name
    assert size.endswith('tiny-vit.json')  # the model's


def test_templates_of_the_dataset(shapes, tmp_path):
    run_tool('train', CONFIG, '--data-root', shapes, '--work-dir', tmp_path,
             *short(8, 'train_dataloader.dataset.templates=openai_imagenet_sub'
                    ))
    split = split_clip(**config('--data-root', shapes).clip)
    expected = text_class_weights(
        class_prompts(
            [f'{c}_shape' for c in ('blue', 'green', 'orange', 'purple', 'red',
                                    'yellow')], 'openai_imagenet_sub'),
        split.encode_text)
    saved = weights(tmp_path / 'iter_8.pth')['head.class_weights']
    torch.testing.assert_close(saved, expected)


def test_two_classes(tmp_path):
    run_tool('draw_shapes', tmp_path, '--images', '10')
    for color in ('green', 'blue', 'yellow', 'purple'):
        shutil.rmtree(tmp_path / 'shapes' / f'{color}_shape')
    run_tool('train', CONFIG, '--data-root', tmp_path, '--work-dir',
             tmp_path / 'work', *short(8))
    assert list((tmp_path / 'work').glob('best_*'))


def test_work_dir_used_again(shapes, tmp_path):
    options = ['--data-root', shapes, '--work-dir', tmp_path]
    for iters in (16, 8):
        run_tool('train', CONFIG, *options,
                 *short(iters, f'train_cfg.val_interval={iters}'))
    assert find_checkpoint(str(tmp_path),
                           'best_*.pth').endswith('iter_8.pth')
    assert find_checkpoint(str(tmp_path),
                           'iter_*.pth').endswith('iter_8.pth')


def test_resume_into_another_work_dir(trained, shapes, tmp_path):
    """The best so far comes along; the source keeps its own."""
    before = sorted(f.name for f in trained.glob('*.pth'))
    options = short(124, 'optim_wrapper.optimizer.lr=0.')
    run_tool('train', CONFIG, '--data-root', shapes, '--work-dir', tmp_path,
             '--resume', trained, *options)
    assert sorted(f.name for f in trained.glob('*.pth')) == before
    assert len(list(tmp_path.glob('best_*.pth'))) == 1
    assert (tmp_path / 'iter_124.pth').exists()


def test_resume_of_a_renamed_work_dir(trained, shapes, tmp_path):
    """Its own best weights, not those that lie now where they were."""
    old, new = tmp_path / 'old', tmp_path / 'new'
    shutil.copytree(trained, old)
    best = next(old.glob('best_*.pth'))
    own = weights(best)
    (trained / 'kept').mkdir()
    original = trained / best.name
    shutil.copy(original, trained / 'kept')
    try:
        torch.save(dict(state_dict={}), original)  # another run's
        run_tool('train', CONFIG, '--data-root', shapes, '--work-dir', old,
                 '--resume', *short(124, 'optim_wrapper.optimizer.lr=0.'))
    finally:
        shutil.move(trained / 'kept' / best.name, original)
        (trained / 'kept').rmdir()
    assert weights(best).keys() == own.keys()

    shutil.copytree(old, new)
    (new / best.name).unlink()  # lost: the next validation starts anew
    run_tool('train', CONFIG, '--data-root', shapes, '--work-dir', new,
             '--resume', *short(128, 'optim_wrapper.optimizer.lr=0.'))
    assert [f.name for f in new.glob('best_*')] == [
        'best_accuracy_top1_iter_128.pth']


def test_resume_from_an_empty_folder(shapes, tmp_path):
    fails('has no iter_', 'train', CONFIG, '--data-root', shapes,
          '--work-dir', tmp_path / 'work', '--resume', tmp_path)


def test_resume_from_the_config(trained, shapes, tmp_path):
    run_tool('train', CONFIG, '--data-root', shapes, '--work-dir', tmp_path,
             *short(124, 'resume=True', f'load_from={trained}/iter_120.pth'))
    assert read_checkpoint(str(tmp_path / 'iter_124.pth'))['meta']['seed'] == 1
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'resumed epoch: 0, iter: 120' in log


class Interrupt(Hook):

    def before_val(self, runner):
        raise KeyboardInterrupt


def test_nothing_is_saved_before_its_validation(shapes, tmp_path):
    """A run that dies in a validation repeats it when resumed."""
    cfg = config('--data-root', shapes, '--work-dir', tmp_path,
                 *short(8, 'train_cfg.val_interval=4',
                        'default_hooks.checkpoint.interval=2'))
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Interrupt())
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert [f.name for f in tmp_path.glob('*.pth')] == ['iter_2.pth']


def test_configs_follow_the_protocol():
    """Paper, Sec. IV-A; see configs/_base_/schedules/safe_12800i.py."""
    cfg = Config.fromfile(ROOT / 'configs/safe/safe_rn50_caltech101.py')
    assert cfg.optim_wrapper.optimizer.type == 'AdamW'
    assert cfg.train_dataloader.batch_size == 8
    assert cfg.train_dataloader.dataset.mirror
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (12800,
                                                                     100)
    warmup, cosine = cfg.param_scheduler
    assert (warmup.type, warmup.start_lr, warmup.end) == ('safe_mm.WarmupLR',
                                                          1e-5, 50)
    assert (cosine.type, cosine.begin, cosine.end,
            cosine.get('eta_min', 0)) == ('CosineAnnealingLR', 50, 12800, 0)
    assert cfg.model.neck.beta == 0.5
    assert cfg.default_hooks.checkpoint.interval == 100


CONFIGS = sorted((ROOT / 'configs' / 'safe').glob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_model_of_each_config(path):
    cfg = Config.fromfile(path)
    for part in cfg.model.values():
        if isinstance(part, dict):
            part.clip.pretrained = None
    assert MODELS.build(cfg.model) is not None
    text = path.read_text()
    assert f'python tools/train.py configs/safe/{path.name}' in text
