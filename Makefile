PYTHON ?= python3
BIN := .venv/bin
RUN := runs/demo

.PHONY: demo test tools check format bench growth accuracy clean

demo: .venv/installed  ## train on a real table, score on held-out rows, predict; then the lecture's network
	@rm -rf $(RUN) $(RUN)-predictions.csv
	$(BIN)/chainrule train examples/penguins.csv --target species --out $(RUN)
	$(BIN)/chainrule predict $(RUN) examples/penguins.csv --out $(RUN)-predictions.csv
	@head -n 3 $(RUN)-predictions.csv
	$(BIN)/chainrule examples lecture --epochs 100
	@echo
	@echo "Results: $(RUN)/ (model, history, metrics: scores on rows held out) and $(RUN)-predictions.csv"

test: .venv/installed-test tools  ## the whole test suite
	$(BIN)/python -m pytest -q -n 2

tools:  ## Chromium, for the tests of the pages, and strace: from Debian's packages, if we may install them
	@{ command -v chromium >/dev/null || command -v chromium-browser >/dev/null; } && command -v strace >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	     && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium strace >/dev/null; } \
	|| echo "no Chromium or no strace here (Debian: apt install chromium strace): the tests that need them are skipped"

check: .venv/installed-check .venv/installed-test  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: .venv/installed-check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed-bench  ## speed and memory, side by side with the peers
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/footprint.py

growth: .venv/installed-bench  ## how time grows with rows, width, batch and depth
	$(BIN)/python benchmarks/growth.py

accuracy: .venv/installed-bench  ## scores beside the peer's
	$(BIN)/python benchmarks/accuracy.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/installed-%: pyproject.toml .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

clean:
	rm -rf .venv runs
