"""Classifies photos:
python tools/predict.py CLASSIFIER PHOTOS ... --out predictions.csv

CLASSIFIER is a file of tools/export.py, a work dir, or a checkpoint in one.
"""

import re
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, List

from safe_mm.errors import InputError, counted, exit_cleanly
from safe_mm.files import make_folder, new_file, write_text

if TYPE_CHECKING:
    from safe_mm.deploy.predictor import Prediction, Predictor


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Classify photos')
    parser.add_argument('classifier', help='file of tools/export.py, work dir, or checkpoint')
    parser.add_argument('photos', nargs='+', help='image files, or folders of them')
    parser.add_argument('--out', type=Path, help='CSV file. Without it, the classes are printed')
    parser.add_argument(
        '--all-scores', action='store_true', help='a column for the score of every class'
    )
    parser.add_argument('--attention', type=Path, help='folder for pictures of the attention')
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--device', help='cpu, cuda, ... Defaults to the GPU if there is one')
    parser.add_argument('--config', help='of a work dir or checkpoint. Defaults to its own')
    return parser.parse_args()


def draw_attention(predictor: 'Predictor', predictions: List['Prediction'], folder: Path) -> None:
    """Pictures of what the model sees, and of where it looks, side by side."""
    import numpy as np
    from PIL import Image

    from safe_mm.overlay import overlay

    for number, found in enumerate(predictions):
        picture = predictor.picture(found.path)
        pair = np.concatenate([picture, overlay(picture, found.attention)], axis=1)
        name = re.sub(r'[^\w .-]', '_', found.name)  # of a file: classes may have a slash
        with new_file(folder / f'{number:04}_{found.path.stem}_{name}.png') as draft:
            Image.fromarray(pair).save(draft, format='png')
    print(f'{folder}: {counted(len(predictions), "picture")} of the attention')


def main() -> None:
    args = parse_args()
    if args.out and not args.out.parent.is_dir():
        raise InputError(f'the folder {args.out.parent} does not exist. Create it first.')
    if args.attention:
        make_folder(args.attention, '--attention')
    import pandas as pd  # --help answers without these

    from safe_mm import Predictor

    predictor = Predictor.from_checkpoint(args.classifier, args.config, args.device)
    broken: List[InputError] = []
    predictions = predictor(
        args.photos,
        args.batch_size,
        attention=args.attention is not None,
        progress=True,
        on_error=broken.append,
    )
    rows = [{'file': p.path, 'class': p.name, 'score': round(p.score, 4)} for p in predictions]
    table = pd.DataFrame(rows, columns=['file', 'class', 'score'])
    if args.all_scores:
        scores = pd.DataFrame([p.scores for p in predictions], columns=predictor.classes)
        table = table.join(scores.round(4).add_prefix('score '))
    if args.out:
        write_text(args.out, table.to_csv(index=False))
        print(f'{args.out}: {counted(len(table), "photo")}')
    elif rows:
        print(table.to_string(index=False))
    if args.attention:
        draw_attention(predictor, predictions, args.attention)
    for error in broken:
        print(f'error: {error}', file=sys.stderr)
    if broken:
        sys.exit(1 if rows else 'error: no photo could be read.')


if __name__ == '__main__':
    with exit_cleanly():
        main()
