#!/usr/bin/env bash
# The kiln command on ONNX models: compile, run, check, inspect; exit statuses and what is written. TAP on stdout. Relies on a built
# $BUILD/kiln and on the cases in tests/conformance/onnx.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$build}
kiln=$PWD/$build/kiln cases=$PWD/tests/conformance/onnx
[ -x "$kiln" ] || { echo "the kiln command is not built"; exit 77; }
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
n=0 failed=0
verdict() # name, 0 or not
{
    n=$((n + 1))
    [ "$2" = 0 ] && echo "ok $n - $1" && return
    failed=$((failed + 1))
    echo "not ok $n - $1"
    head -n 20 "$scratch/out" "$scratch/err" | sed 's/^/# /'
}
# name, wanted status, pattern on stdout ('': anything), pattern on stderr (''; nothing), arguments
expect()
{
    local name=$1 status=$2 out=$3 err=$4 rc=0
    shift 4
    "$kiln" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
    [ $? = "$status" ] || rc=1
    grep -q -- "$out" "$scratch/out" || [ -z "$out" ] || rc=1
    if [ -n "$err" ]; then grep -q -- "$err" "$scratch/err" || rc=1; else [ ! -s "$scratch/err" ] || rc=1; fi
    verdict "$name" $rc
}
is_json() { ! command -v python3 >/dev/null || python3 -m json.tool "$1" >/dev/null; }

reshape=$cases/test_reshape_allowzero_reordered tril=$cases/test_tril_zero gemm=$cases/test_gemm_default_scalar_bias
expect 'inspect for machines' 0 '"operators": {"Gemm": 1}' '' inspect "$gemm/model.onnx" --json
is_json "$scratch/out"
verdict 'which is JSON' $?
expect 'how many multiplications' 0 '^multiplies 24 by products and convolutions: Gemm 24$' '' inspect "$gemm/model.onnx"
expect 'sizes that are given' 0 '"assumed": ""' '' inspect "$tril/model.onnx" --dim x.1=5 --fix k=6 --json
is_json "$scratch/out" && grep -q '"unsupported": \[\], "failing": \[\], "more": 0, "unseen": 0' "$scratch/out"
verdict 'and all is seen' $?
expect 'sizes that are not' 0 '^fixed      k: sizes follow from its numbers, which are not given$' '' inspect "$tril/model.onnx"
expect 'a size that is several' 2 '' '^kiln inspect: --dim: N has more than one size$' inspect "$gemm/model.onnx" --dim N=1..3
expect 'a size that no input leaves open' 2 '' '^kiln inspect: --dim: no input leaves a size open that is called N$' inspect "$gemm/model.onnx" --dim N=1
expect 'a size given twice' 2 '' '^kiln inspect: --dim: x.1 is given twice$' inspect "$tril/model.onnx" --dim x.1=1 --dim x.1=2
expect 'a size with a sign' 2 '' "'x.1=+5' is not NAME=SIZE" inspect "$tril/model.onnx" --dim x.1=+5
expect 'no name' 2 '' '^kiln inspect: a file.s name is empty$' inspect ''

# run
expect 'a model on tensors of ONNX' 0 '' '' run "$gemm/model.onnx" --input "$gemm/test_data_set_0/input_0.pb" \
    --input c="$gemm/test_data_set_0/input_2.pb" --input b="$gemm/test_data_set_0/input_1.pb" --output "$scratch/y"
[ -s "$scratch/y/y.npy" ]
verdict 'its result stands in the folder' $?
expect 'an input without a value' 2 '' 'input b has no value: --input b=FILE' run "$gemm/model.onnx" --input "$gemm/test_data_set_0/input_0.pb"
expect 'an input that there is not' 2 '' "has no input that is called 'q'" run "$gemm/model.onnx" --input "q=$gemm/test_data_set_0/input_0.pb"
head -c 24 /dev/zero >"$scratch/a.raw" && head -c 48 /dev/zero >"$scratch/b.raw" && head -c 4 /dev/zero >"$scratch/c.raw"
expect 'bare elements' 0 '0. 0. 0. 0.' '' run "$gemm/model.onnx" --input "$scratch/a.raw" --input "$scratch/b.raw" --input "$scratch/c.raw"
expect 'bare elements, too few' 3 '' 'its bytes fit no size of the input' run "$gemm/model.onnx" --input "$scratch/c.raw"
expect 'an input of other sizes than the model states' 3 '' 'the value for input a is f32\[3,4\], but .* states f32\[2,3\]' run "$gemm/model.onnx" \
    --input "$gemm/test_data_set_0/input_1.pb"
