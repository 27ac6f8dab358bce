"""Runs: a method on a few-shot sample, trained and tested, in a folder."""
