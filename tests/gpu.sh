#!/usr/bin/env bash
# Device tests and benchmarks on a machine that has a card and little else: no compiler, no LLVM, no checkout.
#   tests/gpu.sh pack FOLDER   here: makes one tree of at most 48 MiB there (make gpu-programs; BUILD=build)
#   FOLDER/tests/gpu.sh OUT    there: stages within six minutes, whose results are in OUT as soon as each is done:
#                              smoke, core with 200 random graphs, bench, compute-sanitizer on 20 chosen graphs if it starts
#   DEVICE=gpu:0               the card; emu:0 tries the script itself, with small sizes
#   LIMITS='30 170 115 25'     seconds of the stages; one that takes longer is stopped, and what it has done until then counts
# What graphs must compute was found when the tree was packed (tests/expected.h), so a machine with a card computes nothing twice.
# It finds libcuda and NVRTC in the usual folders and in Python wheels, ends in the line that tests end in, and where there is no
# card in one skip that says so. Relies on bash, coreutils and awk.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build} DEVICE=${DEVICE:-gpu:0} LIMITS=${LIMITS:-}
LIMIT=$((48 * 1024 * 1024))

# ---- what is expected, on this machine's CPU ---------------------------------------------------------------------------------
expect()
{
    local program=$1/bin/test_card
    cp "$1/bin/gpu-tests" "$program" && KILN_EXPECTED_WRITE=$1/expected KILN_GRAPHS=1:200 "$program" >"$1/expected.txt" 2>&1
    local status=$?
    grep -E 'graphs, .* bytes|not ok' "$1/expected.txt" || tail -n 20 "$1/expected.txt"
    rm -f "$program" "$1/expected.txt"
    return $status
}

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
    expect "$to" || return 1
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

find_cublas() # for the option blas; it knows no memory of emulated devices
{
    local site libs=()
    case $DEVICE in gpu:*) ;; *) return ;; esac
    [ -n "${KILN_CUBLASLT:-}" ] && { echo "cuBLASLt: $KILN_CUBLASLT, as KILN_CUBLASLT says"; return; }
    while read -r site; do libs+=("$site"/nvidia/cublas/lib/libcublasLt.so.1[0-9]* "$site"/nvidia/cu1[0-9]/lib/libcublasLt.so.1[0-9]*); done < <(wheels)
    KILN_CUBLASLT=$(first_of ${CUDA_HOME:+"$CUDA_HOME"/lib64/libcublasLt.so} /usr/local/cuda/lib64/libcublasLt.so* /usr/local/cuda/lib/libcublasLt.so* \
        /usr/local/cuda-*/lib64/libcublasLt.so* /usr/lib/*-linux-gnu/libcublasLt.so* /usr/lib64/libcublasLt.so* "${libs[@]}") || {
        echo 'cuBLASLt: in none of the usual folders, and in no Python wheel'
        return
    }
    export KILN_CUBLASLT
    echo "cuBLASLt: $KILN_CUBLASLT"
}

# ---- stages ----------------------------------------------------------------------------------------------------------------
passed=0 failed=0 skipped=0
# What tests had done when their stage was stopped: those that were done count, and the stop is a failure.
stopped() # name of the stage, seconds
{
    local log
    echo "stopped after $2 s"
    for log in "$WORK"/tests/logs/*.log; do
        [ -e "$log" ] && [ ! -e "${log%.log}.count" ] && echo "    not done: $(basename "$log" .log), which ends in" && tail -n 5 "$log" | sed 's/^/        /'
    done
    cat "$WORK"/tests/logs/*.count 2>/dev/null | awk '{ p += $1; f += $2; s += $3 } END { printf "%d passed, %d failed, %d skipped\n", p, f + 1, s }'
}

# A stage's name, its seconds, the command: its output is on the terminal and in OUT, and its last line is added up. Logs of tests
# that failed or were not done are kept, too.
stage()
{
    local name=$1 seconds=$2 began=$SECONDS line p f s log
    shift 2
    echo "== $name"
    rm -f "$WORK"/tests/logs/*
    timeout -k 5 "$seconds" "$@" >"$OUT/$name.txt" 2>&1 </dev/null
    case $? in 124 | 137) stopped "$name" "$seconds" >>"$OUT/$name.txt" ;; esac
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$OUT/$name.txt" | tail -n 1)
    : "${line:=0 passed, 1 failed, 0 skipped}"
    read -r p _ f _ s _ <<<"$line"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    for log in "$WORK"/tests/logs/*.log; do
        [ -e "$log" ] || continue
        [ -e "${log%.log}.count" ] && [ "$(cut -d ' ' -f 2 "${log%.log}.count")" = 0 ] && continue
        mkdir -p "$OUT/logs" && cp "$log" "$OUT/logs/$name-$(basename "$log")"
    done
    cat "$OUT/$name.txt"
    echo "$name: $line, $((SECONDS - began)) s" | tee -a "$OUT/summary.txt"
}

programs() { local t; for t in "$@"; do echo "gpu:$WORK/tests/$t"; done; }

core()
{
    local i
    # shellcheck disable=SC2046
    set -- $(programs $(tr ' ' '\n' <"$WORK/list" | grep -vE '^test_(cuda|card|device_use)$')) "$WORK/tests/test_cuda"
    for i in $GRAPH_PARTS; do set -- "$WORK/tests/graphs-$i" "$@"; done
    BUILD=$WORK TEST_JOBS=$(nproc) TEST_TIMEOUT=900 bash tests/run.sh "$@"
}

smoke()
{
    "$WORK/kiln" info
    command -v nvidia-smi >/dev/null && nvidia-smi -L
    # shellcheck disable=SC2046
    BUILD=$WORK TEST_JOBS=2 TEST_TIMEOUT=900 bash tests/run.sh $(programs test_device_use)
}

bench()
{
    local small
    case $DEVICE in gpu:*) small='' ;; *) small=--small ;; esac
    # shellcheck disable=SC2086
    sh tests/bench/gpu/run.sh "$WORK/bench" "$DEVICE" "${PEERS:-/nowhere}" "$OUT/bench.json" $small --seconds 0.3
}

# Both tools look at the graphs of tests/chosen.kiln, whose code core has left in the folder of kept code.
sanitizer()
{
    local tool kind status p=0 f=0 s=0
    tool=$(command -v compute-sanitizer || first_of /usr/local/cuda*/bin/compute-sanitizer /opt/cuda/bin/compute-sanitizer) || tool=
    if [ -z "$tool" ] || ! "$tool" --version >/dev/null 2>&1; then
        [ -n "$tool" ] && echo "skip: $tool does not start" || echo 'skip: compute-sanitizer is not here'
        echo '0 passed, 0 failed, 1 skipped'
        return
    fi
    for kind in memcheck racecheck; do
        echo "$kind"
        KILN_ONLY=chosen_graphs "$tool" --tool $kind --error-exitcode 9 "$WORK/tests/test_card" >"$OUT/$kind.txt" 2>&1
        status=$?
        tail -n 20 "$OUT/$kind.txt"
        if [ $status = 0 ]; then
            p=$((p + 1))
        elif [ $status != 9 ] && ! grep -q '^\(not \)\?ok ' "$OUT/$kind.txt"; then
            s=$((s + 1)) && echo "skip: compute-sanitizer does not start: exit status $status"
        else
            f=$((f + 1)) && echo "$kind: exit status $status"
        fi
    done
    echo "$p passed, $f failed, $s skipped"
}

