# Everything a visitor runs, each target one visible command. `make` alone lists them.
# The first of some commands that is a Python with venv, of 3.11 or later and before a version.
python = $(shell for python in $(1); do \
	$$python -c "import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, $(2)))" \
	2>/dev/null && echo $$python && break; done)
PYTHON ?= $(call python,python3.13 python3.12 python3.11 python3,14)
PROCESSES = 2
# --no-compile: of thousands of modules those are compiled that are imported, when they are.
INSTALL = .venv/bin/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt
ONE_THREAD = OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 NPROC=1

help:
	@awk -F ':.*## ' '/^[.a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

reproduce: .venv/installed  ## train the digits networks afresh, print their table beside the committed one
	.venv/bin/lightlayers reproduce digits --fresh --outputs build/reproduce --compare outputs

.venv: .venv/installed  ## only set up the environment, which every target does when needed

lab: .venv/installed  ## open the notebooks in JupyterLab
	.venv/bin/jupyter lab notebooks/start.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

test: lint test-tensorflow test-jax test-notebooks  ## all four checks below

site: .venv/installed  ## the notebooks and the reference as pages, into build/site
	$(INSTALL) -e ".[site]"
	rm -rf build/pages && mkdir -p build/pages/outputs
	cp -R site/. README.md CONTRIBUTING.md notebooks build/pages && cp -R outputs/figures build/pages/outputs
	.venv/bin/sphinx-build -qEW --keep-going -d build/doctrees build/pages build/site

wheel: .venv/installed  ## a wheel with the stored runs, into dist/
	.venv/bin/python -m pip wheel -q --disable-pip-version-check --no-deps -w dist .

lint: .venv/installed  ## code and notebooks are in style
	.venv/bin/ruff check lightlayers notebooks tests setup.py site
	.venv/bin/ruff format --check lightlayers notebooks tests setup.py site

test-tensorflow: .venv/installed  ## every test passes on TensorFlow
	$(ONE_THREAD) KERAS_BACKEND=tensorflow .venv/bin/pytest -n $(PROCESSES) --dist worksteal tests

test-jax: .venv/installed  ## the tests of layers, peers and training pass on JAX
	$(ONE_THREAD) KERAS_BACKEND=jax .venv/bin/pytest -n $(PROCESSES) --dist worksteal \
	    tests/test_layers.py tests/test_factorization.py tests/test_conversion.py \
	    tests/test_graphs.py tests/test_pruning.py tests/peers \
	    tests/suite/training/test_session.py tests/suite/test_golden.py \
	    tests/suite/bench/test_together.py tests/suite/bench/test_activations.py

test-notebooks: .venv/installed  ## the notebooks run, and give what they show
	$(ONE_THREAD) KERAS_BACKEND=tensorflow .venv/bin/pytest -n $(PROCESSES) --dist loadfile \
	    --nbval --nbval-current-env --nbval-cell-timeout 300 notebooks

test-browser: .venv/installed  ## the notebooks run in JupyterLab in Chromium
	@which chromium chromium-browser google-chrome | grep -q . || \
	    { echo "No Chromium here. On Debian: sudo apt install chromium" >&2; exit 1; }
	$(INSTALL) -e ".[browser]"
	.venv/bin/pytest tests/test_browser.py

# TensorFlow 2.19 is not built for Python 3.13.
test-oldest:  ## the notebooks and factors on the oldest Keras and TensorFlow that we promise, as on Colab
	$(call python,$(PYTHON) python3.12 python3.11 python3,13) -m venv --clear build/oldest
	build/oldest/bin/python -m pip install -q --disable-pip-version-check -e ".[suite,dask,test]" \
	    keras==3.11.3 tensorflow-cpu==2.19.0
	PATH="$(CURDIR)/build/oldest/bin:$$PATH" $(ONE_THREAD) KERAS_BACKEND=tensorflow python -m pytest \
	    tests/test_factorization.py tests/test_pruning.py
	PATH="$(CURDIR)/build/oldest/bin:$$PATH" $(ONE_THREAD) KERAS_BACKEND=tensorflow python -m pytest \
	    --nbval --nbval-current-env --nbval-cell-timeout 300 notebooks

.venv/bin/pip:
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 with venv here. On Debian or Ubuntu:" \
	    "sudo apt install python3-venv. Elsewhere: make PYTHON=/path/to/one." >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv

.venv/installed: .venv/bin/pip pyproject.toml constraints.txt
	@echo "Installing TensorFlow, JAX and JupyterLab into .venv: 610 MB, 1 to 4 minutes, once."
	$(INSTALL) -e ".[suite,cpu,jax,dask,export,test]"
	@touch $@

.PHONY: help .venv reproduce lab site wheel test lint test-tensorflow test-jax test-notebooks test-browser test-oldest
