#!/usr/bin/env bash
# tests/gpu.sh, the run on a machine with a card, with shell scripts in the place of the programs that it carries: a stage that hangs
# is stopped with all that it started and loses nothing of what others printed, one that fails is told, and all is added up. TAP on
# stdout. Relies on bash, coreutils and /proc.
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
tree=$scratch/tree out=$scratch/out
mkdir -p "$tree/bin" "$tree/lib" "$tree/tests/bench/gpu"
cp tests/gpu.sh tests/run.sh "$tree/tests/" && cp tests/bench/gpu/run.sh "$tree/tests/bench/gpu/"
n=0 failed=0
verdict() # name, 0 or not
{
    n=$((n + 1))
    [ "$2" = 0 ] && echo "ok $n - $1" && return
    failed=$((failed + 1))
    echo "not ok $n - $1"
    tail -n 40 "$scratch/said" | sed 's/^/# /'
}
# A program as the name by which it is called says; those that hang note the process that has to go.
cat >"$tree/bin/gpu-tests" <<'END'
#!/bin/sh
case $0 in
    *test_device_use) printf '1..2\nok 1 - a\nok 2 - b\n' ;;
    *test_fails) printf '1..2\nok 1 - a\nnot ok 2 - b\n# why it fails\n' && exit 1 ;;
    *test_hangs) echo 'at work when it was stopped' && echo $$ >>"$HUNG" && exec sleep 600 ;;
    *test_cuda) printf '1..1\nok 1 - a\n' ;;
    *test_card) printf '1..1\nok 1 - graphs %s\n' "$KILN_GRAPHS" ;;
esac
END
printf '#!/bin/sh\necho a row\n%s\necho "3 passed, 0 failed, 0 skipped"\n' 'eval "$BENCH"' >"$tree/bin/bench-gpu"
printf '#!/bin/sh\necho "device     gpu:0: a card"\n' >"$tree/bin/kiln"
echo 'test_device_use test_fails test_hangs test_cuda test_card' >"$tree/bin/list"
export HUNG=$scratch/hung BENCH=: CUDA_HOME=/nowhere PATH=$PATH
unset DEVICE KILN_NVRTC PEERS
run() { LIMITS=$1 timeout 100 bash "$tree/tests/gpu.sh" "$out" >"$scratch/said" 2>&1; }
gone()
{
    local p
    [ -s "$HUNG" ] || return 1
    while read -r p; do [ -e "/proc/$p" ] && [ "$(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null)" = 'sleep 600 ' ] && return 1; done <"$HUNG"
    return 0
}

# shellcheck disable=SC2016
BENCH='echo $$ >>"$HUNG"; exec sleep 600' run '9 3 2 9'
[ $? = 1 ] && [ "$(tail -n 1 "$scratch/said")" = '13 passed, 3 failed, 1 skipped' ]
verdict 'what was done until a stage was stopped is added up' $?
grep -q '^1-smoke: 2 passed, 0 failed, 0 skipped, ' "$out/summary.txt" && grep -q '^2-core: 11 passed, 2 failed, 0 skipped, ' "$out/summary.txt" &&
    grep -q '^3-bench: 0 passed, 1 failed, 0 skipped, ' "$out/summary.txt" && grep -q '^4-sanitizer: 0 passed, 0 failed, 1 skipped, ' "$out/summary.txt"
verdict 'and told stage by stage' $?
grep -q 'not done: gpu-test_hangs' "$out/2-core.txt" && grep -q '        at work when it was stopped' "$out/2-core.txt" &&
    grep -q 'why it fails' "$out/logs/2-core-gpu-test_fails.log" && grep -q 'at work' "$out/logs/2-core-gpu-test_hangs.log"
verdict 'what failed, and what was not done, leaves its log' $?
grep -q '^a row$' "$out/3-bench.txt"
verdict 'rows of a bench that is stopped stay' $?
gone
verdict 'nothing that was stopped goes on' $?
[ "$(cat "$tree"/work.* 2>/dev/null | wc -c)" = 0 ] && ! ls -d "$tree"/work.* >/dev/null 2>&1
verdict 'and the tree is as it was' $?

echo 'test_device_use test_cuda test_card' >"$tree/bin/list"
run '9 9 9 9'
[ $? = 0 ] && [ "$(tail -n 1 "$scratch/said")" = '15 passed, 0 failed, 1 skipped' ]
verdict 'a run in which all is well' $?
for i in 1:25 26:25 176:25 1:0; do grep -q "graphs $i\$" "$scratch/said" || grep -q 'ok      graphs-' "$out/2-core.txt" || false; done
verdict 'has all parts of the graphs' $?
printf '#!/bin/sh\nexec sleep 600\n' >"$tree/bin/kiln"
sed -i 's/-k 5 30 /-k 1 1 /' "$tree/tests/gpu.sh"
run '9 9 9 9'
[ $? = 0 ] && grep -q '^skip: kiln info fails or hangs' "$scratch/said" && [ "$(tail -n 1 "$scratch/said")" = '0 passed, 0 failed, 1 skipped' ]
verdict 'a driver that hangs is a skip that says so' $?
echo "1..$n"
[ $failed -eq 0 ]
