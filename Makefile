# Everything here works on a fresh machine with Python ≥ 3.11, git and make; nothing needs root.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.locked
CLOUD := .venv/.locked-cloud
ENGINE := build/tools/bin/pulumi
ONLY ?=
RUNS ?=
FLEET ?=
JOBS ?= 3
SECONDS ?= 60
ATHERIS := sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.14'

.PHONY: help setup cloud engine demo test infra drift-suite faults fuzz bench lint types lock clean

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

engine:          ## Pulumi's engine, built by Go where none is installed; without Go there is none, and its tests skip
	@if command -v pulumi >/dev/null; then echo "pulumi is installed: $$(pulumi version)"; \
	elif command -v go >/dev/null; then $(MAKE) --no-print-directory $(ENGINE) || \
		echo "Go could not build Pulumi's engine, so what needs it is skipped; why stands above."; \
	else echo "There is neither pulumi nor go here, so what needs Pulumi's engine is skipped."; fi

$(ENGINE): infra/engine/go.mod infra/engine/go.sum
	@echo "Building Pulumi's engine: some minutes the first time, seconds once Go has its parts."
	@cd infra/engine && version=$$(go list -m -f '{{.Version}}' github.com/pulumi/pulumi/pkg/v3) && \
		go build -o ../../$(ENGINE) \
		-ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$$version" \
		github.com/pulumi/pulumi/pkg/v3/cmd/pulumi

demo: setup      ## the whole story on this machine, live, in about three and a half minutes; FLEET=ssh: behind a bastion
	$(BIN)/turnabout demo $(if $(FLEET),--fleet $(FLEET))

test: setup      ## every test; files run side by side, since most of them wait: JOBS= says how many
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

infra: cloud engine     ## the infrastructure's tests, and the lives of dev, stage and prod in an emulated cloud
	rm -f build/infra.json
	$(BIN)/python -m pytest tests/infra -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m tests.infra

drift-suite: cloud   ## planted drift: single changes made behind the program's back, and what reports make of them
	$(BIN)/python -m tests.drift_suite $(if $(ONLY),--only $(ONLY))

faults: setup    ## the long fault runs: the model's walks, the crash matrix, 200 of the edge; ONLY=edge selects a part
	$(BIN)/python -m pytest tests/faults tests/model --long $(if $(ONLY),-k $(ONLY:edge=test_edge)) $(if $(filter edge,$(ONLY)),-n $(JOBS))

fuzz: setup      ## the edge's codec under atheris; SECONDS=600 looks longer. A shorter look is among the tests
	mkdir -p build/fuzz/corpus build/fuzz/found
	$(BIN)/python -m apps.mqtt.tests.fuzz_codec -max_total_time=$(SECONDS) -artifact_prefix=build/fuzz/found/ \
		build/fuzz/corpus

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
	sed -i "s/^atheris==[^ ]*/& ; $(ATHERIS)/" requirements.lock  # pip-compile drops such conditions
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--strip-extras --extra cloud --extra emulated --constraint requirements.lock --allow-unsafe --no-header \
		-o cloud.lock pyproject.toml

clean:           ## remove what was built; not the virtual environment
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
