"""Accuracy between the start and the end of training."""

import copy
import json

import pytest
import torch
from torch import nn

from safe_mm.models.reparametrize import reparametrize
from safe_mm.runs.interpolation import interpolation_curve

from .conftest import run_tool
from .methods import METHODS, options, write_config

BY_NAME = {method.name: method for method in METHODS}


class Model(nn.Linear):
    trainable = ('weight',)


def test_weights_are_those_between_start_and_end():
    """What is not trained stays; so does the model in the end."""
    start, model = Model(2, 3), Model(2, 3)
    end, bias, seen = model.weight.clone(), model.bias.clone(), []
    found = interpolation_curve(model, start, [0, 0.25, 1], lambda: seen.append(model.weight + 0))
    assert list(found) == ['alpha=0', 'alpha=0.25', 'alpha=1']
    expected = [start.weight, 0.25 * end + 0.75 * start.weight, end]
    torch.testing.assert_close(seen, expected)
    assert torch.equal(model.weight, end) and torch.equal(model.bias, bias)


def sweep(name, tmp_path, shapes, values):
    file = write_config(BY_NAME[name], tmp_path, shapes, f'interpolations = {values}')
    clips, shots = options()[1], options()[3]
    return [
        *('sweep', file, '--work-dir', tmp_path / 'out', '--clips', clips),
        *('--shots', shots, '--seeds', 1),
    ]


def test_a_sweep_reports_the_curve(tmp_path, shapes):
    """From zero-shot CLIP to the trained model, as a table and a picture."""
    run_tool(*sweep('safe', tmp_path, shapes, [0, 0.5, 1]))
    (result,) = (tmp_path / 'out').rglob('result.json')
    figures = json.loads(result.read_text())['test']['test']
    assert figures['alpha=0'] == figures['zero-shot']
    assert figures['alpha=1'] == figures['accuracy']
    assert 'alpha=0.5' in figures
    run_tool('report', tmp_path / 'out', '--out', tmp_path / 'report')
    assert '### Interpolation of weights, SAFE' in (tmp_path / 'report' / 'report.md').read_text()
    assert list((tmp_path / 'report').glob('alpha_SAFE_*.png'))


@pytest.mark.parametrize(
    ('name', 'values', 'message'),
    [
        ('gda', [0, 1], 'interpolations does not support GDAHead'),
        ('safe', [0, 1.5], r'interpolations=\[0, 1.5\] should be a list of numbers from 0'),
        ('wise-ft', [0, 1], 'interpolations does not support a FitHook with interpolate'),
    ],
)
def test_wrong_ones_are_refused_before_training(tmp_path, shapes, name, values, message):
    with pytest.raises(SystemExit, match=message):
        run_tool(*sweep(name, tmp_path, shapes, values))


@pytest.mark.parametrize('kind', ['LoRA', 'SingularValues'])
def test_reparametrized_weights_are_interpolated(kind):
    """Not their factors, whose product would be another weight."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6))
    weight = model[0].weight.detach().clone()
    cfg = dict(type=f'safe_mm.{kind}', patterns=['*.weight'])
    model.trainable = reparametrize(model, cfg)
    start = copy.deepcopy(model)
    for name in model.trainable:
        model.get_parameter(name).data += 0.3
    model.eval()
    end, seen = model[0].weight.detach(), []
    interpolation_curve(model, start, [0, 0.25, 1], lambda: seen.append(model[0].weight.detach()))
    torch.testing.assert_close(seen, [torch.lerp(weight, end, alpha) for alpha in (0, 0.25, 1)])