mkfifo "$scratch/pipe.raw" && ln -s /dev/zero "$scratch/zero.raw"
for what in pipe zero; do
    expect "bare elements of no plain file: $what" 3 '' "$what.raw: not a regular file" run "$gemm/model.onnx" --input "$scratch/$what.raw"
done
expect 'an input without a file' 2 '' 'input a has an empty name in place of a file' run "$gemm/model.onnx" --input a=
expect 'a file that is not there' 3 '' 'No such file' run "$gemm/model.onnx" --input "$scratch/none.npy"
expect 'an input too many' 2 '' 'has 3 inputs, fewer than are given' run "$gemm/model.onnx" --input "$scratch/a.raw" --input "$scratch/b.raw" \
    --input "$scratch/c.raw" --input "$scratch/c.raw"

# sequences and optionals
seq=$cases/test_sequence_map_add_2_sequences opt=$cases/test_identity_opt
x0=$seq/test_data_set_0/input_0.pb x1=$seq/test_data_set_0/input_1.pb
expect 'a sequence among the inputs' 0 '^input      x0: seq(f32.N.)$' '' inspect "$seq/model.onnx"
expect 'an optional of one' 0 '^output     opt_out: optional(seq(f32.5.))$' '' inspect "$opt/model.onnx"
expect 'known results that are sequences' 0 '^compiled  *y0.2  *ok' '' check "$seq/model.onnx"
expect 'a model of sequences' 0 '' '' run "$seq/model.onnx" --input "$x0" --input "$x1" --output "$scratch/s"
[ -s "$scratch/s/y0.0.npy" ] && [ -s "$scratch/s/y0.2.npy" ] && [ ! -e "$scratch/s/y0.3.npy" ]
verdict 'its tensors stand in the folder' $?
expect 'sequences of several files' 0 '^y0: 2 tensors$' '' run "$seq/model.onnx" --input x0="$scratch/s/y0.0.npy" --input x1="$scratch/s/y0.0.npy" \
    --input x0="$scratch/s/y0.1.npy" --input x1="$scratch/s/y0.1.npy"
expect 'a sequence into one file' 2 '' 'y0 is a list of tensors: --output FOLDER takes them' run "$seq/model.onnx" --input "$x0" --input "$x1" --output "$scratch/s.npy"
expect 'a sequence without a value' 2 '' 'input x1 has no value: --input x1=FILE' run "$seq/model.onnx" --input "$x0"
expect 'a sequence given twice' 2 '' 'input x0 is given twice' run "$seq/model.onnx" --input "x0=$x0" --input "x0=$x0"
head -c 40 "$x0" >"$scratch/cut.pb"
expect 'a sequence that is cut off' 3 '' 'a length goes beyond the end' run "$seq/model.onnx" --input "$scratch/cut.pb" --input "$x1"
expect 'an optional that is not given' 0 '^opt_out: nothing$' '' run "$opt/model.onnx"
expect 'sequences of a length that nobody told' 2 '' 'the number of its tensors must be told, as a size of its name, of input x0' compile "$seq/model.onnx" -o "$scratch/q"
expect 'sequences of a length' 0 '' '' compile "$seq/model.onnx" -o "$scratch/q" --dim x0=2 --dim x1=2 --dim N=1..8
grep -q '"name": "y0.1", "dtype": "f32", "c_type": "float", "shape": \["N"\]' "$scratch/q/manifest.json" && is_json "$scratch/q/manifest.json"
verdict 'are told by the manifest' $?
expect 'an example of an optional sequence' 0 '' '' compile "$opt/model.onnx" -o "$scratch/q" --input "$opt/test_data_set_0/input_0.pb"
expect 'sequences of files are timed' 0 '^results are equal bit for bit$' '' bench "$seq/model.onnx" --input "$x0" --input "$x1" --seconds 1
expect 'sequences of so many tensors, drawn' 0 '"sizes": "x0=3, x1=3", .*"equal": true' '' bench "$seq/model.onnx" --dim x0=3 --dim x1=3 --dim N=5 --seconds 1 --json
grep -q '"object": {"first_result_s"' "$scratch/out" && is_json "$scratch/out"
verdict 'as an object, too' $?
expect 'an optional that is nothing, timed' 0 '^results are equal bit for bit$' '' bench "$opt/model.onnx" --seconds 1
expect 'sequences of which nothing is known' 2 '' 'input x0 is a list of tensors without a value: --input x0=FILE, or --dim x0=NUMBER' bench "$seq/model.onnx"
expect 'a value for a list' 2 '' '--fix: opt_in is a list: --input gives its tensors' compile "$opt/model.onnx" --fix opt_in=1

