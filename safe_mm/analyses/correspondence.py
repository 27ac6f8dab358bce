"""Semantic correspondence by dense features (SAFE, Sec. III-A, Eq. 1, Fig. 3 and 6)."""

import random
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from ..clip.blocks import block_names
from ..errors import InputError, near_matches
from ..models import CLIPClassifier
from ..plots import save
from ..registry import ANALYSES
from .base import Analysis
from .subject import Example, Subject

PAIRS = 5  # of each test image, for the accuracy
ALPHA = 0.1  # of the longer side: as near counts as correct
Point = Tuple[float, float]


@ANALYSES.register_module(name='correspondence')
class Correspondence(Analysis):
    """Where in other images is what a point of the first one shows?

    A row for each layer, a column for each target: the cosine similarity to the source point as a
    heat map, and its maximum. Of data with keypoints, also the accuracy: a keypoint is found if the
    maximum is within a tenth of the image's side (PCK at 0.1), among pairs of test images.
    """

    options = ('point', 'layers', 'limit')

    def run(self, subject: Subject, args: Namespace, folder: Path) -> Dict[str, Any]:
        examples = subject.examples(args.limit)
        if len(examples) < 2:
            raise InputError('correspondence needs a source image, and at least one target.')
        layers = args.layers or block_names(subject.model.backbone.trunk)
        source, targets = examples[0], examples[1:5]
        point = self.source_point(subject, source, args)
        size = source.picture.shape[:2]
        maps = {
            name: similarity(own[0], own[1:], [point], size)[:, 0]
            for name, own in features(subject.model, [source, *targets], layers).items()
        }
        draw(source, point, targets, maps, folder / 'correspondence.png')
        found = {
            name: [dict(file=t.path.name, point=argmax(m)) for t, m in zip(targets, own)]
            for name, own in maps.items()
        }
        numbers: Dict[str, Any] = dict(source=dict(file=source.path.name, point=point), found=found)
        if subject.knows('keypoints'):
            numbers['pck'] = accuracy(subject, examples, layers)
        return numbers

    def source_point(self, subject: Subject, source: Example, args: Namespace) -> Point:
        """The point that was named, or a keypoint, in pixels of the crop."""
        if args.point:
            points = {'': tuple(args.point)}
        elif subject.knows('keypoints'):
            points = {'': subject.dataset.keypoints(source.index)['eye']}
        else:
            raise InputError('correspondence needs --point X Y, in pixels of the first image.')
        (x, y) = subject.crop_points(points, source)['']
        height, width = source.picture.shape[:2]
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(
                f'the point is not in what the model sees of {source.path}, its centre of '
                f'{width} x {height} pixels. Choose one nearer to the middle.'
            )
        return x, y


