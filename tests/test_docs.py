"""The documented example of a new method, through all tools."""

import re
import sys

from .conftest import ROOT, metrics, run_tool
from .methods import Method, options, write_config
from .sweeps import results


def test_a_new_method(tmp_path, shapes, monkeypatch, capsys):
    """It is a file and a config; train, test, sweep and report take it."""
    text = (ROOT / 'docs' / 'extending.md').read_text()
    for block in re.findall(r'```python\n(# (\S+)\n.*?)```', text, re.DOTALL):
        code, name = block
        (tmp_path / name).write_text(code.replace("'configs/", f"'{ROOT}/configs/"))
    monkeypatch.syspath_prepend(str(tmp_path))
    file = write_config(Method('tip-adapter', trains=False, fits=True), tmp_path / 'run', shapes)
    file.write_text(
        file.read_text().replace(
            str(ROOT / 'configs' / 'tip-adapter.py'), str(tmp_path / 'prototype_config.py')
        )
    )
    file = file.rename(file.with_name('prototype.py'))
    run_tool('train', file, *options('--work-dir', tmp_path / 'own'))
    run_tool(
        'sweep',
        file,
        '--work-dir',
        tmp_path / 'sweep',
        '--clips',
        options()[1],
        '--shots',
        4,
        '--seeds',
        1,
    )
    (result,) = results(tmp_path).values()
    assert result['hyperparameters']['alpha'] in (0, 0.5, 1, 2)
    tested = metrics(file, tmp_path / 'own', *options()[:2])['accuracy/top1']
    assert abs(result['test']['test']['accuracy'] - tested) < 1e-4
    run_tool('report', tmp_path / 'sweep')
    assert 'prototype' in capsys.readouterr().out
    sys.modules.pop('prototype')