# archives of NumPy
expect 'results into an archive' 0 '' '' run "$gemm/model.onnx" --input "$scratch/a.raw" --input "$scratch/b.raw" --input "$scratch/c.raw" --output "$scratch/r.npz"
if command -v python3 >/dev/null; then
    python3 - "$scratch" >"$scratch/out" 2>"$scratch/err" <<'END'
import struct, sys, zipfile
at = sys.argv[1]
def npy(shape, data):
    head = ("{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (shape,)).encode()
    head += b' ' * (-(len(head) + 11) % 64) + b'\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head + data
with zipfile.ZipFile(at + '/r.npz') as z:
    assert z.testzip() is None and z.namelist() == ['y.npy'] and z.read('y.npy') == npy('(2, 4, )', bytes(32)), z.read('y.npy')
ones = struct.pack('<f', 1)
for name, how in ('stored', zipfile.ZIP_STORED), ('deflated', zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(at + '/' + name + '.npz', 'w', how) as z:
        for part, shape, n in ('c', '()', 1), ('a', '(2, 3)', 6), ('b', '(3, 4)', 12):
            with z.open(part + '.npy', 'w', force_zip64=True) as f: f.write(npy(shape, ones * n))
whole = open(at + '/deflated.npz', 'rb').read()
for i in range(0, len(whole), 7): open(at + '/cut%d.npz' % i, 'wb').write(whole[:i])
for i in range(0, len(whole), 5): open(at + '/bad%d.npz' % i, 'wb').write(whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1:])
with zipfile.ZipFile(at + '/other.npz', 'w') as z: z.writestr('q.npy', npy('()', ones))
END
    verdict 'which Python reads' $?
    for how in stored deflated; do
        expect "inputs from an archive, $how" 0 '4. 4. 4. 4.' '' run "$gemm/model.onnx" --input "$scratch/$how.npz"
    done
    expect 'an archive with a name that no input has' 2 '' "has no input that is called 'q'" run "$gemm/model.onnx" --input "$scratch/other.npz"
    rc=0
    for f in "$scratch"/cut*.npz; do
        "$kiln" run "$gemm/model.onnx" --input "$f" >"$scratch/out" 2>"$scratch/err"
        [ $? = 3 ] && [ ! -s "$scratch/out" ] || { echo "$f" >>"$scratch/err"; rc=1; break; }
    done
    verdict 'an archive that is cut off anywhere is an error' $rc
    rc=0
    for f in "$scratch"/bad*.npz; do
        "$kiln" run "$gemm/model.onnx" --input "$f" >"$scratch/out" 2>"$scratch/err"
        case $? in 0) grep -q '4. 4. 4. 4.' "$scratch/out" || rc=1 ;; 2 | 3 | 4) ;; *) rc=1 ;; esac
        [ $rc = 0 ] || { echo "$f" >>"$scratch/err"; break; }
    done
    verdict 'one that is changed anywhere is an error, or what it was' $rc
fi

# places where nothing can be written: what was there stays, and nothing of what could not be written
if [ -c /dev/full ]; then
    for end in npy raw npz; do
        ln -s /dev/full "$scratch/full.$end"
        expect "a disk that is full: $end" 4 '' "full.$end: cannot write: No space left" run "$gemm/model.onnx" --input "$scratch/a.raw" \
            --input "$scratch/b.raw" --input "$scratch/c.raw" --output "$scratch/full.$end"
    done
