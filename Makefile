# make demo: SAFE at 1, 4 and 16 shots, a table and two pictures.
# make test: all tests, in two processes.
# make docs: the documentation site, in work_dirs/site.
# make bench: time and memory beside the stock modules.
PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint bench docs

demo: $(INSTALLED)
	$(BIN)/python tools/demo.py configs/safe_creatures.py

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n 2 --dist loadgroup

bench: $(INSTALLED)
	$(BIN)/python tools/benchmark.py --out work_dirs/benchmark.json

docs: $(INSTALLED)
	$(BIN)/mkdocs build --strict

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(INSTALLED): setup.py requirements/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint requirements/constraints.txt \
	    --editable ".[demo,docs,openmmlab,photos,tests]"
	touch $@
