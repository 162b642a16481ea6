# deepseq-nb: build the environment, test, and make the book. `make` alone prints what there is.
#
#   PYTHON       the interpreter that makes the environment, 3.11 or newer       make book PYTHON=python3.12
#   VENV         where the environment goes                                       make test VENV=/tmp/env
#   TORCH        which torch; pip chooses the build for your machine              make book TORCH=torch==2.13.0
#   TORCH_INDEX  another index to take torch from, for instance the CPU-only one  make book TORCH_INDEX=ADDRESS
#   PROFILE      quick or full                                                    make book PROFILE=full
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

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
BIN := $(VENV)/bin
# the stamp carries what the environment is made of, so it is made again when that changes and only then
KEY := $(shell { cat pyproject.toml constraints.txt; echo '$(TORCH) $(TORCH_INDEX)'; } | cksum | cut -d ' ' -f 1)
STAMP := $(VENV)/.installed-$(KEY)

.PHONY: help env book site test lint export export-check chapters pytest clean-notebooks constraints clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP)  ## the environment, in .venv; made again only when its parts change

$(STAMP):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11 or newer, or say make PYTHON=..."; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$$($(PYTHON) --version) is too old: make PYTHON=python3.11 (or newer)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'environment: installing $(TORCH), then everything else; this takes a few minutes'
	@$(BIN)/python -m pip install -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),-c constraints.txt) "$(TORCH)"
	@# the torch that is there now is pinned for the second step, so that nothing pulls another one
	@{ grep -v '^torch==' constraints.txt; $(BIN)/python -m pip freeze | grep '^torch=='; } > $(VENV)/constraints.txt
	@$(BIN)/python -m pip install -q -c $(VENV)/constraints.txt -e '.[test]'
	@rm -f $(VENV)/.installed-*; touch $@

book: env  ## run every chapter (quick), build the site, print where it is
	$(BIN)/deepseq book --profile $(PROFILE)

site: env  ## as book, and any warning fails
	$(BIN)/deepseq book --profile $(PROFILE) --strict

test: env lint export-check chapters pytest  ## lint, export round trip, every chapter and the site, tests

lint: env  ## ruff, on modules, tests and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

export: env  ## write deepseq_nb/ from the chapters
	$(BIN)/nbdev-export

export-check: env  ## does exporting in a copy change nothing, and are notebooks clean?
	$(BIN)/python -m pytest -p no:cacheprovider -k "export or stripped" tests/test_repository.py

chapters: env
	$(BIN)/deepseq book --profile quick --strict

pytest: env  ## the tests alone
	$(BIN)/python -m pytest $(PYTEST_ARGS)

clean-notebooks: env  ## outputs, counts and editor metadata out of book/
	$(BIN)/python -c "from deepseq_nb.book import strip_notebooks; strip_notebooks()"

constraints: env  ## write constraints.txt from the environment as it is
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable | grep -v "^pip==" | sed -E 's/^(torch==[^+]*)\+.*/\1/'; } > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove what was built (not the environment, not downloaded data)
	rm -rf _build build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
