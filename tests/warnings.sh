#!/usr/bin/env bash
# Programs of users compile without a warning: -Wall -Wextra -Wpedantic -Wshadow -Werror, as C11 and as C++17, with gcc and
# with clang, whichever are installed. Relies on the public headers alone. Links nothing.
set -u
cd "$(dirname "$0")/.." || exit 1
strict='-Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only -Iinclude -Itests'
tried=0 bad=0

check()
{
    command -v "$1" >/dev/null || { echo "not here: $1"; return; }
    tried=$((tried + 1))
    # shellcheck disable=SC2086
    "$1" "$2" $strict "$3" || { echo "$1 $2: $3 does not compile cleanly"; bad=1; }
}

# Two names of one compiler are one.
each()
{
    local c at seen=' '
    for c; do
        at=$(realpath "$(command -v "$c")" 2>/dev/null) || at=$c
        case $seen in *" $at "*) ;; *) echo "$c" && seen="$seen$at " ;; esac
    done
}

mapfile -t ccs < <(each gcc clang "${CC:-cc}")
mapfile -t cxxs < <(each g++ clang++ "${CXX:-c++}")
for cc in "${ccs[@]}"; do
    for f in tests/test_chain.c docs/examples/*.c; do check "$cc" -std=c11 "$f"; done
done
for cxx in "${cxxs[@]}"; do
    for f in tests/test_cxx.cc $(find docs/examples -name '*.cc'); do check "$cxx" -std=c++17 "$f"; done
done
[ $tried -gt 0 ] || { echo 'skip: no compiler'; exit 77; }
exit $bad
