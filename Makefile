# The project's tasks. Each makes its own environment in .venv first; only Python 3.11+ and make are needed.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 3
DEMO ?=
TESTS ?=
BENCH ?=
TIME ?= 60
CONTRACT := ../shared/check_contract.py

.PHONY: help demo test check bench fuzz schema format lock clean

help:
	@echo "make demo      the sample company on http://127.0.0.1:8000 (DEMO=--fresh begins anew)"
	@echo "make test      the whole test suite (TESTS=tests/gateway for a part, WORKERS=n processes)"
	@echo "make check     lint, format, types, schema.graphql up to date, contract kept"
	@echo "make bench     the benchmarks, into benchmarks/RESULTS.md (BENCH=--quick shows that they work, BENCH=\"--only posting\")"
	@echo "make fuzz      every parser of files under atheris, TIME=60 seconds each (Linux)"
	@echo "make schema    writes schema.graphql anew from the code"
	@echo "make format    formats the code"
	@echo "make lock      writes requirements.txt anew from pyproject.toml"
	@echo "make clean     removes what the other tasks made, the demo's data included"

# The environment is made anew only when it is missing or broken; packages are installed again when a pin changes.
$(STAMP): requirements.txt pyproject.toml
	@if ! $(BIN)/python -c pass 2>/dev/null; then \
		found=; \
		for python in python3.13 python3.12 python3.11 python3 python; do \
			if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "Python 3.11 or newer is needed, and none was found (tried python3.13, python3.12, python3.11, python3, python)." >&2; exit 1; \
		fi; \
		echo "making $(VENV) with $$($$found --version)"; \
		"$$found" -m venv --clear $(VENV) || { \
			echo "$$found cannot make environments: install its venv module (on Debian and Ubuntu the package python3-venv)." >&2; exit 1; }; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)
	@exec $(BIN)/ledgergraph demo $(DEMO)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/ledgergraph schema | diff --unified schema.graphql - \
		|| { echo "schema.graphql is not what the code says: run make schema" >&2; exit 1; }
	@if [ -f $(CONTRACT) ]; then $(BIN)/python $(CONTRACT) schema.graphql; fi

bench: $(STAMP)
	@$(BIN)/python -m benchmarks $(BENCH)

fuzz: $(STAMP)
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check "atheris>=3,<4"
	@$(BIN)/python -m tests.fuzz $(TIME)

schema: $(STAMP)
	@$(BIN)/ledgergraph schema > schema.graphql.new && mv schema.graphql.new schema.graphql

format: $(STAMP)
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

# Hashes for every platform and every Python from 3.11 on. uv lives in an environment of its own that is thrown away.
lock: $(STAMP)
	@rm -rf $(VENV)/lock && $(BIN)/python -m venv $(VENV)/lock
	@$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/lock/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --universal --python-version 3.11 \
		--extra dev pyproject.toml -o requirements.txt
	@rm -rf $(VENV)/lock

clean:
	rm -rf $(VENV) .demo .bench .fuzz .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
