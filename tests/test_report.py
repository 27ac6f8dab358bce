"""Tables and plots of results."""

import csv
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from safe_mm.errors import InputError
from safe_mm.report import paper, tables
from safe_mm.report import results as res

from .conftest import ROOT, fails, run_tool


def result(
    method='safe',
    dataset='caltech101',
    shots=1,
    seed=1,
    clip='RN50:openai',
    accuracy=80.0,
    safe=None,
    zero=60.0,
    method_hash=None,
    data_hash=None,
    date='2026-01-01',
    **more,
):
    """A result of one test variant; SAFE's beta 1 is 1 % better."""
    figures = {'accuracy': accuracy, 'zero-shot': zero}
    if safe is not None:
        figures.update({'beta=0': safe - 1.0, 'beta=0.5': safe, 'beta=1': safe + 1.0})
    return dict(
        dict(
            method=method,
            clip=clip,
            dataset=dataset,
            shots=shots,
            seed=seed,
            method_hash=method_hash or f'{method}-0123456789',
            data_hash=data_hash or f'{dataset}{shots}{seed}',
            test=dict(test=figures),
            grid=[],
            attention={},
            trained_parameters=7,
            seconds=dict(train=2.0, test=1.0),
            made=dict(date=date),
        ),
        **more,
    )


def variant_results() -> list:
    """SAFE-A on ImageNet's variants, three seeds at 16 shots."""
    return [
        result(
            'safe-a',
            'imagenet_variants',
            16,
            seed,
            test={
                variant: {
                    'accuracy': 60.0 + i + seed,
                    'beta=0': 0.0,
                    'beta=0.5': 50.0 + i,
                    'zero-shot': 40.0 + i,
                }
                for i, variant in enumerate(paper.VARIANTS)
            },
        )
        for seed in (1, 2, 3)
    ]


def data_of(results, beta=0.5):
    found = [dict(r, place=f'result {i}') for i, r in enumerate(results)]
    frame = res.to_frame(res.prepare(found))
    return res.accuracies(frame, res.blend_of(frame, beta))


def table_of(results, beta=0.5, columns=paper.DATASETS):
    return tables.accuracy_table(
        res.source(data_of(results, beta)), columns, paper.read_table('I', results[0]['clip'])
    )


def names_of(table) -> list:
    return [name for name, _ in table.mean.index if not name.endswith(('paper', 'difference'))]


def test_mean_and_deviation_over_seeds_beside_the_paper():
    table = table_of([result(seed=seed, safe=88.0 + seed, zero=85.0) for seed in (1, 2, 3)])
    assert list(table.mean) == [*paper.DATASETS.values(), 'average']
    mean = table.mean['Caltech101']
    assert mean['SAFE', 1] == 90
    assert table.std['Caltech101']['SAFE', 1] == 1
    assert mean['SAFE, paper', 1] == 90.07
    assert mean['SAFE, difference', 1] == pytest.approx(-0.07)
    assert mean['zero-shot CLIP', 0] == 85
    assert mean['zero-shot CLIP, difference', 0] == pytest.approx(-1.29)
    texts = table.texts().set_index(['method', 'shots'])
    assert texts['Caltech101']['SAFE', '1'] == '90.0 ± 1.0'
    assert texts['Caltech101']['SAFE, difference', '1'] == '-0.1'
    assert texts['DTD']['SAFE', '1'] == '–'
    assert math.isnan(table.mean['average']['SAFE', 1])  # ten are missing
    assert table.mean['average']['SAFE, paper', 1] == 66.17


def test_average_needs_all_datasets():
    results = [
        result(dataset=name, seed=seed, safe=50.0 + i + seed)
        for i, name in enumerate(paper.DATASETS)
        for seed in (1, 2)
    ]
    table = table_of(results)
    assert table.mean['average']['SAFE', 1] == pytest.approx(56.5)
    assert table.std['average']['SAFE', 1] == pytest.approx(math.sqrt(0.5))
    table = table_of(results[:-1])
    assert table.mean['UCF101']['SAFE', 1] == 61
    assert table.mean['average']['SAFE', 1] == 56
    assert table.number['average']['SAFE', 1] == 1


