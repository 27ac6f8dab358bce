"""What each part of an image adds to the probability of its class (SAFE, Fig. 1)."""

from argparse import Namespace
from math import comb
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image
from sklearn.cluster import KMeans
from tqdm import tqdm

from ..errors import InputError, near_matches
from ..photos import read_photo
from ..plots import save
from ..registry import ANALYSES
from .base import Analysis
from .heat_maps import compared
from .subject import BATCH, Example, Subject

EXACT = 8  # parts; 2 ** 8 images are computed
SUPERPIXELS = 7
SHOWN = 4
Masks = Dict[str, np.ndarray]


def shapley_values(values: np.ndarray) -> np.ndarray:
    """Exact Shapley values.

    phi_i = sum over sets S without i of (v(S + i) - v(S)) / (n binom(n - 1, |S|)).

    Args:
        values (ndarray): Of all sets of n players, by the number whose bits are the players, shape
            (2**n, ...).

    Returns:
        ndarray: Shape (n, ...). They sum to v(all) - v(none).
    """
    count = len(values).bit_length() - 1
    sets = np.arange(len(values))
    sizes = np.array([bin(number).count('1') for number in sets])
    found = []
    for player in range(count):
        without = sets[sets >> player & 1 == 0]
        weights = 1 / (count * np.array([comb(count - 1, int(s)) for s in sizes[without]]))
        gains = values[without | 1 << player] - values[without]
        found.append(np.tensordot(weights, gains, 1))
    return np.stack(found)


def coalitions(count: int) -> List[tuple]:
    """All sets of players, in the order of their numbers."""
    return [tuple(i for i in range(count) if number >> i & 1) for number in range(2**count)]


@torch.no_grad()
def probabilities(
    subject: Subject, example: Example, masks: Sequence[np.ndarray], label: int, figures: dict
) -> np.ndarray:
    """Probability of a class with each set of parts visible; others have the mean colour.

    Returns:
        ndarray: Shape (2**n, len(figures)).
    """
    parts = torch.tensor(np.stack(masks))  # (n, H, W)
    sets = coalitions(len(masks))
    found = []
    for start in range(0, len(sets), BATCH):
        visible = torch.stack([parts[list(own)].any(0) for own in sets[start : start + BATCH]]).to(
            example.inputs
        )
        # Zero is CLIP's mean colour
        images = example.inputs[None] * visible[:, None]
        branches = subject.model.pool(images)
        known = subject.model.neck.figures(branches)
        columns = []
        for name in figures.values():
            if name:
                logits = subject.model.head.text_logits(known[name])
            else:
                logits = subject.model.head((subject.model.neck.combine(branches),))
            columns.append(logits.softmax(-1)[:, label])
        found.append(torch.stack(columns, 1).double())
    return torch.cat(found).cpu().numpy()


