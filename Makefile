# What this repository can do from a bare clone. `make` or `make help` lists it.
# Everything is installed into .venv, nothing outside this folder is touched.

VENV := .venv
RUN := $(VENV)/bin/python -m
PIP := $(RUN) pip install --quiet
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3 python)
ARGS ?=

# no word on newer versions of pip; and a user's own `user = true` in pip.conf has no meaning inside an environment
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_USER := 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help train course test load guard lessons gallery site site-open processors arm oldest wheel lint format types peers bench clean

help: ## list these commands
	@echo 'make COMMAND [ARGS="..."] [PYTHON=python3.12]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

train: $(VENV)/.core ## train on real text; options by ARGS, e.g. ARGS="--minutes 1"
	@echo '== $(VENV)/bin/nblstm train $(ARGS)'
	@$(VENV)/bin/nblstm train $(ARGS)

course: $(VENV)/.course ## copy the lessons to nblstm-course/, a folder of yours, and open JupyterLab there; options by ARGS
	@echo '== $(VENV)/bin/nblstm course $(ARGS)'
	@$(VENV)/bin/nblstm course $(ARGS)

test: $(VENV)/.test ## run all tests; options of pytest by ARGS, e.g. ARGS="-k lstm"
	@echo '== pytest$(if $(ARGS), $(ARGS),: everything but what takes minutes, see CONTRIBUTING.md; about six minutes on two cores, nine where kernels must be compiled first)'
	@$(RUN) pytest $(ARGS)

load: $(VENV)/.test ## run all tests three times beside four busy processes, then on one core: none may depend on speed (Linux; half an hour)
	@$(VENV)/bin/python tools/test_under_load.py $(ARGS)

GUARDED := tests/cells tests/layers tests/models tests/test_naive.py tests/losses tests/optim \
    $(patsubst %,tests/kernels/test_%.py,functions gradient products simd streaming sweeps team tile)

guard: $(VENV)/.test ## run the tests of kernels and layers so that a kernel that leaves its arrays crashes (Linux; minutes)
	@NBLSTM_GUARD=after $(RUN) pytest $(or $(ARGS),$(GUARDED))
	@NBLSTM_GUARD=before $(RUN) pytest $(or $(ARGS),$(GUARDED))

lessons: $(VENV)/.lessons ## run every lesson and solution, and two lessons in a real browser where Chromium is (installs JupyterLab)
	@echo '== pytest -m "course or browser" $(ARGS)'
	@NBLSTM_EXECUTED=$(CURDIR)/build/executed $(RUN) pytest -m "course or browser" $(ARGS)

site: $(VENV)/.site ## build the course with its outputs, the reference and the pages of docs/ into site/ (runs each lesson once, then minutes)
	@echo '== $(VENV)/bin/python -m site_source'
	@$(RUN) site_source

