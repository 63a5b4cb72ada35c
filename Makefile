# yubin: build, run, test.
#
#   make run        build and start `yubin localserve`: a post office to try, on 127.0.0.1
#   make build      ./yubin, one static binary
#   make test       lint, then all tests; installs what they need from Debian if it may
#   make race       sessions, engines and everything at once under Go's race detector; needs gcc
#   make test-long  crashes, power loss, failing and full disks, crowds and other faults, in lanes; see scripts/test-long --list
#   make fuzz       every fuzz target in turn, FUZZTIME each
#   make bench      yubin, on PostgreSQL too, beside Postfix, Dovecot and others, on a quiet machine, as root; writes bench/RESULTS.md

export CGO_ENABLED = 0

GO       ?= go
FUZZTIME ?= 1m
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION)

.PHONY: all build run lint test unit e2e docs durable race test-long fuzz bench clean

all: build

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o yubin ./cmd/yubin

# Building takes some minutes the first time; it says so.
run:
	@scripts/tell "$${TMPDIR:-/tmp}/yubin-build.log" 'building yubin, some minutes the first time' $(MAKE) --no-print-directory build
	./yubin localserve

lint:
	@scripts/gofmt-check
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Says what it does at once and every half minute; all output is in files, and a total
# at the end.
test:
	@GO='$(GO)' MAKE='$(MAKE)' scripts/test-all

# All but the end-to-end suites; results are cached while nothing they use changes.
# Then the suites that take their database from testkit/dbtest, on PostgreSQL. Says
# so loudly if that is not there.
unit:
	$(GO) test -timeout 20m $$($(GO) list ./... | grep -v /e2e)
	@GO='$(GO)' scripts/unit-postgres

# The built binary and real mail programs. Says so loudly if they are not there.
e2e: build
	@scripts/e2e

# Every command that the pages of docs/ show. Needs root and namespaces.
docs: build
	@scripts/docs-run

# That no answer leaves before the sync that makes it true. Needs strace.
durable: build
	@scripts/strace-durable

# What has goroutines, and a minute of everything at once. Only here is there cgo.
race:
	@GO='$(GO)' scripts/race

# Under faults, each test with a time of its own, each lane at most 150 minutes; as
# root. LANE='crash disk' runs some lanes, LONG='TestCrash TestPowerLoss' some tests.
test-long: build
	@GO='$(GO)' scripts/test-long $(LANE) $(LONG)

fuzz:
	@GO='$(GO)' scripts/fuzz $(FUZZTIME)

bench:
	scripts/with-postgres --fsync $(GO) run ./bench run $(BENCHFLAGS)

clean:
	rm -f yubin
