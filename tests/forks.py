"""Tools as processes that can be ended, without a start of Python for each."""

import json
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Optional

import torch

from safe_mm.report.results import read_results

from .conftest import CONFIG, SHORT, run_tool, weights
from .methods import METHODS, options, write_config

TRAIN = [
    *('train', CONFIG, '--cfg-options', *SHORT, 'param_scheduler.1.end=60'),
    *('train_cfg.max_iters=60', 'train_cfg.val_interval=10'),
    'default_hooks.checkpoint.interval=5',
]


class Forked:
    """A tool as a process, in a group of its own, forked from one that has imported all it needs.

    Args:
        log (Path): To which its output is added.
        command (str): The tool, and its options.
    """

    def __init__(self, log: Path, *command: str) -> None:
        self.log, self.returncode = log, None
        self.pid = os.fork()
        if not self.pid:
            self._run(command)
        with suppress(ProcessLookupError, PermissionError):  # whoever is first
            os.setpgid(self.pid, self.pid)

    def _run(self, command: tuple) -> None:
        os.setpgid(0, 0)
        log = os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = os.fdopen(1, 'w', 1), os.fdopen(2, 'w', 1)
        code = 1
        try:
            run_tool(*command)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            if isinstance(end.code, str):
                print(end.code)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def poll(self) -> Optional[int]:
        """The exit code, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, seconds: float = 300) -> int:
        """The exit code at its end."""
        until = time.time() + seconds
        while self.poll() is None:
            assert time.time() < until, self.log.read_text()
            time.sleep(0.02)
        return self.returncode


class Tool:
    """A kind of work: its command, what is added to go on, and what it leaves.

    Args:
        kind (str): 'train', 'search' (with the extraction of features) or 'sweep'.
        folder (Path): For all that it writes.
        data (str): Data root.
    """

    def __init__(self, kind: str, folder: Path, data: str) -> None:
        folder.mkdir(exist_ok=True)
        self.kind, self.work_dir, self.log = kind, folder / 'run', folder / 'log'
        self.resume = [] if kind == 'sweep' else ['--resume']
        if kind == 'train':
            self.command = [*TRAIN, '--data-root', data]
        else:
            name = 'safe-a' if kind == 'search' else 'tip-adapter-f'
            (method,) = (own for own in METHODS if own.name == name)
            file = write_config(method, folder, data, features=folder / 'features')
            self.command = ['train', file, *options()]
            if kind == 'sweep':
                clip = ['--clips', method.clip, '--shots', 1, '--seeds', 1, 2]
                self.command = ['sweep', file, *clip]
        self.command += ['--work-dir', self.work_dir]

    def start(self, *more: str) -> Forked:
        """The tool as a process."""
        return Forked(self.log, *self.command, *more)

    def finish(self, *more: str) -> float:
        """Runs it to its end; gives the seconds."""
        began = time.time()
        assert self.start(*more).wait() == 0, self.log.read_text()
        return time.time() - began

    def result(self) -> dict:
        """What a user would keep, without times."""
        if self.kind == 'sweep':
            found, failed = read_results([self.work_dir])
            assert not failed
            own = [{k: v for k, v in r.items() if k not in ('made', 'seconds')} for r in found]
            return {json.dumps(r.pop('place')[-20:]): r for r in own}
        # Of checkpoints the last: one that was saved at a stop may take the place of others
        last = Path((self.work_dir / 'last_checkpoint').read_text())
        states = {path.name: weights(path) for path in [*self.work_dir.glob('best_*.pth'), last]}
        search = self.work_dir / 'search.json'
        return dict(states, search=search.exists() and search.read_text())


def equal(first: object, second: object) -> bool:
    """Of results, to the digit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    return first == second
