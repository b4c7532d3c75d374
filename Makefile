# Everything runs in .venv, made and kept up to date by itself.
SHELL := /bin/bash
BIN := .venv/bin
STAMP := .venv/.up-to-date
DOCS_STAMP := .venv/.docs-up-to-date
PACKAGE_STAMP := .venv/.package-up-to-date
# Images of containers set it; each of the computing processes would then compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env system demo test lint bench docs package clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP) ## make .venv and install everything into it

$(STAMP): pyproject.toml constraints.txt tools/environment.sh | system
	@tools/environment.sh
	@touch $@

system: ## install the system libraries of Qt and OpenGL where possible
	@tools/system.sh

demo: env ## simulate, map, align, reconstruct, show (DATA=folder ELEMENTS="O Si Fe" BINNING=4: your own tilt series)
	$(BIN)/diptomo demo --output demo-output $(if $(DATA),--data "$(DATA)") \
		$(if $(ELEMENTS),--elements "$(ELEMENTS)") $(if $(BINNING),--binning $(BINNING))

test: env lint ## everything a change must pass
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: env ## style, layers, types, words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/codespell -D - -D tools/words.txt src tests benchmarks docs tools *.md

bench: env ## run benchmarks/ (ONLY=name for one of them)
	$(BIN)/python benchmarks/_run.py $(ONLY)

docs: env $(DOCS_STAMP) ## write the generated pages anew and build the site in build/site, links checked, notebooks executed
	$(BIN)/python docs/make_parameter_tables.py
	$(BIN)/python docs/make_recipe_page.py
	$(BIN)/python docs/make_cli_page.py
	$(BIN)/python docs/make_map.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --clean --quiet
	@echo 'The site is in build/site: open build/site/index.html'

# Not part of `make env`: tests need none of it.
$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

$(PACKAGE_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --group package
	@touch $@

package: env $(PACKAGE_STAMP) ## build wheel and source distribution in dist/ and check them, workflows too
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

clean: ## remove everything that was made here
	rm -rf .venv build dist demo-output .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
