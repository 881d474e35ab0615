PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The tests' tensors are small, and their processes many: threads would only wait for each other.
export OMP_NUM_THREADS ?= 1

.PHONY: demo story experiment test programs slow lint types bench mutants docs clean

$(BIN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt "pip>=25.1"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e . --group test --group lint --group nn --group examples
	touch $@

demo: $(BIN)/.ready  ## the main job, on a bundled checkpoint
	$(BIN)/python examples/demo.py

story: $(BIN)/.ready  ## train, evaluate with any configuration, override, benchmarks: about two minutes
	$(BIN)/python examples/ttt_moshi/story.py

experiment: $(BIN)/.ready  ## the table in the README, on three seeds: about a minute for each
	$(BIN)/python examples/ttt_moshi/experiment.py

test: $(BIN)/.ready lint types  ## lint, types and tests: about five minutes
	$(BIN)/python -m pytest -q -n auto

programs: $(BIN)/.ready  ## tests that train, are killed, or run as several ranks: about four minutes
	$(BIN)/python -m pytest -q -n auto -m 'program and not slow'

slow: $(BIN)/.ready  ## the thorough tests that both leave out: fuzzing in full
	$(BIN)/python -m pytest -q -n auto -m slow

lint: $(BIN)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(BIN)/.ready
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python tests/typed.py

bench:  ## the figures in docs/performance.md; installs the peers it compares with
	$(PYTHON) benchmarks/run.py

mutants: $(BIN)/.ready  ## how many small changes of the resolver and of migration the tests notice; it goes on where it stopped
	$(BIN)/python benchmarks/mutation.py

docs: $(BIN)/.ready  ## regenerate the generated pages and golden texts
	$(BIN)/python -m docs.generate

clean:
	rm -rf $(VENV) build dist src/*.egg-info
