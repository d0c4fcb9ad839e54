# All output stays outside the checkout, except bin/ and dist/.
SHELL := bash
.SHELLFLAGS := -o pipefail -ec
STACK ?= dev
# Garbage collection takes a quarter of the compiler's time. More memory reduces it.
export GOGC ?= 400
# The flags of the local cloud's own builds (thirdparty.ProgramFlags), so that shared packages are compiled once for all
# checkouts.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath -gcflags=all=-dwarf=false -ldflags=-s -buildvcs=false)

.PHONY: help up down status build test test-faults unit race e2e bench bench-small pictures graphs v3 dist vet lint
# The number of seeds for each scenario.
SEEDS ?= 6
# The number of parallel end-to-end tests: two more than cores, because tests also wait.
PARALLEL ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)

# The modules of this repository.
MODULES := . localcloud tests tests/programs tests/sdks deploy/deployments docs/pictures $(patsubst %/go.mod,%,$(wildcard examples/*/go.mod))

# In a shell with the environment of a local cloud, go would try to download modules through its proxy.
ifdef KEYVAULT_AKS_HOME
unexport HTTPS_PROXY https_proxy NO_PROXY no_proxy SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS
endif


help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

up: build ## start a local cloud, bring the stack up in it, and read the secret from inside the pod (STACK=dev)
	@bin/localcloud up --stack $(STACK)

down: build ## destroy the stacks, stop the local cloud and remove its state
	@bin/localcloud down

status: build ## show what is running
	@bin/localcloud status

# go build needs a third of a second to find that there is nothing to do, and prints nothing for minutes the first time.
# This target runs it only if something changed: a file in the module (by ctime, which tools cannot set), go itself,
# go's environment, or the size or time of the output. It also shows the progress of a long build.
build: ## build the local cloud, with the plugins that stand in for azure-native and random, into bin/
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

test: unit race e2e ## run all tests

test-faults: build ## run the scenarios of failures with several seeds (SEEDS=6)
	@bin/localcloud prepare
	cd tests && go test -v -timeout 60m -parallel $(PARALLEL) -run Scenario -seeds $(SEEDS) .

unit: vet ## run go vet and the tests that need only Go
	go test ./...
	cd localcloud && go test ./...
	cd tests && go test -count=1 ./docs # the pages are outside its module, so Go would not see that they changed
	cd tests/programs && go test ./...
	cd tests/sdks && go test ./...
	cd deploy/deployments && go test ./...
	cd docs/pictures && go test ./...

race: ## run the unit tests of the local cloud's services with the race detector
	cd localcloud && CGO_ENABLED=1 go test -race -short ./azure/... ./edge ./kube ./providers/...

# -count=1, because Go does not know what the tests depend on and would reuse earlier results.
e2e: build ## run the end-to-end tests, with Pulumi's engine and the local cloud
	@bin/localcloud prepare
	cd tests && go test -v -count=1 -timeout 60m -parallel $(PARALLEL) .

bench: build ## measure building, previewing and bringing up the program, also at scale; takes half an hour
	@bin/localcloud prepare
	cd tests && go run ./bench

bench-small: build ## measure small ratios that have limits, and fail if one is above its limit
	@bin/localcloud prepare
	cd tests && go run ./bench -check

pictures: ## draw docs/graphs and docs/charts, from docs/graphs/*.json and the tables of docs/benchmarks.md
	cd docs/pictures && go run .

# The tests that bring a stack or an example up compare its state with its graph, and write the graph with -update.
graphs: build ## write docs/graphs/*.json from the states of stacks and examples, and draw them; takes seven minutes
	@bin/localcloud prepare
	cd tests && go test -v -count=1 -timeout 60m -parallel $(PARALLEL) -update \
		-run '^(TestDev_MountsSecrets.*|TestProd_Mounts.*|TestExamples_.*|TestSequence_.*)$$' .
	$(MAKE) pictures

v3: ## build a copy of the program with azure-native v3 and run its tests; takes ten minutes and 6 GB the first time
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	git ls-files -z -- '*.go' go.mod go.sum 'Pulumi*.yaml' Pulumi.README.md components deploy docs internal policy \
		provider ':!localcloud' ':!tests' ':!examples' ':!templates' ':!deploy/deployments' | \
		xargs -0 cp --parents -t "$$copy"; \
	go run ./internal/azurenative3 "$$copy"; cd "$$copy"; \
	echo "go mod tidy"; GONOSUMDB=github.com/pulumi/pulumi-azure-native-sdk go mod tidy; \
	echo "go build (prints nothing for minutes the first time)"; nice -n 10 go build -p 1 ./...; \
	go generate ./components; echo "go test"; nice -n 10 go test ./...

# Archives as Pulumi downloads them
# (https://www.pulumi.com/docs/iac/guides/building-extending/packages/publishing-packages/), reproducible byte for byte.
PLATFORMS ?= linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64 windows-arm64
dist: export CGO_ENABLED := 0
dist: ## write the plugin's release archives and checksums to dist/ (PLATFORMS="linux-amd64 ..."); needs GNU tar
	@rm -rf dist; mkdir dist; version=$$(cat provider/VERSION); \
	for platform in $(PLATFORMS); do \
		binary=pulumi-resource-keyvaultaks; [[ $$platform == windows-* ]] && binary+=.exe; \
		echo "pulumi-resource-keyvaultaks-v$$version-$$platform.tar.gz"; \
		GOOS=$${platform%-*} GOARCH=$${platform#*-} go build -o dist/build/$$binary ./provider; \
		tar --directory dist/build --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0755 -cf - $$binary | \
			gzip -n9 > dist/pulumi-resource-keyvaultaks-v$$version-$$platform.tar.gz; \
		rm -rf dist/build; \
	done; cd dist; sha256sum *.tar.gz > SHA256SUMS

vet: ## run go vet in all modules
	for module in $(MODULES); do (cd $$module && go vet ./...); done

lint: ## run golangci-lint, which includes go vet, in all modules
	for module in $(MODULES); do \
		(cd $$module && go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run); done
