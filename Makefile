# make              build/tain
# make demo         the whole loop on the embedded model, and a page about it
# make test         every test; make test T=op/silu for one, T=op/% for a folder, J=4 for four at once
# make asan         the same under the address and undefined-behaviour sanitizers
# make validate     the same under the Vulkan validation layer with synchronisation checks
# make bench        how fast training, drawing and judging are, beside PyTorch if there is one: PYTHON
#                   names the Python that has it, MARKDOWN=1 writes the table as the README has it
# make fuzz         every reader of files against bytes that clang makes up; SECONDS=600 for each
# make check-header the header alone in C11, C++ and LuaJIT, and every name in the program
# make carried      shaders/*.words again, after a change of a shader that an older glslc cannot compile;
#                   GLSLC="..." names a newer one
# make manual       build/manual.md
# make clean
#
# B=folder builds elsewhere, V=1 shows the commands. What the system lacks is installed by
# `make install-needs`, and by the targets that run tests.

B        ?= build
CC       ?= cc
CXX      ?= c++
LUAJIT   ?= luajit
GLSLC    ?= glslc --target-env=vulkan1.2 -O -Ishaders
CFLAGS   ?= -O2 -g
J        ?= $(shell nproc)
T        ?= %
V        ?= 0
Q        := $(if $(filter 1,$V),,@)

NEEDS    := luajit libcjson libedit vulkan stb libpcre2-8 libutf8proc zlib
PLAIN    := help clean install-needs
MISSING  := $(if $(filter $(PLAIN),$(MAKECMDGOALS)),,$(shell .ci/missing $(NEEDS)))
all:

help:
	@sed -n '/^[^#]/q; s/^# \{0,1\}//p' Makefile

install-needs:
	.ci/setup

clean:
	rm -rf $B

MAKEFLAGS += -j$(J)
.PHONY: all help install-needs clean carried demo test bench asan validate fuzz check-header manual
ifneq ($(MISSING),)
ifneq ($(INSTALLED),)
$(error still missing: $(MISSING))
else ifeq ($(filter test bench asan validate check-header demo,$(MAKECMDGOALS)),)
$(error missing: $(MISSING). Try  make install-needs)
endif
$(MAKECMDGOALS): # pkg-config answers while make reads this file: install, then start again
	@.ci/setup
	@$(MAKE) --no-print-directory INSTALLED=yes $@
else

FLAGS    := -std=gnu11 -Wall -Wextra -Werror -Wno-missing-field-initializers -fvisibility=hidden -MMD -MP \
            -Iinclude -Icore -Itests -I$B $(shell pkg-config --cflags $(NEEDS))
LIBS     := $(shell pkg-config --libs $(NEEDS)) -lm -ldl -lpthread

CORE     := $(wildcard core/*/*.c)
COMP     := $(wildcard shaders/*.comp)
OBJECTS  := $(CORE:%.c=$B/%.o) $B/shaders.o $B/goldens.o
EXTRA    := $(if $(filter asan,$(MODE)),$B/tests/sanitize.o)
LIBRARY  := $(filter-out $B/core/host/%,$(OBJECTS))
BOUND    := $(addprefix $B/lua/tain/,cdef.lua ops.lua names.lua)
LUA      := $(sort $(wildcard lua/tain/*.lua lua/tain/*/*.lua))
MODULES  := $(LUA) $(BOUND) $B/lua/tain/topics.lua
TEXTS    := $(LUA) $(wildcard recipes/*.lua README.md */README.md */*/README.md)
GOLDENS  := tests/golden/janus/gqa tests/golden/janus/head64
TESTS    := $(patsubst %.c,$B/%,$(filter tests/$T.c,$(wildcard tests/*/*.c)))

all: $B/tain

# -E: recipes call the core through LuaJIT's FFI, and the CPU driver core/lavapipe; both look the symbols up at run time.
$B/tain: $(OBJECTS) $B/modules.o $(EXTRA)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -Wl,-E $(LIBS)

$B/libtain.a: $(LIBRARY)
	$(Q)rm -f $@ && ar rcs $@ $^

$B/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(FLAGS) -c -o $@ $<

