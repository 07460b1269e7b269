#!/usr/bin/env bash
# Plants the faults of mutants.list, one at a time, in a copy of the tree, and sees that a test catches each. Reports
# killed, survived, or why it could not be tried; the last line counts. Fails on a survivor and on an entry that does
# not apply. Relies on a finished build in BUILD, of which only what a fault touches is compiled anew. Never writes
# outside BUILD/mutants.
#   usage: mutants.sh [words]: only the entries that contain all of them
#   BUILD (build), CC, MUTANT_TIMEOUT (60, seconds a test may take), MUTANT_LIST (tests/mutants.list)
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD BUILD=${BUILD:-build}
case $BUILD in /*) echo "BUILD must be a path inside the tree"; exit 1 ;; esac
list=$root/${MUTANT_LIST:-tests/mutants.list} limit=${MUTANT_TIMEOUT:-60}
copy=$root/$BUILD/mutants
kernels='codegen/eager/kernels_base.c codegen/eager/kernels_avx2.c codegen/eager/kernels_avx512.c'

prepare()
{
    rm -rf "$copy" && mkdir -p "$copy/$BUILD/tests" || exit 1
    # Times are kept, so that nothing is out of date in the copy.
    cp -a Makefile .ci include frontend ir passes codegen runtime tests "$copy" || exit 1
    local d
    for d in gen obj; do cp -a "$BUILD/$d" "$copy/$BUILD"; done
    cp -a "$BUILD"/.[a-z]* "$BUILD"/lib* "$copy/$BUILD" || exit 1
}

build()
{
    make -C "$copy" --no-print-directory BUILD="$BUILD" CC="${CC:-cc}" "$@" >"$copy/log" 2>&1
}

# Whether a test of "$@" fails. 2: it could not be built.
tested()
{
    local t
    for t in "$@"; do
        build "$BUILD/tests/$t" "$BUILD/libkiln-llvm.so" "$BUILD/libkiln-llvm-all.so" || return 2
        (cd "$copy" && KILN_COMPILE=wait KILN_LIBDIR=$copy/$BUILD KILN_BUILD=$copy/$BUILD timeout -k 5 "$limit" "./$BUILD/tests/$t") \
            >"$copy/log" 2>&1 </dev/null || { killer=$t; return 0; }
    done
    return 1
}

# The objects go, are made of the faulty file, and come back with a new time, so that what was linked of the faulty
# ones is linked again.
one()
{
    local file=$1 edit=$2 objects=$3 tests=$4 source result
    cp -p "$copy/$file" "$copy/original" || return 2
    sed "$edit" "$copy/original" >"$copy/$file" 2>"$copy/log" || { cp -p "$copy/original" "$copy/$file"; return 2; }
    touch -r "$copy/original" "$copy/$file"
    if [ "$(diff "$copy/original" "$copy/$file" | grep -c '^[<>]')" != 2 ]; then
        cp -p "$copy/original" "$copy/$file"
        return 3
    fi
    [ "$objects" = - ] && objects=$file
    mkdir -p "$copy/kept"
    for source in $objects; do mv "$copy/$BUILD/obj/$source.o" "$copy/kept/${source//\//:}.o"; done
    # shellcheck disable=SC2086
    tested $tests
    result=$?
    cp -p "$copy/original" "$copy/$file"
    for source in $objects; do
        [ -e "$copy/$BUILD/obj/$source.o" ] || result=2
        mv "$copy/kept/${source//\//:}.o" "$copy/$BUILD/obj/$source.o" && touch "$copy/$BUILD/obj/$source.o"
    done
    return $result
}

killed=0 survived=0 failed=0
prepare
trim() { sed 's/^ *//; s/ *$//' <<<"$1"; }
while IFS= read -r line; do
    case $line in '' | '#'*) continue ;; esac
    for word in "$@"; do case $line in *"$word"*) ;; *) continue 2 ;; esac; done
    file=$(trim "${line%%;;*}") line=${line#*;;}
    edit=$(trim "${line%%;;*}") line=${line#*;;}
    objects=$(trim "${line%%;;*}") tests=$(trim "${line#*;;}")
    objects=${objects/KERNELS/$kernels}
    killer= began=$SECONDS
    one "$file" "$edit" "$objects" "$tests"
    case $? in
        0) killed=$((killed + 1)) verdict="killed by $killer" ;;
        1) survived=$((survived + 1)) verdict='SURVIVED' ;;
        3) failed=$((failed + 1)) verdict='DOES NOT APPLY: the expression must change one line' ;;
        *) failed=$((failed + 1)) verdict="DOES NOT BUILD: $(grep -m 1 -E 'error|Error|rror:' "$copy/log")" ;;
    esac
    echo "$file: $edit: $verdict ($((SECONDS - began)) s)"
done <"$list"
rm -rf "$copy"
echo "$((killed + survived + failed)) faults: $killed killed, $survived survived, $failed not tried"
[ $survived = 0 ] && [ $failed = 0 ]
