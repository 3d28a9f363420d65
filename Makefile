# ClearCast. The first use of any target makes the environment in .venv by itself.
#   make demo    who said what in a real conversation, over Ray Serve, nothing downloaded but packages
#   make test    install what the tests need and run everything
#   make serve   the platform on this machine            (PROFILE=local)
#   make check   format, lint, types, import contracts
#   make bench   measure; ONLY=pattern for a part
#   make chaos   kill parts of the running platform, count what that cost; KILLS=50 SEED= CLUSTER=
SHELL := /bin/bash
PYTHON ?= python3.11
PROFILE ?= local
BIN := .venv/bin

.PHONY: demo test serve check bench chaos format lock migration clean

demo: .venv/ready
	@$(BIN)/python -m deployments.demo

test: .venv/ready
	@bash tools/install_test_tools.sh
	@bash tools/run_tests.sh $(ARGS)

serve: .venv/ready
	@$(BIN)/clearcast --profile $(PROFILE) serve

check: .venv/ready
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/ready
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/ready
	@$(BIN)/python -m bench $(ONLY)

KILLS ?= 50
chaos: .venv/ready
	@$(BIN)/python -m tools.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED)) $(if $(CLUSTER),--cluster)

# Refresh the pinned list after a change of dependencies in pyproject.toml.
lock: .venv/ready
	@$(BIN)/uv pip compile pyproject.toml --group dev --python 3.11 --upgrade \
	  --no-header --no-annotate --no-emit-index-url -o requirements.lock

# After a change of clearcast/storage/tables.py: make migration NAME=what_changed
migration: .venv/ready
	@$(BIN)/python -m tools.make_migration $(NAME)
	@$(BIN)/ruff format -q clearcast/storage/migrations && $(BIN)/ruff check -q --fix clearcast/storage/migrations

.venv/ready: requirements.lock tools/make_environment.sh
	@PYTHON=$(PYTHON) bash tools/make_environment.sh

clean:
	rm -rf .venv demo-output
