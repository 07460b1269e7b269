#!/usr/bin/env bash
# The programs of `make bench-check` and `make bench-peers`, but for what they are for: nothing depends on how fast anything is.
# Their sides compute the same, their rows have the same names, what fell is named, what is not there is said. TAP on stdout. Relies
# on $BUILD/bench/check and serve; of Python, which KILN_PYTHON names, it takes what there is.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$build} PYTHONDONTWRITEBYTECODE=1
[ -e "$KILN_LIBDIR/libkiln-llvm.so" ] || { echo 'skip: there is no LLVM module, and nothing compiles'; exit 77; }
python=${KILN_PYTHON:-python3} check=$build/bench/check peers=tests/bench/peers
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
n=0 failed=0
verdict() # name, 0 or not; what went wrong lies in out
{
    n=$((n + 1))
    [ "$2" = 0 ] && echo "ok $n - $1" && return
    failed=$((failed + 1))
    echo "not ok $n - $1"
    tail -n 20 "$scratch/out" | sed 's/^/# /'
}
left_out() # name, why
{
    n=$((n + 1))
    echo "skip: $2"
    echo "ok $n # SKIP $1"
}
run() { "$@" >"$scratch/out" 2>&1; }
said() { grep -qF "$1" "$scratch/out"; }

echo 1..10
run "$check" --agree
verdict 'Kiln and plain C compute the same' $?

echo '[another machine] # stays' >"$scratch/ratios"
run "$check" --ratios "$scratch/ratios" sgdloop && said 'has no ratios for such a machine' &&
    run "$check" --record --ratios "$scratch/ratios" sgdloop &&
    grep -q '^\[another machine\]' "$scratch/ratios" && grep -q '^sgdloop  *[0-9.]*$' "$scratch/ratios"
verdict 'ratios are written where there are none, beside those of other machines' $?

sed 's/^sgdloop.*/sgdloop 1e9/' "$scratch/ratios" >"$scratch/high"
run "$check" --ratios "$scratch/high" sgdloop
[ $? -eq 1 ] && said 'fell by more than 15 %: sgdloop'
verdict 'a row that fell is named, with exit status 1' $?

sed 's/^sgdloop.*/sgdloop 1e-9/' "$scratch/ratios" >"$scratch/low"
run "$check" --ratios "$scratch/low" sgdloop && ! said 'fell'
verdict 'a row that rose is not' $?

run "$check" --agree sgdloop nosuch another
[ $? -eq 2 ] && said 'no row is named nosuch, another; there are: ' && said ' sgdloop ' && ! said agrees
verdict 'an unknown row is named, beside those that there are, with exit status 2' $?

run sh $peers/run.sh "$scratch/nothing"
[ $? -eq 1 ] && said "python3 -m venv $scratch/nothing"
verdict 'without peers bench-peers says how to install them' $?

if "$python" -c '' 2>/dev/null; then
    (cd $peers && "$python" -c 'from rows import ROWS; print(*ROWS)') >"$scratch/python" 2>"$scratch/out"
    echo list | "$build/bench/serve" 2>>"$scratch/out" | sed 's/ *$//' >"$scratch/kiln"
    diff "$scratch/python" "$scratch/kiln" >>"$scratch/out"
    verdict 'rows have the same names in Python and in C' $?
    fine=0
    for rounds in 0 -1 x ''; do
        run "$python" $peers/run.py "$build/bench/serve" --rounds "$rounds"
        [ $? -eq 2 ] && said "argument --rounds: '$rounds' is no whole number from 1 on" || { fine=1 && break; }
    done
    verdict 'a number of rounds that is none is an error' $fine
    (cd $peers && "$python" -c 'from table import header
for rounds in 1, 2:
    print(*header(dict(machine="M", threads=2, rounds=rounds, seconds=0.3, versions={}, absent=[], on_request=[])))') >"$scratch/out" 2>&1
    said '; 1 round of 0.3 s for' && said '; 2 rounds of 0.3 s for'
    verdict 'one round is not several' $?
else
    left_out rounds "$python is not there (KILN_PYTHON names another Python)"
    left_out 'the word for rounds' "$python is not there (KILN_PYTHON names another Python)"
    left_out 'names of rows' "$python is not there (KILN_PYTHON names another Python)"
fi
if "$python" -c 'import numpy' 2>/dev/null; then
    run "$python" $peers/run.py "$build/bench/serve" --agree --json "$scratch/json" \
        --rows 'call1,power100,sgdloop,mm64,mlp_b1,mlp_b1_object,first_add' &&
        said '| call1 |' && ! said differs && ! said failed
    verdict 'Kiln and the peers that are there compute the same' $?
else
    left_out peers "$python has no numpy (KILN_PYTHON names another Python)"
fi
[ $failed -eq 0 ]