def test_methods_of_a_result():
    """SAFE-A knows SAFE; SAFE's own result rules, and the latest of equals."""
    results = [
        result('safe-a', accuracy=80.0, safe=70.0),
        result('tip-adapter-f', accuracy=65.0),
        result('zero-shot', shots=0, seed=0, accuracy=61.0, zero=61.0),
    ]
    table = table_of(results)
    assert {n: table.mean['Caltech101'][n].iloc[0] for n in names_of(table)} == {
        'zero-shot CLIP': 61,
        'Tip-Adapter-F': 65,
        'SAFE': 70,
        'SAFE-A': 80,
    }
    assert table_of(results, 1).mean['Caltech101']['SAFE', 1] == 71
    results.insert(0, result(safe=72.0, shots=1))
    assert table_of(results).mean['Caltech101']['SAFE', 1] == 72
    later = result('safe-a', accuracy=81.0, safe=70.0, date='2026-01-02')
    table = table_of([later, *results])
    assert table.mean['Caltech101']['SAFE-A', 1] == 81


def test_order_and_names():
    own = [name for name in res.NAMES if name not in ('zero-shot', 'safe')]
    methods = ['mine', *reversed(own), 'safe_creatures']  # each has zero-shot CLIP's figures
    table = table_of([result(m) for m in methods])
    assert names_of(table) == [*res.NAMES.values(), 'mine']


def test_hashes_are_not_mixed():
    results = [
        result(safe=70.0, method_hash='a' * 16),
        result(safe=90.0, method_hash='b' * 16, seed=2),
    ]
    table = table_of(results)
    assert table.mean['Caltech101']['SAFE (aaaaaaaa)', 1] == 70
    assert table.mean['Caltech101']['SAFE (bbbbbbbb)', 1] == 90
    assert table.mean['Caltech101']['SAFE (aaaaaaaa), paper', 1] == 90.07
    assert 'SAFE' not in names_of(table)
    results[1]['dataset'] = 'dtd'
    assert names_of(table_of(results)) == ['zero-shot CLIP', 'SAFE']


def test_different_data_is_refused():
    with pytest.raises(InputError, match='result 0 and result 1 have differe'):
        data_of([result(), result('gda', data_hash='other')])


def test_fewer_seeds_are_told():
    results = [
        result(dataset=name, seed=seed, safe=50.0 + seed)
        for name in paper.DATASETS
        for seed in (1, 2, 3)
    ]
    table = table_of(results[:-1])
    texts = table.texts().set_index(['method', 'shots']).loc['SAFE', '1']
    assert texts['DTD'] == '52.0 ± 1.0'
    assert texts['UCF101'] == '51.5 ± 0.7 (2 of 3)'
    assert texts['average'] == '51.5 ± 0.7 (2 of 3)'
    assert r'$52.0 \pm 1.0$ & $51.5 \pm 0.7$ (2 of 3)' in table.latex()


@pytest.mark.parametrize(
    'clip, architecture',
    [
        ('RN50:openai', 'RN50'),
        ('RN50-quickgelu:RN50', 'RN50'),
        ('ViT-B-16:openai', 'ViT-B-16'),
        ('RN50:None', None),
        ('RN50:cc12m', None),
        ('creatures-rn:seed1', None),
    ],
)
def test_the_paper_has_openais_weights(clip, architecture):
    assert paper.architecture_of(clip) == architecture
    assert paper.read_table('III', clip).empty == (architecture is None)


def test_the_papers_averages():
    table = paper.read_table('I', 'RN50:openai')
    assert len(table) == 37 and table.notna().all(axis=None)
    found = table[list(paper.DATASETS)].mean(axis=1)
    assert (found - table['average']).abs().max() < 0.011
    for clip, rows in (('RN50:openai', 11), ('ViT-B-16:openai', 11)):
        table = paper.read_table('III', clip)
        assert len(table) == rows and table.notna().all(axis=None)
    assert table.loc[('SAFE-A', 16), 'imagenet_r'] == 77.4