fi
: >"$scratch/plain"
expect 'a folder that is a file' 4 '' 'plain/y.npy: cannot create: Not a directory' run "$gemm/model.onnx" --input "$scratch/a.raw" \
    --input "$scratch/b.raw" --input "$scratch/c.raw" --output "$scratch/plain"
expect 'an object in a folder that is a file' 4 '' 'plain/model.o: cannot create: Not a directory' compile "$gemm/model.onnx" -o "$scratch/plain"
mkdir -p "$scratch/half/manifest.json"
expect 'a manifest that cannot be written' 4 '' 'manifest.json: cannot write: it is a folder' compile "$gemm/model.onnx" -o "$scratch/half" --weights file
[ "$(ls -A "$scratch/half")" = manifest.json ]
verdict 'leaves nothing of the rest' $?
expect 'a model that does not compile' 2 '' 'sizes that the model leaves open: x.1' compile "$tril/model.onnx" -o "$scratch/unmade" --fix k=6
[ ! -e "$scratch/unmade" ]
verdict 'leaves no folder' $?
# Two results whose names differ in nothing that a file name may have.
printf '\010\010\072U\012\015\012\001x\022\003a/b\042\003Abs\012\015\012\001x\022\003a_b\042\003NegZ\017\012\001x\022\012\012\010\010\001\022\004\012\002\010\002b\021\012\003a/b\022\012\012\010\010\001\022\004\012\002\010\002b\021\012\003a_b\022\012\012\010\010\001\022\004\012\002\010\002B\002\020\021' >"$scratch/meet.onnx"
head -c 8 /dev/zero >"$scratch/x.raw"
expect 'results that would be one file' 2 '' "results 'a/b' and 'a_b' would be one file" run "$scratch/meet.onnx" --input "$scratch/x.raw" --output "$scratch/meet"

# check
expect 'known results' 0 '^compiled  *y  *ok' '' check "$gemm/model.onnx"
expect 'known results of one set' 0 '^eager  *y  *ok' '' check "$gemm/model.onnx" --against "$gemm/test_data_set_0"
cp -r "$gemm" "$scratch/gemm" && cp "$scratch/gemm/test_data_set_0/input_1.pb" "$scratch/gemm/test_data_set_0/output_0.pb"
expect 'known results that differ' 1 'another dtype, or other sizes' '' check "$scratch/gemm/model.onnx"
expect 'known results within rounding' 0 '^compiled  *y  *ok' '' check "$gemm/model.onnx" --fast
expect 'no known results' 3 '' 'there is neither output_0.pb nor test_data_set_0' check "$gemm/model.onnx" --against "$scratch"

# where it parts from them
soft=$cases/test_Softsign
cp -r "$soft" "$scratch/soft" && last=$(($(wc -c <"$soft/test_data_set_0/output_0.pb") - 4))
printf '\000\000\100\100' | dd of="$scratch/soft/test_data_set_0/output_0.pb" bs=1 seek=$last conv=notrunc 2>/dev/null
expect 'a known result that is wrong' 1 'agree in what every node gives: the results that are$' '' check "$scratch/soft/model.onnx"
grep -q '^compiled  4  *differs by 2.41, .* first at element 29; the largest is 3$' "$scratch/out"
verdict 'is told with its place' $?
grep -q '^onnx: [0-9]* values: eager within the reference.s bounds$' "$scratch/out"
verdict 'and compiled code, whose results are the same, is not searched' $?
cp -r "$scratch/soft/test_data_set_0" "$scratch/soft/test_data_set_1"
expect 'what is off within the tolerance' 0 '^eager  *4  *ok, at most 2.41 off' '' check "$scratch/soft/model.onnx" --atol 2.42
expect 'or beyond it' 1 '^eager  *4  *differs' '' check "$scratch/soft/model.onnx" --rtol=0.79 --atol 0
expect 'a tolerance that is none' 2 '' "^kiln check: --rtol: '-1' is no number of 0 or more" check "$soft/model.onnx" --rtol -1
expect 'two sets of results that are wrong' 1 '' '' check "$scratch/soft/model.onnx"
[ "$(grep -c '^compiled  4  *differs' "$scratch/out")" = 2 ] && [ "$(grep -c 'agree in what every node gives' "$scratch/out")" = 1 ]
verdict 'of which one is searched' $?
expect 'no values of nodes' 3 '' 'no file there is called VALUE.npy or VALUE.pb after a value that a node gives' check "$soft/model.onnx" --nodes "$soft"
if command -v python3 >/dev/null; then
    python3 - "$soft/test_data_set_0/input_0.pb" "$scratch" <<'END'
