#!/usr/bin/env bash
# The kiln command with --device, on an emulated device: results and reports as on the CPU, programs that run there, and devices that
# are not there. TAP on stdout. Relies on a built $BUILD/kiln and, for the device, a C++ compiler.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$build}
kiln=$PWD/$build/kiln
unset KILN_DEVICE KILN_DEVICES KILN_PROFILE KILN_COMPILE
[ -x "$kiln" ] || { echo "the kiln command is not built"; exit 77; }
"$kiln" info | grep -q '^device *emu:0' || { echo "skip: $("$kiln" info | grep '^no device *emu')"; exit 77; }
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
export KILN_CACHE_DIR=$scratch/code && mkdir -m 700 "$scratch/code"
n=0 failed=0
verdict() # name, 0 or not
{
    n=$((n + 1))
    [ "$2" = 0 ] && echo "ok $n - $1" && return
    failed=$((failed + 1))
    echo "not ok $n - $1"
    head -n 20 "$scratch/out" "$scratch/err" | sed 's/^/# /'
}
run() { "$kiln" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null; }
# name, wanted status, pattern on stderr ('' for an empty stream), arguments: nothing is on stdout
refused()
{
    local name=$1 status=$2 err=$3
    shift 3
    run "$@"
    [ $? = "$status" ] && [ ! -s "$scratch/out" ] && grep -q -- "$err" "$scratch/err"
    verdict "$name" $?
}

cat >"$scratch/net.kiln" <<'END'
module {
  dims N in [1,3]
}
graph @main(%1: f32[N,2], %2: f32[2,4]) -> (%4, %5) {
  %3 = matmul(%1, %2) : f32[N,4]
  %4 = tanh(%3) : f32[N,4]
  %5 = sum(%4) {[1]} : f32[N]
}
END
npy() # name, shape, bytes as printf writes them: f32
{
    local dict="{'descr': '<f4', 'fortran_order': False, 'shape': ($2), }"
    { printf '\223NUMPY\1\0%b\0' "\\0$(printf %o $((${#dict} + 1)))"; printf '%s\n' "$dict"; printf "$3"; } >"$scratch/$1.npy"
}
npy x '3, 2' '\0\0\200\077\0\0\0\077\0\0\200\077\0\0\200\077\0\0\200\076\0\0\200\077'
npy w '2, 4' '\0\0\200\077\0\0\0\077\0\0\200\077\0\0\200\077\0\0\200\076\0\0\200\077\0\0\200\077\0\0\200\076'
inputs=(--input "$scratch/x.npy" --input "$scratch/w.npy")

# ---- run ----
run run "$scratch/net.kiln" "${inputs[@]}" --device cpu && mv "$scratch/out" "$scratch/want" && grep -q 'f32\[3,4\]' "$scratch/want"
run run "$scratch/net.kiln" "${inputs[@]}" --device emu:0 && cmp -s "$scratch/out" "$scratch/want"
verdict 'a module prints on a device what it prints on the CPU' $?
KILN_DEVICE=emu:1 run run "$scratch/net.kiln" "${inputs[@]}" && cmp -s "$scratch/out" "$scratch/want"
verdict 'also where the environment names the device' $?
run run "$scratch/net.kiln" "${inputs[@]}" --output "$scratch/cpu.npy" --output "$scratch/cpu1.npy" &&
    run run "$scratch/net.kiln" "${inputs[@]}" --device=emu:0 --output "$scratch/emu.npy" --output "$scratch/emu1.npy" &&
    cmp "$scratch/cpu.npy" "$scratch/emu.npy" >"$scratch/out" && cmp "$scratch/cpu1.npy" "$scratch/emu1.npy" >"$scratch/out"
verdict 'and writes the same files' $?
refused 'a device that there is not' 4 '^kiln run: device: there is no device "tpu:0"; there are cpu, ' run "$scratch/net.kiln" "${inputs[@]}" --device tpu:0
refused 'one beyond the last' 4 'there is no device "emu:9"; there are cpu, ' run "$scratch/net.kiln" --device emu:9
refused 'a kind without a number' 4 'there is no device "emu"; there are cpu, ' run "$scratch/net.kiln" --device emu
refused 'no name' 2 '^kiln run: --device needs a value$' run "$scratch/net.kiln" --device
KILN_DEVICE=tpu:0 refused 'one that the environment names' 4 '^kiln run: device: there is no device "tpu:0"; there are cpu, ' run "$scratch/net.kiln"
KILN_DEVICES=emu:1 refused 'one that is hidden' 4 'device "emu:0" is none of those that are visible' run "$scratch/net.kiln" --device emu:0
refused 'too few inputs there' 1 '1 inputs given, but the graph takes 2' run "$scratch/net.kiln" --device emu:0 --input "$scratch/x.npy"
CXX=/nowhere/c++ refused 'an emulated device without a compiler' 4 'emu:0 cannot be had here: ' run "$scratch/net.kiln" --device emu:0
if "$kiln" info | grep -q '^no device *gpu'; then
    refused 'a card where there is none' 4 '^kiln run: device: gpu:0 cannot be had here: .*looked for libcuda' run "$scratch/net.kiln" --device gpu:0
fi
run compile "$scratch/net.kiln" -o "$scratch/net" --device emu && refused 'an object in the place of a text' 3 'net.o: an object or a program; what is wanted is a module in text form' \
    run "$scratch/net.o" --device emu:0
refused 'a device to compile for that is the name of one here' 1 'code cannot be compiled for a device "emu:0"' compile "$scratch/net.kiln" --device emu:0

# ---- profile ----
run profile "$scratch/net.kiln" "${inputs[@]}" --device emu:0 && grep -q '^at most, on emu:0: ' "$scratch/out" && grep -q 'main.sum_0@text:7$' "$scratch/out"
verdict 'a profile of a module there' $?
run profile --json "$scratch/net.kiln" --device emu:0 && grep -q '^{"roof": {"device": "emu:0", ' "$scratch/out"
verdict 'on made-up inputs, for machines' $?
refused 'a profile on a device that there is not' 4 '^kiln profile: device: there is no device "tpu:0"' profile "$scratch/net.kiln" --device tpu:0
refused 'of a program, which is not run' 4 '^kiln profile: device: there is no device "tpu:0"' profile --device tpu:0 "$build/examples/one_layer"
run profile "$build/examples/one_layer" && mv "$scratch/out" "$scratch/want" && run profile --device emu:0 "$build/examples/one_layer" &&
    cmp -s "$scratch/out" "$scratch/want" && grep -q '^at most, on emu:0: ' "$scratch/err" && grep -q 'layer.matmul_0@one_layer.c:6 + relu_0@one_layer.c:6$' "$scratch/err"
verdict 'a profile of a program that runs there, and prints what it printed' $?

# ---- bench ----
run bench --device emu:0 --filter add --json && grep -q '"device": "emu:0", "small": true' "$scratch/out" && grep -q '"name": "add"' "$scratch/out"
verdict 'a bench there' $?
run bench --device emu:0 --filter product_64 && grep -q '^on emu:0, small sizes' "$scratch/out" && grep -q '^product_64 .* product f32.*, smaller here$' "$scratch/out"
verdict 'of both modes, which agree' $?
refused 'a bench on a device that there is not' 4 '^kiln bench: device: there is no device "tpu:0"' bench --device tpu:0
echo "1..$n"
[ $failed -eq 0 ]
