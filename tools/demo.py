"""SAFE at 1, 4 and 16 shots, as a table and two pictures:
python tools/demo.py configs/safe/safe_creatures-rn.py --work-dir DIR
"""
from argparse import ArgumentParser, Namespace
from pathlib import Path
from statistics import mean
from typing import Dict, List

import numpy as np
import torch
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from PIL import Image
from torch.utils.data import DataLoader
from tqdm import tqdm

from safe_mm.attention import neck_attention
from safe_mm.config import add_common_options
from safe_mm.errors import InputError, exit_on_input_error
from safe_mm.evaluation import ZERO_SHOT
from safe_mm.experiment import measure, test_loaders, train
from safe_mm.plots import plot_accuracy, plot_attention
from safe_mm.sweep.task import Task, task_config

SHOTS = (1, 4, 16)
SEEDS = (1, 2, 3)
VARIANTS = {
    'seen': 'seen grounds',
    'grounds': 'new grounds',
    'rendering': 'negative rendering'
}
BETAS = (ZERO_SHOT, 0., 0.5)
METHODS = {
    'zero-shot': 'zero-shot',
    'SAFE, beta 0': '0.0',
    'SAFE, beta 0.5': '0.5'
}
SHOWN = 4  # test pictures with attention


def run_all(args: Namespace, folder: Path) -> tuple:
    """Trains and measures every run.

    Returns:
        tuple: shots -> what :func:`measure` says of each seed; the test
        loaders; and the last model.
    """
    shots = SHOTS if args.shots is None else [args.shots]
    seeds = SEEDS if args.seed is None else [args.seed]
    first = task_config(
        args, folder, Task(args.config, None, shots[0], seeds[0]))
    if set(first.get('variants', ())) != set(VARIANTS):
        raise InputError(f'{args.config} is not one of drawn creatures: it '
                         f'lacks the variants {", ".join(VARIANTS)}.')
    loaders = test_loaders(first, Runner.from_cfg(first).model)
    figures: Dict[int, List[dict]] = {k: [] for k in shots}
    total = first.train_cfg.max_iters * len(shots) * len(seeds)
    with tqdm(total=total, unit='it') as bar:
        for k in shots:
            for seed in seeds:
                bar.set_description(f'{k} shots, seed {seed}')
                cfg = task_config(
                    args, folder, Task(args.config, None, k, seed))
                runner = train(cfg, bar)
                figures[k].append(measure(runner.model, loaders, BETAS))
    return figures, loaders, runner.model


def accuracy(found: List[dict], variant: str, method: str) -> float:
    """Of a method on test images, mean of runs."""
    return mean(f['test'][variant][METHODS[method]] for f in found)


def print_table(task: str, figures: Dict[int, List[dict]]) -> None:
    """Accuracy and attention, means over seeds."""
    seeds = len(next(iter(figures.values())))
    print(f'\nTask {task!r}: accuracy in percent, mean of {seeds} seeds\n')
    width = max(map(len, VARIANTS.values())) + 2
    print(' ' * 22 + ''.join(f'{v:>{width}}' for v in VARIANTS.values()))
    for shots, found in figures.items():
        for method in METHODS:
            if method == 'zero-shot' and shots != min(figures):
                continue
            label = method if method == 'zero-shot' else (
                f'{shots:2} shots  {method}')
            print(f'{label:22}' + ''.join(
                f'{accuracy(found, v, method):{width}.1f}' for v in VARIANTS))
    lines = {
        'Attention on the part that tells the class, CLIP': 'original',
        'The same, AttnPool_F': 'finetuned',
        'The same, blend': 'blend'
    }
    print('\nIn percent, at', ', '.join(map(str, figures)), 'shots')
    for line, key in lines.items():
        shares = (mean(f['attention'][key] for f in found)
                  for found in figures.values())
        print(f'{line:52}' + ''.join(f'{share:7.1f}' for share in shares))


def draw_pictures(task: str, figures: Dict[int, List[dict]],
                  loader: DataLoader, model: ImageClassifier,
                  folder: Path) -> None:
    """Accuracy against shots, and attention over a few test pictures."""
    curves = {
        title: {
            method: [accuracy(found, v, method) for found in figures.values()]
            for method in METHODS
        }
        for v, title in VARIANTS.items()
    }
    plot_accuracy(curves, list(figures), f'Task {task!r}',
                  folder / 'accuracy.png', one_scale=True)
    stored, images = loader.dataset, loader.dataset.dataset
    chosen = np.linspace(0, len(stored) - 1, SHOWN).astype(int).tolist()
    features = torch.stack([stored[i]['inputs'] for i in chosen])
    with torch.no_grad():
        maps = neck_attention(model.neck, features.to(model.head.logit_scale))
    infos = [images.get_data_info(i) for i in chosen]
    titles = dict(original='AttnPool_O', finetuned='AttnPool_F', blend='blend')
    plot_attention(
        [np.array(Image.open(info['img_path'])) for info in infos],
        [images.part_mask(i) for i in chosen],
        {titles[name]: list(m.cpu().numpy()) for name, m in maps.items()},
        [images.metainfo['classes'][info['gt_label']] for info in infos],
        folder / 'attention.png')


def main() -> None:
    parser = ArgumentParser(description='Show SAFE at work')
    add_common_options(parser)
    args = parser.parse_args()
    args.grid = False
    folder = Path(args.work_dir or 'work_dirs/demo')
    figures, loaders, model = run_all(args, folder)
    task = loaders['seen'].dataset.dataset.task
    print_table(task, figures)
    draw_pictures(task, figures, loaders['seen'], model, folder)
    print(f'\nPictures: {folder / "accuracy.png"} {folder / "attention.png"}')


if __name__ == '__main__':
    with exit_on_input_error():
        main()
