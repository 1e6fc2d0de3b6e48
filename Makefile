# make run              install into .venv, draw patches of the generator that comes along, train DCGAN3 on the built-in
#                       data; with ARGS, run main.py with these flags instead
# make test             install into .venv and run the tests of the program
# make test-benchmarks  install into .venv and run the tests of benchmarks/; those of PyTorch need the extra `bench`
# make fuzz             install into .venv and damage inputs at random, 10,000 times a kind: files, flags, flagfiles; another
#                       number with HISTOGAN_FUZZ_EXAMPLES=N
# make lint             install into .venv and check style
# make web              install into .venv and write the page of the generator that comes along, index.html, to open in a
#                       browser; of a run of your own with ARGS='--run=NAME'
# Where python3 is none of 3.11, 3.12 and 3.13: make PYTHON=python3.13 run
PYTHON ?= python3
VENV ?= .venv
ARGS ?= --model=dcgan3 --epoch=50

PYTEST := $(VENV)/bin/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

.PHONY: run test fuzz test-benchmarks lint web install clean

install: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,export]'
	touch $@

run: install
ifeq ($(origin ARGS), file)
	$(VENV)/bin/python main.py --mode=visualize --run=pretrained:idc --visualize=grid
endif
	$(VENV)/bin/python main.py $(ARGS)

test: install
	$(PYTEST)

test-benchmarks: install
	$(PYTEST) benchmarks/tests

fuzz: install
	HISTOGAN_FUZZ_EXAMPLES=$${HISTOGAN_FUZZ_EXAMPLES:-10000} $(PYTEST) -m fuzz

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

web: install
ifeq ($(origin ARGS), file)
	$(VENV)/bin/python main.py --mode=export --format=web --run=pretrained:idc
else
	$(VENV)/bin/python main.py --mode=export --format=web $(ARGS)
endif

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
