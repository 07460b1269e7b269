#!/usr/bin/env python3
"""onnx_saved.py FOLDER: models that tests of kiln_onnx_save left there (tests/onnx_round.h), under onnx's checker with all it infers, and
in ONNX Runtime on the inputs that lie beside them, against Kiln's results. TAP on stdout. An operator that the runtime does not have of
a dtype is told, and no failure. Needs onnx, onnxruntime and numpy."""
import glob
import os
import sys

import numpy
import onnx
import onnxruntime

NEAR = 2e-5  # relative to a result's largest number; functions and sums of the two are not the same
LACKS = 'NOT_IMPLEMENTED', 'Could not find an implementation', 'is not supported', 'Type Error: Type', 'under development'


def given(name, value):
    """As the input's dtype: files have no narrow floats, and these are f32 there."""
    kind = {'tensor(float16)': numpy.float16}.get(value.type)
    return name.astype(kind) if kind else name


def apart(got, want):
    if got.shape != want.shape:
        return f'shape {got.shape}, not {want.shape}'
    if want.size == 0:
        return ''
    if want.dtype.kind in 'iub':
        wrong = numpy.count_nonzero(got != want)
        return f'{wrong} of {want.size} elements differ' if wrong else ''
    g, w = got.astype(numpy.float64), want.astype(numpy.float64)
    same = (g == w) | (numpy.isnan(g) & numpy.isnan(w))
    finite = numpy.abs(w[numpy.isfinite(w)])
    near = NEAR if want.dtype.itemsize > 2 else 1e-2
    with numpy.errstate(invalid='ignore'):
        off = numpy.where(same, 0, numpy.abs(g - w)) / max(1, finite.max() if finite.size else 1)
    worst = numpy.nanmax(off) if not numpy.all(numpy.isnan(off)) else numpy.inf
    if numpy.isnan(off).any():
        worst = numpy.inf
    return f'off by {worst:.3g}' if worst > near else ''


def ran(path):
    """'' or what is wrong, and whether the runtime lacks something."""
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    except Exception as e:  # the runtime has no common base for them
        if any(word in str(e) for word in LACKS):
            return str(e).splitlines()[0][-150:], True
        return str(e)[:300], False
    if any('bfloat16' in v.type or 'float8' in v.type for v in session.get_inputs() + session.get_outputs()):
        return 'numpy has no such dtype', True
    stem, call = path[:-len('.onnx')], 0
    while os.path.exists(f'{stem}.{call}.y0.npy'):
        feed = {}
        for i, v in enumerate(session.get_inputs()):
            feed[v.name] = given(numpy.load(f'{stem}.{call}.{v.name}.npy'), v)
        try:
            results = session.run(None, feed)
        except Exception as e:
            return f'call {call}: {str(e)[:300]}', any(word in str(e) for word in LACKS)
        for i, got in enumerate(results):
            wrong = apart(got, numpy.load(f'{stem}.{call}.y{i}.npy'))
            if wrong:
                return f'call {call}, y{i}: {wrong}', False
        call += 1
    return '', False


def main():
    failed = skipped = 0
    paths = sorted(glob.glob(os.path.join(sys.argv[1], '*.onnx')))
    print(f'1..{len(paths)}')
    for n, path in enumerate(paths, 1):
        name = os.path.basename(path)[:-len('.onnx')]
        try:
            wrong, lacks = ran(path)
        except Exception as e:  # the checker's
            wrong, lacks = str(e)[:600], False
        said = wrong.replace('\n', ' ')
        if lacks:
            print(f'ok {n} # SKIP {name}: {said}')
        else:
            print(f'{"not ok" if wrong else "ok"} {n} - {name}' + (f': {said}' if wrong else ''))
        failed += bool(wrong) and not lacks
        skipped += lacks
    if skipped:
        print(f'# skip: ONNX Runtime has no such operator of that dtype, or numpy has no such dtype ({skipped} models, which the checker takes)')
    return failed != 0 or not paths


if __name__ == '__main__':
    sys.exit(main())
