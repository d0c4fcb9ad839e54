# Everything that is made stays outside the checkout, but for bin/.
SHELL := bash
.SHELLFLAGS := -o pipefail -ec
STACK ?= dev
# A quarter of what the compiler does is to collect garbage; it may use more memory instead.
export GOGC ?= 400
# The flags with which the local cloud builds (thirdparty.ProgramFlags): what is shared is compiled once, and for all checkouts.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath -gcflags=all=-dwarf=false -ldflags=-s -buildvcs=false)

.PHONY: help up down status build test test-faults unit race e2e bench bench-small pictures graphs v3 dist vet lint
# How many seeds each scenario is tried with.
SEEDS ?= 6
# How many tests of the whole run side by side: two more than cores, since they wait as well.
PARALLEL ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)

# The modules of this repository.
MODULES := . localcloud tests tests/programs tests/sdks deploy/deployments docs/pictures $(patsubst %/go.mod,%,$(wildcard examples/*/go.mod))

# In a shell with the environment of a local cloud, go would look for modules in that cloud.
ifdef KEYVAULT_AKS_HOME
unexport HTTPS_PROXY https_proxy NO_PROXY no_proxy SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS
endif


help: ## what there is to make
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

up: build ## a local cloud, the stack in it, and the secret read from inside the pod (STACK=dev)
	@bin/localcloud up --stack $(STACK)

down: build ## destroy the stacks, stop the local cloud and remove its state
	@bin/localcloud down

status: build ## what runs
	@bin/localcloud status

# go build takes a third of a second to find that there is nothing to do, and is silent for minutes the first time. What it depends on is the
# module, by when anything in it last changed (its ctime, which nobody sets), go itself, and its environment; what it made is known by size
# and time.
build: ## the local cloud, which is also the plugins that stand in for azure-native and random, into bin/
	@mkdir -p bin; env=$$(go env GOVERSION GOROOT GOFLAGS GOOS GOARCH GOAMD64 GOARM64 GOEXPERIMENT CGO_ENABLED CC GOWORK); \
	made() { echo "$$env"; ls -ln bin/localcloud; }; \
	if [[ -e bin/.built && "$$(made 2>/dev/null)" == "$$(cat bin/.built)" ]] && \
		[[ -z "$$(find -L localcloud "$$(command -v go)" -cnewer bin/.built -print -quit)" ]]; then exit; fi; \
	said=$$(mktemp); began=$$(mktemp); rm -f bin/.built; \
	trap 'kill $$pid 2>/dev/null && wait $$pid; rm -f "$$said" "$$began"' EXIT; trap 'exit 143' TERM; \
	go build -C localcloud -v -ldflags '-s -w' -o ../bin/ ./cmd/localcloud 2> "$$said" & pid=$$!; \
	for ((n = 1;; n++)); do \
		kill -0 $$pid 2>/dev/null || break; \
		sleep 0.1; \
		((n % 100)) || echo "  compiling the local cloud: $$(grep -c / "$$said") of \
	$${all:=$$(go list -C localcloud -deps ./cmd/localcloud | grep -c /)} packages, $$((n / 10)) s"; \
	done; wait $$pid || { status=$$?; grep -vxE '[A-Za-z0-9._~/-]+' "$$said" >&2 || true; exit $$status; }; \
	made > bin/.built.part; touch -r "$$began" bin/.built.part; mv bin/.built.part bin/.built

test: unit race e2e ## all tests

test-faults: build ## the scenarios of what can go wrong, with many seeds (SEEDS=6)
	@bin/localcloud prepare
	cd tests && go test -v -timeout 60m -parallel $(PARALLEL) -run Scenario -seeds $(SEEDS) .

unit: vet ## tests that need nothing but Go
	go test ./...
	cd localcloud && go test ./...
	cd tests && go test -count=1 ./docs # the pages are outside its module, so Go would not see that they changed
	cd tests/programs && go test ./...
	cd tests/sdks && go test ./...
	cd deploy/deployments && go test ./...
	cd docs/pictures && go test ./...

race: ## the unit tests of what is concurrent, with the race detector
	cd localcloud && CGO_ENABLED=1 go test -race -short ./azure/... ./edge ./kube ./providers/...

# -count=1: Go does not see what the tests run, and would take an earlier result for this one.
e2e: build ## tests of the whole, with the real engine and the local cloud
	@bin/localcloud prepare
	cd tests && go test -v -count=1 -timeout 60m -parallel $(PARALLEL) .

bench: build ## what building, previewing and bringing up the program take, at scale too; half an hour
	@bin/localcloud prepare
	cd tests && go run ./bench

bench-small: build ## the ratios that must not get worse, measured small; fails where one is above its limit
	@bin/localcloud prepare
	cd tests && go run ./bench -check

pictures: ## draw docs/graphs and docs/charts, from docs/graphs/*.json and the tables of docs/benchmarks.md
	cd docs/pictures && go run .

# The tests that bring a stack or an example up compare its state with its graph, and write the graph with -update.
graphs: build ## write docs/graphs/*.json from the states of the stacks and examples, and draw them; seven minutes
	@bin/localcloud prepare
	cd tests && go test -v -count=1 -timeout 60m -parallel $(PARALLEL) -update \
		-run '^(TestDev_MountsSecrets.*|TestProd_Mounts.*|TestExamples_.*|TestSequence_.*)$$' .
	$(MAKE) pictures

v3: ## build a copy of the program on azure-native v3, and run its unit tests; ten minutes and 6 GB of memory the first time
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	git ls-files -z -- '*.go' go.mod go.sum 'Pulumi*.yaml' Pulumi.README.md components deploy docs internal policy provider ':!localcloud' ':!tests' ':!examples' ':!templates' ':!deploy/deployments' | xargs -0 cp --parents -t "$$copy"; \
	go run ./internal/azurenative3 "$$copy"; cd "$$copy"; \
	echo "go mod tidy"; GONOSUMDB=github.com/pulumi/pulumi-azure-native-sdk go mod tidy; \
	echo "go build, which is silent for minutes the first time"; nice -n 10 go build -p 1 ./...; \
	go generate ./components; echo "go test"; nice -n 10 go test ./...

# As Pulumi downloads them (https://www.pulumi.com/docs/iac/guides/building-extending/packages/publishing-packages/), the same bytes each time.
PLATFORMS ?= linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64 windows-arm64
dist: export CGO_ENABLED := 0
dist: ## release archives of the Pulumi package's plugin with their checksums, into dist/ (PLATFORMS="linux-amd64 ..."); GNU tar
	@rm -rf dist; mkdir dist; version=$$(cat provider/VERSION); \
	for platform in $(PLATFORMS); do \
		binary=pulumi-resource-keyvaultaks; [[ $$platform == windows-* ]] && binary+=.exe; \
		echo "pulumi-resource-keyvaultaks-v$$version-$$platform.tar.gz"; \
		GOOS=$${platform%-*} GOARCH=$${platform#*-} go build -o dist/build/$$binary ./provider; \
		tar --directory dist/build --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0755 -cf - $$binary | \
			gzip -n9 > dist/pulumi-resource-keyvaultaks-v$$version-$$platform.tar.gz; \
		rm -rf dist/build; \
	done; cd dist; sha256sum *.tar.gz > SHA256SUMS

vet: ## go vet, of all modules
	for module in $(MODULES); do (cd $$module && go vet ./...); done

lint: ## golangci-lint, which is go vet too, with the settings in .golangci.yml
	for module in $(MODULES); do (cd $$module && go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run); done
