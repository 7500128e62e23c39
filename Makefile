# make demo         render the default project into demo/ and train it on built-in data
# make check        the fast lane, under a minute: style, one rendering read, one short run
# make test         what every change must pass; prints the CPU minutes it took
# make test-full    all tests but the next ones, before an issue is resolved
# make test-faults  the faults in their full form, and their table in docs/faults.md
# make test-mutants removes the engine's promises one by one: a test must notice each
# make test-bounds  the lowest allowed versions, in a virtual environment of their own
# make bench        the speed, beside other loops, in a virtual environment of its own
# make lint         the style alone
# Each sets up its virtual environment first if that is still to be done.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin

# Two workers and one thread each: the tests train small models, which more threads only slow down.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

.PHONY: demo check test test-full test-faults test-mutants test-bounds bench lint

demo: .venv/ready
	rm -rf demo
	$(BIN)/cookiecutter . --no-input --default-config --output-dir demo
	cd demo/my_project && $(BIN)/python main.py

check: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m check

test: .venv/ready
	$(PYTEST) -m "not full and not faults"

test-full: .venv/ready
	$(PYTEST) -m "not faults"

test-faults: .venv/ready
	$(PYTEST) --table tests/test_faults*.py

test-mutants: .venv/ready
	$(BIN)/python tests/mutants.py --table

test-bounds: .venv/ready
	$(BIN)/python tests/bounds.py

bench: .venv-bench/ready
	OMP_NUM_THREADS=1 .venv-bench/bin/python benchmarks/bench.py $(SECTIONS)

lint: .venv/ready
	$(BIN)/ruff check --config pyproject.toml .
	$(BIN)/ruff format --check --config pyproject.toml .

.venv/ready: EXTRAS := dev
.venv-bench/ready: EXTRAS := dev,bench
.venv/ready .venv-bench/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed" if sys.version_info < (3, 10) else 0)'
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@
