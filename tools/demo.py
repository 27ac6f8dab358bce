"""SAFE at 1, 4 and 16 shots, as a table and two plots; without a config, a page in the browser:
python tools/demo.py configs/safe_creatures.py --work-dir DIR
python tools/demo.py configs/safe_photos.py --data-root FOLDER --shots 4
python tools/demo.py
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mmpretrain.datasets import BaseDataset
from torch.nn import functional as F
from tqdm import tqdm

from safe_mm.datasets.build import test_datasets
from safe_mm.errors import InputError, counted, exit_cleanly
from safe_mm.files import make_folder
from safe_mm.models import CLIPClassifier
from safe_mm.options import add_common_options
from safe_mm.plots import plot_accuracy, plot_attention
from safe_mm.report.results import VARIANTS
from safe_mm.runs.execute import build_runner, test, train
from safe_mm.runs.run import Run, run_config

SHOTS = (1, 4, 16)
SEEDS = (1, 2, 3)
FIGURES = {'zero-shot': 'zero-shot', 'beta=0': 'SAFE, beta 0', 'beta=0.5': 'SAFE, beta 0.5'}
POOLINGS = dict(attn_pool_o='AttnPool_O', attn_pool_f='AttnPool_F', combined='blend')
SHOWN = 4  # test pictures with attention


def run_all(args: Namespace) -> tuple:
    """Trains and tests every run.

    Returns:
        tuple: Name of the dataset. Accuracy by method and shots, a column for each variant;
        attention by pooling, a column for each number of shots, empty if the data has no masks of
        parts; both in percent, means over seeds. The test images of the first variant, and the last
        model.
    """
    shots = SHOTS if args.shots is None else [args.shots]
    seeds = SEEDS if args.seed is None else [args.seed]
    runs = [Run(args.config, args.dataset, args.clip, k, s) for k in shots for s in seeds]
    first = run_config(args, runs[0])
    if first.model.neck.type != 'safe_mm.BlendedAttentionPool':
        raise InputError(f'{args.config} does not train SAFE, which the demo shows. Use safe.py.')
    datasets, accuracy, attention = test_datasets(first), [], []
    with tqdm(total=first.train_cfg.max_iters * len(runs), unit='it') as bar:
        for run in runs:
            bar.set_description(f'{counted(run.shots, "shot")}, seed {run.seed}')
            runner = build_runner(run_config(args, run))
            train(runner, bar)
            found = test(runner, datasets)
            for figure, method in FIGURES.items():
                row = {VARIANTS.get(name, name): found['test'][name][figure] for name in datasets}
                trained_on = 0 if figure == 'zero-shot' else run.shots
                accuracy.append(dict(row, method=method, shots=trained_on))
            attention.append(dict(found['attention'], shots=run.shots))
    return (
        first.get('dataset_name', 'custom'),
        pd.DataFrame(accuracy).groupby(['method', 'shots'], sort=False).mean(),
        pd.DataFrame(attention).groupby('shots').mean().T.reindex(POOLINGS).dropna(),
        next(iter(datasets.values())),
        runner.model,
    )


def print_tables(name: str, seeds: int, accuracy: pd.DataFrame, attention: pd.DataFrame) -> None:
    print(f'\nDataset {name}: accuracy in percent, mean of {seeds} seed{"s" * (seeds > 1)}\n')
    width = max(map(len, accuracy)) + 2
    print(' ' * 24 + ''.join(f'{title:>{width}}' for title in accuracy))
    for (method, shots), row in accuracy.iterrows():
        label = f'{shots:2} shots  {method}' if shots else method
        print(f'{label:24}' + ''.join(f'{value:{width}.1f}' for value in row))
    if len(attention):
        shots = ', '.join(map(str, attention))
        print(f'\nAttention on the part that defines the class, in percent, at {shots} shots')
    for pooling, row in attention.iterrows():
        print(f'{POOLINGS[pooling]:24}' + ''.join(f'{value:7.1f}' for value in row))


def scaled(mask: np.ndarray, size: torch.Size) -> np.ndarray:
    """A mask of a square picture, at the size of its crop."""
    return F.interpolate(torch.tensor(mask)[None, None].float(), size)[0, 0].numpy() > 0.5


def draw_attention(images: BaseDataset, model: CLIPClassifier, path: Path) -> None:
    """Attention over a few test pictures, as the model crops them."""
    shown = np.linspace(0, len(images) - 1, SHOWN).astype(int).tolist()
    crops = torch.stack([images[i]['inputs'] for i in shown])
    with torch.no_grad():
        batch = model.data_preprocessor(dict(inputs=crops))
        dense = model.eval().dense(batch['inputs'])
        maps, samples = model.neck.attention_maps(dense), model.predict(dense, start='dense')
    classes = images.metainfo['classes']
    predictions = {
        'AttnPool_O': [sample.figures['zero-shot'] for sample in samples],
        'AttnPool_F': [sample.figures['beta=0'] for sample in samples],
        'blend': [int(sample.pred_label) for sample in samples],
    }
    pictures = crops.flip(1) if model.data_preprocessor.to_rgb else crops
    masks = []
    if images.metainfo.get('part_masks'):
        masks = [scaled(images.part_mask(i), crops.shape[-2:]) for i in shown]
    plot_attention(
        list(pictures.permute(0, 2, 3, 1).numpy()),
        masks,
        {POOLINGS[name]: list(m.cpu().numpy()) for name, m in maps.items()},
        [classes[images.get_data_info(i)['gt_label']] for i in shown],
        {name: [classes[label] for label in labels] for name, labels in predictions.items()},
        path,
    )


def show_page(args: Namespace) -> None:
    """Serves the page until Ctrl-C."""
    try:
        from safe_mm.webpage.app import launch
    except ImportError as error:
        raise InputError(
            f'{error.name} is not installed. Install it by: pip install "safe-mm[demo]"'
        ) from None
    launch(args.port, not args.no_browser)


def main() -> None:
    parser = ArgumentParser(description='Show SAFE at work')
    add_common_options(parser, configs='?')
    parser.add_argument('--port', type=int, help='of the page. Defaults to a free one')
    parser.add_argument('--no-browser', action='store_true', help='do not open the page')
    args = parser.parse_args()
    if args.config is None:
        show_page(args)
        return
    if args.port or args.no_browser:
        raise InputError('--port and --no-browser are of the page, which takes no config.')
    args.grid, args.work_dir = False, args.work_dir or 'work_dirs/demo'
    folder = make_folder(Path(args.work_dir), '--work-dir')
    name, accuracy, attention, images, model = run_all(args)
    print_tables(name, len(SEEDS) if args.seed is None else 1, accuracy, attention)
    plot_accuracy(accuracy, f'Dataset {name}', folder / 'accuracy.png', one_scale=True)
    draw_attention(images, model, folder / 'attention.png')
    print(f'\nPictures: {folder / "accuracy.png"} {folder / "attention.png"}')


if __name__ == '__main__':
    with exit_cleanly():
        main()
