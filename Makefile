# SPDX-License-Identifier: Apache-2.0
# A page of shortcuts; CMake is the build.
BUILD   ?= build
TEXT    ?= Hello. This is a small voice of our own, made to try and to test.
OUT     ?= out.wav
PREFIX  ?= /usr/local
JOBS    ?= $(shell getconf _NPROCESSORS_ONLN)
CMAKE_ARGS ?=
MAKEFLAGS += --no-print-directory

.PHONY: build say test test-long bench asan ubsan tsan fuzz reference install help clean deps deps-test deps-fuzz deps-long

build:  ## build library, command, and engines whose package is there; name what is missing
	@scripts/install-deps --check
	@scripts/build $(BUILD) $(JOBS) $(CMAKE_ARGS)

say: export CSM_TEXT = $(TEXT)
say: deps  ## make say TEXT="..." [OUT=out.wav]: install, build, speak with the embedded voice
	@$(MAKE) build
	@$(BUILD)/bin/csm generate --text "$$CSM_TEXT" --output $(OUT) && echo "wrote $(OUT)"

test: deps-test  ## install what is missing, build and run all tests
	@scripts/test

test-long: deps-long  ## the tests that take longer than a coffee; logs under tests/log
	@scripts/test-long

bench: build  ## how to run each benchmark
	@cat bench/README.md

asan: deps-test  ## unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/test-sanitized address,undefined
ubsan: deps-test  ## unit tests under UndefinedBehaviorSanitizer
	@scripts/test-sanitized undefined
tsan: deps-test  ## unit tests under ThreadSanitizer
	@scripts/test-sanitized thread
fuzz: deps-fuzz  ## every fuzz target, FUZZ_SECONDS each
	@scripts/fuzz

reference:  ## the functions of the library as HTML: build/reference/html/index.html
	@scripts/reference $(BUILD)/reference && echo "wrote $(BUILD)/reference/html/index.html"

install: build  ## install under PREFIX
	cmake --install $(BUILD) --prefix $(PREFIX)

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' Makefile

clean:  ## remove what was built
	rm -rf build build-*

deps:  ## install what the build needs and does not find
	@scripts/install-deps
deps-test:
	@scripts/install-deps test
deps-long:
	@scripts/install-deps long
deps-fuzz:
	@scripts/install-deps fuzz