import os, struct, sys
x = struct.unpack('<30f', open(sys.argv[1], 'rb').read()[-120:])
def put(folder, name, v):
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 5), }"
    head += b' ' * (-(len(head) + 11) % 64) + b'\n'
    os.makedirs(folder, exist_ok=True)
    open(folder + '/' + name + '.npy', 'wb').write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head + struct.pack('<30f', *v))
one, three = [abs(v) for v in x], [1 + abs(v) for v in x]
for folder, change in ('good', None), ('bad', 7):
    put(sys.argv[2] + '/' + folder, '1', one)
    put(sys.argv[2] + '/' + folder, '3', [v + (i == change) for i, v in enumerate(three)])
END
    expect 'values of nodes' 0 '^2 values of nodes are as they must be$' '' check "$soft/model.onnx" --nodes "$scratch/good"
    expect 'the first node that differs' 1 '^node 2, Add, is the first that differs: 3 is off by 1, .* first at element 7; 1 value of a node before it is as it must be$' \
        '' check "$soft/model.onnx" --nodes "$scratch/bad"
fi

# compile
expect 'an input that must be fixed' 2 '' 'sizes follow from the numbers of an input, which must be fixed: shape' compile "$reshape/model.onnx" -o "$scratch/r"
expect 'a size that is open' 2 '' 'sizes that the model leaves open: data.0' compile "$reshape/model.onnx" -o "$scratch/r" --fix shape=3,4,0
expect 'a size that is none' 2 '' "^kiln compile: --dim: 'x.1=4..2': the lowest size is above the highest" compile "$tril/model.onnx" --dim x.1=4..2
expect 'a value of no input' 2 '' "^kiln compile: --fix: 'z=1' is not NAME=VALUE" compile "$tril/model.onnx" --fix z=1
expect 'a value that is no whole number' 2 '' '1.5, which is not a value of i64' compile "$tril/model.onnx" --fix k=1.5 --dim x.1=5
expect 'a value of other sizes' 3 '' 'the value for input k is i64\[2\], but .* states i64\[\]' compile "$tril/model.onnx" --fix k=1,2 --dim x.1=5
expect 'a symbol that is none' 2 '' '"../x" is not a C identifier' compile "$gemm/model.onnx" -o "$scratch/r" --symbol ../x
cp "$gemm/model.onnx" "$scratch/double.onnx"
expect 'a model whose name C has taken' 0 '' '' compile "$scratch/double.onnx" -o "$scratch/n"
[ -s "$scratch/n/model_double.o" ]
verdict 'has another' $?
expect 'weights of no kind' 2 '' "--weights: 'none' is neither embed nor file" compile "$gemm/model.onnx" --weights none
expect 'neither small nor fast' 2 '' "--optimize: 'tiny' is neither size nor speed" compile "$gemm/model.onnx" --optimize tiny
expect 'less code for a device' 4 '' 'small is for CPUs, not for .device = "emu"' compile "$gemm/model.onnx" -o "$scratch/d" --optimize size --device emu
expect 'an option that a module has not' 2 '' 'are for ONNX models' compile module.kiln --example
expect 'a module is not folded' 2 '' '--fast is for ONNX models' run module.kiln --fast
expect 'a model with a symbol' 0 '' '' compile "$tril/model.onnx" -o "$scratch/t" --fast --optimize size --symbol net --dim x.1=1..8 --fix k=6 --example
grep -q '"sizes": \[{"argument": "n_x_1", "lowest": 1, "highest": 8}\]' "$scratch/t/manifest.json" && is_json "$scratch/t/manifest.json" &&
    grep -q '"fast": true, "optimize": "size"' "$scratch/t/manifest.json" && grep -q 'in1 is k, which must be .6., or the call returns an error' "$scratch/t/net.h"
