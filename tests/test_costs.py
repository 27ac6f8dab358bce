"""What a run notes of its costs."""

import time

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from safe_mm.runs import costs

from .conftest import weights
from .sweeps import configs, run

WIDTH, CLASSES, IMAGES = 64, 6, 24  # of the small CLIP's features; of the shapes at 4 shots
LINEAR = CLASSES * WIDTH
SIZES = {  # trained and fitted
    'zero-shot': (0, 0),
    'gda': (0, LINEAR + CLASSES),
    'linear-probe': (0, LINEAR + CLASSES),
    'lp-plus-plus': (0, LINEAR + 2 * CLASSES),
    'tip-adapter': (0, IMAGES * WIDTH),
    'tip-adapter-f': (IMAGES * WIDTH, 0),
    'clap': (LINEAR, 0),
}


@pytest.fixture(scope='module')
def swept(shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp('costs')
    files = configs(folder, shapes, *SIZES)
    return folder, run(folder, *files, '--shots', 4, '--seeds', 1)


@pytest.mark.parametrize('name', SIZES)
def test_sizes(name, swept):
    """Bytes are those of the tensors that a checkpoint holds."""
    folder, found = swept
    (result,) = (one for (method, *_), one in found.items() if method == name)
    assert (result['trained_parameters'], result['fitted_parameters']) == SIZES[name]
    for file in (folder / 'sweep' / name).rglob('best_fitted_*.pth'):
        state = weights(file)
        assert not any(key.startswith('backbone.trunk.') for key in state)
        size = sum(value.numel() * value.element_size() for value in state.values())
        assert result['stored_bytes'] == size > 4 * sum(SIZES[name])
    assert 4 * LINEAR < result['stored_bytes'] < 100_000
    assert 0 < result['seconds']['test_image'] < 1


class Slow(nn.Module):
    """Takes its time at first, and notes what it gets."""

    def __init__(self, first: float, later: float) -> None:
        super().__init__()
        self.first, self.later, self.shapes = first, later, []

    def data_preprocessor(self, batch: dict) -> dict:
        return dict(batch, inputs=batch['inputs'].float())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training and images.dtype == torch.float32
        time.sleep(self.later if self.shapes else self.first)
        self.shapes.append(tuple(images.shape))
        return torch.zeros(len(images), 2)


def measured(model: Slow, images: int) -> float:
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    data = [dict(inputs=image, data_samples=DataSample())] * images
    return costs.seconds_per_image(model, data)


@pytest.mark.parametrize('images, batch', [(50, 8), (2, 2)])
def test_time_of_an_image(monkeypatch, images, batch):
    """Of whole images, without the pass that warms up."""
    monkeypatch.setattr(costs, 'get_device', lambda: 'cpu')
    model = Slow(first=0.5, later=0.02)
    found = measured(model, images)
    assert model.shapes == 6 * [(batch, 3, 8, 8)]
    assert 0.02 <= found * batch < 0.25


def test_a_slow_model_is_timed_once(monkeypatch):
    monkeypatch.setattr(costs, 'LIMIT', 0.05)
    model = Slow(first=0.1, later=0.1)
    measured(model, 50)
    assert len(model.shapes) == 2
