"""Which places of an image decide (SAFE, Fig. 7): Smooth Grad-CAM++, and attention."""

from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from tqdm import tqdm

from ..errors import InputError
from ..models import CLIPClassifier
from ..overlay import overlay
from ..plots import save
from ..registry import ANALYSES
from .base import Analysis
from .subject import BATCH, Example, Subject

SHOWN = 4
TITLES = {'zero-shot': 'original', 'beta=0': 'tuned'}  # figures of a neck
SAMPLES, NOISE = 8, 0.1  # of the smoothing; standard deviation on normalised images
Maps = Dict[str, List[np.ndarray]]


class Explained(nn.Module):
    """Images -> logits by one of the neck's features, with a layer to look at.

    Args:
        model (CLIPClassifier): In eval mode.
        figure (str): Name of one of the neck's figures, or '' for its features.

    Attributes:
        dense (nn.Identity): Passes the dense features on, as maps (B, C, h, w).
    """

    def __init__(self, model: CLIPClassifier, figure: str) -> None:
        super().__init__()
        self.model, self.figure = [model], figure  # not a submodule
        self.dense = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        (model,) = self.model
        with torch.no_grad():
            dense = model.dense(images)
        dense.requires_grad_()
        if dense.ndim == 3:
            h, w = getattr(model.neck, model.neck.poolings[0]).grid(dense)
            leading, patches = dense.split([dense.shape[1] - h * w, h * w], 1)
            maps = self.dense(patches.transpose(1, 2).unflatten(2, (h, w)))
            dense = torch.cat([leading, maps.flatten(2).transpose(1, 2)], 1)
        else:
            dense = self.dense(dense)
        branches = model.neck.pool(dense)
        if not self.figure:
            return model.head((model.neck.combine(branches),))
        return text_logits(model, model.neck.figures(branches)[self.figure])


def text_logits(model: CLIPClassifier, features: torch.Tensor) -> torch.Tensor:
    """Logits of a head that is known to have texts."""
    logits = model.head.text_logits(features)
    assert logits is not None
    return logits


def compared(model: CLIPClassifier, example: Example) -> Dict[str, str]:
    """Titles of what is compared -> name of a figure, '' for the model as it is."""
    with torch.no_grad():
        branches = model.pool(example.inputs[None])
        known = model.neck.figures(branches)
        own = {}
        for name, title in TITLES.items():
            if name in known and model.head.text_logits(known[name]) is not None:
                own[title] = name
    return {**own, 'model': ''}


def cam(model: CLIPClassifier, figure: str, examples: Sequence[Example]) -> tuple:
    """Smooth Grad-CAM++ of the true class, or of the predicted one.

    Returns:
        tuple: Maps (h, w), not negative, and predicted labels.
    """
    try:
        from torchcam.methods import SmoothGradCAMpp
    except ImportError:
        raise InputError(
            'torchcam is not installed. Install it by: pip install "safe-mm[analyses]"'
        ) from None
    explained = Explained(model, figure).eval()
    maps, labels = [], []
    size = tuple(examples[0].inputs.shape)
    with SmoothGradCAMpp(explained, 'dense', SAMPLES, NOISE, size) as extractor:
        for example in tqdm(examples, figure or 'model', leave=False):
            torch.manual_seed(0)
            scores = explained(example.inputs[None])
            predicted = int(scores.argmax())
            target = predicted if example.label is None else int(example.label)
            (found,) = extractor(target, scores)
            maps.append(np.nan_to_num(found[0].detach().cpu().numpy()).clip(0))
            labels.append(predicted)
    return maps, labels


def attention(model: CLIPClassifier, examples: Sequence[Example]) -> Maps:
    """Attention of each pooling layer, by its title."""
    titles = dict(attn_pool_o='original', attn_pool_f='tuned', combined='model')
    found: Maps = {}
    for start in range(0, len(examples), BATCH):
        images = torch.stack([e.inputs for e in examples[start : start + BATCH]])
        with torch.no_grad():
            maps = model.neck.attention_maps(model.dense(images))
        if not maps:
            raise InputError(f'{type(model.neck).__name__} pools without attention.')
        for name, own in maps.items():
            found.setdefault(titles.get(name, name), []).extend(own.cpu().numpy())
    return found


