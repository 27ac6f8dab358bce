"""Sweeps of all methods."""

import json

import pytest

from safe_mm.report.results import display_name
from safe_mm.runs import executors

from .conftest import metrics, run_tool
from .methods import CLIP, DISTINCT, IN_TWO, METHODS, named, write_config
from .two_processes import CONTEXT


@named([METHODS[0], *DISTINCT])
def test_sweep_agrees_with_test(method, train_method, tmp_path, shapes):
    """A result's accuracy is what tools/test.py measures of its weights."""
    file = write_config(method, tmp_path, shapes)
    run_tool(
        'sweep',
        file,
        '--work-dir',
        tmp_path / 'sweep',
        '--clips',
        method.clip,
        '--shots',
        4,
        '--seeds',
        1,
    )
    (result,) = (tmp_path / 'sweep').rglob('result.json')
    found = json.loads(result.read_text())
    own = [result.parent] if method.name != 'zero-shot' else []
    tested = metrics(file, *own, '--clip', method.clip)
    assert tested.pop('accuracy/top1') == pytest.approx(
        found['test']['test'].pop('accuracy'), abs=1e-4
    )
    assert {
        k.split('/')[1]: v for k, v in tested.items() if k.startswith('figure/')
    } == pytest.approx(found['test']['test'], abs=1e-4)


def test_a_sweep_of_many_methods_in_two_processes(tmp_path, shapes, monkeypatch):
    """Has a result of each, in one report."""
    monkeypatch.setattr(executors, 'get_context', lambda method: CONTEXT)  # starts no Python
    chosen = [method for method in METHODS if method.id in IN_TWO]
    files = [write_config(method, tmp_path, shapes) for method in chosen]
    common = ['--work-dir', tmp_path / 'out', '--clips', CLIP, '--shots', 4, '--seeds', 1]
    run_tool('sweep', *files, *common, '--jobs', 2)
    run_tool('report', tmp_path / 'out', '--out', tmp_path / 'report')
    text = (tmp_path / 'report' / 'report.md').read_text()
    costs = text[text.index('## Costs') :]
    assert all(f'| {display_name(name)} ' in costs for name in IN_TWO)
