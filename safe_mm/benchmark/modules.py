"""The pooling layer, the encoder and a training step on given tensors.

Floors are asked for at the end, when the machine has shown what it can do.
"""

from functools import partial
from typing import Callable, Dict

import torch
from mmpretrain.structures import DataSample

from ..hardware import has_fused_adamw
from ..methods.safe import blend
from ..models import CLIPClassifier, JointRuns
from .floors import Floors
from .stock import (
    BATCH,
    CLASSES,
    Naive,
    dense,
    naive_step,
    parts,
    random_images,
    safe_step,
    tuned_pool,
)
from .timing import seconds

BETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
BLOCK = 4  # runs of a step before the other side's turn


def forward(function: Callable, *inputs: torch.Tensor) -> Callable:
    def run() -> None:
        with torch.no_grad():
            function(*inputs)

    return run


def backward(function: Callable, features: torch.Tensor) -> Callable:
    return lambda: function(features).square().sum().backward()


def pooling(name: str, floors: Floors, repeats: int) -> Dict[str, dict]:
    """The pooling layer alone, stock against one query."""
    naive, ours, x = Naive(name), tuned_pool(name), dense(name)
    stock, safe = naive_step(name, on_features=True), safe_step(name)
    sides = {
        'pooling, forward': (
            dict(naive=forward(naive.pool, x), ours=forward(ours, x)),
            floors.pooling,
        ),
        'pooling, forward and backward': (
            dict(naive=backward(naive.pool, x), ours=backward(ours, x)),
            floors.training,
        ),
        'training step on given features': (
            dict(naive=lambda: stock(x), ours=lambda: safe(x)),
            floors.step,
        ),
    }
    return {
        f'{name} {what}': dict(seconds(both, repeats, BLOCK), floor=floor)
        for what, (both, floor) in sides.items()
    }


def classifier(name: str) -> CLIPClassifier:
    """SAFE with random weights, of as many classes as the other steps."""
    model = CLIPClassifier(
        clip=dict(model_name=name, pretrained=None),
        neck=dict(type='safe_mm.BlendedAttentionPool'),
        head=dict(type='safe_mm.TextClsHead'),
    )
    width = model.head.class_weights.shape[1]
    model.head.class_weights = torch.randn(CLASSES, width)
    return model.train()


def joint_step(runs: JointRuns) -> Callable:
    """A training step of all runs on dense features."""
    trained = [p for p in runs.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=has_fused_adamw())
    samples = [DataSample().set_gt_label(i % CLASSES) for i in range(BATCH * runs.num_seeds)]

    def step(features: torch.Tensor) -> None:
        sum(runs.loss(features, samples, 'dense').values()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def alone_and_together(name: str, runs: int, seeds: int) -> Dict[str, Callable]:
    """Steps one after the other, and as many of joint training."""
    x, model = dense(name, seeds * BATCH), classifier(name)
    lone = [joint_step(JointRuns(model, [{}])) for _ in range(seeds * runs)]
    together = joint_step(JointRuns(model, [{}] * runs, seeds))

    def one_by_one() -> None:
        for number, step in enumerate(lone):
            step(x.chunk(seeds)[number // runs])

    return dict(naive=one_by_one, ours=lambda: together(x))


def side_by_side(name: str, floors: Floors, repeats: int) -> Dict[str, dict]:
    """Settings or seeds one after the other against joint training."""
    return {
        f'{name} step of {what}, alone against joint': dict(
            seconds(alone_and_together(name, runs, seeds), repeats, BLOCK),
            floor=partial(floors.step, seeds * runs),
        )
        for what, runs, seeds in (
            ('1 setting', 1, 1),
            ('4 settings', 4, 1),
            ('12 settings', 12, 1),
            ('3 seeds', 1, 3),
        )
    }


def inference(name: str, floors: Floors, repeats: int) -> Dict[str, dict]:
    """SAFE's encoder, with two poolings, against stock CLIP's with one."""
    naive, split = Naive(name).eval(), parts(name)
    pool_o, pool_f = tuned_pool(name), tuned_pool(name)

    def safe(x: torch.Tensor, beta: float = 0.5) -> torch.Tensor:
        features = split.trunk(x)
        return blend(pool_o(features), pool_f(features), beta)

    def betas_in_one_pass(x: torch.Tensor) -> list:
        features = split.trunk(x)
        original, finetuned = pool_o(features), pool_f(features)
        return [blend(original, finetuned, beta) for beta in BETAS]

    rows = {}
    for batch in (1, 32):
        x = random_images(name, batch)
        sides = dict(naive=forward(naive, x), ours=forward(safe, x))
        times = seconds(sides, repeats if batch == 1 else max(2, repeats // 3))
        rows[f'{name} encoder, batch {batch}'] = dict(times, floor=partial(floors.encoder, batch))
    x = random_images(name)
    sides = dict(
        naive=forward(lambda x: [safe(x, beta) for beta in BETAS], x),
        ours=forward(betas_in_one_pass, x),
    )
    rows[f'{name} {len(BETAS)} values of beta, batch {BATCH}'] = dict(
        seconds(sides, max(2, repeats // 3)), floor=partial(floors.encoder, BATCH)
    )
    return rows


def growth(name: str, floors: Floors, repeats: int) -> Dict[str, dict]:
    """What more classes cost in each step."""
    x = dense(name)
    steps = {classes: safe_step(name, classes) for classes in (10, 100, 1000)}
    figures = seconds(
        {classes: lambda step=step: step(x) for classes, step in steps.items()}, repeats, BLOCK
    )
    return {
        f'{name} step with {classes} classes': dict(ours=figures[classes], floor=floors.step)
        for classes in steps
    }
