# tocsin: `make run` starts the daemon, `make test` runs every check. Nothing else is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run demo test torture venv lint bench lock clean

run: venv
	@mkdir -p state && chmod 700 state
	@test -s state/shared-secret || (umask 077; $(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(48))' > state/shared-secret)
	@$(BIN)/python -m tests.fakes.provider --prepare state/provider
	@$(BIN)/tocsin serve --config config/development.toml --welcome

# The main job in half a minute, on a daemon of its own that leaves nothing behind.
demo: venv
	@$(BIN)/tocsin demo

test: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/flake8 --select ASYNC daemon tests
	$(BIN)/lint-imports
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov=tocsin --cov-report=
	$(BIN)/coverage report --fail-under=85

# The tests that kill, for much longer: TOCSIN_TORTURE_ROUNDS deaths under load, a crowd of
# TOCSIN_TORTURE_CLIENTS that comes back at once, another course of events each time. A failure
# names the seed to repeat it with, in TOCSIN_TORTURE_SEED.
torture: venv
	TOCSIN_TORTURE_SEED=$${TOCSIN_TORTURE_SEED:-$$(date +%s)} \
	TOCSIN_TORTURE_ROUNDS=$${TOCSIN_TORTURE_ROUNDS:-100} \
	TOCSIN_TORTURE_CLIENTS=$${TOCSIN_TORTURE_CLIENTS:-3000} \
	  $(BIN)/python -m pytest tests/end_to_end/test_killed.py \
	  tests/end_to_end/test_messaging_killed.py tests/end_to_end/test_positions.py \
	  tests/end_to_end/test_reconnects.py

bench: venv
	$(BIN)/python -m tests.bench

venv: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

# After changing dependencies in pyproject.toml (needs the `uv` command):
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header

# The second one is what the daemon alone needs, with the versions that were tested.
lock:
	$(LOCK) --extra dev pyproject.toml -o requirements.lock
	$(LOCK) --no-annotate --constraint requirements.lock pyproject.toml -o requirements-run.lock

clean:
	rm -rf $(VENV) .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
