# What one does with a checkout. Paths are relative, so that it works below directories with spaces in their names.
# GNU make 3.81 or newer. `make` alone explains itself.

.DEFAULT_GOAL := help
.PHONY: help run test fault-rows faults recovery soak bench audit lock clean FORCE
SHELL := /bin/sh

# The Python to make .venv with; empty: the newest of those that are found. As in: make run PYTHON=/opt/python/bin/python3
PYTHON ?=
PIP := .venv/bin/python -m pip --disable-pip-version-check -qq

help:
	@echo "make run     start everything in the foreground; Ctrl-C stops it (makes .venv at first)"
	@echo "make test    every check that a change must pass"
	@echo "make fault-rows  break a whole service on purpose, fault by fault; make test does so once a fault"
	@echo "make faults  break the whole service at random for a while, and judge what came of it"
	@echo "make recovery  measure how long it takes to go on after each thing that can be gone"
	@echo "make soak    let it work at half load for long, and see that nothing grows"
	@echo "make bench   measure it beside other job systems; docs/performance.md says how (installs them at first)"
	@echo "make audit   ask which pinned packages have known vulnerabilities (needs the network)"
	@echo "make lock    resolve the lock files (requirements*.lock) anew (needs uv)"
	@echo "make clean   remove .venv and what tools left behind; never data (.jobledger, output)"

run: .venv/.installed
	@exec .venv/bin/jobledger up

test: .venv/.installed-dev
	@failed=; \
	check() { \
		echo "==> $$*"; \
		PATH="$$PWD/.venv/bin:$$PATH" "$$@" || { failed="$$failed  $$*\n"; echo "==> FAILED: $$*"; }; \
	}; \
	check ruff check .; \
	check ruff format --check .; \
	check mypy; \
	check lint-imports --no-cache; \
	check deptry .; \
	check pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term -m "not long_form"; \
	if [ -n "$$failed" ]; then printf "\nFailed:\n$$failed"; exit 1; fi; \
	echo; echo "All checks passed."

# As in: make bench ONLY="drain latency" RUNS=7; or make bench LARGE=yes, with ten million jobs there already
ONLY ?=
RUNS ?=
LARGE ?=

# All forms, long and short. Each file starts servers and eight processes of its own, and two files go on at once.
fault-rows: .venv/.installed-dev
	@exec .venv/bin/python -m pytest -n 2 --dist loadfile -m "short_form or long_form" tests/faults tests/system/test_two_releases.py

# As in: make faults SEED=7 MINUTES=20; the same seed makes the same plan of faults.
faults: .venv/.installed-dev
	@exec .venv/bin/python -P -m tests.faults.random_mix $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

# As in: make recovery RUNS=9 LARGE=yes ONLY="worker dispatcher" JSON=recovery.json
JSON ?=
recovery: .venv/.installed-dev
	@exec .venv/bin/python -P -m tests.faults.recovery $(if $(LARGE),--large) $(if $(RUNS),--runs $(RUNS)) \
		$(if $(JSON),--json "$(JSON)") $(if $(ONLY),--only $(ONLY))

# As in: make soak MINUTES=60 RATE=50 JSON=soak.json; without RATE it first sees what the machine can do.
soak: .venv/.installed-dev
	@exec .venv/bin/python -P -m tests.faults.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)) \
		$(if $(JSON),--json "$(JSON)")

bench: .venv/.installed-dev
	@exec .venv/bin/python -P -m benchmarks $(if $(LARGE),--large) $(if $(RUNS),--runs $(RUNS)) $(if $(ONLY),--only $(ONLY))

# As in: make audit AUDIT_SERVICE=osv, where that service can be reached and the package index cannot. What cannot be asked about is no pass.
AUDIT_SERVICE ?= pypi
PIP_AUDIT ?= .venv-audit/bin/pip-audit
AUDITED := $(wildcard requirements*.lock benchmarks/rivals.lock)

