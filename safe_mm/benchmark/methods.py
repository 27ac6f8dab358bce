"""A training step of each method that trains through a tower, against a plain one."""

from argparse import ArgumentParser
from itertools import product
from pathlib import Path
from typing import Callable, Iterator, List

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.structures import DataSample

from ..config import load_config
from ..models import CLIPClassifier
from ..options import add_common_options
from ..registry import MODELS
from .encoders import BATCH, operations, parts, random_images, samples_of
from .plain import PLAIN, Plain
from .timing import DEVICE, Row, compare_seconds

COLOURS = ('red', 'blue', 'green', 'black', 'white', 'grey', 'brown', 'yellow', 'pink', 'striped')
ANIMALS = ('fox', 'bear', 'bird', 'cat', 'dog', 'fish', 'frog', 'horse', 'mouse', 'snake')
NAMES = [' '.join(words) for words in product(COLOURS, ANIMALS)]
STAGES = dict(
    image='images',
    stem='features before the block',
    dense='dense features',
    pooled='pooled features',
)


def measure(name: str, folder: Path, turns: int) -> Iterator[Row]:
    """Rows as of :func:`modules.measure`, of the configs in a folder."""
    for method in PLAIN:
        yield compare_method(method, method_config(folder / f'{method}.py', name), turns)


def compare_method(method: str, cfg: Config, turns: int) -> Row:
    """The row of a method."""
    model = build(cfg)
    inputs, labels = batch(cfg, model)
    sides = dict(
        baseline=plain_step(cfg, PLAIN[method](cfg, model).to(DEVICE), inputs, labels),
        candidate=candidate_step(cfg, model, inputs, labels),
    )
    figures = compare_seconds(sides, max(2, turns // 5))  # of seconds each
    flops = operations(lambda: candidate_loss(model, inputs, samples_of(labels)).backward())
    trained = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    title = f'step of {method} on {len(labels)} {STAGES[model.frozen_stage]}'
    return title, figures, [(flops, 10 * trained)]


def method_config(file: Path, name: str) -> Config:
    """A method's config as the tools see it, with random weights and made-up classes."""
    parser = ArgumentParser()
    add_common_options(parser)
    args = parser.parse_args([str(file), '--clip', f'{name}:None'])
    args.cfg_options = {'model.classes': NAMES}
    return load_config(args)


def build(cfg: Config) -> CLIPClassifier:
    return MODELS.build(cfg.model).train().to(DEVICE)


def batch(cfg: Config, model: CLIPClassifier) -> tuple:
    """Random inputs of the model's frozen stage, as many as in the config, and labels.

    At most 8 images.
    """
    size, name = cfg.train_dataloader.batch_size, cfg.model.clip.model_name
    if model.frozen_stage == 'pooled':
        inputs = torch.randn(size, 1, parts(name).embed_dim, device=DEVICE)
    elif model.frozen_stage == 'image':
        size = min(size, BATCH)
        inputs = random_images(name, size)
    else:
        with torch.no_grad():
            inputs = model.stem(random_images(name, size))
    return inputs, torch.arange(size, device=DEVICE) % len(model.classes)


def candidate_loss(
    model: CLIPClassifier, inputs: torch.Tensor, samples: List[DataSample]
) -> torch.Tensor:
    """Of a batch, as a Runner computes it."""
    losses = model(inputs, samples, mode='loss', start=model.frozen_stage)
    return model.parse_losses(losses)[0]


def candidate_step(
    cfg: Config, model: CLIPClassifier, inputs: torch.Tensor, labels: torch.Tensor
) -> Callable[[], None]:
    """An iteration of training, with the optimizer of the config."""
    samples = samples_of(labels)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    return lambda: optimizer.update_params(candidate_loss(model, inputs, samples))


def plain_step(
    cfg: Config, plain: Plain, inputs: torch.Tensor, labels: torch.Tensor
) -> Callable[[], None]:
    """The same with torch's optimizer as it comes."""
    given = {key: value for key, value in cfg.optim_wrapper.optimizer.items() if key != 'fused'}
    kind = getattr(torch.optim, given.pop('type'))
    optimizer = kind([p for p in plain.parameters() if p.requires_grad], **given)

    def step() -> None:
        plain.backward(inputs, labels)
        optimizer.step()
        optimizer.zero_grad()

    return step
