"""Configs, and options that rule in them."""
import re
from argparse import ArgumentParser

import pytest
from mmengine.config import Config

from safe_mm.config import add_common_options, load_config, share
from safe_mm.registry import MODELS

from .conftest import CONFIG, ROOT, config


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
    assert cfg.work_dir == 'work_dirs/tiny/shots4_seed3'


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


CONFIGS = sorted(
    path for folder in ('safe', 'safe_a', 'tip_adapter', 'zero_shot')
    for path in (ROOT / 'configs' / folder).glob('*.py'))


def read(path) -> Config:
    parser = ArgumentParser()
    add_common_options(parser)
    return load_config(parser.parse_args([str(path)]))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_each_config(path):
    """It tells how it is launched, and its parts are of one CLIP."""
    cfg, text = read(path), path.read_text()
    if 'as safe-a-f_' not in text:
        tool = 'test' if path.parent.name == 'zero_shot' else 'train'
        launch = f'python tools/{tool}.py configs/{path.parent.name}/'
        assert launch + path.name in re.sub(r' \\\n# +', ' ', text)
    for part in cfg.model.values():
        if isinstance(part, dict):
            assert part.clip == cfg.clip
    crop = cfg.test_dataloader.dataset.pipeline[1]
    assert crop.clip == cfg.clip
    method, clip, data = (*path.stem.split('_'), '')[:3]
    name = dict(rn50='RN50').get(clip, clip.replace('vit-b', 'ViT-B-'))
    assert cfg.clip.model_name == name
    if data not in ('', 'caltech101'):
        same = read(path.with_name(f'{method}_{clip}_caltech101.py'))
        assert same.model == cfg.model
        assert same.custom_hooks == cfg.custom_hooks
        base = Config.fromfile(ROOT / f'configs/_base_/datasets/{data}.py')
        assert (cfg.test_dataloader.dataset.ann_file ==
                base.dataset.ann_file)
        return
    cfg.clip.pretrained = None
    share(cfg._cfg_dict, 'clip', cfg.clip)
    assert MODELS.build(cfg.model) is not None


@pytest.mark.parametrize('option', [
    'find_unused_parameters=True', 'resume=False', 'grid.lr=[1]',
    'custom_hooks.0.priority=LOW', 'auto_scale_lr.enable=True',
    'search.alpha=[1]', 'env_cfg.cudnn_benchmark=True', 'launcher=none'
])
def test_options_that_a_config_need_not_have(shapes, option):
    config('--data-root', shapes, '--cfg-options', option)


def test_none_switches_the_store_off():
    parser = ArgumentParser()
    add_common_options(parser)
    own = str(ROOT / 'configs' / 'safe' / 'safe_creatures-rn.py')
    off = ['--cfg-options', 'default_hooks.store=None']
    assert 'store' in load_config(parser.parse_args([own])).default_hooks
    assert 'store' not in load_config(
        parser.parse_args([own, *off])).default_hooks
