# What one does with this tree. `make help` lists it.
SHELL := /bin/bash
VENV := .venv
PROTO_VENV := .venv-proto
FUZZ_VENV := .venv-fuzz
FUZZ_SECONDS ?= 30
JUDGES_VENV := .venv-judges
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && { echo $$p; break; }; done)
STAMP := $(VENV)/.installed-from-this-setup

.PHONY: help setup compiled demo test bench judges simulate mutants chaos soak lint types fuzz proto clean

help: ## lists these targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: $(STAMP) ## makes .venv with everything installed; quick when nothing changed

$(STAMP): setup.cfg setup.py pyproject.toml Makefile
	@test -n "$(PYTHON)" || { echo "make: Python 3.10, 3.11 or 3.12 is needed; name one with PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	rm -rf $(VENV)
	@echo "installing into $(VENV), some minutes: with a C compiler and Python's headers, the hot path is compiled on the way"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	touch $@

compiled: setup ## compiles the hot path again, if its sources have changed; `make setup` has done it once
	@$(VENV)/bin/python -c 'import sys, mindspore_serving; sys.exit(mindspore_serving.WHY_NOT_COMPILED is not None)' \
		|| $(VENV)/bin/python setup.py -q build_ext --inplace

demo: setup ## exports the add model, starts a master and two workers, calls them, stops everything
	$(VENV)/bin/python examples/add/demo.py

test: lint types ## lint, types and all tests
	@# Two at once: most tests wait for processes. A file's tests stay together, as they share what was made for them.
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

bench: compiled ## servers side by side: QUICK=1 for a minute's run, ORIGINAL=DIR with the original, ARGS='--callers 1,8 ...'
	$(VENV)/bin/python -m benchmarks.serving $(if $(QUICK),--quick) $(if $(ORIGINAL),--original $(ORIGINAL)) $(ARGS)

lint: setup ## format and lint checks
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types: setup ## type checks
	$(VENV)/bin/mypy
	@# The examples are programs of users, each in a folder of its own: checked as their editor would, without --strict.
	set -e; for example in examples/*/; do (cd $$example && $(abspath $(VENV))/bin/mypy --config-file= --cache-dir \
		$(abspath .mypy_cache) --check-untyped-defs --ignore-missing-imports --explicit-package-bases .); done

fuzz: ## feeds every parser, guided by coverage, for FUZZ_SECONDS=30 each, and prints the counts
	@# In an environment of its own: Atheris is built for few versions of Python (3.11 to 3.13 in its release 3.0).
	test -x $(FUZZ_VENV)/bin/python || $(PYTHON) -m venv $(FUZZ_VENV)
	$(FUZZ_VENV)/bin/python -m pip install -q --disable-pip-version-check -e '.[all]' 'atheris>=3'
	$(FUZZ_VENV)/bin/python -m tests.fuzz $(FUZZ_SECONDS)

simulate: setup ## clusters in virtual time, with faults; SEEDS=10000 runs
	$(VENV)/bin/python -m tests.cluster.simulate --seeds $(or $(SEEDS),10000)

mutants: setup ## bugs planted in the core, one at a time: what notices each
	$(VENV)/bin/python -m tests.cluster.mutants $(ARGS)

chaos: setup ## faults on a cluster of its own under checked load; SECONDS=30 for a short run, ARGS='--masters 2 ...'
	$(VENV)/bin/python -m mindspore_serving chaos --seconds $(or $(SECONDS),180) $(ARGS)

soak: setup ## mixed load on a cluster of its own, and whether anything grows; SECONDS=3600 for an hour, ARGS='--masters 2 ...'
	$(VENV)/bin/python -m mindspore_serving.chaos.soak --seconds $(or $(SECONDS),300) $(ARGS)

proto: ## regenerates mindspore_serving/proto from proto/*.proto
	@# In an environment of its own: the output of grpcio-tools 1.80 runs on protobuf 6.31.1 and newer, MindSpore wants 7.34.
	test -d $(PROTO_VENV) || $(PYTHON) -m venv $(PROTO_VENV)
	$(PROTO_VENV)/bin/python -m pip install -q --disable-pip-version-check grpcio-tools==1.80.0
	$(PROTO_VENV)/bin/python -m grpc_tools.protoc -Imindspore_serving/proto=proto \
		--python_out=. --pyi_out=. --grpc_python_out=. mindspore_serving/proto/ms_service.proto
	@# The other packages are also other people's: types, but no modules; descriptors, for a pool of our own (private_pool.py).
	$(PROTO_VENV)/bin/python -m grpc_tools.protoc -Imindspore_serving/proto=proto --pyi_out=. \
		mindspore_serving/proto/{open_inference,health,reflection}.proto
	$(PROTO_VENV)/bin/python -m grpc_tools.protoc -Imindspore_serving/proto=proto \
		--descriptor_set_out=mindspore_serving/proto/services.binpb $(patsubst %,mindspore_serving/%,$(sort $(wildcard proto/*.proto)))

judges: setup ## unmodified clients of other projects against a master and a worker
	test -d $(JUDGES_VENV) || $(PYTHON) -m venv $(JUDGES_VENV)
	@# In an environment of its own: tritonclient wants protobuf before 7, MindSpore 7.34.
	$(JUDGES_VENV)/bin/python -m pip install -q --disable-pip-version-check 'tritonclient[http,grpc]==2.73.0' \
		grpcio-reflection==1.81.1 grpcio-health-checking==1.81.1
	$(VENV)/bin/python -m tests.judges.run $(JUDGES_VENV)/bin/python with_tritonclient.py
	$(VENV)/bin/python -m tests.judges.proxied $(JUDGES_VENV)/bin/python with_tritonclient.py
	@# perf_analyzer is in wheels for x86 alone, and linked to a library of CUDA's.
	if [ "$$(uname -m)" = x86_64 ]; then \
		test -d $(JUDGES_VENV)/perf || $(JUDGES_VENV)/bin/python -m pip install -q --disable-pip-version-check --no-deps \
			--target $(JUDGES_VENV)/perf --only-binary :all: --platform manylinux1_x86_64 --platform manylinux_2_17_x86_64 \
			tritonclient==2.41.0 nvidia-cuda-runtime-cu12==12.9.79 && \
		$(VENV)/bin/python -m tests.judges.run $(JUDGES_VENV)/bin/python with_perf_analyzer.py; \
	else echo "perf_analyzer is not tried: it is for x86"; fi
	@# grpc-js is gRPC's client for Node.js.
	if command -v npm >/dev/null; then \
		npm install --silent --no-audit --no-fund --prefix $(JUDGES_VENV)/node @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.1 && \
		NODE_PATH=$(CURDIR)/$(JUDGES_VENV)/node/node_modules $(VENV)/bin/python -m tests.judges.run node with_grpc_js.js; \
	else echo "grpc-js is not tried: npm is not installed"; fi
	$(VENV)/bin/python -m tests.judges.secured $(JUDGES_VENV)/bin/python

clean: ## removes what the other targets made
	rm -rf $(VENV) $(PROTO_VENV) $(FUZZ_VENV) $(JUDGES_VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	rm -f mindspore_serving/compiled/*.so mindspore_serving/compiled/built.txt