@contextmanager
def outputs_of(trunk: nn.Module, layers: Sequence[str]) -> Iterator[Dict[str, torch.Tensor]]:
    """What layers return while a trunk runs.

    Raises:
        InputError: There is no such layer.
    """
    modules, found = dict(trunk.named_modules()), {}
    handles = []
    for name in layers:
        if name not in modules:
            near = near_matches(name, modules)
            raise InputError(f'the trunk has no layer {name!r}. Near matches: {near}.')
        handles.append(
            modules[name].register_forward_hook(
                lambda module, args, output, name=name: found.update({name: output})
            )
        )
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def as_map(features: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
    """Tokens (B, K + h*w, C) or maps (B, C, h, w) -> maps."""
    if features.ndim == 4:
        return features
    h, w = grid
    return features[:, -h * w :].transpose(1, 2).unflatten(2, (h, w))


@torch.no_grad()
def features(
    model: CLIPClassifier, examples: Sequence[Example], layers: Sequence[str]
) -> Dict[str, torch.Tensor]:
    """Features of layers, each of shape (B, C, h, w)."""
    images = torch.stack([example.inputs for example in examples])
    with outputs_of(model.backbone.trunk, layers) as found:
        dense = model.stem(images)
    grid = getattr(model.neck, model.neck.poolings[0]).grid(dense)
    return {name: as_map(found[name], grid).float() for name in layers}


def upsampled(features: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Features of one image (C, h, w) at its size, (C, H, W)."""
    return F.interpolate(features[None], tuple(size), mode='bilinear')[0]


def similarity(
    source: torch.Tensor, targets: torch.Tensor, points: Sequence[Point], size: Sequence[int]
) -> torch.Tensor:
    """Eq. 1's cosines of points (x, y) of a source to targets, by features of a layer.

    Features are upsampled one image at a time: those of all images would take gigabytes.

    Args:
        source (Tensor): Shape (C, h, w).
        targets (Tensor): Shape (T, C, h, w).
        points (Sequence): In pixels of the source.
        size (Sequence[int]): Height H and width W of the images.

    Returns:
        Tensor: Shape (T, len(points), H, W).
    """
    height, width = size
    columns = [min(max(int(x), 0), width - 1) for x, _ in points]
    rows = [min(max(int(y), 0), height - 1) for _, y in points]
    wanted = F.normalize(upsampled(source, size)[:, rows, columns], dim=0)  # (C, P)
    heats = []
    for target in targets:
        own = upsampled(target, size)
        products = torch.einsum('cp,chw->phw', wanted, own)
        heats.append(products / own.square_().sum(0).sqrt().clamp_min(1e-12))
    return torch.stack(heats)


def argmax(heat: torch.Tensor) -> List[int]:
    """(x, y) of the maximum of a map (H, W)."""
    row, column = divmod(int(heat.argmax()), heat.shape[-1])
    return [column, row]


def accuracy(
    subject: Subject, examples: Sequence[Example], layers: Sequence[str]
) -> Dict[str, Any]:
    """Share of keypoints that are found, in percent, by layer and keypoint.

    'chance' is the share of the image within the distance, of points in the middle.
    """
    rng = random.Random(0)
    hits: Dict[str, Dict[str, List[bool]]] = {name: {} for name in layers}
    points = [
        subject.crop_points(subject.dataset.keypoints(example.index), example)
        for example in examples
    ]
    for number in tqdm(range(len(examples)), 'sources', leave=False):
        others = [i for i in range(len(examples)) if i != number]
        chosen = rng.sample(others, min(PAIRS, len(others)))
        own = points[number]
        images = [examples[i] for i in (number, *chosen)]
        size = images[0].picture.shape[:2]
        for name, layer in features(subject.model, images, layers).items():
            heats = similarity(layer[0], layer[1:], list(own.values()), size)
            for target, heat in zip(chosen, heats):
                for key, one in zip(own, heat):
                    x, y = argmax(one)
                    distance = np.hypot(x - points[target][key][0], y - points[target][key][1])
                    limit = ALPHA * max(one.shape)
                    hits[name].setdefault(key, []).append(bool(distance <= limit))
    table = {
        name: {key: round(100 * float(np.mean(h)), 1) for key, h in own.items()}
        for name, own in hits.items()
    }
    means = {name: round(float(np.mean(list(own.values()))), 1) for name, own in table.items()}
    pairs = len(examples) * min(PAIRS, len(examples) - 1)
    chance = round(100 * np.pi * ALPHA**2, 1)
    return dict(mean=means, keypoints=table, pairs=pairs, alpha=ALPHA, chance=chance)


def draw(
    source: Example,
    point: Point,
    targets: Sequence[Example],
    maps: Dict[str, torch.Tensor],
    path: Path,
) -> None:
    """The source, and a row of heat maps for each layer."""
    figure = Figure((1.5 * (1 + len(targets)), 1.55 * len(maps)), layout='constrained')
    grid = figure.subplots(len(maps), 1 + len(targets), squeeze=False)
    for row, (name, heats) in zip(grid, maps.items()):
        row[0].imshow(source.picture)
        row[0].plot(*point, 'o', color='red', markeredgecolor='white')
        row[0].set_ylabel(name, fontsize=7)
        for panel, target, heat in zip(row[1:], targets, heats):
            panel.imshow(target.picture)
            panel.imshow(heat.cpu(), cmap='inferno', alpha=0.6)
            panel.plot(*argmax(heat), 'o', color='red', markeredgecolor='white')
    for panel in grid.flat:
        panel.set(xticks=[], yticks=[])
    grid[0][0].set_title('source')
    grid[0][1].set_title('found', loc='left')
    save(figure, path)
