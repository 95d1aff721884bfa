# The two commands are `make demo` and `make test`; `make` alone lists all.
# Tools run as `python -m`, because the scripts in .venv/bin break when the folder moves.

PYTHON ?= python3
DATA_DIR ?= .data
export PYTHON DATA_DIR

VENV_PYTHON = .venv/bin/python
DEBUG_PYTHON = env DEBUG=1 $(VENV_PYTHON)
# What `check --deploy` looks at: settings as they would be in production.
PRODUCTION_PYTHON = env -u DEBUG SECRET_KEY=only-to-look-at-the-settings-0123456789-abcdefghijk \
	CREDENTIALS_KEYS=only-to-look-at-the-settings ALLOWED_HOSTS=refunds.example.com \
	DATABASE_URL=postgres://refunds@127.0.0.1/refunds REDIS_URL=redis://127.0.0.1/0 $(VENV_PYTHON)

.PHONY: help demo test lint audit fmt lock messages bench chaos screenshots accessibility reset install install-dev

help:
	@echo 'make demo           everything on this machine, with data to play with; Ctrl-C stops it'
	@echo 'make test           the whole test suite'
	@echo 'make lint           style, types, imports, migrations, settings, locks'
	@echo 'make audit          known vulnerabilities of the packages'
	@echo 'make fmt            formats the code'
	@echo 'make lock           writes the locks from pyproject.toml'
	@echo 'make messages       brings what the code says into the translations, and compiles them'
	@echo 'make bench          measures speed and memory'
	@echo 'make chaos          kills everything ten thousand times, and compares the books'
	@echo 'make screenshots    pictures of the screens'
	@echo 'make accessibility  what axe-core finds on every page'
	@echo 'make reset          deletes the data of the demo'

demo: install
	@exec $(DEBUG_PYTHON) manage.py demo

reset: install
	@exec $(DEBUG_PYTHON) manage.py demo --reset

test: install-dev
	@sh .ci/test

lint: install-dev
	$(VENV_PYTHON) -m ruff check
	$(VENV_PYTHON) -m ruff format --check
	$(DEBUG_PYTHON) -m mypy .
	$(VENV_PYTHON) -c 'from importlinter.cli import lint_imports_command as run; run()'
	$(VENV_PYTHON) .ci/rules.py
	$(VENV_PYTHON) -m djlint templates --lint --quiet
	$(DEBUG_PYTHON) -W ignore manage.py makemigrations --check --dry-run
	$(PRODUCTION_PYTHON) manage.py check --deploy --fail-level WARNING
	$(VENV_PYTHON) .ci/locks.py check
	$(VENV_PYTHON) .ci/messages.py check
	@$(VENV_PYTHON) .ci/audit.py 9

audit: install-dev
	@$(VENV_PYTHON) .ci/audit.py

fmt: install-dev
	$(VENV_PYTHON) -m ruff check --fix
	$(VENV_PYTHON) -m ruff format

lock: install-dev
	$(VENV_PYTHON) .ci/locks.py write

messages: install-dev
	$(VENV_PYTHON) .ci/messages.py update

bench: install-dev
	$(DEBUG_PYTHON) -m bench

chaos: install-dev
	$(DEBUG_PYTHON) -m chaos

screenshots: install-dev
	CHROMIUM="$$(sh .ci/chromium)" SCREENSHOTS=docs/images $(VENV_PYTHON) -m pytest tests/browser/test_pictures.py

accessibility: install-dev
	CHROMIUM="$$(sh .ci/chromium)" AXE_REPORT=docs/accessibility.md $(VENV_PYTHON) -m pytest -p no:randomly tests/browser/test_accessibility.py

install:
	@sh .ci/install requirements.txt

install-dev:
	@sh .ci/install requirements-dev.txt
