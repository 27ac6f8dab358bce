"""Records of tasks that were run: one JSON object a line."""
import json
import logging
import os
from pathlib import Path
from typing import List, Optional

from mmengine.logging import print_log

DEPLOYED = 'deployed'  # accuracy of a model whose beta is not to be varied


def read_records(path: Path, warn: bool = False) -> List[dict]:
    """Records so far, none if there is no file.

    What is no record is passed over, such as a line that was cut short when
    a run was killed.

    Args:
        path (Path): JSON objects, one a line.
        warn (bool): Whether to tell of what was passed over.
            Defaults to False.
    """
    lines = path.read_text().splitlines() if path.is_file() else []
    records = list(filter(None, map(_record, lines)))
    if warn and len(records) < len(lines):
        print_log(f'{path}: {len(lines) - len(records)} lines are damaged or '
                  'no records, and are passed over', 'current',
                  logging.WARNING)
    return records


def _record(line: str) -> Optional[dict]:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and 'key' in record else None


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