@ANALYSES.register_module(name='heat_maps')
class HeatMaps(Analysis):
    """Smooth Grad-CAM++ of the dense features, for original and tuned pooling and the model.

    Of data with masks, also the share of the heat on the object and on the part that tells the
    class, over the test images; a map without heat counts as even.
    """

    options = ('limit',)

    def run(self, subject: Subject, args: Namespace, folder: Path) -> Dict[str, Any]:
        examples = subject.examples(args.limit)
        maps, labels = {}, {}
        for title, figure in compared(subject.model, examples[0]).items():
            maps[title], labels[title] = cam(subject.model, figure, examples)
        draw(subject, examples, maps, labels, folder / 'heat_maps.png')
        empty = {title: sum(not heat.any() for heat in own) for title, own in maps.items()}
        return dict(numbers(subject, examples, maps), empty_maps=empty)


@ANALYSES.register_module(name='attention')
class Attention(Analysis):
    """Attention of original and tuned pooling and the model, and its share on the object."""

    options = ('limit',)

    def run(self, subject: Subject, args: Namespace, folder: Path) -> Dict[str, Any]:
        examples = subject.examples(args.limit)
        maps = attention(subject.model, examples)
        draw(subject, examples, maps, {}, folder / 'attention.png')
        return numbers(subject, examples, maps)


def numbers(subject: Subject, examples: Sequence[Example], maps: Maps) -> Dict[str, Any]:
    """Share of the heat on object and part in percent, mean of images; and their even share."""
    if not subject.knows('part_masks'):
        return dict(images=len(examples))
    found: Dict[str, Any] = {}
    for target, masks in part_masks(subject, examples).items():
        found[target] = {
            title: round(100 * float(np.mean([share(h, m) for h, m in zip(own, masks)])), 2)
            for title, own in maps.items()
        }
        found[target]['even'] = round(100 * float(np.mean([m.mean() for m in masks])), 2)
    return dict(images=len(examples), percent_of_heat=found)


def part_masks(subject: Subject, examples: Sequence[Example]) -> Dict[str, List[np.ndarray]]:
    """Masks of the object, all but the ground, and of the part that tells the class."""
    part = subject.class_part
    masks = [subject.masks(example) for example in examples]
    nothing = np.zeros_like(next(iter(masks[0].values())))
    found = {'object': [~own['ground'] for own in masks]}
    if part:
        found[part] = [own.get(part, nothing) for own in masks]
    return found


def share(heat: np.ndarray, mask: np.ndarray) -> float:
    """The share of a map (h, w) on a mask (H, W); heat is even within a cell."""
    cells = torch.tensor(mask)[None, None].float()
    covered = nn.functional.adaptive_avg_pool2d(cells, heat.shape)[0, 0].numpy()
    total = heat.sum()
    return float((heat * covered).sum() / total) if total > 0 else float(mask.mean())


def draw(
    subject: Subject,
    examples: Sequence[Example],
    maps: Maps,
    labels: Dict[str, List[int]],
    path: Path,
) -> None:
    """A row for each picture, a column for each map."""
    shown = range(min(SHOWN, len(examples)))
    figure = Figure((1.7 * (1 + len(maps)), 1.85 * len(shown)), layout='constrained')
    grid = figure.subplots(len(shown), 1 + len(maps), squeeze=False)
    classes = subject.model.classes
    for row, number in zip(grid, shown):
        example = examples[number]
        row[0].imshow(example.picture)
        row[0].set_xlabel(example.path.name if example.label is None else classes[example.label])
        for panel, (title, own) in zip(row[1:], maps.items()):
            panel.imshow(overlay(example.picture, own[number]))
            if title in labels:
                predicted = labels[title][number]
                right = example.label in (None, predicted)
                panel.set_xlabel(classes[predicted], color='black' if right else 'red')
    for panel in grid.flat:
        panel.set(xticks=[], yticks=[])
    for panel, title in zip(grid[0], ['picture', *maps]):
        panel.set_title(title)
    save(figure, path)
