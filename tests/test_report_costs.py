"""The report's costs, as a table and as a picture."""

import pytest
from matplotlib.text import Text

from safe_mm.report import cost_plot, tables
from safe_mm.report import results as res

from .reports import data_of, result


def test_costs():
    """Zero-shot CLIP is ranked among the methods at each shots."""
    data = data_of(
        [result('gda', shots=k, accuracy=50.0 + 20 * (k > 1)) for k in (1, 4)]
        + [result('tip-adapter', shots=4, accuracy=90.0)]
    )
    costs = ['7', '0', '2.0', '10.00', '33.4 kB']
    table = tables.cost_table(res.source(data))
    assert table.texts().values.tolist() == [
        ['zero-shot CLIP', '', '2.0', '2', '60.0', *['–'] * 5],
        ['Tip-Adapter', '4', '1.0', '1', '90.0', *costs],
        ['GDA', '1', '2.0', '1', '50.0', *costs],
        ['GDA', '4', '2.0', '1', '70.0', *costs],
    ]
    assert table.csv().splitlines()[2] == 'Tip-Adapter,4,1.0000,1,90.0000,7,0,2.0000,10.0000,33400'


def test_costs_that_older_results_lack():
    old, new = result('gda', accuracy=50.0), result('tip-adapter')
    for name in ('fitted_parameters', 'stored_bytes'):
        del old[name]
    old['seconds'] = dict(train=3.0, test=1.0)
    texts = tables.cost_table(res.source(data_of([old, new]))).texts().set_index('method')
    assert texts.loc['GDA'].tolist()[4:] == ['7', '–', '3.0', '–', '–']
    assert texts.loc['Tip-Adapter'].tolist()[4:] == ['7', '0', '2.0', '10.00', '33.4 kB']


@pytest.mark.parametrize(
    'size, text',
    [(0, '0 B'), (999, '999 B'), (2628, '2.63 kB'), (999_600, '1 MB'), (3.3e9, '3.3 GB')],
)
def test_sizes_are_readable(size, text):
    assert tables.size_text(size) == text


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, each a list of panels."""
    figures = []
    monkeypatch.setattr(cost_plot, 'save', lambda figure, path: figures.append(figure.axes))
    return figures


def test_the_points_of_the_picture_are_the_tables_figures(drawn):
    accuracy = {'gda': 50.0, 'tip-adapter': 70.0}
    results = [
        result(name, shots=k, accuracy=value + k, seconds=dict(train=value * k))
        for name, value in accuracy.items()
        for k in (1, 4)
    ]
    results.append(result('gda', 'dtd', shots=4, accuracy=60.0, seconds=dict(train=10.0)))
    table = tables.cost_table(res.source(data_of(results))).mean
    cost_plot.plot_costs(table, 'cost.png')
    (panels,) = drawn
    assert [panel.get_title().split()[0] for panel in panels] == ['1', '4']
    for panel, shots in zip(panels, (1, 4)):
        own = table.xs(shots, level='shots')
        points = panel.collections[0].get_offsets().tolist()
        assert points == own[['seconds to train', 'accuracy']].values.tolist()
        assert [label.xy for label in panel.texts] == [tuple(point) for point in points]
        assert not panel.lines  # zero-shot CLIP's mean is of other cells
    assert [label.get_text() for label in panel.texts] == ['Tip-Adapter (1 of 2 cells)', 'GDA']


def test_labels_of_many_methods_do_not_overlap(drawn):
    results = [
        result(name, accuracy=70.0 + i % 7 / 10, seconds=dict(train=20.0 + i % 4))
        for i, name in enumerate(res.NAMES)
        if i
    ]
    cost_plot.plot_costs(tables.cost_table(res.source(data_of(results))).mean, 'cost.png')
    ((panel,),) = drawn
    panel.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(label) for label in panel.texts]
    assert len(boxes) == len(res.NAMES) - 1
    for i, box in enumerate(boxes):
        assert panel.bbox.containsx(box.x0) and panel.bbox.containsx(box.x1)
        assert not box.count_overlaps(boxes[:i])
    assert [line.get_ydata()[0] for line in panel.lines] == [60.0]


def test_no_picture_without_times(drawn):
    results = [result(seconds={}), result('gda', seconds={})]
    cost_plot.plot_costs(tables.cost_table(res.source(data_of(results))).mean, 'cost.png')
    assert not drawn
