"""The benchmark runs, and compares what computes the same."""

import json

import pytest
import torch

from safe_mm.benchmark.encoders import Baseline, operations, random_images, tuned_pool
from safe_mm.clip import SplitCLIP

from .conftest import run_tool

CREATURES = ('creatures-rn', 'creatures-vit')
MEASURED = CREATURES[:1]


def test_benchmark(tmp_path, capsys):
    run_tool(
        'benchmark',
        '--repeats',
        2,
        '--iterations',
        2,
        '--models',
        *MEASURED,
        '--out',
        tmp_path / 'benchmark.json',
    )
    table = capsys.readouterr().out
    figures = json.loads((tmp_path / 'benchmark.json').read_text())
    for name in MEASURED:
        for what in (
            'pooling, forward',
            'training step on given features',
            'iteration, images against cached features',
            'step of 12 settings, alone against joint',
            'step of 3 seeds, alone against joint',
            'encoder, batch 32',
            'peak memory of training, GB',
            'iteration of train.py on cached features',
            'the same step, without data and Runner',
            'run of 12800 iterations, 16 shots, extrapolated',
            'train.py of one iteration, images against cached features',
        ):
            row = figures['rows'][f'{name} {what}']
            assert all(value > 0 for value in row.values()) and row['candidate']
            assert 'floor' in row or 'train.py of one' in what
            assert f'| {name} {what} ' in table
    assert figures['matmul_gflops'] > 0 and figures['copy_gb_per_s'] > 0


def test_operations_of_attention_are_counted():
    """A block of 4 heads: 12 d^2 products a token, 2 of length d a pair."""
    length, width = 7, 8
    block = torch.nn.TransformerEncoderLayer(
        width, 4, 4 * width, dropout=0.0, batch_first=True
    ).eval()
    x = torch.randn(1, length, width).requires_grad_()
    assert operations(lambda: block(x)) == 2 * length * (12 * width**2 + 2 * length * width)


@pytest.mark.parametrize('name', CREATURES)
def test_both_sides_compute_the_same(name):
    baseline, candidate, x = Baseline(name), tuned_pool(name), random_images(name)
    with torch.no_grad():
        features = SplitCLIP(name, None).trunk.eval()(x)
        torch.testing.assert_close(candidate(features), baseline.pool(features))
        torch.testing.assert_close(candidate(features), baseline(x))
