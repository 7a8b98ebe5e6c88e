# pg_sluice
#
#   make demo     see it work: installs what is missing, builds, runs on real data
#   make check    installs what is missing, builds, runs every test
#   make install  into the server that pg_config tells of (as root)

PG_CONFIG ?= pg_config
DESTDIR ?=
export PG_CONFIG

ifneq ($(words $(CURDIR)),1)
$(error The path of this directory has a space in it, which make and PGXS cannot build in: $(CURDIR))
endif

PARTS = proto extension extension/endpoint client

.PHONY: all install uninstall deps demo check torture bench lint fuzz clean $(PARTS)

all: $(PARTS)

proto:
	$(MAKE) -C proto

# The endpoint is linked against the light library's exported functions.
extension: proto
	$(MAKE) -C extension

extension/endpoint: extension proto
	$(MAKE) -C extension/endpoint

client: proto
	$(MAKE) -C client

install: all
	$(MAKE) -C extension install DESTDIR='$(DESTDIR)'
	$(MAKE) -C extension/endpoint install DESTDIR='$(DESTDIR)'
	$(MAKE) -C client install DESTDIR='$(DESTDIR)'

uninstall:
	$(MAKE) -C extension uninstall DESTDIR='$(DESTDIR)'
	$(MAKE) -C extension/endpoint uninstall DESTDIR='$(DESTDIR)'
	$(MAKE) -C client uninstall DESTDIR='$(DESTDIR)'

deps:
	.ci/deps

# Recursive, so that nothing asks for pg_config before deps has installed it.
demo: deps
	$(MAKE) all
	regress/run demo

check: deps
	$(MAKE) all
	regress/run check

torture: deps
	$(MAKE) all
	regress/run torture

bench:
	.ci/deps .ci/packages .ci/packages.bench
	$(MAKE) all
	bench/run

lint: deps
	.ci/lint

fuzz: deps
	$(MAKE) -C proto
	$(MAKE) -C regress/fuzz run

clean:
	for part in $(PARTS) regress/module regress/unit regress/driver regress/fuzz bench; do \
		if [ -f $$part/Makefile ]; then $(MAKE) -C $$part clean || exit 1; fi; \
	done
	rm -rf build regress/messages