# ---- the run ---------------------------------------------------------------------------------------------------------------
# Programs by their names, and the 200 random graphs in parts, for several processes; part 0 has the graphs of files.
programs_in()
{
    local t i
    mkdir -p "$1/tests"
    # The tree may have come without links and without the right to run.
    cp bin/gpu-tests "$1/program" && cp bin/bench-gpu "$1/bench" && cp bin/kiln "$1/kiln" && cp bin/list "$1/list" || return 1
    chmod 700 "$1/program" "$1/bench" "$1/kiln"
    for t in $(cat "$1/list"); do ln -s ../program "$1/tests/$t"; done
    GRAPH_PARTS='0 1 2 3 4 5 6 7 8'
    for i in $GRAPH_PARTS; do
        printf '#!/bin/sh\nKILN_GRAPHS=%s KILN_ONLY=%s exec %s/tests/test_card\n' "$((i > 0 ? 25 * i - 24 : 1)):$((i > 0 ? 25 : 0))" \
            "$([ "$i" = 0 ] && echo '*' || echo random_graphs)" "$1" >"$1/tests/graphs-$i"
        chmod 700 "$1/tests/graphs-$i"
    done
}

run()
{
    OUT=$(mkdir -p "$1" && cd "$1" && pwd) || exit 1
    WORK=$(mktemp -d work.XXXXXX) || exit 1 # tests/run.sh takes folders of the tree
    trap 'rm -rf "$WORK"' EXIT
    programs_in "$WORK" || exit 1
    export KILN_CACHE_DIR=$PWD/$WORK/code KILN_EXPECTED=$PWD/expected # processes share what NVRTC made
    export LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} KILN_TEST_CARD=$DEVICE OUT WORK DEVICE GRAPH_PARTS
    export TEST_TOGETHER=1 # so that a stage that is stopped leaves no test behind
    export -f core smoke bench sanitizer programs first_of
    : >"$OUT/summary.txt"
    { find_driver; find_nvrtc; find_cublas; } | tee "$OUT/machine.txt"
    # tee is a process of its own: once more, for what they export.
    find_driver >/dev/null
    find_nvrtc >/dev/null
    find_cublas >/dev/null
    timeout -k 5 30 "$WORK/kiln" info >"$OUT/info.txt" 2>&1 </dev/null || echo 'kiln info fails or hangs' >>"$OUT/info.txt"
    if ! grep -qE "^device +$DEVICE:" "$OUT/info.txt"; then
        echo "skip: $(grep -E '^no device|fails or hangs' "$OUT/info.txt" || echo "there is no device $DEVICE")" | tee -a "$OUT/summary.txt"
        echo '0 passed, 0 failed, 1 skipped' | tee -a "$OUT/summary.txt"
        return 0
    fi
    case $DEVICE in gpu:*) ;; *) : "${LIMITS:=300 1800 600 60}" ;; esac # emulated kernels take their time
    local limit
    read -ra limit <<<"${LIMITS:-30 170 115 25}"
    stage 1-smoke "${limit[0]}" bash -c smoke
    stage 2-core "${limit[1]}" bash -c core
    stage 3-bench "${limit[2]}" bash -c bench
    stage 4-sanitizer "${limit[3]}" bash -c sanitizer
    echo "$passed passed, $failed failed, $skipped skipped, $SECONDS s" >>"$OUT/summary.txt"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
}

case ${1:-} in
    '') sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 2 ;;
    pack) pack "${2:?gpu.sh pack FOLDER}" ;;
    *) run "$1" ;;
esac
