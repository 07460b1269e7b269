#!/usr/bin/env bash
# What docs/design.md shows is what there is: the text of each stage of its example, and the drawing of the rooms. TAP on stdout. Relies on the built
# example and on docs/rooms.sh.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$build}
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
n=0 failed=0
verdict() # name, 0 or not
{
    n=$((n + 1))
    [ "$2" = 0 ] && echo "ok $n - $1" && return
    failed=$((failed + 1))
    echo "not ok $n - $1"
}
width='s/vector\*[0-9]*/vector/' # how many vectors at once is the machine's
indented() { sed -e 's/^/    /' -e 's/ *$//' "$1"; } # as a block of the page
shown() # FILE: whether all its lines stand in the page, one after the other, without its first, which says that no size is a symbol
{
    local want page
    want=$(indented "$1" | sed -e '/^ *module {}$/d' -e "$width" | sed '/./,$!d')
    page=$(sed "$width" docs/design.md)
    [ -n "$want" ] && [[ $page == *"$want"* ]]
}

echo 1..6
if KILN_DUMP=ir,passes,program KILN_DUMP_DIR=$scratch "$build/examples/one_layer" >"$scratch/out" 2>&1 && ls "$scratch"/*.program >/dev/null 2>&1; then
    for stage in ir fuse program; do
        shown "$(ls "$scratch"/*-layer.$stage)"
        verdict "design.md shows stage $stage" $?
    done
else
    for stage in ir fuse program; do
        n=$((n + 1))
        echo "skip: nothing compiles here"
        echo "ok $n # SKIP stage $stage"
    done
fi
bash docs/rooms.sh | cmp -s - docs/rooms.svg
verdict 'docs/rooms.svg is of the includes as they are (bash docs/rooms.sh > docs/rooms.svg)' $?
# docs/conformance.md: each name once, each call declared, each test there.
conforms()
{
    local name call test
    [ "$(grep -c '^| [a-z_]' docs/conformance.md)" -ge 172 ] || echo 'there are 172 names'
    sed -n '/^### linalg/q;p' docs/conformance.md | sed -n 's/^| \([a-z0-9_]*\) | .*/\1/p' | sort | uniq -d
    grep -o '`kiln_[a-z0-9_]*`' docs/conformance.md | tr -d '`' | sort -u | while read -r call; do grep -qrw "$call" include/kiln || echo "$call"; done
    grep -o '`tests/[a-z0-9_]*\.c`' docs/conformance.md | tr -d '`' | sort -u | while read -r test; do [ -f "$test" ] || echo "$test"; done
}
wrong=$(conforms)
[ -z "$wrong" ] || printf '%s\n' "$wrong" | sed 's/^/# /'
verdict 'docs/conformance.md names what there is' "$([ -z "$wrong" ]; echo $?)"
sed -n '/^## ONNX$/,$p' docs/conformance.md | cmp -s - <(bash tests/conformance/table.sh)
verdict 'docs/conformance.md has what tests/conformance/onnx.list has (bash tests/conformance/table.sh --write)' $?
[ $failed -eq 0 ]
