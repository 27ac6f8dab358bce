"""Figures of docs/photos.md and of the model index are those of docs/results."""

from collections import defaultdict
from statistics import mean, stdev

import pytest
from modelindex.load_model_index import load as load_model_index

from safe_mm.report.results import display_name, read_results

from .conftest import ROOT

SHOTS = (1, 2, 4, 8, 16)
DATASETS = ('Caltech101', 'EuroSAT')
PAGE = (ROOT / 'docs' / 'photos.md').read_text()


@pytest.fixture(scope='module')
def measured():
    """(method, dataset, shots) -> test accuracy of each sample; SAFE's with beta 0.5."""
    found = defaultdict(list)
    for file, more in (('photos', ''), ('photos_longer', ', 1,000 iterations')):
        for result in read_results([ROOT / 'docs' / 'results' / f'{file}.jsonl'])[0]:
            figures, name = result['test']['test'], result['method']
            key = display_name(name) + more, result['dataset'], result['shots']
            found[key].append(figures['beta=0.5' if name == 'safe' else 'accuracy'])
    return found


def rows(title):
    """Name and cells of each row of the first table with this title."""
    header = f'| {title} | {" | ".join(map(str, SHOTS))} |'
    table = PAGE[PAGE.index(header) :].split('\n\n')[0]
    for line in table.splitlines()[2:]:
        name, *cells = line.strip('| ').split(' | ')
        if name != 'zero-shot':
            yield name, cells


@pytest.mark.parametrize('dataset', DATASETS)
def test_tables_of_photos(dataset, measured):
    for name, cells in rows(dataset):
        own = [measured[name, dataset.lower(), shots] for shots in SHOTS]
        assert cells == [f'{mean(found):.1f} ± {stdev(found):.1f}' for found in own], name


def test_means_of_photos(measured):
    """Ranked by the last column."""
    last = []
    for name, cells in rows('Mean of both'):
        own = [mean(mean(measured[name, d.lower(), k]) for d in DATASETS) for k in SHOTS]
        assert cells == [f'{value:.1f}' for value in (*own, mean(own))], name
        last.append(mean(own))
    assert last == sorted(last, reverse=True) and len(last) == 17


def test_model_index(measured):
    index = load_model_index(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    found = [(model, result) for model in index.models for result in model.results or ()]
    for model, result in found:
        dataset, shots, clip = result.dataset.split(', ')
        own = measured[display_name(model.name), dataset.lower(), int(shots.split()[0])]
        assert result.metrics['Top 1 Accuracy'] == pytest.approx(mean(own), abs=0.051)
        assert clip == 'CLIP photos:seed1'
    assert len(found) > 20
