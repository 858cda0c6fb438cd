# Ayni's build. `make help` lists the targets; files are found by name, so a new one needs no line here:
#
#   ROOM/*.c                          -> $(B)/libROOM.a     (main.c of node and sim apart)
#   node/main.c, sim/main.c           -> $(B)/ayni, $(B)/ayni-sim
#   tests/{unit,story,fault}/ROOM/test_X.c -> $(B)/tests/KIND/ROOM/test_X; other .c files there are linked into
#                                        each program of their folder, tests/support/*.c into every test
#   tests/powercut/*.c                -> $(B)/powercut, where libfuse3 is there
#   tests/fuzz/ROOM/fuzz_X.c          -> $(B)/replay/ROOM/fuzz_X (plain main) and $(B)/fuzz/ROOM/fuzz_X (libFuzzer), each
#                                        with the other .c files of its folder
#
# Libraries are looked up when $(B)/config.mk is made, after missing packages were installed.

VERSION := 0.1
PREFIX ?= /usr
BUILD ?= build
# One spelling however it was given: the object's name stands in its list of headers, and a list under another name is not read.
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin AR),default)
AR := gcc-ar
endif
CLANG ?= clang
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

comma := ,
# A sanitized build lives beside the plain one: build/address-undefined/...
B := $(BUILD)$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif

# ---- rooms, from the ground up; what each may use, itself first, and the system's libraries of each
ROOMS := base manifest diff store proto node sim
USES_base     := base
USES_manifest := manifest base
USES_diff     := diff manifest base
USES_store    := store diff manifest base
USES_proto    := proto manifest base
USES_node     := node store proto diff manifest base
USES_sim      := sim store proto diff manifest base

