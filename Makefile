# Kiln's build. `make help` lists the targets. A new source file needs no edit here: folders decide.
# Everything is built under $(BUILD); nothing else in the tree is written.

# Stated once, in include/kiln/core.h.
VERSION   := $(shell awk '/define KILN_VERSION_(MAJOR|MINOR|PATCH) / { v = v dot $$3; dot = "." } END { print v }' include/kiln/core.h)
SOVERSION := 0

BUILD ?= build

# What this build was told before stands until it is told otherwise, so that `make CC=clang` and then `sudo make install` install what was
# built and tested. `make clean` forgets. Written by `remember`.
FOLDERS  := PREFIX LIBDIR BINDIR INCLUDEDIR PKGCONFIGDIR DOCDIR
SETTINGS := CC CXX AR OBJCOPY CPPFLAGS CFLAGS LDFLAGS WERROR SANITIZE LLVM_CONFIG LLVM_LINK $(FOLDERS)
-include $(BUILD)/.settings
$(foreach v,$(SETTINGS),$(if $(filter default undefined,$(origin $v)),$(if $(filter file,$(origin told-$v)),$(eval $v := $$(told-$v)))))
TOLD := $(foreach v,$(SETTINGS),$(if $(filter command environment file,$(firstword $(origin $v))),$v))

PREFIX       ?= /usr/local
LIBDIR       ?= $(PREFIX)/lib
BINDIR       ?= $(PREFIX)/bin
INCLUDEDIR   ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
DOCDIR       ?= $(PREFIX)/share/doc/kiln
MANDIR       ?= $(PREFIX)/share/man
WORDSDIR     ?= $(PREFIX)/share/bash-completion/completions
# A folder from ~ or from here is written in full: it goes into the library and into kiln.pc.
full = $(if $(filter ~,$(1)),$(HOME),$(if $(filter ~/%,$(1)),$(HOME)/$(patsubst ~/%,%,$(1)),$(if $(filter \
	~%,$(1)),$(error $(1): write the folder in full),$(abspath $(1)))))
$(foreach v,$(FOLDERS),$(eval override $v := $(call full,$($v))))

AR      ?= ar
OBJCOPY ?= objcopy
CFLAGS  ?= -O2 -g
WERROR  ?= -Werror
# Comma-separated sanitizers, e.g. SANITIZE=address,undefined; empty: none.
SANITIZE ?=
# Empty: the first that fits (.ci/deps.sh).
LLVM_CONFIG ?=
# archives: the module has LLVM in itself; shared: it is linked to libLLVM. Empty: archives, where they are there and no sanitizer is,
# whose lists of what is not ours go by the library.
LLVM_LINK ?= $(if $(SANITIZE),shared)

# Two jobs unless the caller says otherwise, on the command line or in the environment's MAKEFLAGS.
ifeq ($(MAKELEVEL)$(filter -j% j% --jobs%,$(MAKEFLAGS) $(shell echo "$$MAKEFLAGS")),0)
MAKEFLAGS += -j2
endif
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
Q := $(if $(V),,@)
comma := ,
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

# ---- flags -----------------------------------------------------------------------------------------
MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null || uname -m)))
# What `deps` found, read at the first use: recipes run after it.
found = $(eval $(1) := $(shell sed -n 's/^$(2) //p' $(BUILD)/.deps))$($(1))
ZLIB_CFLAGS  = $(call found,ZLIB_CFLAGS,zlib-cflags)
ZLIB_LIBS    = $(call found,ZLIB_LIBS,zlib-libs)
CMOCKA_FLAGS = $(call found,CMOCKA_FLAGS,cmocka-cflags)
CMOCKA_LIBS  = $(call found,CMOCKA_LIBS,cmocka-libs)
LLVM         = $(call found,LLVM,llvm-config)
ARCHIVES     = $(call found,ARCHIVES,llvm-archives)

WARN    := -Wall -Wextra -Wshadow $(WERROR)
NUMERIC := -ffp-contract=off -fno-math-errno -fno-trapping-math -fwrapv
SAN     := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
# What every C file of ours needs whatever the caller's CFLAGS are.
BASE     = -std=gnu11 -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections $(NUMERIC) $(WARN) $(SAN) -Iinclude -I$(BUILD)/gen $(ZLIB_CFLAGS)
COMPILE  = $(CC) $(CPPFLAGS) $(BASE) $(CFLAGS) -MMD -MP
LINK     = $(CC) $(CFLAGS) $(SAN) $(LDFLAGS)
LINKXX   = $(CXX) $(CFLAGS) $(SAN) $(LDFLAGS)
LIBS     = $(ZLIB_LIBS) -lm -lpthread -ldl
# A shared library with an undefined symbol should fail here, not at the user's. Sanitizers leave theirs undefined.
NO_UNDEFINED := $(if $(SANITIZE),,-Wl,-z,defs)

# Kernels are compiled once for the baseline and once for each wider instruction set.
# Of these, macros by the thousand, debuggers are told the lines and not where each variable is: two fifths of the time to compile them.
LINES_ALONE := $(if $(filter -g -g2 -g3 -ggdb%,$(CFLAGS)),-g1)
KERNEL_FLAGS = $(if $(filter codegen/eager/% codegen/contract/%,$<),-O3 $(LINES_ALONE)) \
	$(if $(filter %_avx2.c,$<),-mavx2 -mfma -mf16c) \
	$(if $(filter %_avx512.c,$<),-mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma) \
	$(if $(filter %_vnni_avx512.c,$<),-mavx512vnni)
