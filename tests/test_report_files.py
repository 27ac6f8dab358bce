"""Files that tools/report.py reads and writes."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from safe_mm.report import results as res
from safe_mm.report.write import write_report

from .conftest import ROOT, fails, run_tool
from .reports import result, variant_results


def test_files(tmp_path, capsys):
    grid = [dict(lr=1e-4, validation=90.0), dict(lr=1e-5, validation=80.0)]
    results = (
        variant_results()
        + [
            result(seed=seed, safe=88.0 + seed, zero=85.0, setting=dict(lr=1e-4), grid=grid)
            for seed in (1, 2)
        ]
        + [
            result(
                dataset='ears',
                clip='creatures-rn:seed1',
                safe=70.0,
                attention=dict(attn_pool_o=2.0, attn_pool_f=4.0, combined=3.0),
            ),
            result(
                'fine-tune',
                'ears',
                clip='creatures-rn:seed1',
                attention=dict(attn_pool_f=5.0, combined=5.0),
            ),
        ]
    )
    runs, collected = tmp_path / 'runs', tmp_path / 'all.jsonl'
    for i, one in enumerate([*results, None]):
        folder = runs / f'run{i}'
        folder.mkdir(parents=True)
        if one:
            (folder / 'result.json').write_text(json.dumps(one))
        if not one or i == 0:  # the first was tried again
            (folder / 'error.txt').write_text('no data\n')
    run_tool('report', runs, '--collect', collected)
    text = capsys.readouterr().out
    assert text.count('failed: ') == 1
    assert f'failed: {folder}: no data' in text
    out = tmp_path / 'report'
    assert (out / 'report.md').read_text() in text
    text = re.sub(' +', ' ', text)
    assert '| SAFE | 1 | – | 89.5 ± 0.7 | –' in text
    assert '| SAFE, difference | 1 | – | -0.6 | –' in text
    assert '| SAFE | ears | 1 | 2.0 | 4.0 | 3.0 |' in text
    assert '| fine-tuning | ears | 1 | – | 5.0 | 5.0 |' in text
    assert '| SAFE | lr=0.0001 | 90.0 | 2 |' in text
    for title in ('Accuracy in percent, mean', 'Accuracy in percent by test variant'):
        table, note = text.split(title)[1].split('\n\n')[1:3]
        assert '| zero-shot CLIP, difference |' in table
        assert 'one prompt on ImageNet (RN50: 58.18)' in note and '60.32' in note
    assert text.count('one prompt') == 2  # not with another CLIP
    with (out / 'accuracy_RN50_openai.csv').open() as file:
        row = next(
            row for row in csv.DictReader(file) if row['method'] == 'SAFE' and row['shots'] == '1'
        )
    assert row['Caltech101'] == '89.5000'
    assert row['Caltech101 std'] == '0.7071'
    assert row['Caltech101 seeds'] == '2' and row['average'] == ''
    latex = (out / 'variants_RN50_openai_imagenet.tex').read_text()
    assert r'SAFE-A & 16 & $62.0 \pm 1.0$ &' in latex
    assert r'imagenet\_a' in latex and r'\toprule' in latex
    for name in (
        'accuracy_RN50_openai',
        'beta_SAFE_RN50_openai',
        'accuracy_creatures-rn_seed1_other',
        'cost',
    ):
        assert np.array(Image.open(out / f'{name}.png')).std() > 10
    run_tool(
        'report', collected, '--out', tmp_path / 'again', '--collect', tmp_path / 'again.jsonl'
    )
    assert (tmp_path / 'again.jsonl').read_text() == collected.read_text()
    assert len(collected.read_text().splitlines()) == len(results)
    assert (tmp_path / 'again' / 'report.md').read_text() == (out / 'report.md').read_text()


def test_average_of_the_datasets_there_are(tmp_path):
    """Where the paper has no figures of the CLIP, which would be beside it."""
    results = [
        result('gda', dataset, clip='photos:seed1', accuracy=accuracy)
        for dataset, accuracy in (('caltech101', 80.0), ('eurosat', 60.0))
    ]
    text = re.sub(' +', ' ', write_report([dict(r, place='') for r in results], 0.5, tmp_path))
    assert '| Caltech101 | EuroSAT | average |' in text and '| 80.0 | 60.0 | 70.0 |' in text


@pytest.mark.parametrize('file', sorted((ROOT / 'docs' / 'results').glob('*.jsonl')), ids=str)
def test_published_results_can_be_read(file):
    results, failed = res.read_results([file])
    assert results and not failed
    for one in res.prepare(results):
        assert one['name'] and all(0 < t['accuracy'] <= 100 for t in one['test'].values())


def test_bad_input(tmp_path):
    path = tmp_path / 'results.jsonl'
    fails('does not exist', 'report', path)
    path.write_text('')
    fails('has no results', 'report', path)
    path.write_text('{"a": 1}\n')
    fails('line 1 is not a result: it lacks method', 'report', path)
    path.write_text(json.dumps(result(safe=70.0)) + '\n{"method"')
    fails('line 2 is not JSON', 'report', path)
    path.write_text(json.dumps(result(safe=70.0)))
    fails('--beta 3: the results of SAFE have 0, 0.5, 1', 'report', path, '--beta', 3)
    (tmp_path / 'error.txt').write_text('no')
    path.unlink()
    fails('all runs failed', 'report', tmp_path)


def test_help_loads_nothing_heavy():
    code = (
        'import runpy, sys; sys.argv = ["report", "--help"]\n'
        'try: runpy.run_path("tools/report.py", run_name="__main__")\n'
        'except SystemExit: pass\n'
        'print({"pandas", "matplotlib", "torch"} & set(sys.modules))'
    )
    out = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.endswith('set()\n')
