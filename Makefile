# Verbs: run test bench soak sanitize check lines annotate clean build. Each sets up what it needs on a fresh machine.
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --quiet
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where nothing compiled may be kept, each test worker and each program that a test starts compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test bench soak sanitize check lines annotate clean build
.DEFAULT_GOAL := test

# The native code is built once, by both cores, before pip looks at it: pip then finds nothing to compile.
.venv/.installed: pyproject.toml
	@echo "setting up .venv (once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) "setuptools>=77" wheel "cython==3.3.1" "picows==2.3.1"
	@$(PY) setup.py --quiet build_ext --inplace -j 2
	@TICKGATE_BUILT=1 $(PIP) --no-build-isolation -e .
	@touch $@

# What tests, benches and checks need on top.
.venv/.dev: .venv/.installed
	@TICKGATE_BUILT=1 $(PIP) --no-build-isolation -e ".[dev]"
	@touch $@

# setuptools rebuilds only what changed; the stamp it writes is what import checks.
build: .venv/.installed
	@$(PY) setup.py --quiet build_ext --inplace -j 2

run: build
	@.venv/bin/tickgate demo

test: build .venv/.dev
	@$(PY) -m pytest -n 3 --dist worksteal -m "not soak and not alone"
	@$(PY) -m pytest -n 2 -m "alone and not soak"

bench: build .venv/.dev
	@.venv/bin/tickgate bench

soak: build .venv/.dev
	@$(PY) -m pytest -m soak

# The native code under AddressSanitizer and UBSan, in a copy below build/sanitize: tests/ext and a fuzz run.
# CASES: mutated frames for each decoder; SEED: which ones.
sanitize: .venv/.dev
	@$(PY) tests/sanitize.py --count $(or $(CASES),20000) --seed $(or $(SEED),1)

check: build .venv/.dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy node

# What each venue costs in lines: the table of docs/ARCHITECTURE.md.
lines: .venv/.dev
	@$(PY) tests/conformance/test_lines.py

annotate: .venv/.installed
	@TICKGATE_ANNOTATE=1 $(PY) setup.py --quiet build_ext --inplace --force -j 2
	@find ext -name '*.html'

clean:
	rm -rf build *.egg-info .venv
	find ext \( -name '*.c' -o -name '*.so' -o -name '*.html' -o -name '_build.json' \) -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