audit: $(if $(filter .venv-audit/%,$(PIP_AUDIT)),.venv-audit/.installed)
	@found=; unknown=; \
	for file in $(AUDITED); do \
		echo "==> $$file"; \
		if said=$$("$(PIP_AUDIT)" --strict --vulnerability-service $(AUDIT_SERVICE) --disable-pip --require-hashes --timeout 30 \
			--progress-spinner off -r "$$file" 2>&1); then printf '%s\n' "$$said"; continue; fi; \
		case $$said in \
			*"known vulnerabilit"*) printf '%s\n' "$$said"; found="$$found $$file";; \
			*) printf '%s\n' "$$said" | tail -n 1; unknown="$$unknown $$file";; \
		esac; \
	done; \
	[ -z "$$found" ] || echo "Known vulnerabilities in what these pin:$$found"; \
	[ -z "$$unknown" ] || echo "Not audited, as the advisories ($(AUDIT_SERVICE)) could not be asked about all packages of:$$unknown"; \
	[ -z "$$found$$unknown" ] && echo "No known vulnerabilities."

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --quiet

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv (https://docs.astral.sh/uv/), which is not installed" >&2; exit 1; }
	$(LOCK) pyproject.toml --extra embedded --group build -o requirements.lock
	$(LOCK) pyproject.toml --extra embedded --group dev -c requirements.lock -o requirements-dev.lock
	@# For the container image: what its processes need, without the embedded servers; and what building it takes.
	$(LOCK) pyproject.toml -c requirements.lock -o requirements-run.lock
	$(LOCK) --group build -c requirements.lock -o requirements-build.lock
	@# What `make audit` runs, which is no part of anything else.
	$(LOCK) --group audit -o requirements-audit.lock
	@# What `make bench` measures against; the npm is the one that it installs.
	$(LOCK) benchmarks/rivals.in -o benchmarks/rivals.lock
	@if [ -x benchmarks/.venv/bin/npm ]; then cd benchmarks && .venv/bin/npm update --package-lock-only --ignore-scripts; \
	else echo "benchmarks/package-lock.json stays as it is: run make bench once, which installs npm"; fi

clean:
	rm -rf .venv-audit benchmarks/.venv benchmarks/node_modules
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache htmlcov dist build
	rm -f .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --no-deps: the locks are whole. pip would look at the newest release of what a package wants with an extra, and refuse it for want of a hash.
.venv/.installed: requirements.lock pyproject.toml .venv/.place
	@echo "Installing what Jobledger needs into .venv …"
	@$(PIP) install --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	@echo "Installing what its checks need into .venv …"
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

.venv-audit/.installed: requirements-audit.lock .venv/.installed
	@echo "Installing pip-audit into .venv-audit …"
	@rm -rf .venv-audit; .venv/bin/python -m venv .venv-audit
	@.venv-audit/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r requirements-audit.lock \
		|| { echo "pip-audit could not be installed: is the package index reached?" >&2; exit 1; }
	@touch $@

# .venv knows where it lies and which Python made it: in a checkout that was moved, or after that Python went, it is made anew.
ifneq ($(shell [ "$$(cat .venv/.place 2>/dev/null)" = "$$(pwd)" ] && .venv/bin/python -c '' 2>/dev/null && echo fits),fits)
.venv/.place: FORCE
endif

.venv/.place:
	@if [ ! -e .venv/.place ] && .venv/bin/python -m pip --version >/dev/null 2>&1; then pwd > .venv/.place; exit 0; fi; \
	old=; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3.14 python3.13 python3.12 python3.11 python3 python); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		old="$$python"; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || continue; \
		echo "Making .venv with $$python ($$("$$python" -c 'import platform; print(platform.python_version())')) …"; \
		rm -rf .venv; "$$python" -m venv .venv || exit 1; \
		pwd > .venv/.place; exit 0; \
	done; \
	if [ -n "$$old" ]; then \
		echo "$$old cannot make virtual environments (no venv or ensurepip): on Debian and Ubuntu, install python3-venv" >&2; \
	else \
		echo "no Python of version 3.11 or newer is found: install one, or name it: make PYTHON=/path/to/python3" >&2; \
	fi; exit 1
