#!/usr/bin/env bash
# Runs examples of docs/examples/ and programs of tests/programs/ (all, or those named) plainly and again with
# KILN_RETRACE=1, or once on the device of KILN_TEST_DEVICE (emu, gpu), if that is set: each must exit 0 and, where NAME.expected
# lies beside the source, print exactly that. An emulated device takes a thousand times as long: there some take the few steps that
# arguments ask for, and must print what they print on the CPU. TAP on stdout. Relies on the built programs; builds nothing.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$build}
scratch=$build/examples/run
mkdir -p "$scratch"
export TMPDIR=$PWD/$scratch

if [ $# -eq 0 ]; then
    for source in docs/examples/*.c docs/examples/*.cc tests/programs/*.c; do
        [ -f "$source" ] || continue
        name=${source##*/}
        set -- "$@" "${name%.*}"
    done
fi
few_steps() # name: its arguments
{
    case $1 in
        characters) echo 2 ;;
        mobilenet) echo 0.25 0 8 2 ;;
    esac
}
n=0 failed=0
judge() # name way [environment]
{
    local name=$1 way=$2 out=$scratch/$1.$2.out err=$scratch/$1.$2.err expected=docs/examples/$1.expected status
    [ -f "$expected" ] || expected=tests/programs/$name.expected
    local arguments=
    shift 2
    n=$((n + 1))
    if [ "$way" = on_emu:0 ] && arguments=$(few_steps "$name") && [ -n "$arguments" ]; then
        expected=$scratch/$name.few
        # shellcheck disable=SC2086
        KILN_DEVICE=cpu "$build/examples/$name" $arguments >"$expected" 2>/dev/null </dev/null || expected=/dev/null
    fi
    # shellcheck disable=SC2086
    env "$@" "$build/examples/$name" $arguments >"$out" 2>"$err" </dev/null
    status=$?
    if [ $status -eq 77 ]; then
        echo "skip: $(tail -n 1 "$out")"
        echo "ok $n # SKIP $name $way"
        return
    fi
    if [ $status -eq 0 ] && { [ ! -f "$expected" ] || diff -u "$expected" "$out"; }; then
        echo "ok $n - $name $way"
        return
    fi
    failed=$((failed + 1))
    echo "not ok $n - $name $way"
    echo "# exit status $status; $way: env KILN_LIBDIR=$build $* $build/examples/$name"
    tail -n 30 "$err" | sed 's/^/# /'
}
case ${KILN_TEST_DEVICE:-} in emu) device=emu:0 ;; gpu) device=${KILN_TEST_CARD:-gpu:0} ;; *) device= ;; esac
if [ -n "$device" ] && ! "$build/kiln" info | grep -q "^device *$device\>"; then
    echo "skip: there is no $device here (kiln info lists devices)"
    exit 77
fi
[ -n "$device" ] && echo "1..$#" || echo "1..$((2 * $#))"
for name; do
    if [ -n "$device" ]; then
        judge "$name" "on_$device" KILN_DEVICE="$device"
    else
        judge "$name" plain -u KILN_RETRACE
        judge "$name" retrace KILN_RETRACE=1
    fi
done
[ $failed -eq 0 ]
