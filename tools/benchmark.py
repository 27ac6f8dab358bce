"""Time and memory of SAFE beside the stock modules and the naive recipe:
python tools/benchmark.py --out docs/benchmark.json

Naive is open_clip's own forward pass with torch.optim.AdamW, the frozen trunk
run in each iteration. Weights are random; speed does not depend on them.
"""
import copy
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, Optional

import torch
from mmengine.dataset import default_collate
from safetensors.torch import safe_open, save_file
from torch import nn
from torch.nn import functional as F

from safe_mm.clip import split_clip
from safe_mm.clip.loading import build
from safe_mm.models import RunStack
from safe_mm.models.head import text_logits
from safe_mm.models.neck import blend
from safe_mm.timing import Machine, seconds, table

BATCH, CLASSES, VIEWS = 8, 100, 3200  # 16 shots of Caltech101, two views
ITERATIONS = 12800
BETAS = 9


class Naive(nn.Module):
    """open_clip's visual encoder, all of it frozen but the pooling layer."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.visual = build(name, False, seed=0).visual.requires_grad_(False)
        vit = hasattr(self.visual, 'transformer')
        self.layer = (self.visual.transformer.resblocks[-1]
                      if vit else self.visual.attnpool)
        self.layer.requires_grad_(True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.visual(images)

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """The pooling layer alone, on dense features."""
        pooled = self.layer(features)
        if features.dim() == 4:
            return pooled
        return self.visual.ln_post(pooled[:, 0]) @ self.visual.proj


def tuned_pool(name: str) -> nn.Module:
    """The pooling layer as SAFE trains it."""
    pool = copy.deepcopy(split_clip(name, None).pool)
    if hasattr(pool, 'block'):
        pool.ln_post.requires_grad_(False)
        pool.proj.requires_grad_(False)
    return pool


def dense(name: str, batch: int) -> torch.Tensor:
    with torch.no_grad():
        return split_clip(name, None).trunk.eval()(images(name, batch))


def images(name: str, batch: int) -> torch.Tensor:
    size = split_clip(name, None).image_size
    return torch.randn(batch, 3, size, size)


def training_step(pool: Callable, layer: nn.Module, inputs: Callable,
                  fused: Optional[bool], classes: int = CLASSES) -> Callable:
    """Forward, cross-entropy, backward and AdamW."""
    trained = [p for p in layer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=fused)
    labels, state = torch.arange(BATCH) % classes, {}

    def run() -> None:
        pooled = pool(inputs())
        if not state:
            weights = torch.randn(classes, pooled.shape[-1])
            state['weights'] = F.normalize(weights, dim=-1)
        logits = text_logits(pooled, state['weights'], torch.tensor(100.))
        logits = logits.reshape(-1, classes)
        F.cross_entropy(
            logits, labels.repeat(len(logits) // BATCH),
            reduction='sum').backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def forward(function: Callable, *inputs: torch.Tensor) -> Callable:
    def run() -> None:
        with torch.no_grad():
            function(*inputs)
    return run


def backward(function: Callable, features: torch.Tensor) -> Callable:
    return lambda: function(features).square().sum().backward()


def pooling(name: str, machine: Machine, repeats: int) -> Dict[str, dict]:
    """The pooling layer alone, stock against one query."""
    naive, ours, x = Naive(name), tuned_pool(name), dense(name, BATCH)
    size = sum(p.numel() for p in ours.parameters() if p.requires_grad)
    # One query: each weight once a picture, and the tokens twice
    flops = BATCH * 2 * size + 4 * x.numel()
    rows = {
        'pooling, forward': (seconds(
            dict(naive=forward(naive.pool, x), ours=forward(ours, x)),
            repeats), machine.floor(flops, 4 * size)),
        'pooling, forward and backward': (seconds(
            dict(naive=backward(naive.pool, x), ours=backward(ours, x)),
            repeats), machine.floor(3 * flops, 3 * 4 * size)),
        'training step on given features': (seconds(
            dict(
                naive=training_step(naive.pool, naive.layer, lambda: x, None),
                ours=training_step(ours, ours, lambda: x, True)), repeats),
            # weights twice, gradient written and read, and AdamW's 2 moments
            machine.floor(3 * flops, (3 + 2 + 5) * 4 * size))
    }
    return {
        f'{name} {what}': dict(figures, floor=floor)
        for what, (figures, floor) in rows.items()
    }


def stored_batches(name: str, folder: str) -> Callable:
    """Reads batches of features from files, as a run with a store does."""
    batch = dense(name, 64)
    files = []
    for number in range(4):
        path = Path(folder) / f'{name}{number}.safetensors'
        save_file(dict(features=batch), path)
        files.append(safe_open(path, 'pt'))
    generator = torch.Generator().manual_seed(0)

    def read() -> torch.Tensor:
        rows = torch.randint(256, (BATCH, ), generator=generator).tolist()
        return default_collate([
            files[row // 64].get_slice('features')[row % 64] for row in rows
        ])

    return read


def iterations(name: str, folder: str, repeats: int) -> Dict[str, dict]:
    """An iteration from images against one from stored features."""
    naive, ours, x = Naive(name), tuned_pool(name), images(name, BATCH)
    figures = seconds(
        dict(
            naive=training_step(naive, naive.layer, lambda: x, None),
            ours=training_step(ours, ours, stored_batches(name, folder),
                               True)), repeats)
    trunk = split_clip(name, None).trunk
    once = seconds(dict(trunk=forward(trunk, images(name, 64))), 3)['trunk']
    total = dict(
        naive=ITERATIONS * figures['naive'],
        ours=ITERATIONS * figures['ours'] + once * VIEWS / 64)
    total['ratio'] = total['naive'] / total['ours']
    return {
        f'{name} iteration, images against stored features': figures,
        f'{name} run of {ITERATIONS} iterations, {VIEWS} views, extrapolated':
        total
    }


def side_by_side(name: str, repeats: int) -> Dict[str, dict]:
    """R settings one after the other against one pass."""
    rows, x = {}, dense(name, BATCH)
    for runs in (1, 4, 12):
        lone = [tuned_pool(name) for _ in range(runs)]
        steps = [training_step(p, p, lambda: x, True) for p in lone]
        stack = RunStack(tuned_pool(name), runs)
        rows[f'{name} step of {runs} settings'] = seconds(
            dict(
                naive=lambda steps=steps: [step() for step in steps],
                ours=training_step(stack, stack, lambda: x, True)), repeats)
    return rows


def inference(name: str, repeats: int) -> Dict[str, dict]:
    """SAFE's encoder, with two poolings, against stock CLIP's with one."""
    naive, split = Naive(name).eval(), split_clip(name, None)
    pool_o, pool_f = tuned_pool(name), tuned_pool(name)

    def safe(x: torch.Tensor, beta: float = 0.5) -> torch.Tensor:
        features = split.trunk(x)
        return blend(pool_o(features), pool_f(features), beta)

    def betas_in_one_pass(x: torch.Tensor) -> list:
        features = split.trunk(x)
        original, finetuned = pool_o(features), pool_f(features)
        return [blend(original, finetuned, b) for b in range(BETAS)]

    rows = {}
    for batch in (1, 32):
        x = images(name, batch)
        rows[f'{name} encoder, batch {batch}'] = seconds(
            dict(naive=forward(naive, x), ours=forward(safe, x)), repeats)
    rows[f'{name} {BETAS} values of beta, batch 32'] = seconds(
        dict(
            naive=forward(lambda x: [safe(x, b) for b in range(BETAS)], x),
            ours=forward(betas_in_one_pass, x)), max(3, repeats // 5))
    return rows


def growth(name: str, repeats: int) -> Dict[str, dict]:
    """What more classes cost in each step; more shots cost it nothing."""
    ours, x = tuned_pool(name), dense(name, BATCH)
    return {
        f'{name} step with {classes} classes': seconds(
            dict(ours=training_step(ours, ours, lambda: x, True, classes)),
            repeats)
        for classes in (10, 100, 1000)
    }


def peak(name: str, side: str) -> None:
    """Prints the peak memory of a few training steps, in bytes."""
    if side == 'naive':
        naive, x = Naive(name), images(name, BATCH)
        step = training_step(naive, naive.layer, lambda: x, None)
    else:
        ours = tuned_pool(name)
        x = torch.randn(BATCH, *dense(name, 1).shape[1:])
        step = training_step(ours, ours, lambda: x, True)
    for _ in range(3):
        step()
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def processes(models: List[str], config: str,
              folder: str) -> Dict[str, dict]:
    """Peak memory, and the time until train.py has done an iteration."""
    rows = {}
    for name in models:
        found = {}
        for side in ('naive', 'ours'):
            text = subprocess.run(
                [sys.executable, __file__, '--peak', name, side],
                check=True, capture_output=True, text=True).stdout
            found[side] = int(text.split()[-1]) / 1e9
        rows[f'{name} peak memory of training, GB'] = dict(
            found, ratio=found['naive'] / found['ours'])
        for which in ('first time', 'with stored features'):
            start = time.perf_counter()
            train(name, config, folder, iterations=1)
            rows[f'{name} train.py of one iteration, {which}'] = dict(
                ours=time.perf_counter() - start)
    return rows


def train(name: str, config: str, folder: str, iterations: int) -> None:
    """Runs train.py on stored features of a few pictures."""
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name('train.py')), config,
         '--shots', '1', '--no-validate', '--work-dir', f'{folder}/{name}',
         '--cfg-options', f'clip.model_name={name}', 'clip.pretrained=None',
         f'train_cfg.max_iters={iterations}',
         'default_hooks.checkpoint.interval=0',
         'default_hooks.logger.interval=10',
         f'default_hooks.store.root={folder}'],
        check=True, capture_output=True)


def runner(name: str, config: str, folder: str) -> Dict[str, dict]:
    """An iteration of train.py; the floor is the step without a Runner."""
    train(name, config, folder, iterations=100)
    logs = Path(folder, name).glob('*/vis_data/scalars.json')
    lines = max(logs, key=os.path.getmtime).read_text().splitlines()
    times = [json.loads(line)['time'] for line in lines if 'loss' in line]
    ours = tuned_pool(name)
    step = training_step(ours, ours, stored_batches(name, folder), True, 10)
    return {
        f'{name} iteration of train.py on stored features': dict(
            ours=median(times), floor=seconds(dict(step=step), 50)['step'])
    }


def main() -> None:
    parser = ArgumentParser(description='Measure speed and memory')
    parser.add_argument('--models', nargs='+', default=['RN50', 'ViT-B-16'])
    parser.add_argument('--out', type=Path, help='JSON file to write')
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--iterations', type=int, default=200,
                        help='of whole iterations, images against features')
    parser.add_argument('--config', default=str(
        Path(__file__).parents[1] / 'configs/safe/safe_creatures-rn.py'))
    parser.add_argument('--peak', nargs=2, help='used by the tool itself')
    args = parser.parse_args()
    if args.peak:
        peak(*args.peak)
        return
    machine, rows = Machine(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            rows.update(pooling(name, machine, args.repeats))
            rows.update(iterations(name, folder, args.iterations))
            rows.update(side_by_side(name, args.repeats // 2))
            rows.update(inference(name, args.repeats))
            rows.update(growth(name, args.repeats))
            rows.update(runner(name, args.config, folder))
        rows.update(processes(args.models, args.config, folder))
    about = dict(
        date=time.strftime('%Y-%m-%d'),
        torch=torch.__version__,
        machine=f'{platform.machine()}, {torch.get_num_threads()} threads of '
        f'{os.cpu_count()} cores',
        matmul_gflops=machine.flops / 1e9,
        copy_gb_per_s=machine.bandwidth / 1e9)
    print(json.dumps(about, indent=1))
    print(table(rows))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(about, rows=rows), indent=1))


if __name__ == '__main__':
    main()
