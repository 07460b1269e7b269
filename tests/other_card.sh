#!/usr/bin/env bash
# Tests of devices on an emulated card of another make (tests/other_units), whose bits are its own where docs/numerics.md says that they
# are the device's: a random graph and those of tests/chosen.kiln. More is in test-full. TAP on
# stdout. Relies on a built $BUILD/kiln and tests, and a C++ compiler.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$build} KILN_COMPILE=wait
kiln=$PWD/$build/kiln
unset KILN_DEVICE KILN_CACHE_DIR
[ -x "$kiln" ] && "$kiln" info | grep -q '^device *emu:0' || { echo 'skip: there is no emulated device'; exit 77; }
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
other="$PWD/tests/other_units ${CXX:-c++}" n=0 failed=0
verdict() # name, 0 or not
{
    n=$((n + 1))
    [ "$2" = 0 ] && echo "ok $n - $1" && return
    failed=$((failed + 1))
    echo "not ok $n - $1"
    tail -n 20 "$scratch/out" | sed 's/^/# /'
}
cat >"$scratch/sin.kiln" <<'END'
module {}
graph @main() -> (%5) {
  %1 = iota() {f64, 0, [40]} : f64[40]
  %2 = sin(%1) : f64[40]
  %3 = mul(%2, %2) : f64[40]
  %4 = sum(%3) {[0]} : f64[]
  %5 = cos(%4) : f64[]
}
END
"$kiln" run "$scratch/sin.kiln" --device cpu >"$scratch/cpu" 2>&1 && "$kiln" run "$scratch/sin.kiln" --device emu:0 >"$scratch/out" 2>&1 &&
    cmp -s "$scratch/cpu" "$scratch/out"
verdict "an emulated card has the CPU's functions of f64" $?
CXX=$other "$kiln" run "$scratch/sin.kiln" --device emu:0 >"$scratch/out" 2>&1 && cmp -s "$scratch/cpu" "$scratch/out"
verdict 'and so has one of another make' $?
CXX=$other KILN_TEST_DEVICE=emu KILN_TEST_SEED=1005 "$build/tests/test_random" >"$scratch/out" 2>&1
verdict "a random graph whose bits are the device's is judged by bounds" $?
CXX=$other KILN_TEST_CARD=emu:0 KILN_GRAPHS=1:0 KILN_ONLY=chosen_graphs "$build/tests/test_card" >"$scratch/out" 2>&1
verdict 'and so are products on its tensor cores' $?
echo "1..$n"
[ $failed -eq 0 ]
