"""The pooling layer, the encoder and training steps on given tensors."""

from typing import Callable, Dict, Iterator, List

import torch

from ..methods.safe import blend
from ..models import CLIPClassifier, JointRuns
from . import encoders
from .encoders import BATCH, CLASSES, Baseline, Costs, dense, parts, random_images, tuned_pool
from .timing import DEVICE, Row, compare_seconds

BETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
BLOCK = 4  # runs of a side before the other's turn
JOINT = {'1 setting': (1, 1), '4 settings': (4, 1), '12 settings': (12, 1), '3 seeds': (1, 3)}


def measure(name: str, costs: Costs, turns: int) -> Iterator[Row]:
    """Rows of a model: title, figures, and work for :meth:`timing.Machine.floor`."""
    yield from pooling(name, costs, turns)
    yield from joint_training(name, costs, turns)
    yield from inference(name, costs, turns)
    yield from scaling(name, costs, turns)


def forward(function: Callable, x: torch.Tensor) -> Callable[[], None]:
    @torch.no_grad()
    def run() -> None:
        function(x)

    return run


def backward(function: Callable, x: torch.Tensor) -> Callable[[], None]:
    return lambda: function(x).square().sum().backward()


def pooling(name: str, costs: Costs, turns: int) -> Iterator[Row]:
    """The pooling layer alone, open_clip's against SAFE's with one query."""
    baseline, candidate, x = Baseline(name).pool, tuned_pool(name), dense(name)
    sides = dict(baseline=forward(baseline, x), candidate=forward(candidate, x))
    yield 'pooling, forward', compare_seconds(sides, turns, BLOCK), costs.pooling()
    sides = dict(baseline=backward(baseline, x), candidate=backward(candidate, x))
    yield 'pooling, forward and backward', compare_seconds(sides, turns, BLOCK), costs.training()
    step, safe_step = encoders.baseline_step(name, on_features=True), encoders.candidate_step(name)
    sides = dict(baseline=lambda: step(x), candidate=lambda: safe_step(x))
    yield 'training step on given features', compare_seconds(sides, turns, BLOCK), costs.step()


def joint_training(name: str, costs: Costs, turns: int) -> Iterator[Row]:
    """Settings or seeds one by one, against joint training."""
    model = CLIPClassifier(
        clip=dict(model_name=name, pretrained=None),
        neck=dict(type='safe_mm.BlendedAttentionPool'),
        head=dict(type='safe_mm.TextClsHead'),
    ).train()
    model.head.class_weights = torch.randn(CLASSES, parts(name).embed_dim)
    model.to(DEVICE)
    for title, (settings, seeds) in JOINT.items():
        sides = single_and_joint(model, dense(name, seeds * BATCH), settings, seeds)
        figures = compare_seconds(sides, turns, BLOCK)
        work = settings * seeds * costs.step()
        yield f'step of {title}, alone against joint', figures, work


def single_and_joint(
    model: CLIPClassifier, x: torch.Tensor, settings: int, seeds: int
) -> Dict[str, Callable]:
    """A step of each run on its own, and the same steps in joint training."""
    single = [joint_step(JointRuns(model, [{}])) for _ in range(seeds * settings)]
    joint = joint_step(JointRuns(model, [{}] * settings, seeds))

    def one_by_one() -> None:
        for number, step in enumerate(single):
            step(x.chunk(seeds)[number // settings])

    return dict(baseline=one_by_one, candidate=lambda: joint(x))


def joint_step(runs: JointRuns) -> Callable:
    """A training step of all runs on dense features."""
    samples = encoders.samples_of(torch.arange(BATCH * runs.num_seeds) % CLASSES)
    return encoders.training_step(lambda x: sum(runs.loss(x, samples, 'dense').values()), runs)


def inference(name: str, costs: Costs, turns: int) -> Iterator[Row]:
    """SAFE's encoder, with two poolings, against open_clip's with one."""
    pool_o, pool_f = tuned_pool(name), tuned_pool(name)

    def safe(x: torch.Tensor, *betas: float) -> List[torch.Tensor]:
        features = parts(name).trunk(x)
        original, finetuned = pool_o(features), pool_f(features)
        return [blend(original, finetuned, beta) for beta in betas]

    for title, batch, baseline, candidate in (
        ('encoder, batch 1', 1, Baseline(name), lambda x: safe(x, 0.5)),
        ('encoder, batch 32', 32, Baseline(name), lambda x: safe(x, 0.5)),
        (
            f'{len(BETAS)} values of beta, batch {BATCH}',
            BATCH,
            lambda x: [safe(x, beta) for beta in BETAS],
            lambda x: safe(x, *BETAS),
        ),
    ):
        x = random_images(name, batch)
        sides = dict(baseline=forward(baseline, x), candidate=forward(candidate, x))
        figures = compare_seconds(sides, turns if batch == 1 else max(2, turns // 3))
        yield title, figures, costs.trunk(batch) + 2 * costs.pooling(batch)


def scaling(name: str, costs: Costs, turns: int) -> Iterator[Row]:
    """A step with more and more classes."""
    x = dense(name)
    steps = {str(n): encoders.candidate_step(name, n) for n in (10, 100, 1000)}
    sides = {n: lambda step=step: step(x) for n, step in steps.items()}
    for n, seconds in compare_seconds(sides, turns, BLOCK).items():
        yield f'step with {n} classes', dict(candidate=seconds), costs.step()