# A change of the passes shall not find kernels that the driver keeps from before it.
PASSES   := $(wildcard core/lavapipe/*.[ch])
$B/core/lavapipe/llvm.o: FLAGS += -DPASSES='"$(firstword $(shell cat $(PASSES) | cksum))"'
$B/core/lavapipe/llvm.o: $(PASSES)

# ---- made: what Lua knows of the header, Lua inside the program, shaders (see lua/gen) ----

$(BOUND) $B/lua/tain/manual.md $B/lua/tain/library.lua &: include/tain.h lua/gen/bind.lua
	@mkdir -p $(@D)
	$(Q)$(LUAJIT) lua/gen/bind.lua $< $(@D)

$B/lua/tain/topics.lua $B/manual.md &: lua/gen/manual.lua $B/lua/tain/manual.md $(TEXTS)
	$(Q)$(LUAJIT) lua/gen/manual.lua $B $(TEXTS)

manual: $B/manual.md

$B/modules.c: lua/gen/embed.lua $(MODULES)
	$(Q)$(LUAJIT) lua/gen/embed.lua $@ $(MODULES)

$B/modules.o: $B/modules.c
	$(Q)$(CC) $(FLAGS) -c -o $@ $<

# what `tain check` compares with, anywhere

$B/goldens.c: lua/gen/goldens.lua $(foreach g,$(GOLDENS),$g.json $g.weights.safetensors $g.io.safetensors)
	@mkdir -p $(@D)
	$(Q)$(LUAJIT) lua/gen/goldens.lua $@ $(GOLDENS)

$B/goldens.o: $B/goldens.c
	$(Q)$(CC) $(FLAGS) -c -o $@ $<

$B/shaders.mk $B/shaders.c &: lua/gen/shaders.lua $(COMP)
	@mkdir -p $B/spv $B/carried
	$(Q)$(LUAJIT) lua/gen/shaders.lua $B $(COMP)

-include $B/shaders.mk
$B/shaders.o: $B/shaders.c $(SPIRV)
	$(Q)$(CC) $(CFLAGS) $(FLAGS) -c -o $@ $<

carried: $(CARRIED)

# ---- tests: one program a file; 0 passed, 77 skipped, anything else failed (see tests/run.lua) ----

$B/tests/%: tests/%.c $(EXTRA) $B/libtain.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(FLAGS) -o $@ $(filter %.c %.o %.a,$^) -Wl,-E $(LIBS)

demo: $B/tain
	@$B/tain recipes/demo.lua

test: $B/tain $(TESTS)
	@$(LUAJIT) tests/run.lua $B $J '$T' $(MODE)

bench: $B/tain
	@$B/tain tests/bench/compare.lua $(if $(filter 1,$(MARKDOWN)),--markdown)

asan:
	@$(MAKE) --no-print-directory B=$B/asan MODE=asan test \
		CFLAGS='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'

validate:
	@$(MAKE) --no-print-directory MODE=validate test

# ---- readers of files: a target each in tests/fuzz, which are tests of their corpus as well ----

SECONDS  ?= 60
FUZZ     := $(patsubst tests/%.c,$B/%,$(wildcard tests/fuzz/*.c))
READERS  := $(patsubst %.c,$B/fuzz/%.o,$(wildcard core/base/*.c core/io/*.c) core/model/janus_config.c)
.SECONDARY: $(READERS)
HARSH    := -g -O1 -DFUZZING -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

$B/fuzz/core/%.o: core/%.c
	@mkdir -p $(@D)
	$(Q)clang $(HARSH) $(FLAGS) -c -o $@ $<

$B/fuzz/%: tests/fuzz/%.c $(READERS)
	$(Q)clang $(HARSH) -fsanitize=fuzzer $(FLAGS) -o $@ $(filter %.c %.o,$^) $(LIBS)

fuzz: $(FUZZ)
	@for f in $(FUZZ); do n=$${f##*/}; mkdir -p $B/fuzz/corpus/$$n; echo $$n; \
	    $$f -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=32768 -print_final_stats=1 \
	        -artifact_prefix=$B/fuzz/$$n- $B/fuzz/corpus/$$n tests/fuzz/corpus/$$n 2> $B/fuzz/$$n.log || \
	        { tail -40 $B/fuzz/$$n.log; exit 1; }; \
	    grep -E 'number_of_executed|peak_rss' $B/fuzz/$$n.log; done

check-header: $B/tain
	$(CC) -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c include/tain.h
	$(CXX) -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ include/tain.h
	$B/tain lua/gen/header.lua

endif
-include $(OBJECTS:.o=.d) $(wildcard $B/spv/*.d $B/carried/*.d) $(TESTS:%=%.d) $(READERS:.o=.d)
