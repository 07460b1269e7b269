#!/usr/bin/env bash
# The LLVM module: where it is found, also in a tree that was moved; one of another build is refused by name, never entered; a
# program without a dynamic loader is told so. TAP on stdout. Relies on a finished build, the compiler, make.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$PWD/${BUILD:-build} CC=${CC:-cc}
unset KILN_LIBDIR
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
version=$(sed -n 's/.*KILN_CONFIG_VERSION "\(.*\)"/\1/p' "$build/gen/kiln_config.h")
module=libkiln-llvm.so
[ -f "$build/$module" ] || { echo 'skip: the LLVM module is not built'; exit 77; }
n=0 failed=0
verdict() # name; judges the last command
{
    local status=$?
    n=$((n + 1))
    [ $status = 0 ] && { echo "ok $n - $1"; return; }
    failed=$((failed + 1))
    echo "not ok $n - $1"
    head -n 20 "$scratch/text" | sed 's/^/# /'
}
# tree NAME: a folder as installed, in a place of its own, without the module.
tree()
{
    rm -rf "${scratch:?}/$1"
    mkdir -p "$scratch/$1/bin" "$scratch/$1/lib/kiln/$version"
    cp "$build/kiln" "$scratch/$1/bin"
}
# other FILE [TEXT]: a module of another build, with that mark, whose entry would end the process.
other()
{
    {
        echo '#include <stdlib.h>'
        [ $# -lt 2 ] || echo "const char kiln_llvm_mark[] = \"$2\";"
        echo 'const void *kiln_llvm_backend(void) { abort(); }'
    } >"$scratch/other.c"
    mkdir -p "$(dirname "$1")"
    $CC -shared -fPIC -o "$1" "$scratch/other.c"
}
info() { "$@" info >"$scratch/text" 2>&1; }
compiler() { grep -q -- "^compiler *$1" "$scratch/text"; }

echo 1..14
tree a && cp "$build/$module" "$scratch/a/lib/kiln/$version"
info "$scratch/a/bin/kiln" && compiler LLVM
verdict 'a program finds it in ../lib/kiln/VERSION'
mv "$scratch/a" "$scratch/moved"
(PATH=$scratch/moved/bin:$PATH && info kiln) && compiler LLVM
verdict 'so it does in a tree that was moved, found through PATH'
mkdir -p "$scratch/links" && ln -s "$scratch/moved/bin/kiln" "$scratch/links/kiln"
info "$scratch/links/kiln" && compiler LLVM
verdict 'and through a link'
cp "$build/$module" "$build/kiln" "$scratch/links" 2>/dev/null || cp "$build/$module" "$scratch/links"
info "$scratch/links/kiln" && compiler LLVM
verdict 'or beside the program'
other "$scratch/moved/lib/$module"
info "$scratch/moved/bin/kiln" && compiler LLVM
verdict 'one of an older version beside it does not get in the way'
other "$scratch/wrong/$module" 0.1.0-0123456789abcdef
info env KILN_LIBDIR="$scratch/wrong" "$scratch/moved/bin/kiln"
compiler "$scratch/wrong/$module is of another build (0.1.0-0123456789abcdef) than $scratch/moved/bin/kiln"
verdict 'one of another build is an error that names both files'
other "$scratch/wrong/$module"
info env KILN_LIBDIR="$scratch/wrong" "$scratch/moved/bin/kiln"
compiler "$scratch/wrong/$module is of another build (without a mark)"
verdict 'so is one without a mark'
tree empty
info env KILN_LIBDIR=/nowhere/at/all "$scratch/empty/bin/kiln" && { compiler "$module was not found in .KILN_LIBDIR (/nowhere/at/all), beside $scratch/empty/bin/kiln" || grep -q "of another build" "$scratch/text" || compiler LLVM; }
verdict 'none at all: the places are named'

# ---- what each has in it
printf 'module {}\ngraph @twice(%%1: f32[3]) -> (%%2) {\n  %%2 = add(%%1, %%1) : f32[3]\n}\n' >"$scratch/twice.kiln"
here=$(sed -n 's/.*KILN_CONFIG_MACHINE "\(.*\)"/\1/p' "$build/gen/kiln_config.h") other=aarch64
[ "$here" != aarch64 ] || other=x86_64
for_machine() { "$scratch/b/bin/kiln" compile "$scratch/twice.kiln" -o "$scratch/twice" --triple "$1-linux-gnu" --cpu generic >"$scratch/text" 2>&1; }
tree b && cp "$build/$module" "$scratch/b/lib/kiln/$version"
for_machine "$here" && if for_machine "$other"; then false; else grep -q 'libkiln-llvm-all.so was not found' "$scratch/text"; fi
verdict 'for this instruction set it is enough, for others it is not'
mv "$scratch/b/lib/kiln/$version/$module" "$scratch" && cp "$build/libkiln-llvm-all.so" "$scratch/b/lib/kiln/$version"
for_machine "$other" && if for_machine "$here"; then false; else grep -q "$module was not found" "$scratch/text"; fi
verdict 'they have a module of their own, which is not loaded for this one'
LC_ALL=C ldd "$build/$module" >"$scratch/text" 2>&1
if [ -s "$build/.llvm" ] && grep -q lLLVMCore "$build/.llvm"; then ! grep -qE 'libLLVM|libstdc|not found' "$scratch/text"; else grep -q libLLVM "$scratch/text"; fi
verdict 'with archives of LLVM it is linked to no library of LLVM or of C++'

# mark [VARIABLE=VALUE...]: the mark that a build so configured would get, in the tree of the folder $place.
mark()
{
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$place" --no-print-directory BUILD="$scratch/marks" "$@" "$scratch/marks/gen/kiln_config.h" >"$scratch/text" 2>&1 &&
        sed -n 's/.*KILN_CONFIG_MARK //p' "$scratch/marks/gen/kiln_config.h"
}
place=$PWD
plain=$(mark CFLAGS=-O2) && [ -n "$plain" ] && [ "$(mark CFLAGS=-O3)" = "$plain" ] && [ "$(mark CFLAGS='-O2 -DKILN_DEBUG')" != "$plain" ] &&
    [ "$(mark CFLAGS=-O2 SANITIZE=address)" != "$plain" ]
verdict 'debug builds and sanitizers have marks of their own, optimisation has not'
cp -r Makefile .ci include ir passes runtime codegen frontend "$scratch"
place=$scratch
same=$(mark CFLAGS=-O2)
echo '/* another op */' >>"$scratch/ir/ops.def"
[ "$same" = "$plain" ] && [ "$(mark CFLAGS=-O2)" != "$plain" ]
verdict 'a table that both sides share changes the mark'

cat >"$scratch/static.c" <<'EOF'
#include <kiln/kiln.h>
static void twice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], 2);
}
int main(void)
{
    kiln *k = kiln_open(NULL);
    kiln_call(kiln_function_new(k, twice, NULL, NULL), kiln_ones(k, KILN_F32, KILN_SHAPE(2)));
    puts(kiln_error(k)->text);
    kiln_clear(k);
    double sum = kiln_item(kiln_sum(kiln_mul(kiln_ones(k, KILN_F32, KILN_SHAPE(2)), 2), KILN_ALL));
    return kiln_close(k) || sum != 4;
}
EOF
libs=$(sed -n 's/^Libs.private: //p' "$build/kiln.pc")
# shellcheck disable=SC2086
if [ -n "${KILN_SANITIZE:-}" ] || ! $CC -static -Iinclude "$scratch/static.c" -o "$scratch/static" "$build/libkiln.a" $libs 2>"$scratch/text"; then
    echo 'skip: a static program cannot be linked here'
    echo 'ok 14 # SKIP a fully static program'
else
    "$scratch/static" >"$scratch/text" 2>&1 && grep -q "$module cannot be opened in a program that is linked statically" "$scratch/text"
    verdict 'a fully static program that traces is told why it cannot, and goes on eagerly'
fi
[ $failed -eq 0 ]
