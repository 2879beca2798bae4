# Homeport: every task of the project. `make` lists them; ARGS=… hands arguments on.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# An ordinary user's path on Debian lacks the folder of the brokers and daemons that tests start.
export PATH := $(PATH):/usr/sbin:/sbin

BIN := .venv/bin
LOW_PORTS := scripts/low-ports.sh
ARGS ?=

.PHONY: help demo test check format bench setup lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo:  ## set up, then watch devices provision themselves (ARGS=--exit: do not stay up)
	@scripts/setup.sh demo
	@$(LOW_PORTS) $(BIN)/homeport demo $(ARGS)

test: check  ## set up, check, then run the tests (ARGS=… goes to pytest)
	@$(LOW_PORTS) --own-network $(BIN)/pytest -q $(ARGS)

check: setup  ## lint, format, types, floors
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@told=$$($(BIN)/lint-imports 2>&1) || { echo "$$told"; exit 1; }
	@$(BIN)/python scripts/unasync.py --check

format:  ## put the code into its form
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet

bench: setup  ## measure (ARGS=… goes to the benchmark)
	@$(LOW_PORTS) $(BIN)/python -m bench $(ARGS)

setup:  ## everything for development: packages, Python, Node
	@scripts/setup.sh test

lock: setup  ## resolve requirements/ and the Node lock anew
	@scripts/lock.sh

clean:  ## remove what setup and the tools made
	@rm -rf .venv .setup .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@rm -rf dist build tests/conformance/node/node_modules