verdict 'is told by manifest and header' $?
if command -v make >/dev/null && command -v cc >/dev/null; then
    make -C "$scratch/t" >"$scratch/out" 2>"$scratch/err" && grep -q '^out0:' "$scratch/out"
    verdict 'its example builds and runs' $?
    expect 'a model of which a size is counted' 0 '' '' compile tests/conformance/onnx/test_nonzero_example/model.onnx -o "$scratch/n" --symbol net --example
    printf '\1\0\1\1' >"$scratch/in.raw" # as bool[2,2]: two rows of three places, of the eight numbers for which there is room
    make -C "$scratch/n" main >"$scratch/out" 2>"$scratch/err" && (cd "$scratch/n" && ./main "$scratch/in.raw") >"$scratch/out" 2>"$scratch/err" &&
        grep -qx 'out0: 0 1 1 0 0 1' "$scratch/out"
    verdict 'its example prints as many elements as came out' $?
    expect 'a model with weights in a file' 0 '' '' compile "$cases/test_Linear_no_bias/model.onnx" -o "$scratch/w" --weights file --example
    head -c 160 /dev/zero | tr '\0' '\001' >"$scratch/in.raw"
    make -C "$scratch/w" main >"$scratch/out" 2>"$scratch/err" && (cd "$scratch/w" && ./main "$scratch/in.raw") >"$scratch/out" 2>"$scratch/err" &&
        grep -q '^out0:' "$scratch/out" && [ -s "$scratch/w/model.weights" ]
    verdict 'its example reads them' $?
    if command -v python3 >/dev/null; then
        python3 - "$scratch/w" >"$scratch/out" 2>"$scratch/err" <<'END'
import json, os, sys, zlib
at = sys.argv[1] + '/'
m = json.load(open(at + 'manifest.json'))
for what in 'object', 'weights':
    b = open(at + m[what], 'rb').read()
    assert m[what + '_bytes'] == len(b) and m[what + '_crc32'] == '%08x' % zlib.crc32(b), m
assert m['workspace_bytes'] >= 0 and m['state_bytes'] >= 0 and m['align'] == 64 and os.path.exists(at + m['header']), m
assert m['inputs'][0] == {'argument': 'in0', 'name': '0', 'dtype': 'f32', 'c_type': 'float', 'shape': [4, 10]}, m
assert len(m['outputs']) == 1 and m['sizes'] == [] and not m['fast'] and m['source']['operators'] == {'MatMul': 1, 'Transpose': 1}, m
END
        verdict 'a manifest has sizes and checksums of its files' $?
    fi
    expect 'weights of which some are kept in another order alone' 0 '' '' compile "$cases/test_Conv1d_pad1size1/model.onnx" -o "$scratch/c" --weights file --example
fi

expect 'for another format of objects the data goes through the compiler' 0 '' '' compile "$cases/test_Conv1d_pad1size1/model.onnx" -o "$scratch/o" \
    --triple x86_64-pc-windows-msvc
# Weights are in memory once, however they are written. Of a sanitizer's memory nothing is said.
if command -v python3 >/dev/null && [ -z "${SANITIZE:-}" ]; then
    python3 - "$scratch" <<'END'
import sys
def number(v):
    out = b''
    while v > 127: out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])
def field(n, b): return number(n << 3 | 2) + number(len(b)) + b
def value(name, *sizes):
    dims = b''.join(field(1, b'\x08' + number(s)) for s in sizes)
    return field(1, name) + field(2, field(1, b'\x08\x01' + field(2, dims)))
size, nodes, weights = 4096, b'', b''
for i in range(3):
    nodes += field(1, field(1, b'x%d' % i) + field(1, b'w%d' % i) + field(2, b'x%d' % (i + 1)) + field(4, b'MatMul'))
    raw = bytes([i + 1, 0, 128, 63]) * (size * size)
    weights += field(5, b'\x08' + number(size) + b'\x08' + number(size) + b'\x10\x01' + field(8, b'w%d' % i) + field(9, raw))
graph = nodes + weights + field(11, value(b'x0', 1, size)) + field(12, value(b'x3', 1, size))
open(sys.argv[1] + '/heavy.onnx', 'wb').write(b'\x08\x08' + field(7, graph) + field(8, b'\x10\x11'))
END
    for how in embed file; do
        python3 -c 'import resource, subprocess, sys
