"""Tables and pictures of records."""
import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from safe_mm.report import paper
from safe_mm.report.details import blends, setting_table
from safe_mm.report.runs import all_runs
from safe_mm.report.tables import accuracy_table, curves, variant_table

from .conftest import fails, run_tool

BETAS = ('0.0', '0.5', '1.0')


def record(config='safe_rn50', task='caltech101', shots=1, seed=1,
           clip='RN50 openai', deployed=None, safe=None, zero=None, **more):
    """A record of a single test variant; SAFE's beta 1 is 1 % better."""
    by = {} if deployed is None else dict(deployed=deployed)
    if safe is not None:
        by.update({'0.0': safe - 1., '0.5': safe, '1.0': safe + 1.,
                   'zero-shot': zero})
    return dict(
        dict(key=dict(config=config, clip=clip, task=task, shots=shots,
                      seed=seed), test=dict(test=by), grid=[], attention={}),
        **more)


def variant_records() -> list:
    """SAFE-A on ImageNet's variants, three seeds at 16 shots."""
    return [
        record('safe-a_rn50', 'imagenet_variants', 16, seed, test={
            variant: {'deployed': 60. + i + seed, '0.0': 0., '0.5': 50. + i,
                      '1.0': 0., 'zero-shot': 40. + i}
            for i, variant in enumerate(paper.VARIANTS)
        }) for seed in (1, 2, 3)
    ]


def table_of(records, beta='0.5') -> dict:
    """Labels of a row -> its figures."""
    table = accuracy_table(all_runs(records, beta), paper.DATA_SETS, 'RN50')
    assert table.columns == [*paper.DATA_SETS.values(), 'average']
    assert len({tuple(row.labels) for row in table.rows}) == len(table.rows)
    return {tuple(row.labels): dict(zip(table.columns, row.figures))
            for row in table.rows}


def test_mean_and_deviation_over_seeds_beside_the_paper():
    rows = table_of([record(seed=seed, safe=88. + seed, zero=85.)
                     for seed in (1, 2, 3)])
    own = rows['SAFE', '1']['Caltech101']
    assert (own.mean, own.std) == (90, 1)
    assert rows['SAFE, paper', '1']['Caltech101'].mean == 90.07
    difference = rows['SAFE, difference', '1']['Caltech101']
    assert difference.mean == pytest.approx(-0.07)
    assert difference.text() == '-0.1'
    assert rows['zero-shot CLIP', '']['Caltech101'].text() == '85.0'
    zero_shot = rows['zero-shot CLIP, difference', '']['Caltech101']
    assert zero_shot.mean == pytest.approx(-1.29)
    assert rows['SAFE', '1']['DTD'] is None
    assert rows['SAFE', '1']['average'] is None  # ten are missing
    assert rows['SAFE, paper', '1']['average'].mean == 66.17


def test_average_needs_all_data_sets():
    records = [record(task=task, seed=seed, safe=50. + i + seed, zero=40.)
               for i, task in enumerate(paper.DATA_SETS) for seed in (1, 2)]
    average = table_of(records)['SAFE', '1']['average']
    assert average.mean == pytest.approx(56.5)
    assert average.std == pytest.approx(math.sqrt(0.5))
    one_less = table_of(records[:-1])['SAFE', '1']
    assert one_less['UCF101'].mean == 61 and one_less['UCF101'].std is None
    assert one_less['average'].mean == 56 and one_less['average'].std is None


def test_methods_of_a_record():
    """SAFE-A knows SAFE; SAFE's own record rules, and the last of equals."""
    records = [
        record('safe-a_rn50', deployed=80., safe=70., zero=60.),
        record('tip-adapter-f_rn50', deployed=65.),
        record('zero-shot_rn50', shots=0, seed=0, deployed=61.)
    ]
    rows = table_of(records)
    assert list(rows)[:1] == [('zero-shot CLIP', '')]
    found = {labels[0]: row['Caltech101'].mean for labels, row in rows.items()
             if not labels[0].endswith(('paper', 'difference'))}
    assert found == {'zero-shot CLIP': 61, 'Tip-Adapter-F': 65, 'SAFE': 70,
                     'SAFE-A': 80}
    rows = table_of(records, beta='1.0')
    assert rows['SAFE', '1']['Caltech101'].mean == 71
    records.insert(0, record(safe=72., zero=60.))
    assert table_of(records)['SAFE', '1']['Caltech101'].mean == 72
    records.append(record('safe-a_rn50', deployed=81., safe=70., zero=60.))
    assert table_of(records)['SAFE-A', '1']['Caltech101'].mean == 81


def test_recipes_are_not_mixed():
    def safe(accuracy, **key):
        one = record(safe=accuracy, zero=60.)
        one['key'].update(key)
        return one

    records = [safe(70., recipe='a', seed=1), safe(90., recipe='b', seed=2)]
    rows = table_of(records)
    assert rows['SAFE (a)', '1']['Caltech101'].mean == 70
    assert rows['SAFE (b)', '1']['Caltech101'].mean == 90
    assert ('SAFE', '1') not in rows
    assert list(blends(records)) == ['safe_rn50 RN50 openai a',
                                     'safe_rn50 RN50 openai b']
    older = [safe(70., grid=False, options={}), safe(90., grid=True)]
    assert len([row for row in table_of(older) if 'grid=' in row[0]]) >= 2


