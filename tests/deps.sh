#!/usr/bin/env bash
# .ci/deps.sh in a stand-in tree: a compiler, apt-get, pkg-config, sudo, id and llvm-config of our own, which know what is
# "installed" there. No network, nothing real is installed. TAP on stdout. Relies on bash and coreutils.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$(mktemp -d) && trap 'rm -rf "$root"' EXIT
deps=$PWD/.ci/deps.sh
n=0 failed=0

# ---- the stand-in tools ------------------------------------------------------------------------------------------
mkdir "$root/tools"
cat >"$root/tools/compiler" <<'EOF'
#!/bin/sh
for a; do
    case $a in *.c | *.cc) source=$a ;; esac
    [ "${before:-}" != -o ] || made=$a
    before=$a
done
args=" $* "
there() { grep -qx "$1" "$ROOT/installed"; }
uses() { grep -q "$1" "$source"; }
given() { case $args in *" $1 "*) ;; *) return 1 ;; esac; }
die() { echo "probe: error: $1" >&2; exit 1; }
there libc6-dev || die 'stdio.h: No such file'
if uses zlib.h; then there zlib1g-dev && given -lz || die 'zlib.h: No such file'; fi
if uses cmocka.h; then there libcmocka-dev && given -lcmocka || die 'cmocka.h: No such file'; fi
for l in LLVMCore zstd; do if given -l$l; then there $l || die "cannot find -l$l"; fi; done
if uses llvm-c; then there llvm-19-dev && given -lLLVM || die 'llvm-c/Core.h: No such file'; fi
echo 'exit 0' >"$made" && chmod +x "$made"
given -Wl,-z,pack-relative-relocs && ! there relr && echo 'exit 1' >"$made"
exit 0
EOF
cat >"$root/tools/llvm-config" <<'EOF'
#!/bin/sh
case $1 in
    --version) cat "$ROOT/llvm-version" ;;
    --includedir) echo "$ROOT/include" ;;
    --link-static) case $2 in --system-libs) echo '-lrt -lzstd -lm' ;; *) echo -lLLVMCore ;; esac ;;
    *) echo -lLLVM ;;
esac
EOF
cat >"$root/tools/pkg-config" <<'EOF'
#!/bin/sh
[ "$2" = zlib ] && grep -qx zlib1g-dev "$ROOT/installed" || exit 1
case $1 in --cflags) echo "-I$ROOT/include/zlib" ;; *) cat "$ROOT/zlib-libs" ;; esac
EOF
cat >"$root/tools/apt-get" <<'EOF'
#!/bin/sh
echo "apt-get $*" >>"$ROOT/calls"
case $1 in update) : >"$ROOT/lists"; exit 0 ;; esac
[ -f "$ROOT/lists" ] || { echo 'E: Unable to locate package' >&2; exit 100; }
case " $* " in
    *' --assume-no '*)
        printf '0 upgraded, 42 newly installed, 0 to remove.\nNeed to get 208 MB of archives.\n'
        echo 'After this operation, 1203 MB of additional disk space will be used.'
        exit 1 ;;
esac
for p; do
    case $p in install | -*) continue ;; esac
    grep -qx "$p" "$ROOT/refused" 2>/dev/null && continue
    echo "$p" >>"$ROOT/installed"
    "$ROOT/place" "$p"
done
EOF
# What a package's commands are.
cat >"$root/place" <<'EOF'
#!/bin/sh
case $1 in
    gcc) commands='cc gcc' ;;
    g++) commands='c++ g++' ;;
    clang) commands='clang clang++' ;;
    llvm-19-dev) mkdir -p "$ROOT/include/llvm-c" && : >"$ROOT/include/llvm-c/Core.h"; cp "$ROOT/tools/llvm-config" "$ROOT/bin/llvm-config-19"; exit ;;
    pkg-config) cp "$ROOT/tools/pkg-config" "$ROOT/bin/pkg-config"; exit ;;
    *) exit 0 ;;
