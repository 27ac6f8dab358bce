"""Every method on coloured shapes and a small CLIP, for tests."""

import json
from pathlib import Path
from typing import NamedTuple, Optional

import pytest
from mmengine.config import Config

from safe_mm.checkpoint import read_checkpoint

from .conftest import ROOT
from .shapes import COLORS

SHAPES = """
_base_ = '{config}'
dataset_name = 'shapes'
dataset = dict(
    data_root='{data}', data_prefix='shapes', ann_file='', templates='a {{}}.')
model = dict(classes=dataset)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=2),
    feature_cache=dict(type='safe_mm.FeatureCacheHook', root='{root}'))
param_scheduler = None
"""
LOADERS = """
train_dataloader = dict(num_workers=0, batch_size={batch}, dataset=dict(dataset, views={views}))
val_dataloader = dict(num_workers=0, dataset=dataset)
"""
TRAIN = """
train_cfg = dict(max_iters=4, val_interval=2)
"""


CLIP, VIT = 'creatures-rn:seed1', 'creatures-vit:seed1'


class Method(NamedTuple):
    """What a test must know of a method.

    Attributes:
        name (str): Of its config.
        trains (bool): By gradient descent.
        fits (bool): In closed form.
        starts_at_zero_shot (bool): Whether its predictions before training are those of zero-shot
            CLIP.
        joint (bool): Whether settings can be trained side by side.
        exact (bool): Whether a repeated fit gives the same weights; L-BFGS stops at a tolerance.
        clip (str): The small CLIP.
    """

    name: str
    trains: bool = True
    fits: bool = False
    starts_at_zero_shot: bool = True
    exact: bool = True
    joint: bool = True
    clip: str = CLIP

    @property
    def id(self) -> str:
        return self.name if self.clip == CLIP else f'{self.name} {self.clip}'


METHODS = [
    Method('zero-shot', trains=False),
    Method('tip-adapter', trains=False, fits=True),
    Method('tip-adapter-f', fits=True, joint=False),
    Method('linear-probe', trains=False, fits=True, starts_at_zero_shot=False, exact=False),
    Method('linear-probe_trunk', trains=False, fits=True, starts_at_zero_shot=False, exact=False),
    Method('gda', trains=False, fits=True),
    Method('clip-adapter', starts_at_zero_shot=False),
    Method('safe'),
    Method('safe-a', fits=True),
    Method('safe_gda', fits=True),
    Method('safe_linear-probe', fits=True, exact=False),
    Method('fine-tune'),
    Method('lp-plus-plus', trains=False, fits=True, starts_at_zero_shot=False),
    Method('task-res'),
    Method('clap', fits=True, joint=False),
    Method('zs-lp'),
    Method('prolip'),
    Method('calip', trains=False, starts_at_zero_shot=False),
    Method('calip-fs'),
    Method('cross-modal-linear'),
    Method('cross-modal-adapter', starts_at_zero_shot=False),
    Method('cross-modal-partial', starts_at_zero_shot=False),
    Method('safe_lp-plus-plus', fits=True),
    Method('full-fine-tune', joint=False),
    Method('wise-ft', joint=False),
    Method('wise-head'),
    Method('coop', starts_at_zero_shot=False),
    Method('coop-m4', starts_at_zero_shot=False),
    Method('coop-csc', starts_at_zero_shot=False),
    Method('cocoop', starts_at_zero_shot=False),
    Method('prograd', starts_at_zero_shot=False),
    Method('clip-lora'),
    Method('clip-svd'),
    Method('clip-cite', joint=False),
    Method('safe_prolip'),
    Method('safe_coop', starts_at_zero_shot=False, joint=False),
    Method('safe_tuned-head'),
    Method('safe_class-name', starts_at_zero_shot=False),
    Method('safe_one-template', starts_at_zero_shot=False),
    Method('safe_template-mining'),
    Method('safe_cupl', starts_at_zero_shot=False),
    # Of a ViT, these train the trunk
    Method('clip-lora', joint=False, clip=VIT),
    Method('clip-svd', joint=False, clip=VIT),
    Method('clip-cite', joint=False, clip=VIT),
]
RUN = [method for method in METHODS if method.name != 'zero-shot']
# Those that differ from another in their texts alone, or join the parts of two others
TEXTS = ('coop-m4', 'coop-csc', 'safe_class-name', 'safe_one-template', 'safe_cupl')
JOINED = (
    *('safe_gda', 'safe_linear-probe', 'safe_lp-plus-plus', 'safe_prolip', 'safe_tuned-head'),
    *('cross-modal-partial', 'wise-head', 'zs-lp'),
)
DISTINCT = [method for method in RUN if method.name not in (*TEXTS, *JOINED)]
OWN = [method for method in DISTINCT if method.clip == CLIP]
# Those that are resumed, tested and swept in two processes, too
IN_TWO = {'linear-probe', 'wise-ft', 'cocoop', 'cross-modal-linear', 'clip-cite'}


def write_config(
    method: Method, folder: Path, data: str, *more: str, features: Optional[Path] = None
) -> Path:
    """A config of a method on the shapes, for four iterations.

    Args:
        method (Method): The method.
        folder (Path): For the config.
        data (str): Data root.
        more (str): Lines to add.
        features (Path, optional): Of the feature cache. Defaults to one that tests share.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = ROOT / 'configs' / f'{method.name}.py'
    text = SHAPES.format(config=source, data=data, root=features or Path(data, 'features'))
    text += 'test_dataloader = dict(num_workers=0, dataset=dataset)\n'
    if method.name != 'zero-shot':
        own = Config.fromfile(source).train_dataloader  # as the method has it, but less
        views, batch = own.dataset.get('views'), max(2, min(24, own.batch_size))
        text += LOADERS.format(batch=batch, views=views and 2)
    if method.name == 'safe_cupl':
        sentences = {f'{color} shape': [f'It is {color}.', f'{color} all over'] for color in COLORS}
        (folder / 'sentences.json').write_text(json.dumps(sentences))
        text += f"model['templates'] = '{folder}/sentences.json'\n"
    text += TRAIN if method.trains and method.name != 'zero-shot' else ''
    file = folder / f'{method.name}.py'
    file.write_text(text + '\n'.join(more))
    return file


def options(*more: str, clip: str = CLIP) -> list:
    """Options of tools: a small CLIP, four shots."""
    return ['--clip', clip, '--shots', 4, *more]


def named(methods: list):
    return pytest.mark.parametrize('method', methods, ids=lambda m: m.id)


def own_options(method, *more):
    """Options with the CLIP of a method."""
    return options(*more, clip=method.clip)


def best(work_dir):
    """The weights that tools/test.py would take."""
    files = list(work_dir.glob('best_fitted_*.pth')) or list(work_dir.glob('best_*.pth'))
    (file,) = files
    return file


def best_score(work_dir):
    """Validation accuracy of these weights."""
    return read_checkpoint(str(best(work_dir)))['message_hub']['runtime_info']['best_score']


def tolerance(method):
    """Of validation accuracy: rounding may move a fit that stops early by one of 24 images."""
    return 1e-3 if method.exact else 100 / 24 + 1e-3
