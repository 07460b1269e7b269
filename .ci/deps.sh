#!/bin/sh
# What the build needs, and with TESTS=1 the tests: every check compiles and links a program that uses the thing. On Debian
# and Ubuntu installs what is missing, after saying what and how much, and checks again; elsewhere says what to install.
# Relies on a POSIX shell and coreutils.
#   CC CXX CPPFLAGS CFLAGS LDFLAGS   as in the build; a compiler named here is the one asked for, and no other is installed
#   LLVM_CONFIG                      the llvm-config to use; empty: the first of the usual names that fits
#   LLVM_LINK                        how the module has LLVM in it: archives, or shared; empty: archives, where they link
#   NEED                             further tools that a target uses, e.g. NEED=valgrind
#   OUT                              where to write what was found, as lines "NAME VALUE", for the Makefile
set -u
CC=${CC:-cc} CXX=${CXX:-c++} CPPFLAGS=${CPPFLAGS:-} CFLAGS=${CFLAGS:-} LDFLAGS=${LDFLAGS:-} LLVM_CONFIG=${LLVM_CONFIG:-} LLVM_LINK=${LLVM_LINK:-}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

has() { command -v "$1" >/dev/null 2>&1; }
need() { missing="$missing${missing:+, }$1" packages="$packages $2"; }
# What no package can mend.
wrong() { echo "$1" >&2; broken=1; }

# links COMPILER SUFFIX CFLAGS LIBS: whether the program on standard input compiles and links.
links()
{
    cat >"$work/probe.$2"
    # shellcheck disable=SC2086
    $1 $CPPFLAGS $3 $CFLAGS "$work/probe.$2" -o "$work/probe" $LDFLAGS $4 >"$work/log" 2>&1
}
c_links() { links "$CC" c "$@"; }
known() { has pkg-config && pkg-config "--$1" "$2" 2>/dev/null; }

# ---- programs that use what the build uses ---------------------------------------------------------------------
plain() { echo '#include <stdio.h>
int main(void) { return puts("") < 0; }' | c_links '' ''; }
plain_cxx() { echo '#include <vector>
int main(int n, char **) { return std::vector<int>(n)[0]; }' | links "$CXX" cc '' ''; }
zlib() { echo '#include <zlib.h>
int main(void) { return crc32(0, Z_NULL, 0) != 0; }' | c_links "$@"; }
cmocka() { echo '#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
static void nothing(void **state) { (void)state; }
int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}' | c_links "$@"; }
llvm() { echo '#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
int main(void) { unsigned n; LLVMGetVersion(&n, &n, &n); return LLVMOrcCreateLLJITBuilder() == 0; }' | c_links "$@"; }
# Whether all libraries are found, and the loader of this system understands how the linker packed what it has to relocate.
packed() { echo 'static const char *const volatile names[] = {"a"};
int main(void) { return *names[0] != 97; }' | c_links '' "$1" && "$work/probe"; }

# library NAME LIBS: pkg-config's flags first, where it is there, then the plain ones; writes down those that work.
library()
{
    for flags in "$(known cflags "$1"):$(known libs "$1")" ":$2"; do
        if [ "$flags" != : ] && "$1" "${flags%%:*}" "${flags#*:}"; then
            found="$found$1-cflags ${flags%%:*}
$1-libs ${flags#*:}
"
            return 0
        fi
    done
    return 1
}

# ---- compilers -------------------------------------------------------------------------------------------------
# The package of a compiler's command; empty for a command that no package is known for.
package_of()
{
    case $1 in
        cc | gcc | c99) echo gcc libc6-dev ;;
        c++ | g++) echo g++ ;;
        clang | clang-[0-9]*) echo "$1" libc6-dev ;;
        clang++*) echo "clang${1#clang++}" ;;
        gcc-[0-9]*) echo "$1" libc6-dev ;;
        g++-[0-9]* | ccache | distcc) echo "$1" ;;
    esac
}