X86_ONLY := %_avx2.c %_avx512.c
FOREIGN  := $(if $(filter x86_64 amd64,$(MACHINE)),,$(X86_ONLY))

# ---- sources ---------------------------------------------------------------------------------------
LIB_SRC := $(filter-out $(FOREIGN),$(wildcard runtime/*.c ir/*.c passes/*.c codegen/*.c $(foreach room,lower contract store eager ref cuda native emu gpu,codegen/$(room)/*.c) codegen/walk/embed.c codegen/walk/object.c \
	$(foreach room,engine ops trace grad linalg fft function aot check nn io onnx,frontend/$(room)/*.c) frontend/*.c))
CLI_SRC := $(wildcard frontend/cli/*.c)

# The LLVM module: the backend itself plus its own copy of everything stateless that it calls. Two are made, which differ in one
# file: one for the machine that it runs on, and one for every machine that LLVM knows.
MODULE_BACKEND   := $(wildcard codegen/cpu/*.c)
MODULE_NOT_STATE := $(wildcard runtime/buffer*.c runtime/thread*.c runtime/device*.c runtime/run*.c runtime/program*.c)
MODULE_SHARED    := $(filter-out $(MODULE_NOT_STATE),$(wildcard runtime/*.c)) $(wildcard ir/*.c) codegen/routine.c codegen/imports.c codegen/rare.c
MODULE_SRC       := $(MODULE_BACKEND) $(MODULE_SHARED)

TEST_C   := $(wildcard tests/test_*.c tests/conformance/test_*.c tests/fuzz/test_*.c)
TEST_CC  := $(wildcard tests/test_*.cc tests/conformance/test_*.cc)
# Helpers that several tests share: every other C file of tests/.
TEST_LIB := $(filter-out $(TEST_C),$(wildcard tests/*.c))
# Scripts that are tests; the others run tests, or take too long to be one.
TEST_SH  := $(filter-out tests/run.sh tests/examples.sh tests/mutants.sh tests/valgrind.sh tests/gpu.sh,$(wildcard tests/*.sh))
EXAMPLE_C  := $(wildcard docs/examples/*.c)
EXAMPLE_CC := $(wildcard docs/examples/*.cc)
# Programs that were once wrong, built and run like examples.
PROGRAM_C  := $(wildcard tests/programs/*.c)
BENCH_C    := $(wildcard tests/bench/*.c)
# The core suite: what valgrind and the thread sanitizer run.
CORE_TESTS := test_base test_map test_dtype test_buffer test_threads test_thread_cores test_scalar test_graph test_dim test_fold \
	test_text test_verify test_passes test_reverse test_lower test_eager test_eager_move test_eager_reduce test_contract test_scope \
	test_tape test_ops test_compose test_print test_nn test_data test_chain test_host_stack

object  = $(patsubst %,$(BUILD)/obj/%.o,$(1))
LIB_OBJ      := $(call object,$(LIB_SRC))
CLI_OBJ      := $(call object,$(CLI_SRC))
MODULE_OBJ   := $(call object,$(MODULE_SRC))
NATIVE_OBJ   := $(filter-out %/targets_all.c.o,$(MODULE_OBJ))
ALL_OBJ      := $(filter-out %/targets_native.c.o,$(MODULE_OBJ))
TEST_LIB_OBJ := $(call object,$(TEST_LIB))
# What only test programs need is not thrown away between two runs.
.SECONDARY: $(TEST_LIB_OBJ)
TEST_BIN     := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_C)) $(patsubst tests/%.cc,$(BUILD)/tests/%,$(TEST_CC))
EXAMPLE_BIN  := $(patsubst docs/examples/%.c,$(BUILD)/examples/%,$(EXAMPLE_C)) \
	$(patsubst docs/examples/%.cc,$(BUILD)/examples/%,$(EXAMPLE_CC)) \
	$(patsubst tests/programs/%.c,$(BUILD)/examples/%,$(PROGRAM_C))
BENCH_BIN    := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCH_C))
BENCH_TESTED := $(BUILD)/bench/check $(BUILD)/bench/serve $(BUILD)/bench/gpu
CORE_BIN     := $(filter $(addprefix $(BUILD)/tests/,$(CORE_TESTS)),$(TEST_BIN))

# ---- products --------------------------------------------------------------------------------------
SO      := $(BUILD)/libkiln.so
SO_NAME := libkiln.so.$(SOVERSION)
SO_FULL := $(BUILD)/libkiln.so.$(VERSION)
STATIC  := $(BUILD)/libkiln.a
# The objects as they are, for the command and the tests, which look inside.
OBJECTS := $(BUILD)/libkiln-objects.a
MODULE  := $(if $(MODULE_BACKEND),$(BUILD)/libkiln-llvm.so $(BUILD)/libkiln-llvm-all.so)
COMMAND := $(if $(CLI_SRC),$(BUILD)/kiln)
PRODUCTS := $(STATIC) $(if $(LIB_SRC),$(SO)) $(MODULE) $(COMMAND) $(BUILD)/kiln.pc

all: deps $(PRODUCTS) ## the libraries, the LLVM module, the command, kiln.pc (default)
.DEFAULT_GOAL := all

$(OBJECTS): $(LIB_OBJ) $(BUILD)/.sources
	$(Q)rm -f $@ && $(AR) rcsT $@ $(LIB_OBJ)

# One object in which only the public names are global, so that a program may have a map_get of its own. Its functions keep
# sections of their own, for --gc-sections.
$(STATIC): $(LIB_OBJ) $(BUILD)/.sources
	$(call say,AR,$@)
	$(Q)$(CC) -r -nostdlib -o $(BUILD)/kiln.o $(LIB_OBJ) && $(OBJCOPY) --localize-hidden $(BUILD)/kiln.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(BUILD)/kiln.o

$(SO_FULL): $(LIB_OBJ) frontend/kiln.map $(BUILD)/.sources
	$(call say,LINK,$@)
	$(Q)$(LINK) -shared -Wl,-soname,$(SO_NAME) -Wl,--version-script=frontend/kiln.map $(NO_UNDEFINED) \
		-o $@ $(LIB_OBJ) $(LIBS)

$(SO): $(SO_FULL)
	$(Q)ln -sf $(notdir $(SO_FULL)) $(BUILD)/$(SO_NAME) && ln -sf $(SO_NAME) $@

LLVM_SHARED = $(shell d=$$($(LLVM) --libdir); $(LLVM) --ldflags --link-shared --libs; \
	case $$d in (/usr/*) ;; (*) echo -Wl,-rpath,$$d ;; esac)
MODULE_LINK = $(LINK) -shared -Wl,-soname,$(notdir $@) -Wl,--version-script=codegen/cpu/module.map $(NO_UNDEFINED) -o $@
$(BUILD)/libkiln-llvm.so: $(NATIVE_OBJ) codegen/cpu/module.map $(BUILD)/.sources $(BUILD)/.llvm
	$(call say,LINK,$@)
	$(Q)$(MODULE_LINK) $(NATIVE_OBJ) $(if $(ARCHIVES),-Wl$(comma)--gc-sections $(ARCHIVES),$(LLVM_SHARED)) -lm -lpthread
$(BUILD)/libkiln-llvm-all.so: $(ALL_OBJ) codegen/cpu/module.map $(BUILD)/.sources
	$(call say,LINK,$@)
	$(Q)$(MODULE_LINK) $(ALL_OBJ) $(LLVM_SHARED) -lm -lpthread

$(BUILD)/kiln: $(CLI_OBJ) $(OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $(CLI_OBJ) $(OBJECTS) $(LIBS)

# Relative where it can be, so that the tree can be moved: kiln.pc says where it lies itself, and the rest from there.
pc_above   = $(subst $() $(),,$(patsubst %,/..,$(subst /, ,$(patsubst $(PREFIX)/%,%,$(PKGCONFIGDIR)))))
pc_prefix  = $(if $(filter $(PREFIX)/%,$(PKGCONFIGDIR)),$${pcfiledir}$(pc_above),$(PREFIX))
in_prefix  = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))
$(BUILD)/kiln.pc: Makefile $(BUILD)/.config $(BUILD)/.flags
	$(Q)printf '%s\n' 'prefix=$(pc_prefix)' 'libdir=$(call in_prefix,$(LIBDIR))' \
		'includedir=$(call in_prefix,$(INCLUDEDIR))' 'docdir=$(call in_prefix,$(DOCDIR))' '' 'Name: kiln' \
		'Description: Tensors in C: eager, traced, compiled' 'URL: file://$${docdir}/README.md' 'Version: $(VERSION)' \
		'Libs: -L$${libdir} -lkiln' 'Libs.private: $(LIBS)' 'Cflags: -I$${includedir}' > $@

# ---- objects ---------------------------------------------------------------------------------------
LLVM_CFLAGS = $(if $(filter codegen/cpu/%,$<),-isystem $(shell $(LLVM) --includedir))
$(BUILD)/obj/%.c.o: %.c $(BUILD)/.flags | deps $(BUILD)/gen/kiln_config.h
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(KERNEL_FLAGS) $(LLVM_CFLAGS) $(if $(filter tests/%,$<),-I. -Itests $(CMOCKA_FLAGS)) -c $< -o $@

# The assembler includes it, which -MMD does not see.
$(BUILD)/obj/codegen/emu/embed.c.o: codegen/emu/device_side.h

# The walker (codegen/walk/walker.c) as bytes that may lie anywhere; the assembler includes them.
WALKER_FLAGS = -std=gnu11 -O2 -fPIC -ffreestanding -fvisibility=hidden -fno-strict-aliasing -fno-stack-protector -fno-builtin \
	-fno-asynchronous-unwind-tables $(WARN) -Iinclude
$(BUILD)/gen/walker.bin: codegen/walk/walker.c codegen/walk/walker.ld $(BUILD)/.flags
	$(call say,BYTES,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(WALKER_FLAGS) -MMD -MP -MT $@ -MF $(@:.bin=.d) -c $< -o $(@:.bin=.o)
	$(Q)$(CC) -nostdlib -static -Wl,--build-id=none -Wl,-T,codegen/walk/walker.ld -Wl,--oformat=binary -o $@ $(@:.bin=.o)
$(BUILD)/obj/codegen/walk/embed.c.o: $(BUILD)/gen/walker.bin
$(BUILD)/obj/codegen/walk/embed.c.o: BASE += -Wa,-I$(BUILD)/gen

# Written anew only when its text changes, so that objects rebuild exactly when they must.
define written
	@mkdir -p $(@D)
	@printf '%s\n' $(1) > $@.new; if cmp -s $@.new $@; then rm -f $@.new; else mv -f $@.new $@; fi
endef
remember: FORCE
	@mkdir -p '$(BUILD)'
	@printf '%s\n' $(foreach v,$(TOLD),'told-$v := $(subst #,\#,$(subst $$,$$$$,$($v)))') > '$(BUILD)/.settings'
$(BUILD)/.flags: FORCE | deps remember
	$(call written,'$(CC) $(CXX) $(CPPFLAGS) $(BASE) $(CFLAGS) $(LDFLAGS)')
$(BUILD)/.llvm: FORCE | deps
	$(call written,'$(LLVM) $(ARCHIVES)')
$(BUILD)/.sources: FORCE
	$(call written,$(LIB_SRC) $(MODULE_SRC))
$(BUILD)/.config: FORCE
	$(call written,'$(foreach v,$(FOLDERS),$($v)) $(VERSION)')
# The one header that the build makes: the version, the machine, where libraries are installed, also as seen from programs, and the mark by
# which the library and the LLVM module know each other, and kept code knows both: a hash of the sources that decide what a graph
# becomes, the compiler, and the flags that may change a struct.
DECIDING := $(sort $(foreach folder,ir passes runtime codegen codegen/lower codegen/contract codegen/cpu codegen/native,$(foreach kind,h def c,$(wildcard \
	$(folder)/*.$(kind)))) include/kiln/core.h)
MARK = $(shell { $(CC) --version | head -n 1; echo '$(filter-out -O% -g% -W%,$(CPPFLAGS) $(CFLAGS)) $(SANITIZE)'; \
	cat $(DECIDING); } 2>/dev/null | sha256sum | cut -c 1-16)
$(BUILD)/gen/kiln_config.h: FORCE | deps
	$(call written,'#define KILN_CONFIG_LIBDIR "$(LIBDIR)"' '#define KILN_CONFIG_VERSION "$(VERSION)"' '#define KILN_CONFIG_MACHINE "$(MACHINE)"' \
		'#define KILN_CONFIG_LIB_FROM_BIN "$(shell realpath -m --relative-to='$(BINDIR)' '$(LIBDIR)')"' \
		'#define KILN_CONFIG_MARK "$(VERSION)-$(MARK)"')

# ---- tests, examples, benchmarks -------------------------------------------------------------------
TEST_INCLUDE := -I. -Itests
# Tests are linked without what debuggers read, 25 MB each of 200, and compiled for once, which takes a third of the time of -O2 -g: what
# they run is the library. TEST_DEBUG=1 keeps what debuggers read, and CFLAGS as they are; sanitizers and valgrind do, too.
TEST_PLAIN := $(if $(SANITIZE)$(TEST_DEBUG)$(filter valgrind,$(MAKECMDGOALS)),,yes)
TEST_STRIP := $(if $(TEST_PLAIN),-Wl$(comma)-S)
TEST_FLAGS := $(if $(TEST_PLAIN),-O1 -g0)
$(BUILD)/tests/%: tests/%.c $(TEST_LIB_OBJ) $(OBJECTS) $(BUILD)/.flags
	$(call say,TEST,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(TEST_FLAGS) $(TEST_INCLUDE) -MF $@.d -MT $@ $(CMOCKA_FLAGS) $< -o $@ $(TEST_LIB_OBJ) $(OBJECTS) $(LDFLAGS) $(TEST_STRIP) $(CMOCKA_LIBS) $(LIBS)

OBJCOPY ?= objcopy
CXXCOMPILE = $(CXX) $(CPPFLAGS) -std=gnu++17 $(NUMERIC) $(WARN) $(SAN) -Iinclude $(CFLAGS) -MMD -MP
$(BUILD)/tests/%: tests/%.cc $(OBJECTS) $(BUILD)/.flags
	$(call say,TEST,$<)
	@mkdir -p $(@D)
	$(Q)$(CXXCOMPILE) $(TEST_FLAGS) -I. -Itests -MF $@.d -MT $@ $(CMOCKA_FLAGS) $< -o $@ $(OBJECTS) $(LDFLAGS) $(TEST_STRIP) $(CMOCKA_LIBS) $(LIBS)

# Examples see what a user sees: the public headers and the shared library.
EXAMPLE_LINK = $(SO) -Wl,-rpath,'$$ORIGIN/..' $(LDFLAGS) -lm
define EXAMPLE_RULE
$(BUILD)/examples/%: $(1)/%.c $(SO) $(BUILD)/.flags
	$$(call say,EXAMPLE,$$<)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CPPFLAGS) -std=gnu11 $$(WARN) -Wpedantic $$(SAN) -Iinclude $$(CFLAGS) -MMD -MP -MF $$@.d -MT $$@ \
	$$< -o $$@ $$(EXAMPLE_LINK)
endef
$(foreach folder,docs/examples tests/programs,$(eval $(call EXAMPLE_RULE,$(folder))))
$(BUILD)/examples/%: docs/examples/%.cc $(SO) $(BUILD)/.flags
	$(call say,EXAMPLE,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CPPFLAGS) -std=c++17 $(WARN) -Wpedantic $(SAN) -Iinclude $(CFLAGS) -MMD -MP -MF $@.d -MT $@ \
		$< -o $@ $(EXAMPLE_LINK)

# A benchmark's plain C rivals deserve the flags that our own kernels get.
$(BUILD)/bench/%: tests/bench/%.c $(OBJECTS) $(BUILD)/.flags
	$(call say,BENCH,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -O3 $(TEST_INCLUDE) -MF $@.d -MT $@ $< -o $@ $(OBJECTS) $(LDFLAGS) $(LIBS)
# Programs of several files: those of their folder and the rows, which are what Kiln does in both.
$(BUILD)/bench/parts/%.o: tests/bench/%.c $(BUILD)/.flags
	$(call say,BENCH,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -O3 $(BENCH_FLAGS) -c $(TEST_INCLUDE) -MF $(@:.o=.d) -MT $@ $< -o $@
$(BUILD)/bench/parts/check/%.o: BENCH_FLAGS = -ffp-contract=fast $(if $(filter $(MACHINE),$(shell uname -m)),-march=native)
bench_parts = $(patsubst tests/bench/%.c,$(BUILD)/bench/parts/%.o,$(wildcard tests/bench/rows/*.c $(1)))
$(BUILD)/bench/serve: $(call bench_parts,tests/bench/peers/*.c) $(OBJECTS)
	$(Q)$(LINK) $(filter %.o,$^) -o $@ $(OBJECTS) $(LIBS)
$(BUILD)/bench/check: $(call bench_parts,tests/bench/check/*.c) $(OBJECTS)
	$(Q)$(LINK) $(filter %.o,$^) -o $@ $(OBJECTS) $(LIBS)

$(BUILD)/bench/gpu: $(call bench_parts,tests/bench/gpu/*.c) $(OBJECTS)
	$(Q)$(LINK) $(filter %.o,$^) -o $@ $(OBJECTS) $(LIBS)

# Tests that a machine with a card and nothing else can run, as one program that is told which by its name (tests/gpu.sh).
GPU_CARRIED := $(addprefix test_,device_use device_ops function convolve effects control_bodies random maps cuda card)
$(BUILD)/gpu/obj/%.o: $(BUILD)/obj/tests/%.c.o
	@mkdir -p $(@D)
	$(Q)$(OBJCOPY) --redefine-sym main=main_$* --keep-global-symbol=main_$* $< $@
$(BUILD)/gpu/main.c: Makefile
	@mkdir -p $(@D)
	@{ echo '#include <string.h>'; for t in $(GPU_CARRIED); do echo "int main_$$t(int, char **);"; done; \
		echo 'int main(int n, char **v)'; echo '{'; echo '    const char *s = strrchr(v[0], 47), *name = s ? s + 1 : v[0];'; \
		for t in $(GPU_CARRIED); do echo "    if (!strcmp(name, \"$$t\")) return main_$$t(n, v);"; done; echo '    return 2;'; echo '}'; } > $@
$(BUILD)/gpu/tests: $(patsubst %,$(BUILD)/gpu/obj/%.o,$(GPU_CARRIED)) $(BUILD)/gpu/main.c $(TEST_LIB_OBJ) $(OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $(BUILD)/gpu/main.c $(filter %.o,$^) $(OBJECTS) $(CMOCKA_LIBS) $(LIBS)
gpu-programs: deps $(BUILD)/gpu/tests $(BUILD)/bench/gpu $(BUILD)/kiln
	@echo $(GPU_CARRIED) > $(BUILD)/gpu/list

# Targets of libFuzzer, built under $(BUILD)/fuzz by tests/fuzz/run.sh, which says with which compiler and flags.
FUZZ_TARGETS ?=
$(BUILD)/fuzz/%: tests/fuzz/fuzz_%.c $(wildcard tests/fuzz/*.h) $(TEST_LIB_OBJ) $(OBJECTS) $(BUILD)/.flags
	$(call say,FUZZ,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -fsanitize=fuzzer $(TEST_INCLUDE) $(CMOCKA_FLAGS) $< -o $@ $(TEST_LIB_OBJ) $(OBJECTS) $(LDFLAGS) $(CMOCKA_LIBS) $(LIBS)
fuzz-targets: $(addprefix $(BUILD)/fuzz/,$(FUZZ_TARGETS))
SECONDS ?= 60
fuzz: ## fuzz each reader and the public calls for SECONDS=60 (clang with its fuzzer runtime)
	@BUILD='$(BUILD)' bash tests/fuzz/run.sh '$(SECONDS)'; s=$$?; [ $$s -eq 77 ] || exit $$s

TEST_TIMEOUT ?= 240
TEST_JOBS    ?= 2
RUN = BUILD='$(BUILD)' CC='$(CC)' CXX='$(CXX)' KILN_LIBDIR='$(abspath $(BUILD))' KILN_SANITIZE='$(SANITIZE)' \
	TEST_TIMEOUT='$(TEST_TIMEOUT)' TEST_JOBS='$(TEST_JOBS)' bash tests/run.sh
# The tests of the public interface, once more with engines on the device of tests/late.h; those that take longest only in test-full.
# What it says of the compile thread holds on the CPU alone.
LATE_ALL  := $(patsubst tests/%.c,late:$(BUILD)/tests/%,$(filter-out $(addprefix tests/test_,background.c oom_background.c gpu.c),$(shell grep -lE 'front\.h|values\.h|given\.h|mapped\.h' $(TEST_C))))
LATE_LONG := $(addprefix late:$(BUILD)/tests/,$(addprefix test_,far once limits bounds checkpoint scan_order programs optimizer cuda_model cuda oom))
# And once more with calls that are interpreted, but for those in which nothing is called, or that are long.
TOLD_ALSO := traced_ops long_rows order join step_program replay meanwhile sized casts sort linalg launch draw_modes factors $(patsubst tests/test_%.c,%,$(filter-out tests/test_given_fft.c tests/test_given_make.c,$(wildcard tests/test_given_*.c)))
LATE_ALSO := $(addprefix late:$(BUILD)/tests/test_,conv cumulate attention $(TOLD_ALSO)) $(addprefix never:$(BUILD)/tests/test_,panels $(TOLD_ALSO)) # not that long, but told by others, too
NEVER_ALL := $(filter-out $(LATE_ALSO),$(patsubst late:%,never:%,$(filter-out $(LATE_LONG),$(LATE_ALL))))
# In the long run also with code that comes while calls are interpreted, and with the swap to it forced at random (KILN_COMPILE=swap:SEED).
SWAP_ALL := $(patsubst late:%,background:%,$(filter-out $(LATE_LONG),$(LATE_ALL))) $(patsubst late:%,swap:%,$(LATE_ALL))
# On an emulated CUDA device each kernel costs a start of the C++ compiler: a few broad tests always, the others in the long run. What
# the tests left out say of compiled code, what it looks like and where it is kept, of the host's routines, and of memory that runs out while a
# function is launched, holds on the CPU alone, or they open emulated devices themselves.
EMU_FEW := $(addprefix emu:$(BUILD)/tests/test_,device_ops device_use function effects random)
EMU_ALL := emu:$(BUILD)/tests/test_random $(filter-out $(addprefix emu:$(BUILD)/tests/test_,code_cache join launch step_program panels perf device device_api gpu blas oom_text replay long_rows factor),$(patsubst late:%,emu:%,$(filter-out $(LATE_LONG),$(LATE_ALL))))
# An example prints on a device what it prints on the CPU. These look into memory with C, or take minutes where a device is emulated.
EMU_ALL += $(addprefix emu:,$(filter-out $(addprefix $(BUILD)/examples/,basics convnet lstm mlp matmul_time),$(patsubst docs/examples/%.c,$(BUILD)/examples/%,$(wildcard docs/examples/*.c))))
TEST_ALL := $(sort $(TEST_BIN)) $(TEST_SH) $(sort $(EXAMPLE_BIN)) $(filter-out $(LATE_LONG) $(LATE_ALSO),$(LATE_ALL)) $(NEVER_ALL) $(EMU_FEW)

# What emulated devices may take of make test is bounded: these tell of ways that few programs go, with many kernels each.
TEST_FULL_ALONE := $(addprefix $(BUILD)/tests/test_,blas_device bulk_functions cuda_parts far_more long_rows)
test: deps $(PRODUCTS) $(TEST_BIN) $(EXAMPLE_BIN) $(BENCH_TESTED) ## build and run every test and example, but for some long ones
	@$(RUN) $(filter-out $(TEST_FULL_ALONE),$(TEST_ALL))

test-full: TEST_TIMEOUT := 1200
test-full: deps $(PRODUCTS) $(TEST_BIN) $(EXAMPLE_BIN) $(BENCH_TESTED) ## the same with the long variants (KILN_TEST_FULL=1), and a minute of each fuzz target
	@KILN_TEST_FULL=1 $(RUN) $(TEST_ALL) $(filter $(LATE_LONG),$(LATE_ALL)) $(LATE_ALSO) $(patsubst late:%,never:%,$(LATE_LONG)) tests/fuzz/run.sh
	@$(RUN) $(SWAP_ALL)
	@$(RUN) $(filter-out $(EMU_FEW) emu:$(BUILD)/tests/test_random,$(EMU_ALL))
	@KILN_TEST_FULL=1 $(RUN) emu:$(BUILD)/tests/test_random
	@$(subst CXX='$(CXX)',CXX='$(abspath tests/other_units) $(CXX)',$(RUN)) $(EMU_FEW)

test-emu: TEST_TIMEOUT := 1200
test-emu: deps $(PRODUCTS) $(TEST_BIN) $(EXAMPLE_BIN) ## the tests of the public interface on an emulated CUDA device (KILN_EMU_SEED=)
	@$(RUN) $(EMU_ALL)

# On a card, or on the device that DEVICE names; without a card each program is skipped, and says what was looked for.
DEVICE ?= gpu:0
GPU_ALL := $(patsubst emu:%,gpu:%,$(sort $(EMU_FEW) $(EMU_ALL))) $(addprefix $(BUILD)/tests/test_,cuda card cuda_model) $(BUILD)/tests/conformance/test_onnx
test-gpu: deps $(PRODUCTS) $(TEST_BIN) $(EXAMPLE_BIN) ## the tests of devices on a card (DEVICE=gpu:0)
	@KILN_TEST_CARD='$(DEVICE)' $(RUN) $(GPU_ALL)

test-swap: deps $(PRODUCTS) $(TEST_BIN) ## the tests of the public interface with code that comes later, and at random
	@$(RUN) $(SWAP_ALL)

test-late: deps $(PRODUCTS) $(TEST_BIN) ## the tests of the public interface on a device whose work is late and whose memory is out of reach (KILN_LATE_SEED=)
	@$(RUN) $(LATE_ALL)

# ONNX's own cases, all of them: those of the folder ONNX=, else of Debian's libonnx-testdata, which is unpacked beneath the build.
ONNX ?= $(BUILD)/onnx
conformance: TEST_TIMEOUT := 1200
conformance: deps $(PRODUCTS) $(BUILD)/tests/conformance/test_onnx ## ONNX's own 1,072 cases in all modes but a device's (ONNX=FOLDER, ONNX_MODES=eager,device, RECORD=1)
	@[ -d '$(ONNX)' ] || { mkdir -p '$(BUILD)/deb' && cd '$(BUILD)/deb' && apt-get download libonnx-testdata && \
		dpkg -x libonnx-testdata_*.deb '$(abspath $(ONNX))'; } || { echo 'no cases: install libonnx-testdata and give ONNX=its folder'; exit 1; }
	@ONNX='$(ONNX)' $(if $(RECORD),ONNX_RECORD=1) KILN_LIBDIR='$(abspath $(BUILD))' $(BUILD)/tests/conformance/test_onnx
	$(if $(RECORD),@bash tests/conformance/table.sh --write)

layers: deps $(PRODUCTS) ## the include table, file and function lengths, public headers alone
	@CC='$(CC)' CXX='$(CXX)' bash tests/layers.sh

AGAIN = +@$(MAKE) --no-print-directory V='$(V)'
asan: ## every test under the address and undefined-behaviour sanitizers
	$(AGAIN) test BUILD='$(BUILD)/asan' SANITIZE=address,undefined CFLAGS='-O1 -g -DKILN_DEBUG' TEST_TIMEOUT=600

tsan: ## the core suite, and threads that compile, under the thread sanitizer
	$(AGAIN) test-core BUILD='$(BUILD)/tsan' SANITIZE=thread CFLAGS='-O1 -g' TEST_TIMEOUT=1800 \
		CORE_TESTS='$(CORE_TESTS) test_concurrent test_background test_panels'

test-core: deps $(PRODUCTS) $(CORE_BIN)
	@$(RUN) $(CORE_BIN)

valgrind: TEST_TIMEOUT := 900
valgrind: deps $(PRODUCTS) $(CORE_BIN) ## the core suite under valgrind
	@NEED=valgrind $(DEPS)
	@KILN_EMULATED=1 TEST_WRAPPER='valgrind -q --error-exitcode=99 --leak-check=full --suppressions=tests/valgrind.supp' \
		$(RUN) $(CORE_BIN)

mutants: all $(TEST_BIN) ## plant one-token faults and see that a test catches each
	+@BUILD='$(BUILD)' CC='$(CC)' bash tests/mutants.sh

bench: all $(BENCH_BIN) ## run the benchmarks (BENCH_ARGS= goes to kiln bench)
	@set -e; for b in $(sort $(BENCH_BIN)); do echo "== $$(basename $$b)"; KILN_LIBDIR='$(abspath $(BUILD))' $$b; done
	@$(if $(COMMAND),KILN_LIBDIR='$(abspath $(BUILD))' $(COMMAND) bench $(BENCH_ARGS),echo 'the kiln command has no sources yet')

bench-check: all $(BUILD)/bench/check ## Kiln beside plain C: names what fell below tests/bench/check/ratios.txt (CHECK_ROWS=, RECORD=1)
	@KILN_LIBDIR='$(abspath $(BUILD))' $(BUILD)/bench/check $(if $(RECORD),--record) $(CHECK_ROWS)

# Others to compare with live outside the tree and are no dependency of anything else.
PEERS      ?= $(HOME)/.cache/kiln-peers
PEERS_ALSO ?=
ROWS       ?= *
ROUNDS     ?= 3
given = $(filter command environment,$(firstword $(origin $(1))))
bench-peers: all $(BUILD)/bench/serve ## Kiln beside JAX, torch, TensorFlow ... (PEERS=folder of their environment, ROWS='mm*,softmax', ROUNDS=, SECONDS=)
	@BUILD='$(BUILD)' KILN_LIBDIR='$(abspath $(BUILD))' sh tests/bench/peers/run.sh '$(PEERS)' --rows '$(ROWS)' --rounds '$(ROUNDS)' \
		--also '$(PEERS_ALSO)' $(if $(REALTIME),--realtime) $(if $(call given,SECONDS),--seconds '$(SECONDS)')

# Models without their weights (light_NAME.onnx); those with drawn ones are made in the build folder once.
LIGHT ?= ../shared/data/onnx-light
MODELS ?= $(BUILD)/bench/models
bench-onnx: all $(BUILD)/bench/onnx/side ## ONNX models beside ONNX Runtime (PEERS=folder of its environment, LIGHT=light models, MODELS=folder of drawn ones, ONNX_ARGS=)
	@[ -d '$(MODELS)' ] || { '$(PEERS)/bin/python' tests/bench/onnx/draw.py '$(LIGHT)' '$(MODELS)' && '$(PEERS)/bin/python' tests/bench/onnx/build.py '$(MODELS)'; }
	@KILN_LIBDIR='$(abspath $(BUILD))' '$(PEERS)/bin/python' tests/bench/onnx/beside.py $(BUILD)/bench/onnx/side '$(MODELS)' $(ONNX_ARGS)

bench-gpu: all $(BUILD)/bench/gpu ## Kiln on a card, beside torch and JAX where PEERS has them (DEVICE=gpu:0, GPU_ARGS='--small --seconds 1'; --compile: NVRTC's time, without a card)
	@KILN_LIBDIR='$(abspath $(BUILD))' sh tests/bench/gpu/run.sh '$(BUILD)/bench/gpu' '$(DEVICE)' '$(PEERS)' '$(BUILD)/bench-gpu.json' $(GPU_ARGS)

demo: all ## train two small networks, eager and traced (DEMO_ARGS= goes to kiln demo)
	@$(if $(COMMAND),KILN_LIBDIR='$(abspath $(BUILD))' $(COMMAND) demo $(DEMO_ARGS),echo 'the kiln command has no sources yet'; exit 1)

# ---- housekeeping ----------------------------------------------------------------------------------
# cmocka and C++ are asked for only where a goal needs them.
FOR_TESTS := $(filter test% gpu-programs fuzz% asan tsan valgrind mutants deps $(BUILD)/tests/% $(BUILD)/examples/%,$(MAKECMDGOALS))
DEPS = CC='$(CC)' CXX='$(CXX)' CPPFLAGS='$(CPPFLAGS)' CFLAGS='$(CFLAGS)' LDFLAGS='$(LDFLAGS)' LLVM_CONFIG='$(LLVM_CONFIG)' LLVM_LINK='$(LLVM_LINK)' \
	OUT='$(BUILD)/.deps' TESTS='$(if $(FOR_TESTS),1)' sh .ci/deps.sh
deps: ## install what the build and the tests need (Debian, Ubuntu), or say what is missing
	@$(DEPS)

D := $(if $(DESTDIR),$(call full,$(DESTDIR)))
# A module serves one build of one version.
MODULEDIR := $(LIBDIR)/kiln/$(VERSION)
EXAMPLES  := $(EXAMPLE_C) $(EXAMPLE_CC) $(wildcard docs/examples/*.expected)
install: all ## install under $(DESTDIR)$(PREFIX)
	install -d '$(D)$(LIBDIR)' '$(D)$(BINDIR)' '$(D)$(INCLUDEDIR)/kiln' '$(D)$(PKGCONFIGDIR)'
	install -m 644 $(wildcard include/kiln/*.h include/kiln/*.def) '$(D)$(INCLUDEDIR)/kiln'
	install -m 644 $(STATIC) '$(D)$(LIBDIR)'
	install -m 755 $(SO_FULL) '$(D)$(LIBDIR)'
	$(if $(MODULE),install -d '$(D)$(MODULEDIR)' && install -m 755 $(MODULE) '$(D)$(MODULEDIR)')
	ln -sf $(notdir $(SO_FULL)) '$(D)$(LIBDIR)/$(SO_NAME)'
	ln -sf $(SO_NAME) '$(D)$(LIBDIR)/libkiln.so'
	$(if $(COMMAND),install -m 755 $(COMMAND) '$(D)$(BINDIR)')
	$(if $(COMMAND),install -d '$(D)$(MANDIR)/man1' '$(D)$(WORDSDIR)' && $(COMMAND) help --man >'$(D)$(MANDIR)/man1/kiln.1' && \
		$(COMMAND) help --completion >'$(D)$(WORDSDIR)/kiln')
	install -m 644 $(BUILD)/kiln.pc '$(D)$(PKGCONFIGDIR)'
	install -d '$(D)$(DOCDIR)/examples'
	install -m 644 LICENSE README.md CHANGELOG.md '$(D)$(DOCDIR)'
	install -m 644 $(EXAMPLES) '$(D)$(DOCDIR)/examples'
	$(if $(D),,@[ "$$(id -u)" != 0 ] || PATH="$$PATH:/usr/sbin:/sbin" ldconfig)

uninstall: ## remove what install put there
	rm -f '$(D)$(LIBDIR)'/libkiln.a '$(D)$(LIBDIR)'/libkiln.so '$(D)$(LIBDIR)'/$(SO_NAME) \
		'$(D)$(LIBDIR)'/$(notdir $(SO_FULL)) $(patsubst $(BUILD)/%,'$(D)$(MODULEDIR)'/%,$(MODULE)) \
		'$(D)$(BINDIR)/kiln' '$(D)$(PKGCONFIGDIR)/kiln.pc' '$(D)$(MANDIR)/man1/kiln.1' '$(D)$(WORDSDIR)/kiln'
	rm -f $(patsubst include/%,'$(D)$(INCLUDEDIR)/%',$(wildcard include/kiln/*.h include/kiln/*.def))
	rm -f $(patsubst %,'$(D)$(DOCDIR)/%',LICENSE README.md CHANGELOG.md) $(patsubst docs/%,'$(D)$(DOCDIR)/%',$(EXAMPLES))
	-rmdir '$(D)$(INCLUDEDIR)/kiln' '$(D)$(MODULEDIR)' '$(D)$(LIBDIR)/kiln' '$(D)$(DOCDIR)/examples' '$(D)$(DOCDIR)' 2>/dev/null
	$(if $(D),,@[ "$$(id -u)" != 0 ] || PATH="$$PATH:/usr/sbin:/sbin" ldconfig)

clean: ## remove $(BUILD)
	rm -rf '$(BUILD)'

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: BUILD PREFIX LIBDIR DESTDIR CC CXX CFLAGS LDFLAGS WERROR LLVM_CONFIG LLVM_LINK SANITIZE V=1'
	@echo 'A variable that was given stays as it is for this BUILD until it is given anew, or until make clean.'

.PHONY: all demo conformance test test-full test-emu test-gpu bench-gpu gpu-programs test-late test-swap fuzz fuzz-targets test-core bench bench-check bench-peers bench-onnx asan tsan valgrind mutants layers deps remember install uninstall clean help FORCE
FORCE:
-include $(BUILD)/gen/walker.d $(patsubst %.o,%.d,$(LIB_OBJ) $(CLI_OBJ) $(MODULE_OBJ) $(TEST_LIB_OBJ)) \
	$(addsuffix .d,$(TEST_BIN) $(EXAMPLE_BIN) $(BENCH_BIN)) $(patsubst %.o,%.d,$(call bench_parts,tests/bench/peers/*.c tests/bench/check/*.c tests/bench/gpu/*.c))
