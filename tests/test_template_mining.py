"""Text classifiers for SAFE: one prompt, and template mining; and SAFE's penalty."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch.nn import functional as F

from safe_mm.clip import SplitCLIP
from safe_mm.config import use_clip, use_dataset
from safe_mm.engine.template_mining_hook import mine
from safe_mm.methods import BlendedAttentionPool
from safe_mm.methods.zero_shot import text_class_weights
from safe_mm.prompts import class_prompts
from safe_mm.registry import MODELS

from .conftest import ROOT, TINY_VIT, fails, run_tool, weights
from .methods import METHODS, options, write_config

METHOD = next(m for m in METHODS if m.name == 'safe_template-mining')
POOL = """
custom_hooks = [
    dict(type='safe_mm.FitHook'),
    dict(type='safe_mm.TemplateMiningHook', pool=['a {}!', 'no {}', 'the {}'], keep=2)]
"""


@pytest.mark.parametrize(
    'name, template', [('safe_class-name', '{}'), ('safe_one-template', 'a photo of a {}.')]
)
def test_one_prompt_in_place_of_the_datasets(name, template):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    use_dataset(cfg, 'ears')
    use_clip(cfg, 'creatures-rn', 'seed1')
    model = MODELS.build(cfg.model)
    expected = SplitCLIP('creatures-rn', 'seed1').encode_text(
        list(map(template.format, model.classes))
    )
    torch.testing.assert_close(model.head.class_weights, F.normalize(expected, dim=-1))


def test_best_templates_alone_make_the_weights():
    """Template 2 errs on all images, 0 and 1 on none, 3 on one."""
    images = torch.eye(3, dtype=torch.float64)
    texts = torch.stack([images, images + 0.1, images.roll(1, 0), images[[0, 1, 1]]])
    texts = F.normalize(texts, dim=-1)
    found, best = mine(texts, images, torch.arange(3), 3)
    assert best == [0, 1, 3]
    torch.testing.assert_close(found, F.normalize(texts[[0, 1, 3]].mean(0), dim=-1))
    assert mine(texts, images, torch.arange(3), 1)[1] == [0]


def test_a_run_has_the_weights_of_its_templates(tmp_path, shapes):
    """The log names them, and the checkpoint has their W_c."""
    file = write_config(METHOD, tmp_path, shapes, POOL)
    run_tool('train', file, *options('--work-dir', tmp_path / 'run'))
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    chosen = log.split('Templates by validation: ')[1].splitlines()[0].split('; ')
    assert len(chosen) == 2
    assert set(chosen) <= {'a {}.', 'a {}!', 'no {}', 'the {}'}
    state = weights(tmp_path / 'run' / 'iter_4.pth')
    clip = SplitCLIP('creatures-rn', 'seed1')
    classes = Config.fromfile(tmp_path / 'run' / 'safe_template-mining.py').model.classes
    expected = text_class_weights(class_prompts(classes, chosen), clip.encode_text)
    torch.testing.assert_close(state['head.class_weights'], expected)


def test_without_validation_it_is_refused(tmp_path, shapes):
    file = write_config(METHOD, tmp_path, shapes)
    args = options('--work-dir', tmp_path, '--no-validate')
    fails('TemplateMiningHook needs validation images', 'train', file, *args)


def test_several_samples_at_once_are_refused(tmp_path, shapes):
    file = write_config(METHOD, tmp_path, shapes)
    args = ['--clip', 'creatures-rn:seed1', '--shots', 4, '--seeds', 1, 2]
    fails('TemplateMiningHook does not support --seeds', 'train', file, *args)


def test_a_head_made_of_class_weights_is_refused(tmp_path, shapes):
    line = "model['head'] = dict(type='safe_mm.TaskResHead')"
    file = write_config(METHOD, tmp_path, shapes, line)
    fails('does not support TaskResHead', 'train', file, *options('--work-dir', tmp_path / 'run'))


def test_classes_with_sentences_of_their_own_are_refused(tmp_path, shapes):
    """Their numbers differ, so that no sentence is that of another class."""
    names = sorted(path.name for path in Path(shapes, 'shapes').iterdir() if path.is_dir())
    pool = {name: [f'{name} {i}' for i in range(2 + (name == names[0]))] for name in names}
    (tmp_path / 'pool.json').write_text(json.dumps(pool))
    file = write_config(METHOD, tmp_path, shapes, POOL)
    more = f'--cfg-options custom_hooks.1.pool={tmp_path / "pool.json"}'.split()
    args = options('--work-dir', tmp_path / 'run', *more)
    fails('needs the same templates for all classes', 'train', file, *args)


@pytest.mark.parametrize('shots', [None, 4])
def test_penalty_is_the_squared_distance_by_shots(shots):
    """Of all tuned parameters, in float64, with its gradient."""
    neck = BlendedAttentionPool(dict(model_name=TINY_VIT, pretrained=None), shots=shots).double()
    if shots is None:
        assert neck.penalties() == {}
        return
    tuned = [p for p in neck.attn_pool_f.parameters() if p.requires_grad]
    moves = [torch.randn_like(p) for p in tuned]
    for own, move in zip(tuned, moves):
        own.data += move
    found = neck.penalties()['loss_prolip']
    torch.testing.assert_close(found, sum((m**2).sum() for m in moves) / 4)
    for own, move in zip(torch.autograd.grad(found, tuned), moves):
        torch.testing.assert_close(own, move / 2)
