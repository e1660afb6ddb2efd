PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs tables clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch torchvision -e '.[dev,docs,train,dicom,nrrd,siemens,photographs,lab,cluster]'
	touch $@

demo: .venv/installed
	$(BIN)/mri-d3gm demo

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: .venv/installed docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed
	$(BIN)/mkdocs build -q --strict

tables: .venv/installed
	$(BIN)/python scripts/tables.py

clean:
	rm -rf .venv site dist
