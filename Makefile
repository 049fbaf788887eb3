# `make demo` and `make test` do all set-up on a fresh machine. Python 3.10 or newer is needed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WORK = .work

.PHONY: demo test check model eval benchmark wheel clean

demo: $(VENV)/core
	@$(BIN)/ipu-moderation assess ipu_moderation/data/samples/posts.csv --show-text --table

test: $(VENV)/dev
	$(BIN)/python -m pytest -q

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	ls ipu_moderation/data/rules/*.yaml | xargs -n 1 -P 2 $(BIN)/ipu-moderation rules check --quick
	$(BIN)/python -m eval.tables --check

# Data, vocabulary, teacher, student, calibration, export: each step can be run alone and goes on from its last checkpoint. See training/README.md.
model: $(VENV)/dev
	$(BIN)/python -m training.make

eval: $(VENV)/dev
	$(BIN)/python -m eval.make

benchmark: $(VENV)/dev
	$(BIN)/python -m eval.benchmark

wheel: $(VENV)/dev
	$(BIN)/python -m build --wheel

$(VENV)/core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(VENV)/dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,train,eval,review]'
	@touch $@ $(VENV)/core

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
