# Everything here works on a fresh machine with Python ≥ 3.11, git and make; nothing needs root.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.locked
CLOUD := .venv/.locked-cloud
ONLY ?=
RUNS ?=

.PHONY: help setup cloud demo test infra drift-suite faults bench lint types lock clean

help:            ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

setup: $(STAMP)  ## the virtual environment, with the wheels that carry the real servers

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Turnabout needs Python 3.11 or later; name one with make PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

cloud: $(CLOUD)  ## the virtual environment, with what the infrastructure program and its tests need besides

$(CLOUD): $(STAMP) cloud.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r cloud.lock
	touch $(CLOUD)

demo: setup      ## the whole story on this machine, live, in about three and a half minutes
	$(BIN)/turnabout demo

test: setup      ## every test
	$(BIN)/python -m pytest

infra: cloud     ## the infrastructure program's tests, with the libraries that they need
	$(BIN)/python -m pytest tests/infra

drift-suite: cloud   ## planted drift: single changes made behind the program's back, and what reports make of them
	$(BIN)/python -m tests.drift_suite $(if $(ONLY),--only $(ONLY))

faults: setup    ## the long fault runs: the model's walks and the crash matrix
	$(BIN)/python -m pytest tests/faults tests/model --long

bench: setup     ## figures beside their peers and limits; ONLY= selects a part, RUNS= repeats
	$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(if $(RUNS),--runs $(RUNS))

lint: setup      ## ruff, and the import rule of the house
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: cloud     ## mypy, strict, with the infrastructure's libraries
	$(BIN)/mypy

lock: setup      ## pin every dependency with its hashes
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--strip-extras --extra local --extra dev --allow-unsafe --no-header -o requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--strip-extras --extra cloud --extra emulated --constraint requirements.lock --allow-unsafe --no-header \
		-o cloud.lock pyproject.toml

clean:           ## remove what was built; not the virtual environment
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
