#!/usr/bin/env bash
# Runs each fuzz target for some seconds, starting from the small corpus in the tree; what a run finds grows a corpus under BUILD.
# A finding stops its target, leaves its input in BUILD/fuzz/found and fails. Relies on clang with its fuzzer runtime; says so and
# exits 77 where that is not installed. One of the tests of `make test-full`.
#   usage: run.sh [SECONDS (60) [target]...]        BUILD (build), CLANG (clang)
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-60} build=${BUILD:-build}/fuzz failed=0
shift
probe=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
export KILN_FUZZ_FOLDER=$probe
trap 'rm -rf "$probe"' EXIT
echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n ? 0 : 0; }' > "$probe/p.c"
if ! ${CLANG:-clang} -fsanitize=fuzzer,address,undefined "$probe/p.c" -o "$probe/p" 2>/dev/null; then
    echo 'skip: no clang with its fuzzer runtime (Debian: clang, libclang-rt-dev)'
    exit 77
fi
targets=${*:-text safetensors idx npy onnx onnx_value calls functions}
# What another clang warns of is no finding.
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory BUILD="$build" WERROR= CC="${CLANG:-clang}" CXX="${CLANG:-clang}++" SANITIZE=address,undefined \
    CFLAGS='-O1 -g -DKILN_DEBUG -fsanitize=fuzzer-no-link' all fuzz-targets FUZZ_TARGETS="$targets" || exit 1
mkdir -p "$build/found" "$build/corpus/text"
# Graph text begins with the modules that tests spell, too, and knows the names of all ops.
awk -v to="$build/corpus/text/spelt" '/^\/\// { on = 0 } /^module/ { close(to n); n++; on = 1 } on { print > (to n) }' tests/ir/*.kiln tests/lower.kiln
# Models of ONNX, and values beside them, begin with the suite's.
mkdir -p "$build/corpus/onnx" "$build/corpus/onnx_value"
for f in tests/conformance/onnx/*/model.onnx; do cp "$f" "$build/corpus/onnx/$(basename "${f%/*}")"; done
for f in tests/conformance/onnx/*/test_data_set_0/input_0.pb; do cp "$f" "$build/corpus/onnx_value/$(basename "${f%/*/*}")"; done
grep -oE '^(UNARY ?|BINARY|TERNARY|OP)\([a-z_0-9]+' ir/ops.def | sed 's/.*(\(.*\)/"\1("/' > "$build/text.dict"
for t in $targets; do
    mkdir -p "$build/corpus/$t"
    # Going through what earlier runs found is to leave time for more.
    find "$build/corpus/$t" -type f | shuf | tail -n +1000 | xargs rm -f
    # Of what compiles, what LLVM keeps would make libFuzzer look for leaks after every input, for seconds; `make asan` looks.
    case $t in text) more="-detect_leaks=0 -dict=$build/text.dict" ;; functions) more='-detect_leaks=0 -entropic=0' ;; *) more= ;; esac
    # Seconds and memory of an input are the target's to watch.
    case $t in onnx*) long=16384 ;; *) long=4096 ;; esac
    # shellcheck disable=SC2086
    ASAN_OPTIONS=detect_leaks=1:intercept_tls_get_addr=0:allocator_may_return_null=1:malloc_context_size=12 LSAN_OPTIONS=suppressions=tests/lsan.supp:print_suppressions=0 KILN_LIBDIR=$PWD/$build \
        "$build/fuzz/$t" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=3000 -max_len=$long -print_final_stats=1 $more \
        -artifact_prefix="$build/found/$t-" "$build/corpus/$t" "tests/fuzz/corpus/$t" > "$build/$t.log" 2>&1
    status=$?
    echo "$t: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$t.log") executions in $seconds s, $([ $status -eq 0 ] && echo 'nothing found' || echo "exit status $status: $build/$t.log")"
    [ $status -eq 0 ] || failed=1
done
exit $failed
