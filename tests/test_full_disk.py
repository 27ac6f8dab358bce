"""A disk that fills, at each kind of write."""

import os
import subprocess

import pytest

from .forks import Tool, equal

# Of the space that a run takes in all
PARTS = [float(part) for part in os.environ.get('SAFE_MM_DISKS', '0.01 0.5').split()]


@pytest.fixture
def disk(tmp_path):
    """A function that gives a disk in memory a size, and its folder."""
    folder = tmp_path / 'disk'
    folder.mkdir()

    def resize(size: int, how: str = 'remount') -> None:
        command = ['mount', '-t', 'tmpfs', '-o', f'{how},size={size}', 'tmpfs', folder]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)

    try:
        resize(2**20, 'rw')
    except (OSError, subprocess.CalledProcessError):
        pytest.skip('mounting is not allowed')
    yield folder, resize
    subprocess.run(['umount', folder], check=True)


@pytest.mark.parametrize('kind,parts', [('train', PARTS), ('search', PARTS), ('sweep', PARTS[1:])])
def test_full_disk(kind, parts, disk, shapes, tmp_path):
    """Ends a tool with one line and no draft; what was there is kept, and more space is enough."""
    whole = Tool(kind, tmp_path / 'whole', shapes)
    whole.finish()
    expected = whole.result()
    size = sum(f.stat().st_size for f in (tmp_path / 'whole').rglob('*') if f.is_file())
    folder, resize = disk
    for number, part in enumerate(parts):
        resize(max(2**14, int(part * size)))
        own = folder / str(number)
        try:
            tool = Tool(kind, own, shapes)
        except OSError:
            continue  # not a file of the tool
        tool.log = tmp_path / f'{number}.log'
        process = tool.start()
        code = process.wait()
        log = tool.log.read_text()
        print(f'{kind}: {part} of {size} bytes gives {code}: {log.strip().splitlines()[-1]}')
        assert code == 1 and 'Traceback' not in log, log
        assert 'Free some space, and run the same command again' in log, log
        assert not [path for path in own.rglob(f'*.*.{process.pid}')]
        resize(20 * size)
        tool.finish(*tool.resume)
        assert equal(tool.result(), expected), log
        subprocess.run(['rm', '-r', own], check=True)
