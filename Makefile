# Enlace's tasks; `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh

GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
VERSION  := $(shell git describe --always --dirty --tags 2>/dev/null)
BUILD    := -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)'
TIMEOUT  ?= 15m
FUZZTIME ?= 10s
TORTURE  ?= 10m

# The folders with code: var/ may hold a database that only another user can read.
FOLDERS := $(filter-out bin var,$(patsubst %/,%,$(wildcard */)))

.PHONY: help build deps run test interop torture race bench bench-peers check generate fuzz clean

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

build: ## compile bin/enlace and bin/radload
	@mkdir -p bin
	$(GO) build $(BUILD) -o bin/ ./cmd/enlace ./cmd/radload

deps: ## install the Debian packages that running and testing need, if any is missing
	@deploy/deps.sh

run: build ## bring up the demonstration: database, servers, panel and a simulated network
	@deploy/deps.sh run
	bin/enlace demo

test: deps ## run every test, with real PostgreSQL and radclient
	$(GO) test -timeout $(TIMEOUT) ./...

torture: deps ## have databases, disks, access servers and the program fail at random under load (TORTURE=10m)
	TORTURE=$(TORTURE) $(GO) test -count=1 -v -timeout 24h -run 'TestTorture|TestTheDatabaseIsAwayUnderLoad|TestChaos' ./cmd/enlace

interop: ## try access servers that need a kernel of their own, on a virtual machine: hostapd, pppd (minutes)
	@deploy/deps.sh interop
	@deploy/kernel.sh bin/kernel
	INTEROP_KERNEL=$(CURDIR)/bin/kernel $(GO) test -tags interop -count=1 -v -timeout $(TIMEOUT) -run TestInterop ./cmd/enlace

race: deps ## run every test under the race detector
	$(GO) test -race -timeout $(TIMEOUT) ./...

bench: deps build ## print this machine's figures: the hot path's benchmarks, then the whole program under load
	$(GO) test -run '^$$' -bench . -benchmem ./radius/...
	bin/radload bench

bench-peers: build ## enlace and Debian's FreeRADIUS under the same load, in turn (needs freeradius, freeradius-postgresql)
	bin/radload peers

check: ## formatting, vet, staticcheck, and generated files are fresh
	@unformatted=$$(gofmt -l $(FOLDERS)); test -z "$$unformatted" || { echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags interop ./cmd/enlace
	$(TOOL) staticcheck ./...
	@before=$$($(generated)); $(MAKE) --no-print-directory generate; after=$$($(generated)); \
		test "$$before" = "$$after" || { echo "generated files were stale; commit what make generate wrote:"; git status --short; exit 1; }

generated = find $(FOLDERS) -name '*_templ.go' -exec sha256sum {} + | sort -k 2

generate: ## write the Go files of the pages' templates
	$(TOOL) templ generate -path . -log-level warn

fuzz: ## fuzz every target for a short while (FUZZTIME=10s each)
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

clean: ## remove what was built; never var/, which holds data
	rm -rf bin
