"""Tables of results."""

import math

import pandas as pd
import pytest

from safe_mm.errors import InputError
from safe_mm.report import paper, tables
from safe_mm.report import results as res

from .reports import data_of, result, variant_results


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
    names = [name for name, _ in table_of([result(safe=70.0, clip=clip)]).mean.index]
    beside = {'SAFE, paper', 'SAFE, difference'} & set(names)
    assert len(beside) == (2 if architecture == 'RN50' else 0)  # that of Table I


@pytest.mark.parametrize(
    ('table', 'method', 'imagenet'),
    [
        ('I', 'wise-head', 62.84),
        ('I', 'wise-ft', None),
        ('I', 'cross-modal-partial', 65.95),
        ('III', 'cross-modal-linear', 64.5),
        ('III', 'coop', 63.0),
        ('III', 'coop-m4', 63.3),
    ],
)
def test_rows_of_the_paper_under_other_names(table, method, imagenet):
    figures = paper.read_table(table, 'RN50:openai').imagenet
    assert figures.get((res.display_name(method), 16)) == imagenet


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


def test_a_grid_that_keeps_the_start():
    grid = [dict(lr=1e-4, validation=90.0), dict(lr=1e-5, validation=80.0)]
    results = [
        result(name='SAFE', setting=setting, grid=grid) for setting in ({}, {}, dict(lr=1e-4))
    ]
    assert tables.setting_table(results).texts().values.tolist() == [
        ['SAFE', 'lr=0.0001', '90.0', '1'],
        ['SAFE', 'lr=1e-05', '80.0', '0'],
        ['SAFE', 'start', '–', '2'],
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


def test_wise_ft_of_full_fine_tuning():
    """Where it has no results of its own."""
    results = [result('full-fine-tune', seed=seed, accuracy=80.0) for seed in (1, 2)]
    results[0]['test']['test']['alpha=0.5'] = 85.0
    assert table_of(results[:1]).mean['Caltech101']['WiSE-FT', 1] == 85
    own = [result('wise-ft', seed=2, accuracy=70.0)]
    assert table_of(results + own).mean['Caltech101']['WiSE-FT', 1] == 70


def test_gains():
    """Of the runs with an accuracy at zero."""
    results = [result(safe=70.0), result(shots=4, safe=80.0), result(shots=8, safe=90.0)]
    results[-1]['test']['test'].pop('beta=0')
    frame = res.to_frame([dict(r, name='SAFE') for r in results])
    table = tables.gain_table(frame)
    assert table.texts().values.tolist() == [[k, '+0.0', '+1.0', '+2.0'] for k in ('1', '4')]
    assert list(tables.panels(frame)) == ['test images']
    other = frame.assign(dataset='eurosat')
    assert list(tables.panels(pd.concat([frame, other]))) == ['caltech101', 'eurosat']
    shifted = frame.assign(variant='blur')
    assert list(tables.panels(pd.concat([frame, other, shifted]))) == ['test images', 'blur']
