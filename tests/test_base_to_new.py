"""The report of base-to-new generalisation and transfer."""

import csv

import pytest

from safe_mm.report import base_to_new
from safe_mm.report import results as res
from safe_mm.report.write import write_report

from .reports import result, variant_results


def halves(dataset: str, seed: int, base: float, new: float, shots: int = 16) -> dict:
    test = {'base': {'accuracy': base}, 'new': {'accuracy': new}}
    return result('prolip', f'{dataset}_base', shots, seed, test=test)


def table_of(found: list):
    data = res.to_frame([dict(r, name='ProLIP') for r in found])
    return base_to_new.table(data)


def test_both_harmonic_figures():
    """Against figures by hand."""
    table = table_of(
        [halves('a', 1, 80, 40), halves('a', 2, 100, 20), halves('b', 1, 60, 90)]
        + [halves('b', 2, 60, 90), halves('b', 1, 50, 50, shots=4)]
    )
    row = table.mean.loc[('ProLIP', 16)]
    # Means over seeds: a 90 and 30, b 60 and 90
    assert row.tolist() == pytest.approx([75, 60, 200 / 3, (45 + 72) / 2])
    assert list(row.index[2:]) == ['harmonic mean of the averages', 'mean of the harmonic means']
    assert table.std.loc[('ProLIP', 16), 'base'] == pytest.approx(50**0.5)
    assert table.mean.loc[('ProLIP', 4)].isna().all()  # a is missing
    assert 'mean of a, b' in table.title
    texts = table.texts().set_index('shots')
    assert texts.loc['16', 'harmonic mean of the averages'] == '66.7'
    assert texts.loc['16', 'new'] == '60.0 ± 7.1'
    table.csv(), table.latex()


def test_one_report_of_all_protocols(tmp_path):
    """Base classes are not in Table I, and a transfer is beside the variants of Table III."""
    names = 'imagenet', 'dtd', 'ucf101'
    test = {name: {'accuracy': 50.0 + i} for i, name in enumerate(names)}
    found = [halves('dtd', 1, 80, 40), result('prolip', 'imagenet', 16, test=test)]
    found = [dict(r, place=str(i)) for i, r in enumerate([*found, *variant_results()])]
    write_report(found, 0.5, tmp_path)

    def row(name: str) -> dict:
        with (tmp_path / f'{name}_RN50_openai{"_imagenet" * (name[0] in "tv")}.csv').open() as file:
            return {own['method']: own for own in csv.DictReader(file)}['ProLIP']

    assert row('accuracy')['ImageNet'] == '50.0000' and row('accuracy')['DTD'] == ''
    assert row('transfer')['mean of others'] == '51.5000'
    assert row('base_to_new')['base'] == '80.0000'
    text = (tmp_path / 'variants_RN50_openai_imagenet.csv').read_text()
    assert 'imagenet_a' in text and 'ucf101' not in text


def test_a_seed_that_lacks_a_dataset_is_left_out():
    table = table_of([halves('a', 1, 80, 40), halves('b', 1, 60, 60), halves('a', 2, 0, 0)])
    assert table.mean.loc[('ProLIP', 16)].tolist() == pytest.approx(
        [70, 50, 7000 / 120, (160 / 3 + 60) / 2]
    )
