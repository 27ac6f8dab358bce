"""The picture of many methods."""

import pandas as pd
import pytest

from safe_mm import plots
from safe_mm.report import ranking_plot
from safe_mm.report.results import NAMES
from safe_mm.report.write import CURVES, write_report

from .reports import result


@pytest.fixture
def drawn(monkeypatch):
    """The panels of the figures that are saved, by the name of the file."""
    figures = {}

    def save(figure, path):
        figures[path.name] = figure.axes

    for module in (plots, ranking_plot):
        monkeypatch.setattr(module, 'save', save)
    return figures


def test_rows_and_points(drawn, tmp_path):
    """The best is above; methods that lack shots are below; zero-shot is a line."""
    accuracy = {
        ('zero-shot CLIP', 0): 50.0,
        ('GDA', 1): 55.0,
        ('GDA', 4): 75.0,
        ('SAFE', 1): 60.0,
        ('SAFE', 4): 80.0,
        ('CoOp', 4): 99.0,
    }
    mean = pd.Series(accuracy, name='average').rename_axis(['method', 'shots'])
    table = pd.DataFrame(dict(average=mean, other=mean - 10))
    ranking_plot.plot_ranking(table, 'a CLIP', tmp_path / 'x.png')
    names = drawn['x.png'][0].get_yticklabels()
    assert [name.get_text() for name in names] == ['CoOp', 'GDA', 'SAFE']
    for panel, shift in zip(drawn['x.png'], (0, 10)):
        one, four = (points.get_offsets().data.tolist() for points in panel.collections[1:])
        assert one[1:] == [[55 - shift, 1], [60 - shift, 2]]
        assert four == [[99 - shift, 0], [75 - shift, 1], [80 - shift, 2]]
        (zero,) = (line for line in panel.lines if line.get_label() == 'zero-shot CLIP')
        assert zero.get_xdata()[0] == 50 - shift


def test_a_method_without_the_first_column_has_a_row(drawn, tmp_path):
    index = pd.MultiIndex.from_tuples([('GDA', 1), ('SAFE', 1)], names=['method', 'shots'])
    table = pd.DataFrame(dict(average=[float('nan'), 60.0], other=[50.0, 70.0]), index=index)
    ranking_plot.plot_ranking(table, 'a CLIP', tmp_path / 'x.png')
    names = drawn['x.png'][0].get_yticklabels()
    assert [name.get_text() for name in names] == ['GDA', 'SAFE']


@pytest.mark.parametrize('count', [CURVES - 1, CURVES])
def test_report_of_many_methods_is_a_ranking(drawn, tmp_path, count):
    """Zero-shot CLIP is one more; others have no training and no curves."""
    names = [name for name in NAMES if name not in ('zero-shot', 'safe', 'safe-a')][:count]
    results = [result(name, shots=k, place=name) for name in names for k in (1, 4)]
    write_report(results, 0.5, tmp_path)
    panel = drawn['accuracy_RN50_openai.png'][0]
    assert (len(panel.get_yticklabels()) == count) == (count == CURVES)