@ANALYSES.register_module(name='parts')
class Parts(Analysis):
    """Shapley values of the parts of an image for the probability of its class.

    Before and after fine-tuning. Masks are those of the data set, of ``--masks``, or superpixels.
    """

    options = ('masks', 'class_name', 'limit')

    def run(self, subject: Subject, args: Namespace, folder: Path) -> Dict[str, Any]:
        examples = subject.examples(args.limit)
        figures = compared(subject.model, examples[0])
        rows = []
        for example in tqdm(examples, 'images', leave=False):
            masks = self.masks(subject, example, args)
            label = self.label(subject, example, args)
            values = probabilities(subject, example, list(masks.values()), label, figures)
            rows.append(
                dict(
                    file=example.path.name,
                    class_name=subject.model.classes[label],
                    parts=list(masks),
                    shapley=dict(zip(figures, shapley_values(values).T.round(5).tolist())),
                    whole=dict(zip(figures, values[-1].round(5).tolist())),
                    nothing=dict(zip(figures, values[0].round(5).tolist())),
                )
            )
        drawn = [(e, self.masks(subject, e, args), row) for e, row in zip(examples[:SHOWN], rows)]
        draw(drawn, folder / 'parts.png')
        return dict(mean=means(rows), images=rows)

    def masks(self, subject: Subject, example: Example, args: Namespace) -> Masks:
        """Part -> mask; together they cover the image."""
        if args.masks:
            return self.masks_of_file(subject, example, Path(args.masks))
        if not subject.knows('part_masks'):
            return superpixels(example.picture)
        larger = subject.dataset.metainfo.get('larger_parts', {})
        joined: Masks = {}
        for name, mask in subject.masks(example).items():
            name = name if name == subject.class_part else larger.get(name, name)
            joined[name] = joined.get(name, False) | mask
        return joined

    def masks_of_file(self, subject: Subject, example: Example, folder: Path) -> Masks:
        """Each grey value of ``FOLDER/STEM.png`` is a part."""
        file = folder / f'{example.path.stem}.png'
        if not file.is_file():
            raise InputError(f'{file} does not exist: --masks needs one for {example.path.name}.')
        with Image.open(file) as image:
            values = np.array(image if image.mode in ('L', 'P') else image.convert('L'))
        size = read_photo(example.path).size
        if values.shape != size[::-1]:
            raise InputError(
                f'{file} has {values.shape[1]} x {values.shape[0]} pixels, and {example.path} '
                f'{size[0]} x {size[1]}. Masks should have the size of the upright photo.'
            )
        known = np.unique(values)
        if len(known) > EXACT:
            raise InputError(f'{file} has {len(known)} parts; up to {EXACT} are supported.')
        return subject.crop_masks({str(v): values == v for v in known})

    def label(self, subject: Subject, example: Example, args: Namespace) -> int:
        """Of the class that was named, the true one, or the predicted one."""
        classes = list(subject.model.classes)
        if args.class_name:
            if args.class_name not in classes:
                near = near_matches(args.class_name, classes)
                raise InputError(f'there is no class {args.class_name!r}. Near matches: {near}.')
            return classes.index(args.class_name)
        if example.label is not None:
            return int(example.label)
        with torch.no_grad():
            return int(subject.model(example.inputs[None]).argmax())


def superpixels(picture: np.ndarray) -> Masks:
    """Regions of similar colour and place, by k-means."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    place = np.stack([x, y], -1) * (255 / max(height, width))
    points = np.concatenate([picture, place], -1).reshape(-1, 5)
    labels = KMeans(SUPERPIXELS, n_init=1, random_state=0).fit_predict(points)
    regions = labels.reshape(height, width)
    return {f'region {number + 1}': regions == number for number in range(SUPERPIXELS)}


def means(rows: Sequence[dict]) -> Dict[str, Dict[str, float]]:
    """Mean Shapley value of each part in percent of probability, by title, over images."""
    titles = list(rows[0]['shapley'])
    parts = list(dict.fromkeys(part for row in rows for part in row['parts']))
    return {
        title: {
            part: round(
                100
                * float(
                    np.mean(
                        [
                            row['shapley'][title][row['parts'].index(part)]
                            for row in rows
                            if part in row['parts']
                        ]
                    )
                ),
                2,
            )
            for part in parts
        }
        for title in titles
    }


def draw(drawn: Sequence[tuple], path: Path) -> None:
    """For each image the picture, its parts, and bars of their values; a part has one colour."""
    figure = Figure((8, 2.1 * len(drawn)), layout='constrained')
    grid = figure.subplots(len(drawn), 3, squeeze=False, width_ratios=[1, 1, 2.4])
    colors = colormaps['Set2'](range(EXACT))
    for (left, middle, right), (example, masks, row) in zip(grid, drawn):
        names = list(masks)
        regions = np.stack(list(masks.values())).argmax(0)
        left.imshow(example.picture)
        left.set(xticks=[], yticks=[], xlabel=row['class_name'])
        middle.imshow(colors[regions], interpolation='nearest')
        middle.set(xticks=[], yticks=[])
        titles = list(row['shapley'])
        places, width = np.arange(len(names)), 0.8 / len(titles)
        for number, title in enumerate(titles):
            right.bar(
                places + number * width, 100 * np.array(row['shapley'][title]), width, label=title
            )
        right.axhline(0, color='k', linewidth=0.8)
        right.set_xticks(places + 0.4 - width / 2, names, rotation=20, fontsize=8)
        for label, color in zip(right.get_xticklabels(), colors):
            label.set_bbox(dict(facecolor=color, edgecolor='none', pad=2))
        right.set_ylabel('Shapley value (%)')
    grid[0][2].legend(fontsize=8)
    for panel, title in zip(grid[0], ('picture', 'parts')):
        panel.set_title(title, fontsize=10)
    save(figure, path)
