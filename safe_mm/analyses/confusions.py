"""Which classes are confused, what is gained over zero-shot CLIP, and how sure the model is."""

from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from ..errors import InputError
from ..plots import save
from ..registry import ANALYSES
from .base import Analysis
from .subject import BATCH, Example, Subject

BINS = 10  # of the calibration
SHOWN = 8  # pictures
LABELLED = 30  # classes whose names fit beside a matrix


@ANALYSES.register_module(name='confusions')
class Confusions(Analysis):
    """Confusion matrix, gain of each class over zero-shot, calibration, and pictures.

    The pictures are those of which the model and zero-shot CLIP say different things.
    """

    options = ('limit',)
    images = 10**9  # all

    def run(self, subject: Subject, args: Namespace, folder: Path) -> Dict[str, Any]:
        if subject.photos:
            raise InputError('confusions are of test images, whose classes are known.')
        chosen = subject.chosen(args.limit)
        truth = np.array(subject.dataset.get_gt_labels())[chosen]
        scores, zero = predictions(subject, chosen)
        found = scores.argmax(1)
        classes = list(subject.model.classes)
        matrix = confusion_matrix(truth, found, labels=range(len(classes)))
        draw_matrix(matrix, classes, folder / 'confusions.png')
        calibration = reliability(scores, truth)
        draw_calibration(calibration, folder / 'calibration.png')
        numbers: Dict[str, Any] = dict(
            images=len(chosen),
            accuracy=percent(found == truth),
            calibration_error=calibration['error'],
            confused=most_confused(matrix, classes),
        )
        if zero is not None:
            gains = class_gains(truth, found, zero, classes)
            draw_gains(gains, folder / 'gains.png')
            apart = np.flatnonzero(found != zero)
            rows = [
                (subject.test_image(chosen[i]), *(classes[own[i]] for own in (truth, zero, found)))
                for i in apart[:SHOWN]
            ]
            draw_apart(rows, folder / 'disagreements.png')
            numbers.update(zero_shot=percent(zero == truth), gains=gains, disagreements=len(apart))
        return numbers


def percent(hits: np.ndarray) -> float:
    return round(100 * float(hits.mean()), 2)


@torch.no_grad()
def predictions(subject: Subject, chosen: Sequence[int]) -> tuple:
    """Probabilities (M, N), and the labels of zero-shot CLIP, or None where a neck lacks it."""
    model, scores, zero = subject.model, [], []
    for start in tqdm(range(0, len(chosen), BATCH), 'images', unit='batch', leave=False):
        batch = [subject.test_image(i).inputs for i in chosen[start : start + BATCH]]
        branches = model.pool(torch.stack(batch))
        scores.append(model.head((model.neck.combine(branches),)).softmax(-1))
        own = model.neck.figures(branches).get('zero-shot')
        logits = None if own is None else model.head.text_logits(own)
        if logits is not None:
            zero.append(logits.argmax(-1))
    labels: Optional[np.ndarray] = torch.cat(zero).cpu().numpy() if zero else None
    return torch.cat(scores).cpu().numpy(), labels


def most_confused(matrix: np.ndarray, classes: Sequence[str]) -> list:
    """The ten pairs of true and predicted class that occur most often, with their number."""
    off = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-off, axis=None)[:10]
    pairs = [np.unravel_index(place, off.shape) for place in order]
    return [[classes[i], classes[j], int(off[i, j])] for i, j in pairs if off[i, j]]


def reliability(scores: np.ndarray, truth: np.ndarray) -> Dict[str, Any]:
    """Accuracy by probability, in bins of a tenth.

    'error' is the expected calibration error in percent: the mean distance of the two, weighted by
    the number of images (Guo et al., On Calibration of Modern Neural Networks, 2017).
    """
    sure, hits = scores.max(1), scores.argmax(1) == truth
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    filled = np.unique(bins)
    sizes = np.array([(bins == b).sum() for b in filled])
    mean_sure = np.array([sure[bins == b].mean() for b in filled])
    mean_hits = np.array([hits[bins == b].mean() for b in filled])
    error = float((sizes * abs(mean_sure - mean_hits)).sum() / sizes.sum())
    return dict(
        probability=(100 * mean_sure).round(2).tolist(),
        accuracy=(100 * mean_hits).round(2).tolist(),
        images=sizes.tolist(),
        error=round(100 * error, 2),
    )


def class_gains(
    truth: np.ndarray, found: np.ndarray, zero: np.ndarray, classes: Sequence[str]
) -> Dict[str, float]:
    """Accuracy of each class above zero-shot CLIP's, in percent, largest first."""
    gains = {
        name: percent(found[truth == i] == i) - percent(zero[truth == i] == i)
        for i, name in enumerate(classes)
        if (truth == i).any()
    }
    return {k: round(v, 2) for k, v in sorted(gains.items(), key=lambda item: -item[1])}


def draw_matrix(matrix: np.ndarray, classes: Sequence[str], path: Path) -> None:
    side = min(14, 3 + 0.25 * len(classes))
    figure = Figure((side + 1, side), layout='constrained')
    panel = figure.subplots()
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    shown = panel.imshow(shares, cmap='viridis', vmin=0, vmax=100)
    if len(classes) <= LABELLED:
        panel.set_xticks(range(len(classes)), classes, rotation=90)
        panel.set_yticks(range(len(classes)), classes)
    panel.set(xlabel='predicted class', ylabel='true class')
    figure.colorbar(shown, label="share of the class's images (%)")
    save(figure, path)


def draw_calibration(own: Dict[str, Any], path: Path) -> None:
    figure = Figure((5, 5), layout='constrained')
    panel = figure.subplots()
    panel.plot([0, 100], [0, 100], 'k--', linewidth=0.8)
    sizes = 20 + 280 * np.array(own['images']) / max(own['images'])
    panel.scatter(own['probability'], own['accuracy'], sizes, alpha=0.7)
    title = f'expected calibration error {own["error"]:.1f} %'
    panel.set(xlabel='probability (%)', ylabel='accuracy (%)', title=title)
    panel.grid(alpha=0.3)
    save(figure, path)


def draw_gains(gains: Dict[str, float], path: Path) -> None:
    names = list(gains)
    figure = Figure((7, 1 + 0.18 * len(names)), layout='constrained')
    panel = figure.subplots()
    colors = ['tab:green' if gain >= 0 else 'tab:red' for gain in gains.values()]
    panel.barh(names[::-1], list(gains.values())[::-1], color=colors[::-1])
    panel.tick_params('y', labelsize=6 if len(names) > LABELLED else 9)
    panel.set_ylim(-0.7, len(names) - 0.3)
    panel.set(xlabel='accuracy above that of zero-shot CLIP (%)')
    panel.axvline(0, color='k', linewidth=0.8)
    save(figure, path)


def draw_apart(shown: Sequence[Tuple[Example, str, str, str]], path: Path) -> None:
    """Pictures with their true class, zero-shot CLIP's and the model's, where these differ."""
    if not shown:
        return
    rows = -(-len(shown) // 4)
    figure = Figure((8, 2.6 * rows), layout='constrained')
    grid = figure.subplots(rows, 4, squeeze=False)
    for panel in grid.flat:
        panel.set_axis_off()
    for panel, (example, truth, zero, found) in zip(grid.flat, shown):
        panel.imshow(example.picture)
        panel.set_title(
            f'{truth}\nzero-shot: {zero}\nmodel: {found}',
            color='green' if found == truth else 'red',
            fontsize=9,
        )
    save(figure, path)
