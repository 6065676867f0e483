# make              build/tain
# make test         every test; make test T=op/silu for one, T=op/% for a folder
# make asan         the same under the address and undefined-behaviour sanitizers
# make validate     the same under the Vulkan validation layer with synchronisation checks
# make manual       build/lua/tain/manual.md
# make clean
#
# B=folder builds elsewhere, V=1 shows the commands.

B        ?= build
CC       ?= cc
LUAJIT   ?= luajit
GLSLC    ?= glslc --target-env=vulkan1.2 -O -Ishaders
CFLAGS   ?= -O2 -g
V        ?= 0
Q        := $(if $(filter 1,$V),,@)

NEEDS    := luajit libcjson vulkan stb libpcre2-8 libutf8proc
ifneq ($(shell pkg-config --exists $(NEEDS) && echo yes),yes)
$(error missing libraries: try  sudo apt-get install $(shell cat .ci/packages 2>/dev/null))
endif

FLAGS    := -std=gnu11 -Wall -Wextra -Werror -Wno-missing-field-initializers -fvisibility=hidden -MMD -MP \
            -Iinclude -Icore -Itests -I$B $(shell pkg-config --cflags $(NEEDS))
LIBS     := $(shell pkg-config --libs $(NEEDS)) -lm -ldl -lpthread

CORE     := $(wildcard core/*/*.c)
COMP     := $(wildcard shaders/*.comp)
OBJECTS  := $(CORE:%.c=$B/%.o) $B/shaders.o
LIBRARY  := $(filter-out $B/core/host/%,$(OBJECTS))
TESTS    := $(patsubst %.c,$B/%,$(wildcard tests/*/*.c))

all: $(LIBRARY)

$B/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(FLAGS) -c -o $@ $<

# ---- shaders: variants are declared in the .comp, see lua/gen/shaders.lua ----

$B/shaders.mk $B/shaders.c &: lua/gen/shaders.lua $(COMP)
	@mkdir -p $B/spv
	$(Q)$(LUAJIT) lua/gen/shaders.lua $B $(COMP)

-include $B/shaders.mk
$B/shaders.o: $B/shaders.c $(SPIRV)
	$(Q)$(CC) $(CFLAGS) $(FLAGS) -c -o $@ $<

# ---- tests: one program a file; 0 passed, 77 skipped, anything else failed ----

$B/tests/%: tests/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(FLAGS) -o $@ $< $(LIBRARY) $(LIBS)

clean:
	rm -rf $B

.PHONY: all test asan validate manual clean
-include $(OBJECTS:.o=.d) $(wildcard $B/spv/*.d) $(TESTS:%=%.d)
