#!/usr/bin/env bash
# An OpenBLAS with kernels older than the CPU, as its environment variable makes it choose here: `kiln info` and the demo's first
# line say that it is not used, the tests of products pass, and products eager and traced agree. TAP on stdout. Relies on a finished build.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$build} OPENBLAS_CORETYPE=Prescott
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
grep -qw avx2 /proc/cpuinfo 2>/dev/null || { echo 'skip: this CPU has no AVX2'; exit 77; }
"$build/kiln" info >"$scratch/info" || exit 1
grep -q '^BLAS.*Prescott' "$scratch/info" || { echo 'skip: this OpenBLAS cannot be told its core'; exit 77; }
n=0 failed=0
verdict() # name, 0 or not, file to show
{
    n=$((n + 1))
    [ "$2" = 0 ] && { echo "ok $n - $1"; return; }
    failed=$((failed + 1))
    echo "not ok $n - $1"
    head -n 20 "$3" | sed 's/^/# /'
}
says='own products, not OpenBLAS.*its Prescott kernels, which are older than this CPU'
echo 1..5
grep -q "^BLAS *$says" "$scratch/info"
verdict 'info says that OpenBLAS is not used' $? "$scratch/info"
"$build/kiln" demo --quick --epochs 1 --batch 128 --out "$scratch/loss.svg" >"$scratch/out" 2>"$scratch/err"
verdict 'the demo runs' $? "$scratch/err"
head -n 1 "$scratch/err" | grep -q "$says"
verdict 'the first line of the demo says so' $? "$scratch/err"
"$build/kiln" bench --filter product_1024 >"$scratch/out" 2>&1
verdict 'products eager and traced agree' $? "$scratch/out"
for test in test_blas test_contract; do "$build/tests/$test" || echo "$test failed"; done >"$scratch/tests" 2>&1
! grep -qE '^not ok|failed$' "$scratch/tests"
verdict 'the tests of products pass' $? "$scratch/tests"
[ $failed -eq 0 ]