site-open: ## serve the site on this machine and open it; build it first with `make site`
	@$(if $(wildcard site/index.html),,echo 'error: there is no site yet: make site' >&2; exit 1)
	@echo '== http://127.0.0.1:8000 (Ctrl-C ends it)'
	@(sleep 1; $(VENV)/bin/python -m webbrowser -t http://127.0.0.1:8000 >/dev/null 2>&1) & exec $(RUN) http.server 8000 --bind 127.0.0.1 --directory site

gallery: $(VENV)/.lessons ## draw the pictures of the README again, by running the lessons that they come from
	@echo '== python tools/draw_gallery.py'
	@$(VENV)/bin/python tools/draw_gallery.py

# Code for narrower vectors than this machine's runs on it too. The names are LLVM's; NUMBA_CPU_NAME alone would keep the host's features.
AVX2 := NUMBA_CPU_NAME=x86-64-v3 \
    NUMBA_CPU_FEATURES=+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe
SSE2 := NUMBA_CPU_NAME=generic

processors: $(VENV)/.test ## run all tests as on a processor with AVX2, then with SSE2 only (on x86); options as for test
	@$(AVX2) $(VENV)/bin/nblstm info | grep 'vector bits *256'
	@$(AVX2) $(RUN) pytest $(ARGS)
	@$(SSE2) $(VENV)/bin/nblstm info | grep 'vector bits *128'
	@$(SSE2) $(RUN) pytest $(ARGS)

arm: $(VENV)/.made ## run the tests of cells, kernels and layers on an ARM processor that QEMU emulates (Debian on x86): an hour; options as for test
	@$(VENV)/bin/python tools/run_on_arm.py $(ARGS)

oldest: $(VENV)/.made ## run all tests with the oldest versions that pyproject.toml allows this Python; options as for test
	@$(RUN) venv --clear $(VENV)/oldest
	@echo '== installing the oldest versions allowed into $(VENV)/oldest (a minute or two)'
	@$(PIP) uv
	@$(RUN) uv pip install --quiet --python $(VENV)/oldest/bin/python --resolution lowest-direct --only-binary :all: --editable '.[test]'
	@$(VENV)/oldest/bin/python -m pytest $(ARGS)

wheel: $(VENV)/.wheel ## build wheel and sdist, install the wheel into an empty environment, run its commands, check its types
	@echo '== pytest -m wheel $(ARGS)'
	@$(RUN) pytest -m wheel $(ARGS)

peers: $(VENV)/.peers ## run the tests that compare with PyTorch, ONNX and JAX, and those over MPI and Dask (installs them, about 1 GB)
	@echo '== pytest -m peers $(ARGS)'
	@$(VENV)/bin/python -c 'import distributed, jax, mpi4py, onnx, onnxruntime, torch'
	@$(RUN) pytest -m peers $(ARGS)

bench: $(VENV)/.bench ## time nblstm beside PyTorch, ONNX Runtime and JAX (installs them, about 1 GB); options by ARGS
	@echo '== $(VENV)/bin/nblstm bench $(ARGS)'
	@$(VENV)/bin/nblstm bench $(ARGS)

lint: $(VENV)/.dev ## check style and formatting
	@echo '== ruff check, ruff format --check, notebooks clean'
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(VENV)/bin/python tools/clean_notebooks.py --check

format: $(VENV)/.dev ## put style and formatting right where that can be done automatically
	@echo '== ruff check --fix, ruff format, notebooks cleaned'
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .
	@$(VENV)/bin/python tools/clean_notebooks.py

types: $(VENV)/.dev ## check types
	@echo '== mypy'
	@$(RUN) mypy

clean: ## remove .venv, caches and build folders; trained runs are kept
	rm -rf $(VENV) build dist site .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the environment: each stamp in .venv says that its step is done, and is older than pyproject.toml once that has changed ----

TAKES.peers := 1 GB to fetch; some minutes
TAKES.bench := $(TAKES.peers)

$(VENV)/.core: pyproject.toml $(VENV)/.made
	@echo '== installing nblstm into $(VENV) (105 MB to fetch; about half a minute)'
	@$(PIP) --editable .
	@touch $@

$(VENV)/.course $(VENV)/.test $(VENV)/.lessons $(VENV)/.site $(VENV)/.wheel $(VENV)/.peers $(VENV)/.bench $(VENV)/.dev: $(VENV)/.%: pyproject.toml $(VENV)/.made
	@echo '== installing nblstm and its extra "$*" into $(VENV) ($(or $(TAKES.$*),about a minute))'
	@$(PIP) --editable '.[$*]'
	@touch $(VENV)/.core $@

# A Python of 3.11 or newer that can make environments: the one named by PYTHON=..., or else the first found here.
# Debian and Ubuntu keep the module ensurepip in a package of its own, so a Python without it is passed over and remembered.
$(VENV)/.made:
	@chosen= bare=; \
	for python in $(PYTHONS); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	    "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && { chosen=$$python; break; }; \
	    bare=$${bare:-$$python}; \
	done; \
	if [ -n "$$chosen" ]; then \
	    echo "== making $(VENV) with $$chosen ($$("$$chosen" -c 'import sys; print(sys.version.split()[0], "in", sys.prefix)'))"; \
	    "$$chosen" -m venv --clear $(VENV) && touch $@; \
	elif [ -n "$$bare" ]; then \
	    version=$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "error: $$bare (Python $$version) cannot make environments: its modules venv and ensurepip are not installed." >&2; \
	    echo "       On Debian or Ubuntu: sudo apt install python$$version-venv   Then run make again." >&2; \
	    exit 1; \
	else \
	    echo "error: no Python 3.11 or newer found (tried: $(PYTHONS))." >&2; \
	    echo "       Install one, or name it: make $(or $(MAKECMDGOALS),train) PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi
