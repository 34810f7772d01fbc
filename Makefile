# make check is what CI runs. Needs GNU make 3.82 or later (.ONESHELL), Go, a C
# compiler (for the race detector), git and bash; the linter comes by itself, and
# on Debian what deploy-check needs.

# An older make would run each line in a shell of its own, and fail oddly.
ifeq ($(filter oneshell,$(.FEATURES)),)
$(error this needs GNU make 3.82 or later; on macOS: brew install make, then gmake)
endif

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DEFAULT_GOAL := help

LINT_VERSION := 2.15.0
LINT := .cache/bin/golangci-lint-$(LINT_VERSION)

# The health check of the reference workload: the version of its Dockerfile.
PROBE_VERSION := v0.4.40
PROBE := .cache/probe/$(PROBE_VERSION)/grpc-health-probe

# AWS's API models, as data, and the SDK of another language than Go.
MODELS_VERSION := 2.1692.0
JS_SDK_VERSION := 3.699.0
MODELS := .cache/conformance/models/$(MODELS_VERSION)-with-ec2
JS_SDK := .cache/conformance/js/$(JS_SDK_VERSION)-with-ec2
# Prometheus's own discovery, of a module beside castoff's.
DISCOVERY := .cache/conformance/prometheus/discovery

PACKAGES ?= ./...
FUZZTIME ?= 15s
SOAKTIME ?= 10m
# Fresh worlds for every change, and the same ones for whoever checks it again: their
# seed is of the code.
SOAKWORLDS ?= 60
SOAKSEED ?= $(shell find cmd controller -name '*.go' | LC_ALL=C sort | xargs cat | cksum | cut -d ' ' -f 1)
SOAK := go test -count=1 -run '^TestSafetySoak$$' -v ./controller/scenario -soakdir $(CURDIR)/.cache/soak
MUTANTSTIME ?= 4m
MUTANTS := go test -count=1 -run '^TestMutants$$' -v ./controller
ARGS ?=

announce = @printf '\n== %s\n' '$(1)'

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | while IFS= read -r line; do
	  printf '  %-13s %s\n' "$${line%%:*}" "$${line#*## }"
	done

.PHONY: check
check: tools fmt vet lint conformance test scripts soak-check mutants-check lab tidy verify browser shells deploy-check ## all that must hold before a commit lands
	@printf '\n== every check passed\n'

.PHONY: tools
tools: ## say which tools are missing
	$(call announce,tools)
	@missing=()
	for tool in go gofmt git npm node aws; do
	  command -v "$$tool" >/dev/null || missing+=("$$tool")
	done
	if command -v go >/dev/null; then
	  cc=$$(go env CC)
	  command -v "$${cc%% *}" >/dev/null || missing+=("$$cc (a C compiler: go test -race needs it)")
	fi
	if (($${#missing[@]})); then
	  printf 'missing: %s\n' "$${missing[@]}" >&2
	  exit 1
	fi
	go version

.PHONY: fmt
fmt: ## gofmt would change nothing
	$(call announce,gofmt)
	@bad=$$(find . -name '*.go' -not -path './.*/*' -exec gofmt -s -l {} +)
	if [[ -n $$bad ]]; then
	  printf 'gofmt -s -w would change:\n%s\n' "$$bad" >&2
	  exit 1
	fi

.PHONY: vet
vet: ## go vet
	$(call announce,go vet)
	@go vet $(PACKAGES)

.PHONY: lint
lint: $(LINT) ## golangci-lint, with .golangci.yml
	$(call announce,golangci-lint $(LINT_VERSION))
	@$(LINT) run $(PACKAGES)

# One of the right version that is already there is used; else it is built, which
# takes some minutes once.
$(LINT):
	$(call announce,get golangci-lint $(LINT_VERSION))
	@mkdir -p $(@D)
	if found=$$(command -v golangci-lint) && [[ $$("$$found" version --short) == $(LINT_VERSION) ]]; then
	  ln -sf "$$found" $@
	else
	  GOBIN=$(CURDIR)/$(@D) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(LINT_VERSION)
	  mv $(@D)/golangci-lint $@
	fi

.PHONY: test
test: ## every test, with the race detector
	$(call announce,go test -race)
	@go test -race -timeout 40m $(PACKAGES)

.PHONY: conformance
conformance: $(MODELS) $(JS_SDK) $(DISCOVERY) ## the simulated region against AWS's own models, CLI, JavaScript SDK, boto3 and Prometheus
	$(call announce,conformance)
	@CASTOFF_FOREIGN=1 go test -count=1 -timeout 15m -v -run '^(TestConformance|TestForeign)' ./controller/scenario ./cmd/castoff

$(DISCOVERY): $(wildcard cmd/castoff/testdata/prometheus/*)
	$(call announce,get the discovery of Prometheus $(shell awk '$$1 == "github.com/prometheus/prometheus" { print $$2 }' cmd/castoff/testdata/prometheus/go.mod))
	@mkdir -p $(@D)
	go -C cmd/castoff/testdata/prometheus build -o $(CURDIR)/$@ .

$(MODELS):
	$(call announce,get the API models of aws-sdk $(MODELS_VERSION))
	@rm -rf $(@D)
	mkdir -p $(@D)
	tgz=$$(npm pack --silent --pack-destination $(@D) aws-sdk@$(MODELS_VERSION))
	tar -xzf "$(@D)/$$tgz" -C $(@D) --strip-components 2 --wildcards \
	  'package/apis/ec2-2016-11-15.min.json' 'package/apis/ecs-2014-11-13.min.json' \
	  'package/apis/elasticloadbalancingv2-2015-12-01.min.json' 'package/apis/sts-2011-06-15.min.json'
	rm "$(@D)/$$tgz"
	touch $@

$(JS_SDK):
	$(call announce,get the JavaScript SDK $(JS_SDK_VERSION))
	@rm -rf $(@D)
	mkdir -p $(@D)
	npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --prefix $(@D) \
	  @aws-sdk/client-{ec2,ecs,elastic-load-balancing-v2,sts}@$(JS_SDK_VERSION)
	touch $@

.PHONY: lab
lab: $(PROBE) ## the original system for real, on this machine: nginx, gRPC, its probe, TCP; three failures, and killed twenty times
	$(call announce,lab)
	@deploy/check/tools.sh nginx
	go test -count 1 -timeout 15m -v -run '^TestLab' ./cmd/castoff -lab

$(PROBE):
	$(call announce,get grpc-health-probe $(PROBE_VERSION))
	@mkdir -p $(@D)
	GOBIN=$(CURDIR)/$(@D) GOFLAGS= go install github.com/grpc-ecosystem/grpc-health-probe@$(PROBE_VERSION)
	touch $@

.PHONY: tidy
tidy: ## go mod tidy would change nothing
	$(call announce,go mod tidy -diff)
	@go mod tidy -diff

.PHONY: verify
verify: ## the modules are those that go.sum knows
	$(call announce,go mod verify)
	@go mod verify

.PHONY: deploy-check
deploy-check: formatted templates terraform alerts live image ## all of deploy/: what is missing for it is installed, or it fails

# What the checks of deploy/ take from npm, as the lock file has it.
NPM := .cache/npm/node_modules

$(NPM): deploy/check/package.json deploy/check/package-lock.json
	$(call announce,get what deploy/check/package-lock.json has)
	@deploy/check/tools.sh node npm
	mkdir -p $(@D)
	cp $^ $(@D)/
	(cd $(@D) && npm ci --silent --no-audit --no-fund --ignore-scripts)
	touch $@

.PHONY: formatted
formatted: $(NPM) ## the JSON and YAML of deploy/ is as prettier writes it; deploy-format has it so
	$(call announce,prettier)
	@node $(NPM)/prettier/bin/prettier.cjs --config deploy/check/prettier.json --check 'deploy/**/*.{json,yaml,yml}'
	go test -count 1 ./deploy -run '^TestBrokenTools$$' -v -with prettier -modules $(CURDIR)/$(NPM)

.PHONY: deploy-format
deploy-format: $(NPM) ## write the JSON and YAML of deploy/ as formatted wants it
	@node $(NPM)/prettier/bin/prettier.cjs --config deploy/check/prettier.json --write 'deploy/**/*.{json,yaml,yml}'

.PHONY: templates
templates: $(NPM) ## CloudFormation and IAM by AWS's own lists, and the reference workload's nginx.conf
	$(call announce,templates)
	@deploy/check/tools.sh nginx
	node deploy/check/templates.mjs $(NPM)
	nginx -t -q -c $(CURDIR)/deploy/cloudformation/reference-workload/nginx.conf
	printf 'nginx.conf: good\n'
	go test -count 1 ./deploy -run '^TestBrokenTools$$' -v -with nginx

.PHONY: terraform
terraform: ## the Terraform module; says loudly where there is no Terraform, or no provider, to check it with
	$(call announce,terraform)
	@deploy/check/terraform.sh

.PHONY: alerts
alerts: ## rules and alerts by promtool: their form, and that each fires and does not
	$(call announce,alerts)
	@deploy/check/tools.sh promtool
	cd deploy/prometheus
	promtool check config prometheus.yml
	promtool check rules --lint=all --lint-fatal rules.yml alerts.yml
	promtool test rules tests.yml
	go test -count 1 .. -run '^TestBrokenTools$$' -v -with promtool

.PHONY: live
live: ## a real Prometheus and Alertmanager watch castoff in a simulated region: every panel has data, an alert fires and ends
	$(call announce,live)
	@deploy/check/tools.sh prometheus prometheus-alertmanager curl jq
	go build -o .cache/bin/castoff ./cmd/castoff
	go test -count 1 ./deploy -run '^TestLive$$' -v -castoff $(CURDIR)/.cache/bin/castoff

.PHONY: costs
costs: ## what castoff costs at 100, 1,000 and 10,000 tasks; seven minutes, and no part of the checks
	$(call announce,costs)
	@CGO_ENABLED=0 go build -trimpath -tags timetzdata,nolab -gcflags=all=-l -ldflags '-s -w' -o .cache/bin/castoff-costs ./cmd/castoff # as Dockerfile
	go test -count 1 ./deploy -run '^TestCosts$$' -v -costs -castoff $(CURDIR)/.cache/bin/castoff-costs

.PHONY: image
image: ## build the image for amd64 and arm64, and run it; needs root
	$(call announce,image)
	@deploy/check/tools.sh buildah runc busybox
	deploy/check/image.sh

.PHONY: speed
speed: ## simulated seconds a second, for castoff and the region, beside what the bare SDK takes
	$(call announce,go test -run TestSpeed)
	@go test ./controller/scenario -count=1 -run '^TestSpeed$$' -speed -v

.PHONY: bench
bench: ## every benchmark, once
	$(call announce,go test -bench)
	@go test -run '^$$' -bench . -benchmem $(PACKAGES)

.PHONY: fuzz
fuzz: ## every fuzz test for FUZZTIME (15s)
	$(call announce,go test -fuzz for $(FUZZTIME) each)
	@for package in $$(go list $(PACKAGES)); do
	  for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do
	    printf '%s %s\n' "$$package" "$$target"
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$package"
	  done
	done

.PHONY: broken
broken: ## break each guard and step of acting on purpose, and demand that the tests tell (minutes)
	$(call announce,broken on purpose)
	@go test -timeout 60m -run '^TestBroken$$' -v ./controller/scenario -broken

.PHONY: mutants
mutants: ## change policy, timeline, journal and what calls AWS in 3,000 ways, one at a time, and demand that the tests tell (hours)
	$(call announce,mutants)
	@$(MUTANTS) -timeout 0 -mutants 1000h

.PHONY: mutants-check
mutants-check: ## the same for MUTANTSTIME (4m), for other ones for other code; fails where so few are told of that it is fewer than 90 % of all, but for one draw in a hundred
	$(call announce,mutants for $(MUTANTSTIME))
	@$(MUTANTS) -timeout 30m -mutants $(MUTANTSTIME) -mutantsseed $(SOAKSEED)

.PHONY: scripts
scripts: ## what the scripts and replays of controller/scenario alone reach of timeline and policy; fails below 95 %
	$(call announce,coverage by scripts alone)
	@mkdir -p .cache
	go test -count=1 -timeout 20m -run '^Test(Scripts|Replays)$$' -coverpkg=./controller/timeline,./controller/policy -coverprofile=.cache/scripts.cov ./controller/scenario
	awk 'NR > 1 { split($$1, at, ":"); sub("/[^/]*$$", "", at[1]); all[at[1]] += $$2; if ($$3) hit[at[1]] += $$2 }
	  END { for (p in all) { n++; share = 100 * hit[p] / all[p]; printf "%s: %d of %d statements, %.1f %%\n", p, hit[p], all[p], share; if (share < 95) low = 1 }
	    if (low || n != 2) { print "less than 95 %"; exit 1 } }' .cache/scripts.cov

.PHONY: soak
soak: ## random worlds for SOAKTIME (10m), held to every promise; scripts of what is broken go to .cache/soak
	$(call announce,soak for $(SOAKTIME))
	@$(SOAK) -timeout 0 -soak $(SOAKTIME)

.PHONY: soak-check
soak-check: ## the same for the worlds that ever failed, and SOAKWORLDS (60) fresh ones: other ones for other code
	$(call announce,soak of the worlds that ever failed and $(SOAKWORLDS) fresh ones)
	@$(SOAK) -timeout 30m -soakworlds 0
	@$(SOAK) -timeout 30m -soakworlds $(SOAKWORLDS) -soakseed $(SOAKSEED)

.PHONY: hostile
hostile: ## an AWS that lies about each member of each reply, from the start, later, and while a target is out (many minutes)
	$(call announce,hostile)
	@go test -count=1 -timeout 0 -run '^TestSafetyHostileReplies$$' ./controller/scenario -hostile all

.PHONY: browser
browser: ## every page in Chromium: both widths and colour schemes, accessibility, live updates; SCREENSHOTS=DIR keeps pictures
	$(call announce,browser)
	@deploy/check/tools.sh node npm chromium
	mkdir -p .cache/browser
	cp controller/status/browser/package.json controller/status/browser/package-lock.json .cache/browser/
	(cd .cache/browser && npm ci --silent --no-audit --no-fund --ignore-scripts)
	go build -o .cache/bin/castoff ./cmd/castoff
	SCREENSHOTS=$${SCREENSHOTS:-$(CURDIR)/.cache/screenshots} go test -count 1 -timeout 20m -v -run '^TestBrowser$$' ./controller/status -browser $(CURDIR)/.cache/browser/node_modules -castoff $(CURDIR)/.cache/bin/castoff

.PHONY: shells
shells: ## bash, zsh and fish complete castoff's commands, flags and words
	$(call announce,shells)
	@deploy/check/tools.sh zsh fish
	CASTOFF_ALL_SHELLS=1 go test -count 1 -run '^TestCompletionInShells$$' ./cmd/castoff

.PHONY: demo
demo: ## time one failure in a simulated region; ARGS are passed on
	@go run ./cmd/castoff demo $(ARGS)
