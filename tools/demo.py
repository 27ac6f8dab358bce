"""SAFE at 1, 4 and 16 shots, as a table and two pictures:
python tools/demo.py configs/safe/safe_creatures-rn.py --work-dir DIR
"""
from argparse import ArgumentParser, Namespace
from pathlib import Path
from statistics import mean
from typing import Dict, List

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from PIL import Image
from tqdm import tqdm

from safe_mm.attention import attention_share, neck_attention
from safe_mm.config import add_common_options, load_config
from safe_mm.creatures.draw import PARTS
from safe_mm.errors import exit_on_input_error
from safe_mm.evaluation import ZERO_SHOT, accuracy_by_beta, dense_features
from safe_mm.plots import plot_accuracy, plot_attention

SHOTS = (1, 4, 16)
SEEDS = (1, 2, 3)
VARIANTS = {
    'seen': 'seen grounds',
    'grounds': 'new grounds',
    'rendering': 'negative rendering'
}
METHODS = {'zero-shot': ZERO_SHOT, 'SAFE, beta 0': 0., 'SAFE, beta 0.5': 0.5}
SHOWN = 4  # test pictures with attention


class TickHook(Hook):
    """Moves a progress bar with each iteration."""

    def __init__(self, bar: tqdm) -> None:
        self.bar = bar

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        self.bar.update()


def run_config(args: Namespace, folder: Path, shots: int,
               seed: int) -> Config:
    """The config of one run; ``--shots`` and ``--seed`` in ``args``."""
    name = f'shots{shots}_seed{seed}'
    cfg = load_config(
        Namespace(**{
            **vars(args), 'shots': shots,
            'seed': seed,
            'work_dir': str(folder / name)
        }))
    cfg.log_level = 'ERROR'
    return cfg


def test_set(cfg: Config, variant: str, model: ImageClassifier) -> dict:
    """Dense features, labels and masks of the part that tells the class."""
    cfg.test_dataloader.dataset.variant = variant
    loader = Runner.build_dataloader(cfg.test_dataloader)
    files = [
        Path(loader.dataset.get_data_info(i)['img_path'])
        for i in range(len(loader.dataset))
    ]
    masks = [
        np.array(Image.open(file.parents[1] / 'masks' / file.name))
        for file in files
    ]
    return dict(
        dense_features(model, loader, f'test pictures: {VARIANTS[variant]}'),
        files=files,
        masks=torch.tensor(np.stack(masks)) == PARTS.index(cfg.task))


def train(cfg: Config, bar: tqdm) -> Runner:
    """Trains one run; its model then has the best validated weights."""
    runner = Runner.from_cfg(cfg)
    runner.register_hook(TickHook(bar))
    runner.train()
    runner.load_checkpoint(runner.message_hub.get_info('best_ckpt'))
    return runner


def measure(runner: Runner, tests: Dict[str, dict]) -> dict:
    """What is to be known of a run, in percent.

    (variant, method) -> test accuracy; 'validation' -> the accuracy for which
    the weights were chosen; pooling -> share of attention on the part.
    """
    model = runner.model
    figures = dict(validation=runner.message_hub.get_info('best_score'))
    for variant, data in tests.items():
        by_beta = accuracy_by_beta(model, data, list(METHODS.values()))
        for method, beta in METHODS.items():
            figures[variant, method] = by_beta[beta]
    with torch.no_grad():
        maps = neck_attention(model.neck, tests['seen']['features'])
    for pooling, spread in maps.items():
        share = attention_share(spread, tests['seen']['masks'])
        figures[pooling] = 100 * share.mean().item()
    return figures


def run_all(args: Namespace, folder: Path) -> tuple:
    """Trains and measures every run.

    Returns:
        tuple: shots -> figures of each seed, see :func:`measure`; the test
        sets; and the last model.
    """
    shots = [args.shots] if args.shots else SHOTS
    seeds = [args.seed] if args.seed else SEEDS
    first = run_config(args, folder, shots[0], seeds[0])
    model = Runner.from_cfg(first).model
    tests = {variant: test_set(first, variant, model) for variant in VARIANTS}
    figures: Dict[int, List[dict]] = {k: [] for k in shots}
    total = first.train_cfg.max_iters * len(shots) * len(seeds)
    with tqdm(total=total, unit='it') as bar:
        for k in shots:
            for seed in seeds:
                bar.set_description(f'{k} shots, seed {seed}')
                runner = train(run_config(args, folder, k, seed), bar)
                figures[k].append(measure(runner, tests))
    return figures, tests, runner.model


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
            cells = [mean(f[v, method] for f in found) for v in VARIANTS]
            print(f'{label:22}' + ''.join(f'{c:{width}.1f}' for c in cells))
    lines = {
        'Few-shot validation, for which weights are chosen': 'validation',
        'Attention on the part that tells the class, CLIP': 'original',
        'The same, AttnPool_F': 'finetuned',
        'The same, blend': 'blend'
    }
    print('\nIn percent, at', ', '.join(map(str, figures)), 'shots')
    for line, key in lines.items():
        print(f'{line:52}' + ''.join(f'{mean(f[key] for f in found):7.1f}'
                                     for found in figures.values()))


def draw_pictures(task: str, figures: Dict[int, List[dict]], tests: dict,
                  model: ImageClassifier, folder: Path) -> None:
    """Accuracy against shots, and attention over a few test pictures."""
    curves = {
        title: {
            method: [mean(f[v, method] for f in figures[k]) for k in figures]
            for method in METHODS
        }
        for v, title in VARIANTS.items()
    }
    plot_accuracy(curves, list(figures), f'Task {task!r}',
                  folder / 'accuracy.png')
    data = tests['seen']
    chosen = np.linspace(0, len(data['files']) - 1, SHOWN).astype(int)
    with torch.no_grad():
        maps = neck_attention(model.neck, data['features'][chosen])
    titles = dict(original='AttnPool_O', finetuned='AttnPool_F', blend='blend')
    plot_attention(
        [np.array(Image.open(data['files'][i])) for i in chosen],
        [data['masks'][i].numpy() for i in chosen],
        {titles[name]: list(m.numpy()) for name, m in maps.items()},
        [model.head.classes[data['labels'][i]] for i in chosen],
        folder / 'attention.png')


def main() -> None:
    parser = ArgumentParser(description='Show SAFE at work')
    add_common_options(parser)
    args = parser.parse_args()
    folder = Path(args.work_dir or 'work_dirs/demo')
    figures, tests, model = run_all(args, folder)
    task = run_config(args, folder, 1, 1).task
    print_table(task, figures)
    draw_pictures(task, figures, tests, model, folder)
    print(f'\nPictures: {folder / "accuracy.png"} {folder / "attention.png"}')


if __name__ == '__main__':
    with exit_on_input_error():
        main()