SRC_base     := $(wildcard base/*.c)
SRC_manifest := $(wildcard manifest/*.c)
SRC_diff     := $(wildcard diff/*.c)
SRC_store    := $(wildcard store/*.c)
SRC_proto    := $(wildcard proto/*.c)
SRC_node     := $(filter-out node/main.c,$(wildcard node/*.c))
SRC_sim      := $(filter-out sim/main.c,$(wildcard sim/*.c))
SRC_support  := $(wildcard tests/support/*.c)

TEST_SRC    := $(wildcard tests/unit/*/test_*.c tests/story/*/test_*.c tests/fault/*/test_*.c)
HELPER_SRC  := $(filter-out $(TEST_SRC),$(wildcard tests/unit/*/*.c tests/story/*/*.c tests/fault/*/*.c))
FUZZ_SRC    := $(wildcard tests/fuzz/*/fuzz_*.c)
FUZZ_HELPER := $(filter-out $(FUZZ_SRC),$(wildcard tests/fuzz/*/*.c))
E2E         := $(sort $(wildcard tests/e2e/test_*.sh))
ALL_SRC     := $(wildcard $(ROOMS:%=%/*.c)) $(SRC_support) $(TEST_SRC) $(HELPER_SRC) $(FUZZ_SRC) $(FUZZ_HELPER) \
               $(wildcard tests/fuzz/*.c tests/bench/*.c tests/powercut/*.c)

# TEST=mask keeps what has the mask in its name; a mask with * or ? builds all and is matched by tests/run.sh.
mask = $(if $(or $(findstring *,$(TEST)),$(findstring ?,$(TEST)),$(if $(TEST),,all)),$(1),$(strip \
         $(foreach f,$(1),$(if $(findstring $(TEST),$(f)),$(f)))))

TESTS   := $(patsubst %.c,$(B)/%,$(call mask,$(TEST_SRC)))
REPLAYS := $(patsubst tests/fuzz/%.c,$(B)/replay/%,$(call mask,$(FUZZ_SRC)))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(call mask,$(FUZZ_SRC)))
LIBS    := $(ROOMS:%=$(B)/lib%.a)
PROGRAMS := $(if $(wildcard node/main.c),$(B)/ayni) $(if $(wildcard sim/main.c),$(B)/ayni-sim)

# ---- packages, then libraries: only goals that compile wait for them
ifneq ($(filter-out clean help deps,$(or $(MAKECMDGOALS),all)),)
ifndef AYNI_DEPS_OK
ifneq ($(shell packaging/deps.sh --check build >/dev/null 2>&1 || echo missing),)
$(BUILD)/.deps-missing: FORCE
	@packaging/deps.sh build
	@mkdir -p $(BUILD) && touch $@
$(B)/config.mk: $(BUILD)/.deps-missing
endif
endif
export AYNI_DEPS_OK := 1
include $(B)/config.mk
endif

$(B)/config.mk: packaging/config.sh Makefile
	@mkdir -p $(@D)
	@CC='$(CC)' SANITIZE='$(SANITIZE)' packaging/config.sh >$@.tmp && mv $@.tmp $@

# ---- flags (the probed ones, HARDENING and PKG_*, come from config.mk)
CPPFLAGS_ALL = -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DAYNI_VERSION='"$(VERSION)"' $(PKG_CFLAGS)
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Wundef \
       -Wpointer-arith -Wcast-qual -Wwrite-strings -Wimplicit-fallthrough $(if $(filter 1,$(WERROR)),-Werror)
ifdef SANITIZE
OPT = -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDHARD = -fsanitize=$(SANITIZE)
else
OPT = -O2 -g -D_FORTIFY_SOURCE=2 $(HARDENING)
LDHARD = $(HARDENING_LD)
endif
CFLAGS_ALL = -std=gnu11 $(OPT) $(WARN) $(CPPFLAGS_ALL) $(CPPFLAGS) $(CFLAGS)
LDFLAGS_ALL = $(LDHARD) -Wl,--as-needed $(LDFLAGS)
FUZZ_CFLAGS = -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
              -fno-sanitize-recover=all $(WARN) $(CPPFLAGS_ALL) -DAYNI_FUZZING=1

# Libraries of a room: its own and those of the rooms below.
LIB_base     = $(PKG_CRYPTO)
LIB_manifest = $(PKG_SODIUM)
LIB_diff     = -ldivsufsort -ldivsufsort64 $(PKG_ZSTD) $(PKG_LZMA) -lbz2 -pthread
LIB_store    =
LIB_proto    = $(PKG_SODIUM)
LIB_node     = $(PKG_UV) $(PKG_INIH) $(PKG_JANSSON) $(PKG_SQLITE) -pthread
LIB_sim      = -lm
libs = $(foreach r,$(USES_$(1)),$(LIB_$(r))) -lm

# ---- what `make` builds
.PHONY: all programs lib tests fuzzers replays check demo bench lint lint-fast format fuzz sim crash powercut vmcheck roundtrips deps install clean help FORCE
all: $(PROGRAMS) $(LIBS) tests replays $(if $(shell pkg-config --exists fuse3 && echo yes),$(B)/powercut) $(if $(shell command -v $(CLANG) 2>/dev/null),$(if $(SANITIZE),,fuzzers))
programs: $(PROGRAMS)
	@:
lib: $(LIBS)
tests: $(TESTS)
	@:
replays: $(REPLAYS)
	@:
fuzzers: $(FUZZERS)
	@:
FORCE:

# Objects are made anew when compiler, flags or the folder's name change. With WERROR=1 also those that once compiled with a
# warning, so that `make` and then `make check` neither builds twice nor lets a warning slip through.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(B): $(subst ','\'',$(CC) $(filter-out -Werror,$(CFLAGS_ALL)) $(LDFLAGS_ALL))' >$@.tmp; \
	if cmp -s $@.tmp $@; then rm $@.tmp; else mv $@.tmp $@; fi
ifeq ($(WERROR),1)
$(shell find $(B) -name '*.o.warn' 2>/dev/null | while read -r w; do rm -f "$${w%.warn}" "$$w"; done)
endif

# $(call compile,compiler,flags): warnings are shown and kept beside the object.
define compile
@mkdir -p $(@D)
@$(if $(V),echo '$(1) -c $<';)$(1) $(2) -MMD -MP -MF $(@:.o=.d) -c $< -o $@ 2>$@.warn || { cat $@.warn >&2; rm -f $@.warn; exit 1; }
@if [ -s $@.warn ]; then cat $@.warn >&2; else rm -f $@.warn; fi
endef
$(B)/obj/%.o: %.c $(B)/flags
	$(call compile,$(CC),$(CFLAGS_ALL))
$(B)/fuzzobj/%.o: %.c $(B)/flags
	$(call compile,$(CLANG),$(FUZZ_CFLAGS))

define archive
@mkdir -p $(@D)
@rm -f $@
@$(AR) rcsD $@ $(filter %.o,$^)
endef

# The set of members is a dependency too: a deleted source must leave the archive.
define room_rules
$(B)/lib$(1).a: $(SRC_$(1):%.c=$(B)/obj/%.o) $(B)/obj/$(1).list
	$$(archive)
$(B)/fuzzobj/lib$(1).a: $(SRC_$(1):%.c=$(B)/fuzzobj/%.o) $(B)/obj/$(1).list
	$$(archive)
$(B)/obj/$(1).list: FORCE
	@mkdir -p $$(@D)
	@echo '$(SRC_$(1))' >$$@.tmp; if cmp -s $$@.tmp $$@; then rm $$@.tmp; else mv $$@.tmp $$@; fi
endef
$(foreach r,$(ROOMS) support,$(eval $(call room_rules,$(r))))

define link
@mkdir -p $(@D)
@$(if $(V),echo 'link $@';)$(CC) $(CFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDFLAGS_ALL) $(1)
endef

$(B)/ayni: $(B)/obj/node/main.o $(USES_node:%=$(B)/lib%.a)
	$(call link,$(call libs,node))
$(B)/ayni-sim: $(B)/obj/sim/main.o $(USES_sim:%=$(B)/lib%.a)
	$(call link,$(call libs,sim))

# libfuse3 is looked for here and not in config.mk: only this needs it, and it may be installed later.
$(B)/powercut: $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/powercut/*.c)) $(B)/libsupport.a $(USES_store:%=$(B)/lib%.a)
	$(call link,$(shell pkg-config --libs fuse3) $(call libs,store))

# One set of rules per room for its tests, replays and fuzzers.
define test_rules
$(foreach k,unit story fault,
$(patsubst %.c,$(B)/%,$(filter tests/$(k)/$(1)/%,$(TEST_SRC))): $(B)/%: $(B)/obj/%.o \
		$(patsubst %.c,$(B)/obj/%.o,$(filter tests/$(k)/$(1)/%,$(HELPER_SRC))) $(B)/libsupport.a $(USES_$(1):%=$(B)/lib%.a)
	$$(call link,$$(PKG_CMOCKA) $$(call libs,$(1)))
)
$(patsubst tests/fuzz/%.c,$(B)/replay/%,$(filter tests/fuzz/$(1)/%,$(FUZZ_SRC))): $(B)/replay/%: $(B)/obj/tests/fuzz/%.o \
		$(B)/obj/tests/fuzz/replay_main.o $(patsubst %.c,$(B)/obj/%.o,$(filter tests/fuzz/$(1)/%,$(FUZZ_HELPER))) $(USES_$(1):%=$(B)/lib%.a)
	$$(call link,$$(call libs,$(1)))
$(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(filter tests/fuzz/$(1)/%,$(FUZZ_SRC))): $(B)/fuzz/%: $(B)/fuzzobj/tests/fuzz/%.o \
		$(patsubst %.c,$(B)/fuzzobj/%.o,$(filter tests/fuzz/$(1)/%,$(FUZZ_HELPER))) $(USES_$(1):%=$(B)/fuzzobj/lib%.a)
	@mkdir -p $$(@D)
	@$(CLANG) -fsanitize=fuzzer,address,undefined -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) -Wl,--as-needed $$(call libs,$(1))
endef
$(foreach r,$(ROOMS),$(eval $(call test_rules,$(r))))
# Stories of the core are told on the simulator's machine in memory.
$(patsubst %.c,$(B)/%,$(filter tests/story/proto/%,$(TEST_SRC))): $(patsubst %.c,$(B)/obj/%.o,$(wildcard sim/fake*.c))

-include $(patsubst %.c,$(B)/obj/%.d,$(ALL_SRC)) $(patsubst %.c,$(B)/fuzzobj/%.d,$(ALL_SRC))

# ---- what people call
SUBMAKE = $(MAKE) --no-print-directory

check:
	+@MAKE='$(SUBMAKE)' BUILD='$(BUILD)' TEST='$(TEST)' JOBS='$(JOBS)' tests/run.sh

demo:
	@packaging/deps.sh build demo
	+@$(SUBMAKE) AYNI_DEPS_OK=1 BUILD='$(BUILD)' $(B)/ayni
	@AYNI='$(abspath $(B))/ayni' BUILD='$(abspath $(B))' tests/demo.sh

bench:
	@packaging/deps.sh build demo bench
	+@$(SUBMAKE) AYNI_DEPS_OK=1 BUILD='$(BUILD)' $(B)/ayni
	@AYNI='$(abspath $(B))/ayni' BUILD='$(abspath $(B))' tests/bench/bench.sh

lint lint-fast:
	@packaging/deps.sh build lint
	+@$(SUBMAKE) -k AYNI_DEPS_OK=1 BUILD='$(BUILD)' lib || echo 'What does not build is not looked into.'
	@CC='$(CC)' CLANG='$(CLANG)' PKG_CFLAGS='$(PKG_CFLAGS)' JOBS='$(JOBS)' BUILD='$(abspath $(B))' \
		tests/lint/lint.sh $(if $(filter lint-fast,$@),--fast) .

format:
	@packaging/deps.sh lint
	clang-format -i $(foreach d,$(ROOMS) tests/*,$(wildcard $(d)/*.[ch] $(d)/*/*.[ch]))

fuzz:
	@packaging/deps.sh build lint
	+@$(SUBMAKE) AYNI_DEPS_OK=1 BUILD='$(BUILD)' TEST='$(TEST)' fuzzers
	@BUILD='$(abspath $(B))' FUZZ_SECONDS='$(FUZZ_SECONDS)' JOBS='$(JOBS)' tests/fuzz/run.sh $(FUZZERS)

sim: $(B)/ayni-sim
	$(B)/ayni-sim $(if $(SEED),--seed $(SEED),--seeds 200)

crash:
	@packaging/deps.sh build check
	+@$(SUBMAKE) AYNI_DEPS_OK=1 BUILD='$(BUILD)' SANITIZE='$(SANITIZE)' $(B)/tests/fault/store/test_crash
	@CMOCKA_MESSAGE_OUTPUT=STDOUT AYNI_CRASH_SEED='$(SEED)' AYNI_CRASH_STATES='$(STATES)' $(B)/tests/fault/store/test_crash

# 100,000 states and more: STATES=40000 (for each file system) FS=ext4,xfs,btrfs SEED=1 STORIES=20 JOBS=4; MUTANTS=1 (ONLY=heal: ONLY==apply:syncfs:.#1) leaves out each sync in turn
powercut:
	@packaging/deps.sh build powercut
	+@$(SUBMAKE) AYNI_DEPS_OK=1 BUILD='$(BUILD)' $(B)/powercut
	@$(abspath $(B))/powercut $(if $(MUTANTS),--mutants $(if $(ONLY),--only '$(ONLY)')) --fs $(or $(FS),ext4$(comma)xfs$(comma)btrfs) \
		--states $(or $(STATES),$(if $(MUTANTS),240,40000)) --stories $(or $(STORIES),$(if $(MUTANTS),3,20)) \
		--seed $(or $(SEED),1) --jobs $(or $(filter-out $(shell nproc),$(JOBS)),4) --tear $(or $(TEAR),4096) --keep '$(abspath $(BUILD))'

# Every pair of the corpus there and back: PAIRS="libs text kernel-image" (all) KEPT=yes (ask no archive)
roundtrips:
	@packaging/deps.sh build bench
	+@$(SUBMAKE) AYNI_DEPS_OK=1 BUILD='$(BUILD)' $(B)/ayni
	@BUILD='$(abspath $(B))' AYNI_ROUNDTRIPS_KEPT='$(KEPT)' tests/roundtrips.sh $(PAIRS)

# What this kernel lacks (fs-verity): the distribution's kernel in qemu. VM_SECONDS=1500 VM_ACCEL=tcg VM_KERNEL=... VM_MODULES=...
vmcheck:
	@packaging/deps.sh build check vm
	+@$(SUBMAKE) AYNI_DEPS_OK=1 BUILD='$(BUILD)' TEST=unit/store/ programs tests
	@BUILD='$(abspath $(B))' tests/vm/vmcheck.sh

deps:
	@packaging/deps.sh build lint demo bench check

install: $(B)/ayni
	install -D -m 755 $(B)/ayni $(DESTDIR)$(PREFIX)/bin/ayni
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for f in $(notdir $(wildcard packaging/*.service packaging/*.path)); do \
		sed 's|/usr/bin/ayni|$(PREFIX)/bin/ayni|' packaging/$$f >$(DESTDIR)$(PREFIX)/lib/systemd/system/$$f && \
		chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$$f || exit 1; done
	install -D -m 644 packaging/ayni.bash-completion $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ayni
	for f in $(wildcard docs/*.md README.md LICENSE); do install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/doc/ayni/$$f || exit 1; done
	for f in $(wildcard docs/*.[1-8]); do install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/man/man$${f##*.}/$${f##*/} || exit 1; done

clean:
	rm -rf $(BUILD)

help:
	@echo 'make              the programs, all tests and fuzz targets, into $$(BUILD) (default: build)'
	@echo 'make check        everything that must hold; TEST=mask runs only tests with the mask in their name'
	@echo 'make demo         a school server and six laptops, two real releases'
	@echo 'make bench        times, sizes and memory against what is there today'
	@echo 'make lint         format, layers, banned functions, headers alone, clang-tidy (lint-fast: without the last)'
	@echo 'make format       put all C files into the form of .clang-format'
	@echo 'make fuzz         each libFuzzer target for FUZZ_SECONDS=60; TEST=mask'
	@echo 'make sim SEED=n   repeat one simulated run; without SEED 200 of them'
	@echo 'make crash        cut the power of a store in STATES=6000 ways, from SEED=1 on (memory only)'
	@echo 'make vmcheck      what the kernel here may lack (fs-verity), in a virtual machine: VM_SECONDS=1500 VM_ACCEL=tcg'
	@echo 'make powercut     power cuts on ext4, xfs and btrfs (root): STATES=40000 FS=ext4,xfs,btrfs SEED=1 STORIES=20 JOBS=4; MUTANTS=1'
	@echo 'make roundtrips   deltas of all large real trees, there and back: PAIRS="libs zip text native arm64 usr node root kernel"; KEPT=yes'
	@echo 'make deps         install the Debian packages that are missing'
	@echo 'make install      DESTDIR= PREFIX=/usr'
	@echo 'Options: SANITIZE=address,undefined  WERROR=1  CC=gcc  V=1  BUILD=dir  JOBS=n'
