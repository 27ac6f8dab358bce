"""Tools that are ended at random moments, and run again, end as if they had not been."""

import os
import random
import re
import signal
import time

import pytest

from .forks import Tool, equal

# More in a run of its own: SAFE_MM_KILLS=10 pytest tests/test_kills.py, of each tool and signal
TIMES = int(os.environ.get('SAFE_MM_KILLS', 1))
EXITS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
START = 0.5  # seconds, after which a tool handles signals


@pytest.fixture(scope='module')
def whole(tmp_path_factory, shapes):
    """Result and seconds of each kind of work when nothing ends it."""
    done = {}

    def run(kind: str) -> tuple:
        if kind not in done:
            tool = Tool(kind, tmp_path_factory.mktemp(kind), shapes)
            seconds = tool.finish()
            done[kind] = tool.result(), seconds
        return done[kind]

    return run


@pytest.mark.parametrize('time_of_many', range(TIMES))
@pytest.mark.parametrize('number', EXITS, ids=lambda number: number.name)
@pytest.mark.parametrize('kind', ['train', 'search', 'sweep'])
def test_ended_and_run_again(kind, number, time_of_many, whole, shapes, tmp_path):
    """By the same command, with --resume where there is one, after up to three ends."""
    (expected, seconds), tool = whole(kind), Tool(kind, tmp_path, shapes)
    for attempt in range(1 if kind == 'sweep' else random.randint(1, 3)):
        process = tool.start(*(tool.resume if attempt else ()))
        time.sleep(random.uniform(START, seconds))
        (os.kill if number == signal.SIGTERM else os.killpg)(process.pid, number)
        ended = time.time()
        code = process.wait()
        print(f'{kind}: {number.name} gives {code}')
        took, log = time.time() - ended, tool.log.read_text()
        assert code in (EXITS[number], 0), log
        if number != signal.SIGKILL:
            assert 'Traceback' not in log and took < 10
            until = time.time() + 10
            while group_exists(process.pid):
                assert time.time() < until, log
                time.sleep(0.05)
        if code == EXITS[number] and number != signal.SIGKILL:
            assert re.search('^stopped by ', log, re.MULTILINE), log
    tool.finish(*tool.resume)
    assert equal(tool.result(), expected), tool.log.read_text()


@pytest.mark.parametrize('time_of_many', range(TIMES))
@pytest.mark.parametrize('kind', ['train', 'search'])
def test_power_cut(kind, time_of_many, whole, shapes, tmp_path, monkeypatch):
    """Between the writing of a file and its rename."""
    expected, tool, replace = whole(kind)[0], Tool(kind, tmp_path, shapes), os.replace
    cut, done = random.randint(1, 8), []

    def replace_or_die(*args) -> None:
        done.append(args)
        if len(done) == cut:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*args)

    monkeypatch.setattr(os, 'replace', replace_or_die)
    process = tool.start()
    monkeypatch.undo()
    code = process.wait()
    print(f'{kind}: cut at file {cut} gives {code}')
    assert code == -signal.SIGKILL
    tool.finish('--resume')
    assert equal(tool.result(), expected), tool.log.read_text()


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
