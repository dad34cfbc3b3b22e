# Every command; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch
BIN := $(VENV)/bin
export PYTHONUNBUFFERED := 1
export GRADIO_ANALYTICS_ENABLED := False
export BENTOML_DO_NOT_TRACK := True

.DEFAULT_GOAL := help
.PHONY: help run serve ui worker settings check format test test-torch bench build fuzz bad-input made-up \
        faults long-jobs soak deployment-tools check-deployment evaluate train-text train-speech train-face train-detector clean

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

run: $(VENV)/.run ## Start the service (PORT, 8000), a job worker and the UI (UI_PORT, 7860) until Ctrl-C
	@exec $(BIN)/python -m deployment.local.run service worker ui

serve: $(VENV)/.run ## Start the service alone
	@exec $(BIN)/python -m deployment.local.run service

ui: $(VENV)/.run ## Start the UI alone; SENTIMENT_API_URL names the service
	@exec $(BIN)/python -m deployment.local.run ui

worker: $(VENV)/.run ## Start one more job worker, here or on another machine
	@exec $(BIN)/python -m service.worker

settings: $(VENV)/.run ## Print every setting with its value
	@$(BIN)/python -m service.settings
	@$(BIN)/python -m ui.settings

check: $(VENV)/.test ## Style, types and import directions (seconds)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.test ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(VENV)/.test ## All tests but those that need torch
	$(BIN)/python -m pytest

test-torch: $(VENV)/.torch ## Tests of hub models and training; TORCH names the build to install (a large download)
	$(BIN)/python -m pytest tests/runners/test_torch_hub.py tests/training

bench: $(VENV)/.test ## Throughput, latency, memory; prints the README's table
	$(BIN)/python -m tests.load.bench

fuzz: $(VENV)/.test ## Fuzz the decoders for ten minutes, guided by their native code
	$(BIN)/python -m tests.fuzz.decoders --minutes 10 --write docs/benchmarks/fuzz.md

bad-input: $(VENV)/.test ## Send every case of the corpus of bad input to a real service
	$(BIN)/python -m tests.fuzz.bad_input --write docs/benchmarks/bad-input.md

made-up: $(VENV)/.test ## Ask the service 10,000 times what its OpenAPI document allows
	$(BIN)/python -m tests.contract.made_up --write docs/benchmarks/schemathesis.md

faults: $(VENV)/.test ## Kill, stop and fill things up under load, the slow ones included
	$(BIN)/python -m tests.faults.record --write docs/benchmarks/faults.md

long-jobs: $(VENV)/.test ## An hour of video, two of audio, 100,000 texts as jobs: memory and what is left behind
	$(BIN)/python -m tests.load.long_jobs

soak: $(VENV)/.test ## Half an hour of mixed traffic at 70 % of capacity, then five times too much
	$(BIN)/python -m tests.load.soak --minutes 30 --write docs/benchmarks/soak.md

deployment-tools: $(VENV)/.test ## Install the programs that prove the files of `deployment` (into .tools)
	$(BIN)/python -m deployment.tools install --all

check-deployment: $(VENV)/.test ## Prove all of `deployment` that this machine allows, and say what was skipped and why
	DEPLOYMENT=long $(BIN)/python -m pytest tests/deployment

build: $(VENV)/.test ## Build the Bento
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/bentoml build

ifdef DATA
evaluate: $(VENV)/.run ## Measure the shipped models, writes models/SCORES.md; or on DATA=labels.csv, for a PROFILE=new.toml
	$(BIN)/python -m models.evaluation.own_labels "$(DATA)" $(if $(PROFILE),--profile "$(PROFILE)") \
	    $(if $(ANSWERED),--answered $(ANSWERED)) $(if $(JSON),--json "$(JSON)")
else
evaluate: $(VENV)/.train
	$(BIN)/python -m models.evaluation
	$(BIN)/python -m models.evaluation.conditions
endif

train-text: $(VENV)/.train ## Train, export, calibrate and publish the text model
	$(BIN)/python -m models.training.text
train-speech: $(VENV)/.train ## The same for speech
	$(BIN)/python -m models.training.speech
train-face: $(VENV)/.train build/animals ## The same for face emotion
	$(BIN)/python -m models.training.face
train-detector: $(VENV)/.train ## The same for the face detector
	$(BIN)/python -m models.training.detector

build/animals: ## Pictures of animals and things for training, from two Debian packages (needs apt-get and dpkg-deb)
	mkdir -p $@.new
	cd $@.new && apt-get download gcompris-qt-data tuxpaint-stamps-default
	for package in $@.new/*.deb; do dpkg-deb -x "$$package" $@.new && rm "$$package" || exit 1; done
	mv $@.new $@

clean: ## Remove the virtual environment, programs and caches; what trainings left in `build` stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis .tools *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

$(VENV)/.torch: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,torch,train]'
	@touch $@

$(VENV)/.train: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train]'
	@touch $@