subprocess.check_call(sys.argv[1:])
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(most // 1024, "MiB for 192 MiB of weights")
assert most < 1024 * (192 + 150)' "$kiln" compile "$scratch/heavy.onnx" -o "$scratch/h" --weights $how >"$scratch/out" 2>"$scratch/err"
        verdict "compiling costs the weights once: $how" $?
    done
    rm -rf "$scratch/h" "$scratch/heavy.onnx"
fi

# bench
expect 'a model in three ways' 0 '^results are equal bit for bit$' '' bench "$gemm/model.onnx" --threads 1
grep -q '^eager ' "$scratch/out" && grep -q '^compiled ' "$scratch/out" && grep -q '^object ' "$scratch/out"
verdict 'each has a line' $?
expect 'for machines' 0 '"equal": true' '' bench "$tril/model.onnx" --dim x.1=5 --fix k=6 --json
is_json "$scratch/out" && grep -q '"sizes": "x.1=5"' "$scratch/out"
verdict 'which is JSON' $?
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys
for way, r in json.load(sys.stdin)["ways"].items():
    if way == "object" and "none" in r: continue
    assert 0 < r["p50_s"] <= r["p90_s"] <= r["p99_s"] and r["first_result_s"] > 0 and r["peak_bytes"] > 0 and r["calls"] > 0, r' <"$scratch/out"
    verdict 'with percentiles in order' $?
fi
CC=$scratch/none expect 'without a C compiler there is no object' 0 '^object  *none: no C compiler to link it: ' '' bench "$gemm/model.onnx"
expect 'on a device' 0 '^object  *none: it would be for the CPU, not for emu:0' '' bench "$gemm/model.onnx" --device emu:0
expect 'an input from which sizes follow is not drawn' 2 '' 'input shape: sizes follow from its numbers' bench "$reshape/model.onnx"
expect 'a size that no drawn input has' 2 '' '^kiln bench: --dim: no input that is drawn leaves a size open that is called N$' bench "$gemm/model.onnx" --dim N=3
expect 'a size that is several' 2 '' '^kiln bench: --dim: N has more than one size' bench "$gemm/model.onnx" --dim N=1..3
expect 'a model that is not there' 3 '' 'No such file' bench "$scratch/none.onnx"
expect 'no model at all' 2 '' 'are for a MODEL.onnx, and none is named$' bench --dim N=3
TMPDIR=$scratch/none expect 'a folder that cannot be made' 4 '' 'cannot make a folder: No such file' bench "$gemm/model.onnx"

# export
printf 'module {\n  dims N in [1,9]\n}\ngraph @main(%%1: f32[N,4], %%2: f32[4]) -> (%%4) {\n  %%3 = broadcast(%%2) {[N, 4]} : f32[N,4]\n  %%4 = mul(%%1, %%3) : f32[N,4]\n}\n' >"$scratch/m.kiln"
expect 'a module as a model' 0 '' '' export "$scratch/m.kiln" -o "$scratch/m.onnx"
expect 'which can be read' 0 '^operators  Identity 1, Mul 1$' '' inspect "$scratch/m.onnx"
expect 'whose size is open' 0 '^input      x0: f32.N,4.$' '' inspect "$scratch/m.onnx"
printf 'module {}\ngraph @main(%%1: u64[2]) -> (%%2) {\n  %%2 = random_bits(%%1) {[4]} : u32[4]\n}\n' >"$scratch/m.kiln"
expect 'what ONNX does not have' 4 '' 'main cannot be a model of ONNX: random_bits (ONNX has no such operator) at text:3$' export "$scratch/m.kiln" -o "$scratch/n.onnx"
[ ! -e "$scratch/n.onnx" ]
verdict 'is no file' $?
echo 'module' >"$scratch/m.kiln"
expect 'no module' 3 '' 'm.kiln:2:' export "$scratch/m.kiln" -o "$scratch/n.onnx"
expect 'no place' 2 '' '^kiln export: no -o MODEL.onnx given$' export "$scratch/m.kiln"

echo "1..$n"
[ $failed -eq 0 ]
