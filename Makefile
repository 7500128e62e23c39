# make demo   render the default project into demo/ and train it on built-in data
# make test   run all tests
# make lint   check the style
# Each sets up .venv first, where that is still to be done.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin

.PHONY: demo test lint

demo: .venv/ready
	rm -rf demo
	$(BIN)/cookiecutter . --no-input --default-config --output-dir demo
	cd demo/my_project && $(BIN)/python main.py

# Two workers and one thread each: the tests train small models, which more threads only slow down.
test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

lint: .venv/ready
	$(BIN)/ruff check --config pyproject.toml .
	$(BIN)/ruff format --check --config pyproject.toml .

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed" if sys.version_info < (3, 10) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
