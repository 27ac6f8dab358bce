"""Runs: a method on a few-shot sample, trained and tested, in a folder."""

RESULT, ERROR = 'result.json', 'error.txt'  # files of a run's folder
