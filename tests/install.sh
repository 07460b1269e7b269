#!/usr/bin/env bash
# make install: what was built is installed, with nothing made anew; the tree can be moved and still compiles traced code; libkiln.a has
# public names alone and lets the linker drop what is not used; uninstall leaves nothing. TAP on stdout. Relies on a finished build, make,
# the compiler.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build} CC=${CC:-cc}
[ -z "${KILN_SANITIZE:-}" ] || { echo 'skip: programs outside the build are linked without sanitizers'; exit 77; }
unset KILN_LIBDIR
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
# As a user calls it: without what the make around this test was given.
mk() { env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u CC -u CXX -u CFLAGS make --no-print-directory "$@" >"$scratch/text" 2>&1; }
n=0 failed=0
verdict() # name; judges the last command
{
    local status=$?
    n=$((n + 1))
    [ $status = 0 ] && { echo "ok $n - $1"; return; }
    failed=$((failed + 1))
    echo "not ok $n - $1"
    head -n 30 "$scratch/text" | sed 's/^/# /'
}
libs=$(sed -n 's/^Libs.private: //p' "$build/kiln.pc")

echo 1..15
mk BUILD="$build" install DESTDIR="$scratch/root" && ! grep -qE '^ +(CC|AR|LINK) ' "$scratch/text"
verdict 'installing makes nothing anew'
pc=$(cd "$scratch/root" && find . -name kiln.pc) prefix=${pc%/lib/pkgconfig/kiln.pc} prefix=${prefix#.}
tree=$scratch/root$prefix
version=$(sed -n 's/^Version: //p' "$build/kiln.pc")
(
    cd "$tree" && for f in bin/kiln lib/libkiln.a lib/libkiln.so lib/pkgconfig/kiln.pc "lib/kiln/$version/libkiln-llvm.so" include/kiln/kiln.h \
        share/man/man1/kiln.1 share/bash-completion/completions/kiln share/doc/kiln/LICENSE share/doc/kiln/README.md share/doc/kiln/examples/basics.c share/doc/kiln/examples/cplusplus.cc; do
        [ -e "$f" ] || { echo "missing: $f"; exit 1; }
    done
) >"$scratch/text"
verdict 'libraries, module, command, headers, license and examples are there'
grep -q '^URL: ' "$tree/lib/pkgconfig/kiln.pc" && grep -q '^libdir=${prefix}/lib$' "$tree/lib/pkgconfig/kiln.pc"
verdict 'kiln.pc has its URL, and folders relative to its prefix'

mv "$tree" "$scratch/moved" && tree=$scratch/moved
example=$tree/share/doc/kiln/examples/basics
# What pkg-config would say, and it where it is there; its variables are the shell's.
uses=$(pcfiledir=$tree/lib/pkgconfig && eval "$(sed '/^$/q' "$pcfiledir/kiln.pc")" && eval "echo $(sed -n 's/^Cflags: \|^Libs: //p' "$pcfiledir/kiln.pc" | tr '\n' ' ')")
if command -v pkg-config >/dev/null; then uses=$(PKG_CONFIG_PATH=$tree/lib/pkgconfig pkg-config --cflags --libs kiln); fi
# shellcheck disable=SC2086
$CC "$example.c" -o "$scratch/shared" $uses -lm 2>"$scratch/text" &&
    LD_LIBRARY_PATH=$tree/lib "$scratch/shared" >"$scratch/out" 2>"$scratch/text" && cmp -s "$scratch/out" "$example.expected"
verdict 'an example is built with the flags of the moved tree, and runs'
cat >"$scratch/traced.c" <<'EOF'
#include <kiln/kiln.h>
#include <kiln/aot.h>
#include <kiln/data.h>
#include <kiln/io.h>
#include <kiln/nn.h>
KILN_FUNCTION(twice, k, x)
{
    (void)k;
    return kiln_mul(x, 2);
}
int main(void)
{
    kiln *k = kiln_open(&(kiln_options){.threads = 1});
    double got = kiln_item(kiln_sum(twice(k, kiln_ones(k, KILN_F32, KILN_SHAPE(3))), KILN_ALL));
    return kiln_close(k) || got != 6;
}
EOF
$CC -I"$tree/include" "$scratch/traced.c" -o "$scratch/traced" -L"$tree/lib" -lkiln 2>"$scratch/text" &&
    LD_LIBRARY_PATH=$tree/lib "$scratch/traced" >"$scratch/text" 2>&1
verdict 'and compiles traced code there'
LD_LIBRARY_PATH=$tree/lib ldd "$scratch/traced" "$tree/bin/kiln" "$tree/lib/kiln/$version/libkiln-llvm.so" >"$scratch/text" 2>&1 &&
    grep -q libkiln "$scratch/text" && ! grep -qi blas "$scratch/text" "$tree/lib/pkgconfig/kiln.pc"
verdict 'none of them is linked with a BLAS'
"$tree/bin/kiln" info >"$scratch/text" 2>&1 && grep -q '^compiler *LLVM' "$scratch/text"
verdict 'so does the command'

nm -g --defined-only "$tree/lib/libkiln.a" 2>/dev/null | awk 'NF == 3 && $3 !~ /^kiln_/ { print "not public: " $3 }' >"$scratch/text"
[ ! -s "$scratch/text" ] && [ "$(nm -g --defined-only "$tree/lib/libkiln.a" | grep -c ' kiln_')" -gt 100 ]
verdict 'libkiln.a has no global name but kiln_...'
cat >"$scratch/clash.c" <<'EOF'
#include <kiln/kiln.h>
int map_get(void) { return 1; }
int mem_alloc(void) { return 2; }
int fail(void) { return 3; }
int main(void)
{
    kiln *k = kiln_open(NULL);
    double got = kiln_item(kiln_add(kiln_scalar(k, KILN_F64, map_get()), mem_alloc() + fail()));
    return kiln_close(k) || got != 6;
}
EOF
# shellcheck disable=SC2086
$CC -I"$tree/include" "$scratch/clash.c" -o "$scratch/clash" "$tree/lib/libkiln.a" $libs 2>"$scratch/text" && "$scratch/clash" >"$scratch/text" 2>&1
verdict 'a program with a map_get of its own links with libkiln.a, and runs'
# shellcheck disable=SC2086
$CC -I"$tree/include" "$scratch/clash.c" -Wl,--gc-sections -o "$scratch/small" "$tree/lib/libkiln.a" $libs 2>"$scratch/text" && "$scratch/small" >"$scratch/text" 2>&1 && {
    has() { nm "$scratch/$1" | grep -q " $2\$"; }
    has clash kiln_aot_sized && ! has small kiln_aot_sized && has small kiln_add_at
}
verdict '--gc-sections drops what is not used'

find "$tree" -type f | wc -l >"$scratch/text"
mkdir -p "$scratch/root${prefix%/*}" && mv "$tree" "$scratch/root$prefix" && mk BUILD="$build" uninstall DESTDIR="$scratch/root" &&
    [ -z "$(find "$scratch/root" ! -type d)" ] && [ ! -d "$scratch/root$prefix/lib/kiln" ] && [ ! -d "$scratch/root$prefix/share/doc/kiln" ]
verdict 'uninstall leaves nothing'

# ---- settings: only the file of flags is made, in a build folder of its own --------------------------------------------
flags() { mk BUILD="$scratch/b" "$@" "$scratch/b/.flags" && cat "$scratch/b/.flags" >>"$scratch/text"; }
printf '#!/bin/sh\nexec %s "$@"\n' "$CC" >"$scratch/mycc" && chmod +x "$scratch/mycc"
flags CC="$scratch/mycc" CFLAGS='-O1 -DX=$$HOME' && flags && grep -q "^$scratch/mycc .*-O1 -DX=" "$scratch/b/.flags"
verdict 'what was given once stands'
flags CC="$CC" && grep -q "^$CC .*-O1" "$scratch/b/.flags" &&
    { env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL CFLAGS=-O3 make -s BUILD="$scratch/b" "$scratch/b/.flags" >"$scratch/text" 2>&1; grep -q "^$CC .*-O3" "$scratch/b/.flags"; }
verdict 'until it is given anew, on the command line or in the environment'
mk -n BUILD="$scratch/c" install PREFIX='~/k' && grep -q "'$HOME/k/lib'" "$scratch/text" && grep -q ' ldconfig$' "$scratch/text" &&
    mk -n BUILD="$scratch/c" install PREFIX=k DESTDIR="$scratch/d" && grep -q "'$scratch/d$PWD/k/lib'" "$scratch/text" && ! grep -q 'ldconfig$' "$scratch/text" &&
    ! mk -n BUILD="$scratch/c" install PREFIX='~nobody/k' && grep -q 'write the folder in full' "$scratch/text"
verdict 'PREFIX may begin with ~ or be relative; ldconfig runs without DESTDIR alone'
printf 'show: ; @echo "jobs: $(MAKEFLAGS)"\ninclude Makefile\n' >"$scratch/show.mk"
MAKEFLAGS=-j6 MAKELEVEL=0 make -f "$scratch/show.mk" show >"$scratch/text" 2>&1
grep -q -- '-j6' "$scratch/text"
verdict 'MAKEFLAGS=-j6 in the environment is honoured'
[ $failed -eq 0 ]
