#!/usr/bin/env bash
# Models of ONNX that the tests write (test_onnx_save*), under onnx's own checker and in ONNX Runtime, where Python has both: tests/onnx_saved.py
# with PYTHON (python3). TAP on stdout. Relies on built tests.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build} python=${PYTHON:-python3}
export KILN_LIBDIR=${KILN_LIBDIR:-$PWD/$build}
"$python" -c 'import numpy, onnx, onnxruntime' 2>/dev/null || { echo "skip: $python has no onnx and onnxruntime"; exit 77; }
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
for test in "$build"/tests/test_onnx_save*; do
    [ -x "$test" ] && [[ $test != *.d ]] || continue
    KILN_COMPILE=never KILN_ONNX_KEEP=$scratch "$test" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
done
"$python" tests/onnx_saved.py "$scratch"
