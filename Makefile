# deepseq-nb: build the environment, test, and make the book. `make` alone prints what there is.
#
#   PYTHON       the interpreter that makes the environment, 3.11 or newer       make book PYTHON=python3.12
#   VENV         where the environment goes                                       make test VENV=/tmp/env
#   TORCH        which torch; pip chooses the build for your machine              make book TORCH=torch==2.13.0
#   TORCH_INDEX  another index to take torch from, for instance the CPU-only one  make book TORCH_INDEX=ADDRESS
#   PROFILE      quick or full                                                    make book PROFILE=full
#   JOBS         chapters and tests at a time; as many as this process has cores  make test JOBS=1
#   DEEPSEQ_DATA a folder with the real families (optional)                       make test DEEPSEQ_DATA=~/families
#
# On Linux, plain pip takes the CUDA build of torch: several GB, and it runs on a CPU too. The CPU build is about
# 200 MB; PyTorch's own install page gives the address of its index, which is the value for TORCH_INDEX.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
PROFILE ?= quick
PYTEST_ARGS ?=
# OMP_NUM_THREADS says how many threads a process may start; nproc would take it for the number of cores
JOBS ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
BIN := $(VENV)/bin
# Python compiles a module when it is first imported; pip would compile all forty thousand
PIP := $(BIN)/python -m pip install -q --no-compile
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
# the stamp carries what the environment is made of, so it is made again when that changes and only then
KEY := $(shell { cat pyproject.toml constraints.txt; echo '$(TORCH) $(TORCH_INDEX)'; } | cksum | cut -d ' ' -f 1)
STAMP := $(VENV)/.installed-$(KEY)

.NOTPARALLEL:  # the steps follow each other; chapters and tests share out the cores among themselves
.PHONY: help env book site check test lint types export export-check chapters pytest rooms clean-notebooks constraints audit sbom clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP)  ## the environment, in .venv; made again only when its parts change

$(STAMP):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11 or newer, or say make PYTHON=..."; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$$($(PYTHON) --version) is too old: make PYTHON=python3.11 (or newer)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'environment: installing $(TORCH) and everything else; this takes a few minutes'
	@grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	@# from an index of its own torch is installed first, and then pinned as it is, so that nothing pulls another one
	@if [ -n '$(TORCH_INDEX)' ]; then \
	  $(PIP) --index-url '$(TORCH_INDEX)' '$(TORCH)'; \
	  $(BIN)/python -m pip freeze | grep '^torch==' >> $(VENV)/constraints.txt; \
	fi
	@$(PIP) -c $(VENV)/constraints.txt '$(TORCH)' -e '.[test]'
	@rm -f $(VENV)/.installed-*; touch $@

book: env  ## run every chapter (quick), build the site, print where it is
	$(BIN)/deepseq book --profile $(PROFILE) --jobs $(JOBS)

site: env  ## as book, and any warning fails
	$(BIN)/deepseq book --profile $(PROFILE) --jobs $(JOBS) --strict

check: env lint  ## for while you work, in about a minute: lint, export round trip, fast tests, what failed last first
	$(PYTEST) -m "not slow" --failed-first $(PYTEST_ARGS)

test: env lint export-check chapters  ## lint, export round trip, every chapter and the site, tests
	$(PYTEST) -m "not export" $(PYTEST_ARGS)

lint: env types  ## ruff on modules, tests and notebooks; types of the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python --output-format min-text --summary=none

export: env  ## write deepseq_nb/ from the chapters
	$(BIN)/nbdev-export

export-check: env  ## does exporting in a copy change nothing, and are notebooks clean?
	$(BIN)/python -m pytest -p no:cacheprovider -m export tests/test_repository.py

chapters: env
	$(BIN)/deepseq book --profile quick --jobs $(JOBS) --strict

pytest: env  ## the tests alone, all of them
	$(PYTEST) $(PYTEST_ARGS)

rooms: env  ## write the table of modules in CONTRIBUTING.md
	$(BIN)/python tests/rooms_table.py

clean-notebooks: env  ## outputs, counts and editor metadata out of book/
	$(BIN)/python -c "from deepseq_nb.studies.book import strip_notebooks; strip_notebooks()"

constraints: env  ## write constraints.txt from the environment as it is
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable | grep -v "^pip==" | sed -E 's/^(torch==[^+]*)\+.*/\1/'; } > constraints.new
	mv constraints.new constraints.txt

# tools that look at the packages and not at the project have an environment of their own; they need a network
TOOLS := build/tools/bin
build/tools/.installed:
	$(PYTHON) -m venv build/tools
	$(TOOLS)/python -m pip install -q --no-compile pip-audit cyclonedx-bom
	@touch $@

audit: build/tools/.installed  ## known faults of the pinned packages; one that cannot be looked up fails too
	$(TOOLS)/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r constraints.txt

sbom: env build/tools/.installed  ## dist/sbom.json: what `pip install deepseq-nb` brings, as CycloneDX
	mkdir -p dist
	$(BIN)/python .ci/wheel_requirements.py > dist/requirements.txt
	$(TOOLS)/cyclonedx-py requirements --output-reproducible --of JSON -o dist/sbom.json dist/requirements.txt

clean:  ## remove what was built (not the environment, not downloaded data)
	rm -rf _build build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
