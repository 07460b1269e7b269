#!/usr/bin/env bash
# The kiln command: exit statuses, what goes to which stream, JSON, the demo's chart. TAP on stdout. Relies on a built $BUILD/kiln.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$build}
kiln=$PWD/$build/kiln
[ -x "$kiln" ] || { echo "the kiln command is not built"; exit 77; }
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
n=0 failed=0
verdict() # name, 0 or not
{
    n=$((n + 1))
    if [ "$2" = 0 ]; then
        echo "ok $n - $1"
    else
        failed=$((failed + 1))
        echo "not ok $n - $1"
        head -n 20 "$scratch/out" "$scratch/err" | sed 's/^/# /'
    fi
}
# name, wanted status, pattern on stdout ('' for an empty stream), pattern on stderr, arguments
expect()
{
    local name=$1 status=$2 out=$3 err=$4 rc=0
    shift 4
    "$kiln" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
    [ $? = "$status" ] || rc=1
    for stream in out err; do
        if [ -z "${!stream}" ]; then
            [ ! -s "$scratch/$stream" ] || rc=1
        else
            grep -q -- "${!stream}" "$scratch/$stream" || rc=1
        fi
    done
    verdict "$name" $rc
}

expect 'no arguments' 2 '' 'usage: kiln' 
expect 'version' 0 '^kiln [0-9.]*$' '' --version
expect 'version as a command' 0 '^kiln [0-9.]*$' '' version
expect 'help' 0 'usage: kiln COMMAND' '' help
expect 'help of a command' 0 'usage: kiln demo' '' help demo
expect 'a manual page' 0 '^.TH KILN 1 "" "Kiln [0-9]' '' help --man
grep -q '^\.SH KILN compile$' "$scratch/out" && grep -q '^  \\-\\-optimize size|speed ' "$scratch/out" && ! grep -q "^[.'][^TSBnf]" "$scratch/out"
verdict 'with all commands and options, in which no line is taken for a macro' $?
if command -v groff >/dev/null; then
    cp "$scratch/out" "$scratch/kiln.1"
    groff -man -Tutf8 -ww "$scratch/kiln.1" >"$scratch/out" 2>"$scratch/err" && [ ! -s "$scratch/err" ] && grep -q 'where the time of compiled code goes' "$scratch/out"
    verdict 'which groff sets without a warning' $?
fi
expect 'words to complete' 0 '^complete ' '' help --completion
bash -c '. "$1"; COMP_WORDS=(kiln comp) COMP_CWORD=1 && _kiln && [ "${COMPREPLY[*]}" = compile ] &&
    COMP_WORDS=(kiln compile --opt) COMP_CWORD=2 && _kiln && [ "${COMPREPLY[*]}" = --optimize ]' bash "$scratch/out" >"$scratch/err" 2>&1
