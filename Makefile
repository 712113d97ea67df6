# The commands of the project. `make demo` and `make test` are all that a newcomer needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# sources are compiled once, and not at each start of the program
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-dock test-dock-smoke lint bench bench-derive bench-limits bench-full soak package clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## setup            install what is missing: Debian packages, then the virtual environment with pinned versions
setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt scripts/setup.sh
	scripts/setup.sh $(VENV) $(PYTHON)
	@touch $@

## demo             dock two sample recorders on a station under var/demo and show what came of it
demo: setup
	$(BIN)/python scripts/demo.py

## test             everything but the virtual dock: lint, types, unit tests, fault tests
test: lint
	$(BIN)/python -m pytest -q -n auto

## lint             ruff, mypy, import-linter
lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

## test-dock        the whole matrix on real USB in a virtual machine (long)
test-dock: setup
	$(BIN)/python -m pytest -q -m dock tests/dock

## test-dock-smoke  the part of it that every change runs
test-dock-smoke: setup
	$(BIN)/python -m pytest -q -m dock_smoke tests/dock

## bench            against cp, rsync, rclone and ocopy; writes docs/benchmarks.md's numbers to standard output
bench: setup
	bench/peers.sh var/bench-peers
	OCOPY=var/bench-peers/bin/ocopy $(BIN)/python bench/run.py

## bench-derive     what works behind an ingest: previews against plain ffmpeg, re-wrap against cp, probes a second, ingest beside
bench-derive: setup
	$(BIN)/python bench/derive.py
	$(BIN)/python bench/behind.py

## bench-limits     limits in a catalogue of a million recordings, made by SQL; a walk over a large table fails it
bench-limits: setup
	$(BIN)/python bench/limits.py

## bench-full       an ingest into a catalogue of a million recordings against one into an empty catalogue
bench-full: setup
	$(BIN)/python bench/full.py

## soak             dock, pull and kill at random for SOAK_SECONDS, then judge by fsck
soak: setup
	$(BIN)/python scripts/soak.py

## package          the Debian package, into dist/
package: setup
	packaging/build-deb.sh

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