# compiler WHAT COMMAND: every word of the command up to its options is a program.
compiler()
{
    for word in $2; do
        case $word in -*) break ;; esac
        has "$word" && continue
        if [ -z "$(package_of "$word")" ]; then
            wrong "$1=$2: there is no command $word"
        else
            need "the compiler $word" "$(package_of "$word")"
        fi
        return 1
    done
}

# ---- LLVM ------------------------------------------------------------------------------------------------------
# Why this llvm-config does not do; nothing if it does.
llvm_unfit()
{
    has "$1" || { echo 'there is no such command'; return; }
    version=$("$1" --version 2>/dev/null) || { echo 'it does not answer to --version'; return; }
    case ${version%%.*} in
        '' | *[!0-9]*) echo "it answers '$version' to --version, which is no version of LLVM"; return ;;
    esac
    [ "${version%%.*}" -ge 19 ] || { echo "it belongs to LLVM $version; 19 or newer is needed"; return; }
    dir=$("$1" --includedir)
    [ -f "$dir/llvm-c/Core.h" ] || { echo "LLVM $version is there without its C headers ($dir/llvm-c/Core.h)"; return; }
    llvm "-isystem $dir" "$("$1" --ldflags --link-shared --libs 2>/dev/null | tr '\n' ' ')" ||
        echo "a program that calls LLVM $version does not link: $(tail -n 1 "$work/log")"
}

# How a library is linked that has LLVM in itself, which loads in a fraction of the time of libLLVM; nothing if it cannot be. Only what
# compiles for this machine is asked for. Distributions have libzstd.so.1 wherever LLVM is, but not always its -dev package.
llvm_archives()
{
    system=$("$1" --link-static --system-libs 2>/dev/null | tr '\n' ' ')
    llvm="$("$1" --link-static --ldflags --libs nativecodegen passes orcjit 2>/dev/null | tr '\n' ' ')"
    case $llvm in *-lLLVMCore*) ;; *) return ;; esac
    for zstd in -lzstd -l:libzstd.so.1; do
        for pack in -Wl,-z,pack-relative-relocs ''; do
            try="$pack $llvm -static-libgcc -Wl,--as-needed -Wl,-Bstatic -lstdc++ -Wl,-Bdynamic $(echo "$system" | sed "s/-lzstd/$zstd/")"
            packed "$try" && { echo "$try"; return; }
        done
    done
}

take_llvm()
{
    found="${found}llvm-config $1
"
    [ "$LLVM_LINK" = shared ] && return
    archives=$(llvm_archives "$1")
    if [ -n "$archives" ]; then
        found="${found}llvm-archives $archives
"
    elif [ "$LLVM_LINK" = archives ]; then
        wrong "LLVM_LINK=archives: LLVM's archives (libLLVMCore.a ...) or a library that they need do not link: $(tail -n 1 "$work/log")"
    fi
}

find_llvm()
{
    case $LLVM_LINK in
        '' | archives | shared) ;;
        *) wrong "LLVM_LINK=$LLVM_LINK: it is archives or shared"; return ;;
    esac
    if [ -n "$LLVM_CONFIG" ]; then
        why=$(llvm_unfit "$LLVM_CONFIG")
        [ -z "$why" ] || { wrong "LLVM_CONFIG=$LLVM_CONFIG: $why"; return; }
        take_llvm "$LLVM_CONFIG"
        return
    fi
    reasons=''
    for command in llvm-config-19 llvm-config-20 llvm-config-21 llvm-config-22 llvm-config; do
        has "$command" || continue
        why=$(llvm_unfit "$command")
        if [ -z "$why" ]; then
            take_llvm "$command"
            return
        fi
        reasons="$reasons${reasons:+; }$command: $why"
    done
    need "LLVM 19 or newer with its C headers${reasons:+ ($reasons)}" llvm-19-dev
}