verdict 'which bash completes' $?
expect '--help of a command' 0 'usage: kiln bench' '' bench --help
# What a command's help names is what its tables of options have, and what README and docs say of `kiln COMMAND` and of files is in one of them.
commands=$(sed -n 's/^    {"\([a-z]*\)", ".*/\1/p' frontend/cli/main.c | grep -vxE 'help|version') # which have no table
rc=0
for c in $commands; do
    "$kiln" help "$c" | grep -oE -- '(^|[ [])--?[a-z][a-z-]*' | grep -oE -- '-.*' | sort -u >"$scratch/told"
    grep -lE "^int ${c}(_command)?\(int argc, char \*\*argv\)\$" frontend/cli/*.c | xargs -r grep -ohE '\{"-[a-z-]*"' | grep -oE -- '-[a-z-]+' | sort -u >"$scratch/had"
    cmp -s "$scratch/told" "$scratch/had" || { rc=1; { echo "$c: told, and had:"; diff "$scratch/told" "$scratch/had"; } >>"$scratch/differ"; }
    cat "$scratch/told" >>"$scratch/all"
done
[ "$(echo "$commands" | wc -w)" -ge 9 ] && [ "$(sort -u "$scratch/all" | wc -l)" -ge 25 ] || rc=1
cat "$scratch/differ" >"$scratch/out" 2>/dev/null
verdict 'the help of each command has its options, and no others' $rc
sort -u "$scratch/all" >"$scratch/told"
grep -ohE '`[^`]*--[a-z][a-z-]*[^`]*`' README.md docs/*.md | grep -vE 'pkg-config|GPU_ARGS' | grep -oE -- '--[a-z][a-z-]*' | sort -u >"$scratch/said"
comm -13 "$scratch/told" "$scratch/said" >"$scratch/out"
[ -s "$scratch/said" ] && [ ! -s "$scratch/out" ]
verdict 'README and docs name no option that no command has' $?
expect 'an unknown command' 2 '' "unknown command 'nonsense'" nonsense
# Errors of the command line name option, value and range.
expect 'an unknown option' 2 '' "kiln demo: unknown option '--nonsense'" demo --nonsense
expect 'the beginning of an option' 2 '' "unknown option '--thread' (did you mean --threads?)" bench --thread 2
expect 'a number that is none' 2 '' "^kiln demo: --epochs: 'many' is not a whole number from 1 to 1000" demo --epochs many
expect 'a number with a tail' 2 '' "^kiln bench: --seconds: '1.5' is not a whole number from 1 to 600" bench --seconds=1.5
expect 'a number out of range' 2 '' "^kiln demo: --batch: '1' is not a whole number from 2 to 1024" demo --batch 1
expect 'a number beyond long' 2 '' "'99999999999999999999' is not a whole" compile f --workspace-limit 99999999999999999999
expect 'a missing value' 2 '' '^kiln demo: --epochs needs a whole number from 1 to 1000' demo --epochs
expect 'a missing value before an option' 2 '' '^kiln demo: --out needs a value' demo --out --quick
expect 'a value for a flag' 2 '' '^kiln demo: --quick takes no value' demo --quick=1
expect 'a file where none is wanted' 2 '' "^kiln bench: unexpected argument 'mlp', which does not end in .onnx" bench mlp
expect 'two files' 2 '' "^kiln compile: unexpected argument 'b': one file at a time" compile a -o out b
expect 'a device that there is not' 4 '' '^kiln demo: device: there is no device "tpu:0"; there are cpu' demo --device tpu:0 --out "$scratch/none.svg"
expect 'data that is not there' 3 '' 'cannot open' demo --data "$scratch/none"
printf 'no idx at all' >"$scratch/t10k-images-idx3-ubyte"
expect 'data that is damaged' 3 '' 'not an IDX file' demo --data "$scratch" --out "$scratch/none.svg"
[ ! -e "$scratch/none.svg" ]
verdict 'a demo that fails leaves no empty chart' $?
expect 'a chart that cannot be written is told before training' 4 '' '^kiln demo: chart: .*: cannot create: No such file' demo --out "$scratch/no/loss.svg"
grep -q 'images' "$scratch/err"
verdict 'and nothing was trained' $((! $?))
# images label: so many black pictures labelled 0, as IDX files
idx()
{
    { printf '%b' "\0\0\010\03\0\0\0\0$(printf %o "$1")\0\0\0\034\0\0\0\034"; head -c $((784 * $1)) /dev/zero; } >"$scratch/$2-images-idx3-ubyte"
    { printf '%b' "\0\0\010\01\0\0\0\0$(printf %o "$1")"; head -c "$1" /dev/zero; } >"$scratch/$2-labels-idx1-ubyte"
}
idx 200 train
rm -f "$scratch"/t10k*
expect 'one pair of files: its last tenth is the test' 0 'test accuracy' '^180 training and 20 test images' \
    demo --data "$scratch" --epochs 1 --out "$scratch/a.svg"
idx 100 t10k
expect 'both pairs of files' 0 'test accuracy' '^200 training and 100 test images' demo --data "$scratch" --epochs 1 --out "$scratch/a.svg"
expect 'info' 0 '^compiler *LLVM' '' info
mkdir -m 700 "$scratch/kept"
KILN_CACHE_DIR=$scratch/kept expect 'info on a folder of compiled code' 0 "^code cache $scratch/kept: 0 programs, 0 of 268435456 bytes" '' info
expect 'info on devices' 0 '^device *cpu: ' '' info
expect 'info on devices for machines' 0 '"devices": {"cpu": "' '' info --json
expect 'info for machines' 0 '^  "threads": [1-9]' '' info --json
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys; d = json.load(sys.stdin); sys.exit(set(d) != set("version cpu threads tier code_cache compiler cuda devices absent_devices".split()))' <"$scratch/out"
    verdict 'which is JSON' $?
fi
expect 'bench' 0 '^call .*x + 1' '' bench --filter call
expect 'bench for machines' 0 '"speed_up": ' '' bench --filter call --json
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys
for r in json.load(sys.stdin)["results"]:
    for mode in ("eager", "graph"):
        assert 0 < r[mode + "_p10_s"] <= r[mode + "_s"] <= r[mode + "_p90_s"], r' <"$scratch/out"
    verdict 'with percentiles in order' $?
fi
# Errors in a text file stand as compilers say them, and options are checked.
printf 'module {}\n\ngraph @main(%%1: f32[3], %%2: f32[4]) -> (%%3) {\n  %%3 = add(%%1, %%2)\n}\n' >"$scratch/bad.kiln"
expect 'an error in a text names file, line and column' 3 '' "^$scratch/bad.kiln:4:8: error: add: shapes differ: f32\[3\] x f32\[4\]$" \
    compile "$scratch/bad.kiln"
echo modul >"$scratch/worse.kiln"
expect 'and so does one that cannot be read' 3 '' "^$scratch/worse.kiln:1:1: error: expected 'module'$" compile "$scratch/worse.kiln"
# What KILN_DUMP=ir writes compiles as it is, whatever the functions are called.
dumped() # programs of docs/examples
{
    local e f
    mkdir -p "$scratch/dump"
    for e in "$@"; do
        KILN_DUMP=ir KILN_DUMP_DIR=$scratch/dump "$build/examples/$e" >"$scratch/out" 2>"$scratch/err" || return 1
        for f in "$scratch"/dump/*.ir; do
            "$kiln" compile "$f" 2>"$scratch/err" || { echo "$e: $f" >>"$scratch/err"; return 1; }
            [ -s "${f%.ir}.o" ] && [ -s "${f%.ir}.h" ] || return 1
        done
        rm -f "$scratch"/dump/*
    done
}
dumped decorator minimise custom_gradient control_flow lstm convnet
verdict 'dumped graphs compile as they are' $?

# A stage of a function is one file, on a device too, and its name is the function's and the stage's.
dumped_once() # device, stages
{
    KILN_DEVICE=$1 KILN_DUMP=$2 KILN_DUMP_DIR=$scratch/dump "$build/examples/decorator" >"$scratch/out" 2>"$scratch/err" || return 1
    (cd "$scratch/dump" && ls) | sed 's/^[0-9]*-//' >"$scratch/names"
    rm -f "$scratch"/dump/*
    for f in func func_vjp func_grad; do echo "$2" | tr , '\n' | sed "s/^/$f./"; done | cmp -s - "$scratch/names"
}
dumped_once cpu program,cuda,llvm,asm && dumped_once emu:0 program,cuda
verdict 'a stage of a function is dumped once' $?
printf 'module {}\n\ngraph @"by hand"(%%1: f32[3]) -> (%%2) {\n  %%2 = exp(%%1)\n}\n' >"$scratch/1.kiln"
expect 'a text to an object' 0 '' '' compile "$scratch/1.kiln"
grep -q '^static inline int by_hand(' "$scratch/1.h"
verdict 'whose functions are named by the graph' $?
expect 'an unknown CPU' 4 '' "^kiln compile: cpu: LLVM knows no CPU 'bogus' for " compile "$scratch/1.kiln" --cpu bogus
expect 'an unknown device' 1 '' '\.device = "sm_x": "sm_x" is no architecture, such as sm_90' compile "$scratch/1.kiln" --device sm_x
expect 'an unknown feature' 4 '' "^kiln compile: features: LLVM knows no feature '+bogus' for " compile "$scratch/1.kiln" --features +bogus
expect 'this CPU' 0 '' '' compile "$scratch/1.kiln" --cpu native
# A module run on .npy files. name, descr, shape, bytes as printf writes them
npy()
{
    local dict="{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"
    { printf '\223NUMPY\1\0%b\0' "\\0$(printf %o $((${#dict} + 1)))"; printf '%s\n' "$dict"; printf "$4"; } >"$scratch/$1.npy"
}
cat >"$scratch/run.kiln" <<'END'
module {
  dims N in [1,3]
}

graph @main(%1: i16[N,2], %2: i16[2]) -> (%4, %5) {
  %3 = broadcast(%2) {[N,2]} : i16[N,2]
  %4 = mul(%1, %3) : i16[N,2]
  %5 = sum(%4) {[0, 1]} : i16[]
}
END
npy x '<i2' '2, 2' '\1\0\2\0\3\0\4\0'
npy w '<i2' '2,' '\12\0\144\0'
npy long '<i2' '4, 2' '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
npy three '<f4' '3,' '\0\0\0\0\0\0\0\0\0\0\0\0'
npy short '<i2' '2,' '\12\0\144'
expect 'a module on inputs from files' 0 '^640 i16\[\]$' '' run "$scratch/run.kiln" --input "$scratch/x.npy" --input "$scratch/w.npy"
expect 'its first result to a file' 0 '^640 i16' '' run "$scratch/run.kiln" --input "$scratch/x.npy" --input "$scratch/w.npy" --output "$scratch/y.npy"
expect 'which is an input again' 0 '^\[\[ *100 *20000\]' '' run "$scratch/run.kiln" --input "$scratch/y.npy" --input "$scratch/w.npy"
expect 'too few inputs' 1 '' '1 inputs given, but the graph takes 2' run "$scratch/run.kiln" --input "$scratch/x.npy"
expect 'a size out of bounds' 3 '' 'input 0 is i16\[4,2\], but the graph takes i16\[N,2\] within the bounds' \
    run "$scratch/run.kiln" --input "$scratch/long.npy" --input "$scratch/w.npy"
expect 'a file that is too short' 3 '' "short.npy: the file does not have the number of bytes" run "$scratch/run.kiln" --input "$scratch/short.npy"
expect 'an error in the text that is run' 3 '' "^$scratch/bad.kiln:4:8: error: add: shapes differ" run "$scratch/bad.kiln"
expect 'an output that is no result' 2 '' 'has 2 results, but --output is given 3 times' run "$scratch/run.kiln" --input "$scratch/x.npy" --input "$scratch/w.npy" \
    --output "$scratch/1.npy" --output "$scratch/2.npy" --output "$scratch/3.npy"
# Where the time goes: of a module, on made-up inputs or files, and of a program.
expect 'a profile of a module' 0 '^main: a call takes .*medians of' '' profile "$scratch/run.kiln"
grep -q 'main.sum_0@text:8$' "$scratch/out"
verdict 'which names the steps' $?
expect 'on inputs from files' 0 'of the most  step$' '' profile "$scratch/run.kiln" --input "$scratch/x.npy" --input "$scratch/w.npy"
expect 'for machines' 0 '"function": "main"' '' profile --json "$scratch/run.kiln" --dim N=2
json() # FILE
{
    command -v python3 >/dev/null || return 0
    python3 -c 'import json, sys
for d in map(json.loads, open(sys.argv[1]).read().replace("\n{\"name", "{\"name").splitlines()):
    assert d["roof"]["f32_flops_per_second"] > 0
    for f in d["functions"]:
        assert sum(s["seconds"] for s in f["steps"]) > 0 and f["calls"] > 0' "$1" 2>"$scratch/err"
}
json "$scratch/out"
verdict 'which is JSON' $?
expect 'too few inputs of a profile' 1 '' '^kiln profile: 1 inputs given, but the graph takes 2' profile "$scratch/run.kiln" --input "$scratch/x.npy"
expect 'a profile of no module' 3 '' "^$scratch/bad.kiln:4:8: error: add: shapes differ" profile "$scratch/bad.kiln"
sed 's/N in \[1,3\]/N in [1,100000]/' "$scratch/run.kiln" >"$scratch/wide.kiln"
expect 'a size that is too large to be made up' 3 '' 'the size N may be up to 100000: give it one (--dim N=64)' profile "$scratch/wide.kiln"
expect 'a size that is given' 0 'main.sum_' '' profile "$scratch/wide.kiln" --dim N=100
expect 'a model' 0 '^operators  Add 1, MatMul 1, Relu 1$' '' inspect tests/fuzz/corpus/onnx/tiny.onnx
expect 'no model' 2 '' '^kiln inspect: no model is named$' inspect
expect 'a model that is none' 3 '' '^kiln inspect: onnx: tests/command.sh: at byte 1, in a message model: ' inspect tests/command.sh
expect 'a size beyond its bounds' 3 '' '^kiln profile: dim N is 576460752303423489 (allowed: 1 to 100000)$' profile "$scratch/wide.kiln" --dim N=576460752303423489
expect 'no such size to profile' 3 '' '^kiln profile: the module has no dim Q$' profile "$scratch/wide.kiln" --dim N=3 --dim Q=3
expect 'a size that is given twice' 3 '' '^kiln profile: dim N is 4 (allowed: 3 to 3)$' profile "$scratch/wide.kiln" --dim N=3 --dim N=4
expect 'a size that no number holds' 2 '' "'N=9223372036854775808' is not NAME=VALUE" profile "$scratch/wide.kiln" --dim N=9223372036854775808
expect 'nothing to profile' 2 '' '^kiln profile: no PROGRAM or FILE given' profile --json
expect 'a program that is not there' 3 '' 'No such file' profile "$scratch/none"
expect 'options that a program does not take' 2 '' 'one_layer is a program: of the options only --json, -o and --device are for it' profile --dim N=3 "$build/examples/one_layer"
expect 'a profile of a program' 0 'f32\[2,4\]' 'layer.relu_0@one_layer.c:6$' profile "$build/examples/one_layer"
expect 'to a file, for machines' 0 'f32\[2,4\]' '' profile --json -o "$scratch/profile.json" "$build/examples/one_layer" --help
json "$scratch/profile.json" && [ -s "$scratch/profile.json" ]
verdict 'which is JSON, too' $?
printf '#!/bin/sh\ncd /\nexec "%s"\n' "$PWD/$build/examples/one_layer" >"$scratch/elsewhere" && chmod +x "$scratch/elsewhere"
touch "$scratch/leads-here" && ln -s leads-here "$scratch/link"
(cd "$scratch" && "$kiln" profile --json -o link ./elsewhere >out 2>err) && json "$scratch/leads-here" && [ -s "$scratch/leads-here" ]
verdict 'to where a link leads, of a program that works elsewhere' $?
expect 'a report where the program writes' 4 '' '/dev/stdout: this is standard output' profile -o /dev/stdout "$build/examples/one_layer"
"$kiln" profile -o /dev/stdout "$build/examples/one_layer" 2>"$scratch/err" | grep -q . || grep -q 'this is standard output' "$scratch/err"
verdict 'or a pipe' $?
expect 'a report to a folder' 4 '' 'Is a directory' profile -o "$scratch" "$build/examples/one_layer"
KILN_PROFILE=yes expect 'a wish that is none' 0 'f32' 'KILN_PROFILE=yes: it must be 1 or json' run "$scratch/1.kiln" --input "$scratch/three.npy"
# Sizes that no input has alone are given; what is declared and not used needs none
cat >"$scratch/dims.kiln" <<'END'
module {
  dims N in [1,3], M in [2,9], L in [1,4]
}

graph @main(%1: i16[2*N]) -> (%3, %1) {
  %2 = iota() {i64, 0, [M]} : i64[M]
  %3 = sum(%2) {[0]} : i64[]
}
END
npy four '<i2' '4,' '\1\0\2\0\3\0\4\0'
expect 'sizes that are given' 0 '^10 i64\[\]$' '' run "$scratch/dims.kiln" --input "$scratch/four.npy" --dim M=5 --dim=N=2
expect 'an unknown size' 3 '' 'no input has the size N alone, so it is unknown: give it one (kiln run --dim N=1' run "$scratch/dims.kiln" --input "$scratch/four.npy" --dim M=5
expect 'an input of another size' 3 '' 'input 0 is i16\[4\], but the graph takes i16\[2\*N\]' run "$scratch/dims.kiln" --input "$scratch/four.npy" --dim M=5 --dim N=3
expect 'a size that is out of bounds' 3 '' 'dim M is 10 (allowed: 2 to 9)' run "$scratch/dims.kiln" --input "$scratch/four.npy" --dim M=10
expect 'no such size' 3 '' 'the module has no dim K' run "$scratch/dims.kiln" --input "$scratch/four.npy" --dim K=10
expect 'a size that is none' 2 '' "'M' is not NAME=VALUE" run "$scratch/dims.kiln" --input "$scratch/four.npy" --dim M
sed 's/2\*N/4/' "$scratch/dims.kiln" >"$scratch/unused.kiln"
expect 'a size that nothing uses' 0 '^36 i64' '' run "$scratch/unused.kiln" --input "$scratch/four.npy" --dim M=9
KILN_COMPILE=never expect 'which an interpreted module need not have either' 0 '^36 i64' '' run "$scratch/unused.kiln" --input "$scratch/four.npy" --dim M=9
expect 'a size that only the program uses' 3 '' 'no input has the size M alone' run "$scratch/unused.kiln" --input "$scratch/four.npy"
# The demo convinces: both modes agree, and both networks read digits that they have not seen. $1: at least so many per cent
reads() { awk -v least="$1" '/test accuracy/ { n++; if ($3 + 0 <= least || $5 + 0 <= least) bad = 1 } END { exit bad || n != 2 }' "$scratch/out"; }
expect 'demo' 0 'equal bit for bit in all' 'loss chart' demo --quick --out "$scratch/loss.svg"
reads 90
verdict 'after a few seconds both networks read nine digits in ten' $?
[ -s "$scratch/loss.svg" ] && [ "$(grep -c '<polyline' "$scratch/loss.svg")" = 4 ]
verdict 'its chart has two curves' $?
mnist=../shared/data/mnist
if [ -n "${KILN_TEST_FULL:-}" ] && [ -d "$mnist" ]; then
    expect 'demo on MNIST' 0 'equal bit for bit in all 1692 steps' '9000 training and 1000 test' demo --data "$mnist" --out "$scratch/loss.svg"
    awk '/^convnet/ { conv = 1 } conv && /test accuracy/ { exit !($3 + 0 > 97 && $5 + 0 > 97) }' "$scratch/out"
    verdict 'the convnet reads more than 97 % of MNIST' $?
fi
if [ -n "${KILN_TEST_FULL:-}" ] && "$kiln" info | grep -q '^device *emu:0'; then
    expect 'demo on an emulated device' 0 'equal bit for bit in all' 'training on emu:0' demo --device emu:0 --out "$scratch/loss.svg"
fi
echo "1..$n"
[ $failed -eq 0 ]