def test_grids_of_other_settings():
    def tuned(lr, **accuracy):
        return result(
            name='SAFE',
            setting=dict(lr=lr),
            grid=[
                dict(lr=float(lr[1:].replace('_', '-')), validation=value)
                for lr, value in accuracy.items()
            ],
        )

    table = tables.setting_table(
        [
            tuned(1e-4, r1e_4=90.0, r1e_5=80.0),
            tuned(1e-4, r1e_4=70.0, r1e_5=60.0),
            tuned(1e-5, r1e_5=70.0),
        ]
    ).texts()
    assert table.values.tolist() == [
        ['SAFE', 'lr=0.0001', '80.0', '2'],
        ['SAFE', 'lr=1e-05', '70.0', '1'],
    ]


def test_variants_beside_the_paper():
    table = tables.variant_table(
        data_of(variant_results()), paper.VARIANTS, paper.read_table('III', 'RN50:openai')
    )
    mean = table.mean
    assert mean.loc[('SAFE-A', 16)].tolist() == [62, 63, 64, 65, 66, 64.5]
    assert table.std.loc[('SAFE-A', 16), 'imagenet'] == 1
    assert mean.loc[('SAFE', 16)].tolist()[:2] == [50, 51]
    assert [name for name, _ in mean.index] == [
        method + what
        for method in ('zero-shot CLIP', 'SAFE', 'SAFE-A')
        for what in ('', ', paper', ', difference')
    ]
    last = mean.loc[('SAFE-A, difference', 16)]
    assert last['imagenet_sketch'] == pytest.approx(64 - 36.3)
    published = (58.6 + 36.3 + 23.0 + 59.9) / 4
    assert last[paper.SHIFTS] == pytest.approx(64.5 - published)
    # The same runs are Table I's of ImageNet
    table = table_of(variant_results())
    assert table.mean['ImageNet']['SAFE-A', 16] == 62
    own = [result('safe-a', 'imagenet', 16, accuracy=30.0)]
    own[0]['test']['test'].pop('zero-shot')
    both = table_of(variant_results() + own)
    assert both.mean['ImageNet']['SAFE-A', 16] == 30
    assert both.number['ImageNet']['SAFE-A', 16] == 1


def test_gains():
    frame = res.to_frame(
        [dict(r, name='SAFE') for r in (result(safe=70.0), result(shots=4, safe=80.0))]
    )
    table = tables.blend_table(frame, 'test')
    assert table.texts().values.tolist() == [[k, '+0.0', '+1.0', '+2.0'] for k in ('1', '4')]


def test_costs():
    """Zero-shot CLIP is ranked among the methods at each shots."""
    data = data_of(
        [result('gda', shots=k, accuracy=50.0 + 20 * (k > 1)) for k in (1, 4)]
        + [result('tip-adapter', shots=4, accuracy=90.0)]
    )
    table = tables.cost_table(res.source(data)).texts()
    assert table.values.tolist() == [
        ['zero-shot CLIP', '', '2.0', '2', '–', '–', '–'],
        ['Tip-Adapter', '4', '1.0', '1', '7', '2.0', '1.0'],
        ['GDA', '1', '2.0', '1', '7', '2.0', '1.0'],
        ['GDA', '4', '2.0', '1', '7', '2.0', '1.0'],
    ]


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
            )
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
    ):
        assert np.array(Image.open(out / f'{name}.png')).std() > 10
    run_tool(
        'report', collected, '--out', tmp_path / 'again', '--collect', tmp_path / 'again.jsonl'
    )
    assert (tmp_path / 'again.jsonl').read_text() == collected.read_text()
    assert len(collected.read_text().splitlines()) == len(results)
    assert (tmp_path / 'again' / 'report.md').read_text() == (out / 'report.md').read_text()


@pytest.mark.parametrize('file', sorted((ROOT / 'docs' / 'results').glob('*.jsonl')), ids=str)
def test_published_results_can_be_read(file):
    results, failed = res.read_results([file])
    names = {result['name'] for result in res.prepare(results)}
    assert len(results) > 5 and not failed
    assert names & {'SAFE', 'SAFE-A'}


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