# ---- all of it -------------------------------------------------------------------------------------------------
# Libraries that cannot be asked for because the compiler is missing are taken as missing, so that all come at once.
check()
{
    missing='' packages='' found='' broken=''
    compiles=1
    compiler CC "$CC" || compiles=
    if [ -n "$compiles" ] && ! plain; then
        compiles=
        if [ -f /usr/include/stdio.h ]; then
            wrong "CC=$CC does not compile a program of one line${CFLAGS:+ with CFLAGS=$CFLAGS}: $(tail -n 1 "$work/log")"
        else
            need 'the C library for compiling' libc6-dev
        fi
    fi
    [ -z "$compiles" ] || library zlib -lz || need zlib zlib1g-dev
    if [ -n "$compiles" ]; then
        find_llvm
    elif [ -z "$broken" ]; then
        need 'zlib, LLVM 19 or newer' 'zlib1g-dev llvm-19-dev'
    fi
    [ -n "${TESTS:-}" ] && check_for_tests
    for tool in ${NEED:-}; do
        has "$tool" || need "$tool" "$tool"
    done
    [ -z "$missing$broken" ]
}

check_for_tests()
{
    if [ -z "$compiles" ]; then
        [ -n "$broken" ] || need cmocka libcmocka-dev
    else
        library cmocka -lcmocka || need cmocka libcmocka-dev
    fi
    compiler CXX "$CXX" || return
    [ -z "$compiles" ] || plain_cxx && return
    case $CXX in
        *clang*) need "the C++ library for $CXX" libstdc++-12-dev ;;
        *) wrong "CXX=$CXX does not compile a program of two lines${CFLAGS:+ with CFLAGS=$CFLAGS}: $(tail -n 1 "$work/log")" ;;
    esac
}

finish()
{
    [ -z "${OUT:-}" ] && exit 0
    mkdir -p "$(dirname "$OUT")" && printf '%s' "$found" >"$work/found" || exit 1
    # What an earlier look found for the tests stays.
    [ -n "${TESTS:-}" ] || [ ! -f "$OUT" ] || grep '^cmocka-' "$OUT" >>"$work/found"
    cmp -s "$work/found" "$OUT" || cp "$work/found" "$OUT"
    exit
}

by_hand()
{
    echo "$1" >&2
    echo "    apt-get update && apt-get install -y --no-install-recommends$packages" >&2
    exit 1
}

check && finish
[ -z "$missing" ] || echo "Kiln needs: $missing." >&2
[ -z "$broken" ] || exit 1

as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=none
    has sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; } && as_root=sudo
fi
if ! has apt-get; then
    echo 'Install a C11 compiler (for the tests also one of C++17, and cmocka), LLVM >= 19 with its C API and zlib;' \
        'LLVM_CONFIG= names the llvm-config to use. On Debian or Ubuntu:' >&2
    by_hand ''
fi
packages=$(printf ' %s' $packages)
[ "$as_root" = none ] && by_hand 'Not root, and no use of sudo without a password. As root, on Debian or Ubuntu, this installs it:'

# What apt-get would do, in its own figures; it changes nothing.
# shellcheck disable=SC2086
figures() { LC_ALL=C apt-get install --assume-no --no-install-recommends -o Debug::NoLocking=1 $packages 2>"$work/log" |
    grep -E '^[0-9]+ upgraded|^Need to get|^After this' | sed 's/^/    /'; }
# shellcheck disable=SC2086
install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages >&2; }
update() { echo 'Reading the lists of packages: apt-get update' >&2; $as_root apt-get update -q >&2; }

amount=$(figures)
[ -n "$amount" ] || { update && amount=$(figures); }
about=
case $packages in *llvm*) about=' (about 1 GB with LLVM)' ;; esac
echo "Installing with apt-get$about:$packages" >&2
echo "${amount:-    apt-get cannot say how much: $(tail -n 1 "$work/log")}" >&2
install || { update && install; } || {
    echo "On releases that are older than LLVM 19 it comes from the LLVM project's own packages." >&2
    by_hand 'Installing failed; see above. This is what was tried:'
}
check && finish
echo "Installed, but still missing: ${missing:-see above}." >&2
[ -z "$missing" ] || tail -n 3 "$work/log" >&2
exit 1
