#!/usr/bin/env bash
# Device tests and benchmarks on a machine that has a card and little else: no compiler, no LLVM, no checkout.
#   tests/gpu.sh pack FOLDER   here: makes one tree of at most 48 MiB there (make gpu-programs; BUILD=build)
#   FOLDER/tests/gpu.sh OUT    there: three stages within six minutes, whose results are in OUT as soon as each is done:
#                              smoke, core with 200 random graphs, bench
#   DEVICE=gpu:0               the card; emu:0 tries the script itself, with small sizes
# It finds libcuda and NVRTC in the usual folders and in Python wheels, ends in the line that tests end in, and where there is no
# card in one skip that says so. Nothing is expected from files: eager code and the reference compute it on the spot, in a few
# seconds. Relies on bash, coreutils, awk and timeout.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build} DEVICE=${DEVICE:-gpu:0}
LIMIT=$((48 * 1024 * 1024))

# ---- making the tree -------------------------------------------------------------------------------------------------------
pack()
{
    local to=$1 program
    make --no-print-directory gpu-programs || return 1
    rm -rf "$to" && mkdir -p "$to/tests/bench" "$to/lib" "$to/bin" || return 1
    for program in gpu/tests bench/gpu kiln; do
        strip -o "$to/bin/${program//\//-}" "$BUILD/$program" || return 1
        # What a machine without packages lacks: all but the C library's own.
        ldd "$BUILD/$program" | awk '$3 ~ /^\// && $3 !~ /\/(libc|libm|libdl|libpthread|librt|ld-linux[^\/]*)\.so/ { print $3 }'
    done | sort -u | while read -r library; do cp -L "$library" "$to/lib/" || exit 1; done || return 1
    cp "$BUILD/gpu/list" "$to/bin/list" && cp tests/run.sh tests/gpu.sh tests/*.kiln "$to/tests/" && cp -r tests/bench/gpu "$to/tests/bench/" || return 1
    local bytes
    bytes=$(du -sb "$to" | cut -f 1)
    [ "$bytes" -le $LIMIT ] || { echo "gpu.sh: the tree takes $bytes bytes; $LIMIT are allowed"; return 1; }
    echo "gpu.sh: $to, $bytes bytes; there: $to/tests/gpu.sh OUT"
}

# ---- what is on the machine ----------------------------------------------------------------------------------------------
# The first file of these patterns.
first_of()
{
    local file
    for file in "$@"; do [ -e "$file" ] && { echo "$file"; return 0; }; done
    return 1
}

wheels() # folders of Python packages
{
    local python
    for python in python3 python ${PEERS:+"$PEERS/bin/python"}; do
        command -v "$python" >/dev/null && "$python" -c 'import site, sys
print("\n".join(p for p in sys.path + site.getsitepackages() + [site.getusersitepackages()] if p.endswith("-packages")))' 2>/dev/null
    done | sort -u
}

find_driver()
{
    local lib
    lib=$(first_of /usr/lib/*-linux-gnu/libcuda.so.1 /usr/lib64/libcuda.so.1 /usr/lib/libcuda.so.1 /usr/local/nvidia/lib64/libcuda.so.1 \
        /usr/lib/wsl/lib/libcuda.so.1 /usr/lib64/nvidia/libcuda.so.1 /usr/local/cuda/compat/libcuda.so.1 /run/opengl-driver/lib/libcuda.so.1) || {
        echo 'libcuda: in none of the usual folders'
        return
    }
    echo "libcuda: $lib"
    case $lib in /usr/lib/*-linux-gnu/* | /usr/lib64/libcuda* | /usr/lib/libcuda*) ;; *) export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:${lib%/*} ;; esac
}

find_nvrtc()
{
    local site libs=()
    [ -n "${KILN_NVRTC:-}" ] && { echo "NVRTC: $KILN_NVRTC, as KILN_NVRTC says"; return; }
    while read -r site; do libs+=("$site"/nvidia/cuda_nvrtc/lib/libnvrtc.so.1[0-9]* "$site"/nvidia/cu1[0-9]/lib/libnvrtc.so.1[0-9]*); done < <(wheels)
    KILN_NVRTC=$(first_of ${CUDA_HOME:+"$CUDA_HOME"/lib64/libnvrtc.so} /usr/local/cuda/lib64/libnvrtc.so* /usr/local/cuda/lib/libnvrtc.so* \
        /usr/local/cuda/targets/*/lib/libnvrtc.so* /usr/local/cuda-*/lib64/libnvrtc.so* /opt/cuda/lib64/libnvrtc.so* /usr/lib/*-linux-gnu/libnvrtc.so* \
        /usr/lib64/libnvrtc.so* "${libs[@]}") || { echo 'NVRTC: in none of the usual folders, and in no Python wheel'; return; }
    export KILN_NVRTC
    echo "NVRTC: $KILN_NVRTC"
}

# ---- stages ----------------------------------------------------------------------------------------------------------------
passed=0 failed=0 skipped=0
# A stage's name, its seconds, the command: its output is on the terminal and in OUT, and its last line is added up.
stage()
{
    local name=$1 seconds=$2 began=$SECONDS line p f s
    shift 2
    echo "== $name"
    rm -f "$WORK"/tests/logs/*.count
    timeout -k 5 "$seconds" "$@" >"$OUT/$name.txt" 2>&1
    case $? in
        124 | 137) # what was done until then counts, and the stop is a failure
            line=$(cat "$WORK"/tests/logs/*.count 2>/dev/null | awk '{ p += $1; f += $2; s += $3 } END { printf "%d passed, %d failed, %d skipped", p, f + 1, s }')
            echo "stopped after $seconds s" >>"$OUT/$name.txt"
            ;;
        *) line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$OUT/$name.txt" | tail -n 1) ;;
    esac
    : "${line:=0 passed, 1 failed, 0 skipped}"
    read -r p _ f _ s _ <<<"$line"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    cat "$OUT/$name.txt"
    echo "$name: $line, $((SECONDS - began)) s" | tee -a "$OUT/summary.txt"
}

programs() { local t; for t in "$@"; do echo "gpu:$WORK/tests/$t"; done; }

core()
{
    local i
    # shellcheck disable=SC2046
    set -- $(programs $(tr ' ' '\n' <"$WORK/list" | grep -vE '^test_(cuda|cuda_graph|device_use)$')) "$WORK/tests/test_cuda"
    for i in $GRAPH_PARTS; do set -- "$@" "$WORK/tests/graphs-$i"; done
    BUILD=$WORK TEST_JOBS=$(nproc) TEST_TIMEOUT=170 bash tests/run.sh "$@"
}

smoke()
{
    "$WORK/kiln" info
    command -v nvidia-smi >/dev/null && nvidia-smi -L
    # shellcheck disable=SC2046
    BUILD=$WORK TEST_JOBS=2 TEST_TIMEOUT=28 bash tests/run.sh $(programs test_device_use)
}

sanitizer()
{
    local tool
    tool=$(command -v compute-sanitizer || first_of /usr/local/cuda*/bin/compute-sanitizer /opt/cuda/bin/compute-sanitizer) || { echo 'compute-sanitizer: not here'; return; }
    "$tool" --version >/dev/null 2>&1 || { echo 'compute-sanitizer: it does not start'; return; }
    timeout -k 5 40 "$tool" --launch-count 20 --error-exitcode 9 "$WORK/tests/test_device_ops" >"$OUT/sanitizer.txt" 2>&1
    echo "compute-sanitizer on 20 launches: exit status $?" | tee -a "$OUT/sanitizer.txt"
}

