"""Arbitrary split files, options and checkpoint bytes: one clear error, or none."""

import json
import os
from argparse import ArgumentParser
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safe_mm.checkpoint import read_checkpoint
from safe_mm.config import load_config
from safe_mm.datasets.splits import read_split
from safe_mm.errors import InputError
from safe_mm.options import add_common_options
from safe_mm.validate import dicts_of

from .conftest import CONFIG
from .test_clip_weights import Payload

# More in a run of its own: SAFE_MM_FUZZ=20000 pytest tests/test_fuzz.py
many = settings(
    max_examples=int(os.environ.get('SAFE_MM_FUZZ', 50)),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda own: st.lists(own, max_size=3) | st.dictionaries(st.text(max_size=4), own, max_size=3),
    max_leaves=6,
)
items = st.lists(
    st.tuples(st.sampled_from(['a.jpg', 'b.jpg', '']), st.integers(-1, 2), st.sampled_from('ab'))
    | st.tuples(values, values, values)
    | values,
    max_size=4,
)
splits = st.dictionaries(st.sampled_from(['train', 'val', 'test', 'x']), items | values)


def reads_or_refuses(path: Path) -> None:
    try:
        split = read_split(path)
    except InputError as error:
        assert path.name in str(error)
    else:
        assert all(isinstance(label, int) for part in split.values() for _, label, _ in part)


@many
@given(splits | values)
def test_split_files(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / 'fuzz.json'
    path.write_text(json.dumps(content))
    reads_or_refuses(path)


@many
@given(st.binary(max_size=60) | st.lists(st.sampled_from(['a.jpg', '0', '1', 'train', ',', '\n'])))
def test_csv_splits(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / 'fuzz.csv'
    rows = content if isinstance(content, bytes) else ''.join(content).encode()
    path.write_bytes(b'path,label,class,split\n' + rows)
    reads_or_refuses(path)


@pytest.fixture(scope='module')
def names(shapes) -> list:
    parser = ArgumentParser()
    add_common_options(parser)
    cfg = load_config(parser.parse_args([CONFIG, '--data-root', shapes]))
    return sorted({f'{path}{key}' for path, own in dicts_of(cfg._cfg_dict) for key in own})


@many
@given(place=st.integers(0), value=values, end=st.sampled_from(['', '', '', '.x', '.0', 'x']))
def test_options(shapes, names, place, value, end):
    """Of a setting that is there, below it, or with a name like it."""
    parser = ArgumentParser()
    add_common_options(parser)
    args = parser.parse_args([CONFIG, '--data-root', shapes])
    args.cfg_options = {names[place % len(names)] + end: value}
    try:
        load_config(args)
    except InputError as error:
        assert str(error)


@many
@given(data=st.data())
def test_checkpoint_bytes(trained, tmp_path_factory, data):
    """Some bytes changed, or the end lost. Nothing is executed."""
    whole = bytearray(next(iter(sorted(trained.glob('iter_*.pth')))).read_bytes())
    path = tmp_path_factory.getbasetemp() / 'fuzz.pth'
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=5)):
        whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        read_checkpoint(str(path))
    except InputError as error:
        assert path.name in str(error)


@many
@given(payload=st.sampled_from(['state_dict', 'meta', 'x']), more=values)
def test_pickled_code_is_not_run(tmp_path_factory, payload, more):
    folder = tmp_path_factory.getbasetemp()
    marker = folder / 'executed'
    torch.save({'state_dict': {}, 'more': more, payload: Payload(marker)}, folder / 'fuzz.pth')
    with pytest.raises(InputError):
        read_checkpoint(str(folder / 'fuzz.pth'))
    assert not marker.exists()
