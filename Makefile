# What readers and developers run; CI runs the same commands (.ci/run).
.POSIX:

PYTHON = python3
VENV = .venv
PY = $(VENV)/bin/python
STAMP = $(VENV)/installed
DEV = $(VENV)/installed-dev
NOTEBOOKS =
DEPTH = all
LAB_FLAGS =
PYTEST_FLAGS =
REPO =
REF = main
PLATFORMS =
PYTHONS =

# Two at once with a thread each: for networks as small as these that is quicker than one with two threads.
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Written as one program so that an old Python can still read it and say what is wrong.
CHECK = import sys; v = sys.version.split()[0]; \
	sys.exit(0 if sys.version_info >= (3, 11, 4) else "kdkit needs Python 3.11.4 or newer, and $(PYTHON) is " + v \
	+ ". Name a newer one, for instance: make lab PYTHON=python3.12")

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

lab: $(STAMP) ## install what is missing, then open the course in JupyterLab
	JUPYTER_CONFIG_PATH="$$PWD/tools/jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" \
	$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_FLAGS)

test: lint ## everything: lint, unit tests, every notebook, browser tests
	$(PYTEST) --durations=10 $(PYTEST_FLAGS)

quick: lint unit ## what is worth a run after every change: lint and the unit tests

unit: $(DEV) ## the unit tests alone
	$(PYTEST) tests --ignore=tests/browser --ignore=tests/slow $(PYTEST_FLAGS)

lowest: ## the unit tests with the lowest versions that are allowed (6 GB for a while; another Python: PYTHON=python3.13)
	$(PYTHON) tools/floors.py lowest $(PYTEST_FLAGS)

newest: ## the unit tests with the newest versions that there are (6 GB for a while)
	$(PYTHON) tools/floors.py newest $(PYTEST_FLAGS)

libraries: ## the tests of what notebook 09 takes where it is installed: TRL, and a language model (6 GB for a while)
	$(PYTHON) tools/floors.py libraries $(PYTEST_FLAGS)

colab: $(DEV) ## the short paths as on Colab: kdkit's wheel, an older IPython and ipywidgets, an empty folder (0.3 GB for a while)
	$(PY) -m tools.colab $(NOTEBOOKS)

lint: $(DEV) ## ruff, over the code and the notebooks, and mypy, over the types of the package
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

notebooks: $(DEV) ## run the notebooks, keep their outputs and say how long they take (all, or NOTEBOOKS="one.ipynb another.ipynb")
	$(PY) -m tools.notebooks $(NOTEBOOKS)
	$(PY) -m tools.minutes --write

site: $(DEV) ## the course as a web site in build/site, to open from the folder or to publish: begin with index.html
	$(PY) -m tools.site

student: $(STAMP) ## copies for a class in build/student: without solutions and outputs (DEPTH=short: nor parts marked ◆)
	$(PY) -m tools.versions student --depth $(DEPTH) $(NOTEBOOKS)

solutions: $(DEV) ## solved copies in build/solutions, run, each check passed (DEPTH=short: without parts marked ◆)
	$(PY) -m tools.versions solutions --depth $(DEPTH) $(NOTEBOOKS)

links: $(STAMP) ## move badges and set-up cells to another repository: make links REPO=owner/name
	$(PY) tools/links.py "$(REPO)" "$(REF)"

bundle: $(DEV) ## a folder for a USB stick, to install the course without a network (PLATFORMS="linux windows mac")
	$(PY) -m tools.bundle --platforms "$(PLATFORMS)" --pythons "$(PYTHONS)"

setup: $(DEV) ## the virtual environment alone, with what tests and site need

# A second call takes no time: pip runs again only when one of these files has changed. Readers get the first alone.
$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c '$(CHECK)'
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -r requirements.txt
	@touch $(STAMP)

$(DEV): requirements-dev.txt $(STAMP)
	$(PY) -m pip install -r requirements-dev.txt
	@touch $(DEV)

.PHONY: help lab test quick unit lowest newest libraries colab lint notebooks site student solutions links bundle setup
