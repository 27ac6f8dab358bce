"""Records of tasks that were run: one JSON object a line."""
import json
import logging
import os
from pathlib import Path
from typing import List

from mmengine.logging import print_log

DEPLOYED = 'deployed'  # accuracy of a model whose beta is not to be varied


def read_records(path: Path) -> List[dict]:
    """Records so far, none if there is no file.

    A line that was cut short, by a run that was killed, is passed over.
    """
    records = []
    lines = path.read_text().splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except ValueError:
            print_log(f'{path}, line {number} is damaged: passed over',
                      'current', logging.WARNING)
    return records


def append_record(path: Path, record: dict) -> None:
    """Adds a record as a line of its own, at once and whole."""
    data = (json.dumps(record) + '\n').encode()
    with path.open('ab') as file:
        if file.tell() and not _ends_a_line(path):
            data = b'\n' + data
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _ends_a_line(path: Path) -> bool:
    with path.open('rb') as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b'\n'
