# make demo: SAFE from drawn pictures to test accuracy.  make test: all tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed
DEMO := work_dirs/demo
CONFIG := configs/safe/safe_tiny-vit_shapes.py

.PHONY: demo test lint

demo: $(INSTALLED)
	$(BIN)/python tools/draw_shapes.py $(DEMO)/data
	$(BIN)/python tools/train.py $(CONFIG) --data-root $(DEMO)/data --work-dir $(DEMO)
	$(BIN)/python tools/test.py $(CONFIG) $(DEMO) --data-root $(DEMO)/data --work-dir $(DEMO)

test: $(INSTALLED)
	$(BIN)/python -m pytest tests

lint: $(INSTALLED)
	$(BIN)/ruff check .

$(INSTALLED): setup.py requirements/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint requirements/constraints.txt \
	    --editable ".[openmmlab,mmcv-lite,tests]"
	touch $@
