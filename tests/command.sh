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

echo 1..14
expect 'no arguments' 2 '' 'usage: kiln' 
expect 'version' 0 '^kiln [0-9.]*$' '' --version
expect 'help' 0 'usage: kiln COMMAND' '' help
expect 'help of a command' 0 'usage: kiln demo' '' help demo
expect '--help of a command' 0 'usage: kiln bench' '' bench --help
expect 'an unknown command' 2 '' "no command 'nonsense'" nonsense
expect 'an unknown option' 2 '' 'not understood: --nonsense' demo --nonsense
expect 'a number that is none' 2 '' 'kiln help demo' demo --epochs many
expect 'data that is not there' 3 '' 'cannot open' demo --data "$scratch/none"
printf 'no idx at all' >"$scratch/t10k-images-idx3-ubyte"
expect 'data that is damaged' 3 '' 'no IDX file' demo --data "$scratch"
expect 'info' 0 '^compiler *LLVM' '' info
expect 'bench' 0 '^call .*x + 1' '' bench --filter call
expect 'bench for machines' 0 '"speed_up": ' '' bench --filter call --json
expect 'demo' 0 'equal bit for bit in all' 'loss chart' demo --quick --out "$scratch/loss.svg"
[ -s "$scratch/loss.svg" ] && [ "$(grep -c '<polyline' "$scratch/loss.svg")" = 4 ] || { echo "Bail out! no chart"; exit 1; }
[ $failed -eq 0 ]