esac
for c in $commands; do cp "$ROOT/tools/compiler" "$ROOT/bin/$c"; done
EOF
printf '#!/bin/sh\ncat "$ROOT/id"\n' >"$root/tools/id"
printf '#!/bin/sh\n[ "$1" = -n ] && { [ -f "$ROOT/sudoer" ]; exit; }\necho "sudo $*" >>"$ROOT/calls"\nexec "$@"\n' >"$root/tools/sudo"
chmod +x "$root/tools"/* "$root/place"

# tree [PACKAGE...]: a machine where these are installed; root, with lists of packages.
tree()
{
    rm -rf "$root/bin" "$root/include" "$root/installed" "$root/calls" "$root/out" "$root/refused" "$root/sudoer"
    mkdir "$root/bin" && : >"$root/calls" && : >"$root/lists" && : >"$root/installed"
    echo 0 >"$root/id"
    echo 19.1.7 >"$root/llvm-version"
    echo -lz >"$root/zlib-libs"
    local tool
    for tool in sh cat mktemp rm grep sed tail tr mkdir dirname cmp cp env chmod; do ln -s "$(command -v $tool)" "$root/bin/$tool"; done
    cp "$root/tools/apt-get" "$root/tools/id" "$root/bin"
    export ROOT=$root
    for tool; do
        echo "$tool" >>"$root/installed"
        PATH=$root/bin:$PATH "$root/place" "$tool"
    done
}

# deps STATUS [NAME=VALUE...]: runs it and says whether it ended so.
deps()
{
    local want=$1
    shift
    env -i PATH="$root/bin" ROOT="$root" OUT="$root/out" "$@" sh "$deps" >"$root/text" 2>&1 </dev/null
    [ $? = "$want" ]
}
said() { grep -qF -- "$1" "$root/text"; }
called() { grep -q -- "$1" "$root/calls"; }
silent() { [ ! -s "$root/text" ] && [ ! -s "$root/calls" ]; }
installed() { grep -qx "$1" "$root/installed"; }
found() { grep -q -- "$1" "$root/out"; }
before() { [ "$(grep -nF -m 1 -- "$1" "$root/text" | cut -d: -f1)" -lt "$(grep -nF -m 1 -- "$2" "$root/text" | cut -d: -f1)" ]; }
verdict()
{
    local status=$?
    n=$((n + 1))
    [ $status = 0 ] && { echo "ok $n - $1"; return; }
    failed=$((failed + 1))
    echo "not ok $n - $1"
    sed 's/^/#   /' "$root/text" "$root/calls"
}

build='gcc libc6-dev zlib1g-dev llvm-19-dev pkg-config'
whole='apt-get update && apt-get install -y --no-install-recommends'

echo 1..24
# shellcheck disable=SC2086
tree $build
deps 0 && silent && found "^zlib-cflags -I$root/include/zlib" && found '^llvm-config llvm-config-19'
verdict 'with all there it says nothing and writes what it found'

tree
deps 0 && : >"$root/calls" && deps 0 && silent
verdict 'a second run after installing is content'

tree
deps 0 && before 'Kiln needs' 'Installing' && said '1203 MB' && said 'about 1 GB' && [ "$(grep -c 'install -y' "$root/calls")" = 1 ] && found '^zlib-libs -lz' &&
    installed gcc && ! installed libcmocka-dev && ! installed g++ && ! called openblas
verdict 'a bare machine: one installation, said beforehand with its size; neither cmocka nor C++ for the build, and no OpenBLAS'

tree
deps 0 TESTS=1 && installed libcmocka-dev && installed g++ && found '^cmocka-libs -lcmocka' && deps 0 && found '^cmocka-libs -lcmocka'
verdict 'for the tests cmocka and C++, too'

tree gcc libc6-dev zlib1g-dev llvm-19-dev
deps 0 && silent && found '^zlib-cflags $' && found '^zlib-libs -lz'
verdict 'without pkg-config the plain flags do'

# shellcheck disable=SC2086
tree $build
echo -lother >"$root/zlib-libs"
deps 0 && silent && found '^zlib-cflags $' && found '^zlib-libs -lz'
verdict 'so they do where those of pkg-config do not link'

tree gcc libc6-dev llvm-19-dev
echo zlib1g-dev >"$root/refused"
deps 1 && said 'Kiln needs: zlib.' && said 'Installed, but still missing: zlib.' && ! called libcmocka && ! [ -f "$root/out" ]
verdict 'what is missing after installing is named'

tree
deps 0 CC=clang && installed clang && ! installed gcc && ! installed g++
verdict 'CC=clang installs clang, and no gcc'

tree
deps 0 CC=clang CXX=clang++ TESTS=1 && installed clang && ! installed gcc && ! installed g++
verdict 'nor do clang and clang++ for the tests'

# shellcheck disable=SC2086
tree $build
deps 1 CC=nocc && said 'CC=nocc: there is no command nocc' && ! [ -s "$root/calls" ] && ! said 'Kiln needs'
verdict 'a compiler that no package is known for is named'

# shellcheck disable=SC2086
tree $build
deps 1 CC='gcc' LLVM_CONFIG=/nowhere/llvm-config && said 'LLVM_CONFIG=/nowhere/llvm-config: there is no such command' && ! [ -s "$root/calls" ]
verdict 'an LLVM_CONFIG that is not there is named at once'

# shellcheck disable=SC2086
tree $build
echo 14.0.6 >"$root/llvm-version"
deps 1 LLVM_CONFIG=llvm-config-19 && said 'it belongs to LLVM 14.0.6; 19 or newer is needed' && ! [ -s "$root/calls" ]
verdict 'so is one of an older LLVM'

# shellcheck disable=SC2086
tree $build
rm -r "$root/include/llvm-c"
deps 1 LLVM_CONFIG=llvm-config-19 && said 'without its C headers'
verdict 'and one without headers'

# shellcheck disable=SC2086
tree $build
deps 0 && ! found '^llvm-archives' && deps 1 LLVM_LINK=archives && said 'do not link: probe: error: cannot find -lLLVMCore'
verdict 'without archives of LLVM the shared library does, unless they are asked for'

# shellcheck disable=SC2086
tree $build LLVMCore
deps 0 && silent && found '^llvm-archives .*-lLLVMCore .* -l:libzstd.so.1 ' && ! found pack-relative
verdict 'archives of LLVM are taken where they link, with the libzstd that is there'

# shellcheck disable=SC2086
tree $build LLVMCore zstd relr
deps 0 && silent && found '^llvm-archives -Wl,-z,pack-relative-relocs -lLLVMCore .* -lzstd ' && deps 0 LLVM_LINK=shared && ! found '^llvm-archives'
verdict 'relocations are packed where the loader knows that; LLVM_LINK=shared takes no archives'

# shellcheck disable=SC2086
tree $build
deps 1 LLVM_LINK=static && said 'LLVM_LINK=static: it is archives or shared'
verdict 'LLVM_LINK has two values'

# shellcheck disable=SC2086
tree $build
sed -i '/llvm-19-dev/d' "$root/installed"
deps 1 LLVM_CONFIG=llvm-config-19 && said 'a program that calls LLVM 19.1.7 does not link: probe: error: llvm-c'
verdict 'and one that does not link, with what the compiler said'

tree gcc libc6-dev
echo 1000 >"$root/id"
deps 1 && said "$whole zlib1g-dev llvm-19-dev" && ! called install
verdict 'without root and sudo the whole line is printed, and nothing installed'

tree gcc libc6-dev
echo 1000 >"$root/id"
cp "$root/tools/sudo" "$root/bin"
deps 1 && said "$whole" && ! called install
verdict 'a sudo that would ask where nobody answers is not used'

tree gcc libc6-dev
echo 1000 >"$root/id"
cp "$root/tools/sudo" "$root/bin"
: >"$root/sudoer"
deps 0 && called 'sudo env DEBIAN_FRONTEND=noninteractive apt-get install'
verdict 'a sudo that works is used'

tree
rm "$root/bin/apt-get"
deps 1 && said 'Kiln needs: the compiler cc' && said 'LLVM >= 19' && said "$whole"
verdict 'elsewhere it says what to install'

tree
rm "$root/lists"
deps 0 && called 'apt-get update' && before 'apt-get update' '1203 MB' && said '1203 MB'
verdict 'without lists of packages they are read first, so that the size is known'

asks() { env -u BUILD -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -n "$1" 2>/dev/null | grep -q "TESTS='$2' sh .ci/deps.sh"; }
asks all '' && asks demo '' && asks test 1 && asks build/tests/test_base 1
verdict 'plain make asks for the build alone, test targets for the tests'
[ $failed -eq 0 ]
