#!/usr/bin/env bash
# Runs tests: cmocka programs (late:PROGRAM: with engines on the device of tests/late.h, emu:PROGRAM: on an emulated CUDA device; gpu:PROGRAM: on a card, or on the device that KILN_TEST_CARD names; never:, swap: or background:PROGRAM: with that KILN_COMPILE), shell scripts (*.sh; exit 0 passes, 77 skips with the reason as its last line) and
# examples (programs in an examples/ folder, through tests/examples.sh). A few at a time, each under a time limit.
# Shows what failed, every skip with its reason, and ends with exactly `N passed, N failed, N skipped`, cases counted.
# Relies on bash, awk and coreutils. Never builds.
#   BUILD (build), TEST_JOBS (2), TEST_TIMEOUT (240, seconds of a processor that each program may use; four times that
#   by the clock), TEST_WRAPPER (a command in front of each program)
set -u
cd "$(dirname "$0")/.." || exit 1
export BUILD=${BUILD:-build}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$BUILD} KILN_BUILD=$PWD/$BUILD
# Tests are about compiled code unless they say otherwise, or are run as never:PROGRAM and so on.
export KILN_COMPILE=${KILN_COMPILE:-wait}
export TEST_TIMEOUT=${TEST_TIMEOUT:-240} TEST_WRAPPER=${TEST_WRAPPER:-}
export CMOCKA_MESSAGE_OUTPUT=TAP
# allocator_may_return_null: tests ask for more than there is. intercept_tls_get_addr: the leak checker guesses where a library's thread-local memory lies, and crashes where it guesses wrong.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0:intercept_tls_get_addr=0:allocator_may_return_null=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=tests/lsan.supp:print_suppressions=0}
export TSAN_OPTIONS=${TSAN_OPTIONS:-suppressions=tests/tsan.supp:halt_on_error=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
logs=$BUILD/tests/logs

# Counts the cases of one log: "passed failed skipped". A program that announced more cases than it reported, or failed
# without naming a case, has failed cases. A log without TAP lines is one case, judged by the exit status.
count()
{
    awk -v status="$2" '
        /^1\.\.[0-9]+/ { planned += substr($0, 4) }
        /ok [0-9]+ # SKIP/ { skipped++; next }
        /not ok [0-9]+ - / { failed++; next }
        /ok [0-9]+ - / { passed++ }
        END {
            if (planned + passed + failed + skipped == 0) {
                if (status == 0) passed = 1
                else if (status == 77) skipped = 1
                else failed = 1
            } else {
                lost = planned - passed - failed - skipped
                if (lost > 0) failed += lost
                if (status != 0 && status != 77 && !failed) failed = 1
            }
            print passed + 0, failed + 0, skipped + 0
        }' "$1"
}

# Why cases were skipped: lines "skip: reason" that the test printed, else its last line.
reasons()
{
    grep -iE '^[# ]*skip(ped)?: ' "$1" | sed -E 's/^[# ]*[Ss][Kk][Ii][Pp]([Pp][Ee][Dd])?: //' | sort -u | grep . ||
        { [ "$2" = 77 ] && grep . "$1" | tail -n 1; } || echo 'no reason given'
}

one()
{
    local test=$1 name log status passed failed skipped tallied late=
    case $test in
        late:* | emu:* | gpu:*) late=${test%%:*}- && export KILN_TEST_DEVICE=${test%%:*} && test=${test#*:} ;;
        never:* | swap:* | background:*) late=${test%%:*}- KILN_COMPILE=${test%%:*} test=${test#*:} ;;
    esac
    name=${test#"$BUILD"/} name=${name#tests/} name=$late${name//\//-}
    log=$logs/$name.log
    case $test in
        *.sh) set -- bash "$test" ;;
        */examples/*) set -- bash tests/examples.sh "$(basename "$test")" ;;
        # shellcheck disable=SC2086
        *) set -- $TEST_WRAPPER "./$test" ;;
    esac
    local began=$SECONDS
    # On a busy machine a test waits; what it may use is time of its own. The wall's limit is for tests that hang.
    # Inside another runner the limit there may be lower, and stands. With TEST_TOGETHER it stays in the runner's group of processes, so that who stops the runner stops it, too.
    (ulimit -t "$TEST_TIMEOUT" 2>/dev/null; exec timeout ${TEST_TOGETHER:+--foreground} -k 5 $((4 * TEST_TIMEOUT)) "$@") >"$log" 2>&1 </dev/null
    status=$?
    tallied=$(count "$log" $status)
    read -r passed failed skipped <<<"$tallied"
    echo "$tallied" >"$logs/$name.count"
    {
        if [ "$failed" -gt 0 ]; then
            echo "FAILED  $name  ($failed of $((passed + failed + skipped)), exit status $status)"
            case $status in
                124) echo "    stopped: not done after $((4 * TEST_TIMEOUT)) s" ;;
                137 | 152) echo "    stopped: over the limit of $TEST_TIMEOUT s of a processor" ;;
            esac
            # Enough to see the fault; the whole log stays beside.
            { grep -v -E '^ok [0-9]+ - ' "$log" || true; } | tail -n 80 | sed 's/^/    /'
            echo "    log: $log"
        elif [ "$skipped" -gt 0 ]; then
            echo "skipped $name  ($skipped of $((passed + failed + skipped)))"
        else
            printf 'ok      %s  (%d, %d s)\n' "$name" "$passed" $((SECONDS - began))
        fi
        if [ "$skipped" -gt 0 ]; then reasons "$log" $status | sed 's/^/    skip: /'; fi
    } >"$logs/$name.report"
    cat "$logs/$name.report"
}

if [ "${1:-}" = --one ]; then
    one "$2"
    exit 0
fi

mkdir -p "$logs" && rm -f "$logs"/*.count "$logs"/*.report || exit 1 # the logs of other tests stay
[ $# -gt 0 ] && printf '%s\n' "$@" | xargs -n 1 -P "${TEST_JOBS:-2}" bash tests/run.sh --one
sum() { cat "$@" 2>/dev/null | awk '{ p += $1; f += $2; s += $3 } END { printf "%d passed, %d failed, %d skipped", p, f, s }'; }
summary=$(sum "$logs"/*.count)
compgen -G "$logs/late-*.count" >/dev/null && echo "of these on the late device: $(sum "$logs"/late-*.count)"
compgen -G "$logs/emu-*.count" >/dev/null && echo "of these on an emulated device: $(sum "$logs"/emu-*.count)"
compgen -G "$logs/gpu-*.count" >/dev/null && echo "of these on ${KILN_TEST_CARD:-gpu:0}: $(sum "$logs"/gpu-*.count)"
compgen -G "$logs/never-*.count" >/dev/null && echo "of these interpreted: $(sum "$logs"/never-*.count)"
reported=$(find "$logs" -name '*.count' | wc -l)
failures=$(find "$logs" -name '*.report' -exec grep -l '^FAILED' {} + | sort)
if [ -n "$failures" ]; then
    echo
    echo 'Failures:'
    # shellcheck disable=SC2086
    grep -h '^FAILED' $failures | sed 's/^/    /'
fi
if [ "$reported" -ne $# ]; then
    echo "the runner lost $(($# - reported)) of $# tests"
fi
echo "$summary" | tee "$BUILD/tests/summary"
[ -z "$failures" ] && [ "$reported" -eq $# ]
