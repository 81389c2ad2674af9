# The front door. `make help` lists what there is; `make demo` and `make test` need nothing but Python >= 3.11 with its
# headers, a C compiler, make and a package index: they make their own environment (.venv).
#
#   make test ARGS="-k lock -x"          arguments for pytest
#   make test PYTHON=/path/to/python3    which interpreter a new environment is made with
#   make test VENV=.venv-other           a second environment

VENV   ?= .venv
PYTHON ?=
ARGS   ?=
SOAK   ?= 20
# Warnings of the C compiler are errors in CI; a user's newer compiler may well have new ones.
WERROR ?= $(if $(CI),ON,OFF)

py     := $(VENV)/bin/python
native := $(wildcard native/core/*.[ch] native/binding/*.[ch]) CMakeLists.txt scripts/build_native.py
pip    := $(py) -m pip install --quiet --disable-pip-version-check
# The package is installed as a pointer to src/ (0.8 ms at start-up, no copy); the compiled core stands in the tree and
# is made by `build`. The three settings are scikit-build-core's.
editable := $(pip) --no-build-isolation --config-settings=wheel.cmake=false --config-settings=wheel.py-api=py3 \
            --config-settings=editable.mode=inplace

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv build demo test test-newest test-oldest-newest lint format types layers native-test bench soak docs \
        wheel wheel-test check clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# ------------------------------------------------------------------------------------- environments

$(VENV)/.stamp-venv:
	@interpreter="$(PYTHON)"; [ -n "$$interpreter" ] || interpreter=$$(scripts/find-python) || exit 1; \
	echo "creating $(VENV) with $$interpreter"; "$$interpreter" -m venv $(VENV)
	@$(pip) "scikit-build-core>=0.10"
	@# CMP0104 is known to CMake 3.18 and later. A shim that does not run counts as no CMake.
	@cmake --help-policy CMP0104 >/dev/null 2>&1 || { echo "fetching cmake"; $(pip) "cmake>=3.18"; }
	@touch $@

$(VENV)/.stamp-run: $(VENV)/.stamp-venv pyproject.toml
	@echo "installing holdfast into $(VENV)"
	@$(editable) -e ".[cli]"
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-venv pyproject.toml
	@echo "installing holdfast and what its tests need into $(VENV)"
	@$(editable) -e ".[test]"
	@touch $@ $(VENV)/.stamp-run

$(VENV)/.stamp-dev: $(VENV)/.stamp-venv pyproject.toml
	@echo "installing holdfast and the developers' tools into $(VENV)"
	@$(editable) -e ".[dev]"
	@touch $@ $(VENV)/.stamp-test $(VENV)/.stamp-run

$(VENV)/.stamp-bench: $(VENV)/.stamp-test
	@$(editable) -e ".[bench]" || echo "not all peers can be installed here: their columns stay empty"
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp-venv pyproject.toml
	@$(editable) -e ".[docs]"
	@touch $@

$(VENV)/.stamp-native: $(VENV)/.stamp-venv $(native)
	@$(py) scripts/build_native.py -DHOLDFAST_WERROR=$(WERROR)
	@touch $@

venv: $(VENV)/.stamp-dev  ## an environment with the developers' tools
build: $(VENV)/.stamp-native  ## the compiled core, in place (also done by every target that needs it)

# ---------------------------------------------------------------------------------------------- use

demo: $(VENV)/.stamp-run $(VENV)/.stamp-native  ## the main job on this interpreter's own library
	@$(VENV)/bin/holdfast demo $(ARGS)

test: $(VENV)/.stamp-test $(VENV)/.stamp-native  ## the whole test suite
	$(py) -m pytest $(ARGS)

test-newest:  ## the whole suite on the newest interpreter found, in an environment of its own
	@newest=$$(scripts/find-python newest) && version=$$("$$newest" -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \
	$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON="$$newest"

test-oldest-newest:  ## the whole suite on the oldest and on the newest interpreter found
	@oldest=$$(scripts/find-python oldest) && version=$$("$$oldest" -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \
	$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON="$$oldest"
	@$(MAKE) --no-print-directory test-newest

# ------------------------------------------------------------------------------------------- checks

lint: $(VENV)/.stamp-dev  ## ruff: rules and format
	$(py) -m ruff check .
	$(py) -m ruff format --check .

format: $(VENV)/.stamp-dev  ## let ruff repair what it can
	$(py) -m ruff check --fix-only --quiet .
	$(py) -m ruff format --quiet .

types: $(VENV)/.stamp-dev  ## mypy --strict
	$(py) -m mypy

layers: $(VENV)/.stamp-dev  ## the rows of the design: who may import whom
	$(VENV)/bin/lint-imports

native-test:  ## the C core alone: stress under the sanitizers, the schedule explorer, mutants
	$(MAKE) -C native/tests check

check: lint types layers native-test test  ## everything but the other interpreters and the wheel

# --------------------------------------------------------------------------------- figures, products

bench: $(VENV)/.stamp-bench $(VENV)/.stamp-native  ## the figures, against the peers, in one run
	$(py) -m benchmarks $(ARGS)

soak: $(VENV)/.stamp-test $(VENV)/.stamp-native  ## the kill tests, longer and more often (SOAK=20: how much)
	HOLDFAST_SOAK=$(SOAK) $(py) -m pytest tests/chaos --timeout 3600 $(ARGS)
	HF_STRESS_SCALE=$(SOAK) $(MAKE) -C native/tests tsan asan death

docs: $(VENV)/.stamp-docs  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(py) -m mkdocs build --strict --quiet

wheel: $(VENV)/.stamp-venv  ## the wheel, into dist/
	@rm -rf dist
	$(py) -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist .

wheel-test: wheel  ## the wheel in an environment without the source tree
	@rm -rf build/wheel-venv
	@$(py) -m venv build/wheel-venv
	@build/wheel-venv/bin/python -m pip install --quiet --disable-pip-version-check "$$(echo dist/*.whl)[cli]"
	build/wheel-venv/bin/python -I scripts/smoke.py

clean:  ## remove environments, builds and caches
	rm -rf .venv .venv-[0-9]* build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src native -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
