#!/bin/sh
# What the build and the tests need: checks, and on Debian and Ubuntu installs what is missing; elsewhere says what to
# install. Quick when nothing is missing. NEED adds tools that only some targets use, e.g. NEED="valgrind clang".
# Relies on a POSIX shell alone.
set -u
CC=${CC:-cc} CXX=${CXX:-c++} LLVM_CONFIG=${LLVM_CONFIG:-}
missing='' packages=''

need()
{
    missing="$missing $1"
    packages="$packages $2"
}

has() { command -v "$1" >/dev/null 2>&1; }
header() { printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <%s>\n' "$1"; }
compiles() { header "$1" | $CC $2 -E -x c - >/dev/null 2>&1; }

if has ${CC%% *}; then
    blas=$(pkg-config --cflags openblas 2>/dev/null || true)
    compiles stdio.h "" || need 'C library headers' libc6-dev
    compiles cblas.h "$blas" || need OpenBLAS libopenblas-pthread-dev
    compiles zlib.h "" || need zlib zlib1g-dev
    compiles cmocka.h "" || need cmocka libcmocka-dev
else
    need "a C compiler ($CC)" 'gcc libc6-dev libopenblas-pthread-dev zlib1g-dev libcmocka-dev'
fi
has ${CXX%% *} || need "a C++ compiler ($CXX)" g++
has pkg-config || need pkg-config pkg-config
llvm_fits()
{
    [ -n "$LLVM_CONFIG" ] && version=$($LLVM_CONFIG --version 2>/dev/null) && [ "${version%%.*}" -ge 19 ] &&
        [ -f "$($LLVM_CONFIG --includedir)/llvm-c/Core.h" ]
}
llvm_fits || need 'LLVM 19 or newer with its C headers' llvm-19-dev
for tool in ${NEED:-}; do
    has "$tool" || need "$tool" "$tool"
done
[ -z "$missing" ] && exit 0

echo "Kiln needs:$missing" >&2
as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    has sudo || as_root=none
fi
if ! has apt-get || [ "$as_root" = none ]; then
    echo "On Debian or Ubuntu, as root: apt-get install$packages" >&2
    echo 'Elsewhere: a C11 and a C++17 compiler, LLVM >= 19 with its C API, OpenBLAS (pthread build) with cblas.h, zlib,' \
        'cmocka, pkg-config; LLVM_CONFIG= names the llvm-config to use.' >&2
    exit 1
fi
install()
{
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages >&2
}
echo "Installing:$packages" >&2
install || { $as_root apt-get update -q >&2 && install; } || {
    echo 'Installing failed; see above. LLVM 19 may need https://apt.llvm.org on older releases.' >&2
    exit 1
}
