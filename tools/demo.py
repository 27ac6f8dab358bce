"""SAFE at 1, 4 and 16 shots, as a table and two pictures:
python tools/demo.py configs/safe_creatures.py --work-dir DIR
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from statistics import mean
from typing import Dict, List

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from tqdm import tqdm

from safe_mm.attention import attention_maps
from safe_mm.errors import InputError, exit_on_input_error
from safe_mm.models import CLIPClassifier
from safe_mm.options import add_common_options
from safe_mm.plots import plot_accuracy, plot_attention
from safe_mm.runs.execute import build_runner, test, test_datasets, train
from safe_mm.runs.run import Run, run_config

SHOTS = (1, 4, 16)
SEEDS = (1, 2, 3)
VARIANTS = {'seen': 'seen grounds', 'grounds': 'new grounds', 'rendering': 'negative rendering'}
METHODS = {'zero-shot': 'zero-shot', 'SAFE, beta 0': 'beta=0', 'SAFE, beta 0.5': 'beta=0.5'}
POOLINGS = dict(attn_pool_o='AttnPool_O', attn_pool_f='AttnPool_F', combined='blend')
SHOWN = 4  # test pictures with attention


def run_all(args: Namespace) -> tuple:
    """Trains and tests every run.

    Returns:
        tuple: shots -> what :func:`test` returns for each seed; the test
        datasets; and the last model.
    """
    shots = SHOTS if args.shots is None else [args.shots]
    seeds = SEEDS if args.seed is None else [args.seed]
    runs = [Run(args.config, args.dataset, args.clip, k, s) for k in shots for s in seeds]
    first = run_config(args, runs[0])
    if set(first.get('variants', ())) != set(VARIANTS):
        raise InputError(
            f'{args.config} is not one of drawn creatures: it '
            f'lacks the variants {", ".join(VARIANTS)}.'
        )
    datasets = test_datasets(first)
    figures: Dict[int, List[dict]] = {k: [] for k in shots}
    with tqdm(total=first.train_cfg.max_iters * len(runs), unit='it') as bar:
        for run in runs:
            bar.set_description(f'{run.shots} shots, seed {run.seed}')
            runner = build_runner(run_config(args, run))
            train(runner, bar)
            figures[run.shots].append(test(runner, datasets))
    return figures, datasets, runner.model


def accuracy(found: List[dict], variant: str, method: str) -> float:
    """Of a method on test images, mean of runs."""
    return mean(f['test'][variant][METHODS[method]] for f in found)


def print_table(task: str, figures: Dict[int, List[dict]]) -> None:
    """Accuracy and attention, means over seeds."""
    seeds = len(next(iter(figures.values())))
    print(f'\nDataset {task}: accuracy in percent, mean of {seeds} seeds\n')
    width = max(map(len, VARIANTS.values())) + 2
    print(' ' * 24 + ''.join(f'{v:>{width}}' for v in VARIANTS.values()))
    for shots, found in figures.items():
        for method in METHODS:
            if method == 'zero-shot' and shots != min(figures):
                continue
            label = method if method == 'zero-shot' else (f'{shots:2} shots  {method}')
            print(
                f'{label:24}'
                + ''.join(f'{accuracy(found, v, method):{width}.1f}' for v in VARIANTS)
            )
    print(
        '\nAttention on the part that defines the class, in percent, at',
        ', '.join(map(str, figures)),
        'shots',
    )
    for name, title in POOLINGS.items():
        shares = (mean(f['attention'][name] for f in found) for found in figures.values())
        print(f'{title:24}' + ''.join(f'{share:7.1f}' for share in shares))


def draw_pictures(
    task: str, figures: Dict[int, List[dict]], images: Dataset, model: CLIPClassifier, folder: Path
) -> None:
    """Accuracy against shots, and attention over a few test pictures."""
    curves = {
        title: {
            method: [accuracy(found, v, method) for found in figures.values()] for method in METHODS
        }
        for v, title in VARIANTS.items()
    }
    plot_accuracy(curves, list(figures), f'Dataset {task}', folder / 'accuracy.png', one_scale=True)
    shown = np.linspace(0, len(images) - 1, SHOWN).astype(int).tolist()
    batch = torch.stack([images[i]['inputs'] for i in shown])
    with torch.no_grad():
        batch = model.data_preprocessor(dict(inputs=batch))
        maps = attention_maps(model.eval(), model.dense(batch['inputs']))
    infos = [images.get_data_info(i) for i in shown]
    plot_attention(
        [np.array(Image.open(info['img_path'])) for info in infos],
        [images.part_mask(i) for i in shown],
        {POOLINGS[name]: list(m.cpu().numpy()) for name, m in maps.items()},
        [images.metainfo['classes'][info['gt_label']] for info in infos],
        folder / 'attention.png',
    )


def main() -> None:
    parser = ArgumentParser(description='Show SAFE at work')
    add_common_options(parser)
    args = parser.parse_args()
    args.grid, args.work_dir = False, args.work_dir or 'work_dirs/demo'
    figures, datasets, model = run_all(args)
    images, folder = datasets['seen'], Path(args.work_dir)
    print_table(images.task, figures)
    draw_pictures(images.task, figures, images, model, folder)
    print(f'\nPictures: {folder / "accuracy.png"} {folder / "attention.png"}')


if __name__ == '__main__':
    with exit_on_input_error():
        main()