bench()
{
    local small
    case $DEVICE in gpu:*) small='' ;; *) small=--small ;; esac
    # shellcheck disable=SC2086
    timeout 100 sh tests/bench/gpu/run.sh "$WORK/bench" "$DEVICE" "${PEERS:-/nowhere}" "$OUT/bench.json" $small --seconds 0.3
    sanitizer
}

run()
{
    OUT=$(mkdir -p "$1" && cd "$1" && pwd) || exit 1
    WORK=$(mktemp -d work.XXXXXX) || exit 1 # tests/run.sh takes folders of the tree
    trap 'rm -rf "$WORK"' EXIT
    mkdir -p "$WORK/tests"
    # The tree may have come without links and without the right to run.
    cp bin/gpu-tests "$WORK/program" && cp bin/bench-gpu "$WORK/bench" && cp bin/kiln "$WORK/kiln" && cp bin/list "$WORK/list" || exit 1
    chmod 700 "$WORK/program" "$WORK/bench" "$WORK/kiln"
    local t i
    for t in $(cat "$WORK/list"); do ln -s ../program "$WORK/tests/$t"; done
    # 200 random graphs in parts, for several processes.
    GRAPH_PARTS='1 2 3 4 5 6 7 8'
    for i in $GRAPH_PARTS; do
        printf '#!/bin/sh\nKILN_GRAPHS=%s:25 KILN_ONLY=%s exec %s/tests/test_cuda_graph\n' $((25 * i - 24)) "$GRAPHS_CASE" "$WORK" >"$WORK/tests/graphs-$i"
        chmod 700 "$WORK/tests/graphs-$i"
    done
    export KILN_CACHE_DIR=$PWD/$WORK/code # processes share what NVRTC made
    export LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} KILN_TEST_CARD=$DEVICE OUT WORK DEVICE GRAPH_PARTS
    export -f core smoke bench programs sanitizer first_of
    : >"$OUT/summary.txt"
    { find_driver; find_nvrtc; } | tee "$OUT/machine.txt"
    # tee is a process of its own: once more, for what they export.
    find_driver >/dev/null
    find_nvrtc >/dev/null
    if ! "$WORK/kiln" info | grep -qE "^device +$DEVICE:"; then
        echo "skip: $("$WORK/kiln" info | grep '^no device' || echo "there is no device $DEVICE")" | tee -a "$OUT/summary.txt"
        echo '0 passed, 0 failed, 1 skipped' | tee -a "$OUT/summary.txt"
        return 0
    fi
    local slow=1
    case $DEVICE in gpu:*) ;; *) slow=6 ;; esac # emulated kernels take their time
    stage 1-smoke $((30 * slow)) bash -c smoke
    stage 2-core $((180 * slow)) bash -c core
    stage 3-bench $((145 * slow)) bash -c bench
    echo "$passed passed, $failed failed, $skipped skipped" | tee -a "$OUT/summary.txt"
    [ $failed -eq 0 ]
}

case $DEVICE in gpu:*) GRAPHS_CASE='device_agrees' ;; *) GRAPHS_CASE='random_graphs_run' ;; esac
case ${1:-} in
    '') sed -n '2,10s/^# \{0,1\}//p' "$0" && exit 2 ;;
    pack) pack "${2:?gpu.sh pack FOLDER}" ;;
    *) run "$1" ;;
esac