def test_fewer_seeds_are_told():
    records = [record(task=task, seed=seed, safe=50. + seed, zero=40.)
               for task in paper.DATA_SETS for seed in (1, 2, 3)]
    table = accuracy_table(all_runs(records[:-1], '0.5'), paper.DATA_SETS)
    row = next(row for row in table.rows if row.labels == ['SAFE', '1'])
    texts = dict(zip(table.columns, row.texts()))
    assert texts['DTD'] == '52.0 ± 1.0'
    assert texts['UCF101'] == '51.5 ± 0.7 (2 of 3)'
    assert texts['average'] == '51.5 ± 0.7 (2 of 3)'
    assert r'$52.0 \pm 1.0$ & $51.5 \pm 0.7$ (2 of 3)' in table.latex()


@pytest.mark.parametrize('clip, backbone', [
    ('RN50 openai', 'RN50'), ('RN50-quickgelu RN50', 'RN50'),
    ('ViT-B-16 openai', 'ViT-B-16'), ('RN50 None', None),
    ('RN50 cc12m', None), ('creatures-rn seed1', None)
])
def test_the_paper_has_openais_weights(clip, backbone):
    assert paper.backbone_of(clip) == backbone


def test_grids_of_other_settings():
    def tuned(**accuracy):
        return record(setting=dict(lr=1e-4), grid=[
            dict(lr=float(lr[1:].replace('_', '-')), validation=value)
            for lr, value in accuracy.items()])

    table = setting_table([tuned(r1e_4=90., r1e_5=80.), tuned(r1e_5=60.)])
    assert [(row.labels, row.figures[0].mean) for row in table.rows] == [
        (['lr=0.0001', '2'], 90), (['lr=1e-05', '0'], 70)]


def test_variants_beside_the_paper():
    runs = all_runs(variant_records(), '0.5')
    own = {run: by for run, by in runs.items() if len(by) > 1}
    table = variant_table(own, paper.VARIANTS, 'RN50')
    rows = {tuple(row.labels): row.figures for row in table.rows}
    assert [f.mean for f in rows['SAFE-A', '16']] == [62, 63, 64, 65, 66, 64.5]
    assert rows['SAFE-A', '16'][0].std == 1
    assert [f.mean for f in rows['SAFE', '16']][:2] == [50, 51]
    order = [row.labels[0] for row in table.rows]
    assert order == [method + what
                     for method in ('zero-shot CLIP', 'SAFE', 'SAFE-A')
                     for what in ('', ', paper', ', difference')]
    last = table.rows[-1].figures
    assert last[2].mean == pytest.approx(64 - 36.3)
    published = (58.6 + 36.3 + 23.0 + 59.9) / 4
    assert last[5].mean == pytest.approx(64.5 - published)
    # The same runs are Table I's of ImageNet
    assert table_of(variant_records())['SAFE-A', '16']['ImageNet'].mean == 62


def test_curves_have_gaps():
    runs = all_runs([record(task='ears', shots=k, safe=60. + k, zero=50.)
                     for k in (1, 4)], '0.5')
    panels = curves(runs, dict(ears='ears'), (1, 2, 4))
    assert list(panels) == ['average', 'ears']
    lines = panels['ears']
    assert lines['zero-shot CLIP'] == [50, 50, 50]
    assert lines['SAFE'][::2] == [61, 64] and math.isnan(lines['SAFE'][1])


def test_files(tmp_path, capsys):
    path = tmp_path / 'records.jsonl'
    records = variant_records() + [
        record(seed=seed, safe=88. + seed, zero=85., setting=dict(lr=1e-4),
               grid=[dict(lr=1e-4, validation=90.),
                     dict(lr=1e-5, validation=80.)]) for seed in (1, 2)
    ] + [
        record(task='ears', clip='creatures-rn seed1', safe=70., zero=60.,
               attention=dict(original=2., finetuned=4., blend=3.)),
        dict(key=dict(config='safe_rn50', task='dtd'), error='InputError: no')
    ]
    path.write_text(''.join(json.dumps(r) + '\n' for r in records))
    run_tool('report', path)
    text = capsys.readouterr().out
    assert "failed, and not run since: {'config': 'safe_rn50'" in text
    folder = tmp_path / 'report'
    assert (folder / 'report.md').read_text() in text
    assert '| SAFE | 1 | – | 89.5 ± 0.7 | –' in text
    assert '| SAFE, difference | 1 | – | -0.6 | –' in text
    assert '| ears | 2.0 | 4.0 | 3.0 |' in text
    assert '| lr=0.0001 | 2 | 90.0 |' in text
    with (folder / 'accuracy_RN50_openai.csv').open() as file:
        rows = [row for row in csv.DictReader(file)
                if row['method'] == 'SAFE' and row['shots'] == '1']
    assert float(rows[0]['Caltech101']) == 89.5
    assert float(rows[0]['Caltech101 std']) == pytest.approx(0.7071)
    assert rows[0]['Caltech101 seeds'] == '2'
    assert rows[0]['average'] == ''
    latex = (folder / 'variants_RN50_openai_imagenet.tex').read_text()
    assert r'SAFE-A & 16 & $62.0 \pm 1.0$ &' in latex
    assert r'imagenet\_a' in latex
    for name in ('accuracy_RN50_openai', 'beta_safe_rn50_RN50_openai_test',
                 'accuracy_creatures-rn_seed1'):
        assert np.array(Image.open(folder / f'{name}.png')).std() > 10


def test_bad_input(tmp_path):
    path = tmp_path / 'records.jsonl'
    fails('has no records', 'report', path)
    path.write_text('{"a": 1}\n[2]\n{"key"')
    fails('has no records', 'report', path)
    path.write_text(json.dumps(dict(key={}, error='no')))
    fails('all tasks failed', 'report', path)
    path.write_text(json.dumps(record(safe=70., zero=60.)))
    fails('--beta 3.0: the records have 0.0, 0.5, 1.0', 'report', path,
          '--beta', 3)
