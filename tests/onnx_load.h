/* onnx_load: small ONNX models, loaded and called, and what their errors say. Relies on values.h and onnx_bytes.h. */
#ifndef KILN_TESTS_ONNX_LOAD_H
#define KILN_TESTS_ONNX_LOAD_H

#include "values.h"

#include <kiln/onnx.h>

#include "onnx_bytes.h"

static inline kiln_onnx *load(const char *in, const char *out, const Message *nodes, int n)
{
    const Message g = graph_of(in, out, nodes, n), m = model_of(&g, 17);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    if (!x) print_error("%s\n", kiln_error(k)->text);
    assert_non_null(x);
    return x;
}

#define LOAD(in, out, ...) \
    load(in, out, (const Message[]){__VA_ARGS__}, (int)(sizeof((const Message[]){__VA_ARGS__}) / sizeof(Message)))
#define GRAPH(in, out, ...) \
    graph_of(in, out, (const Message[]){__VA_ARGS__}, (int)(sizeof((const Message[]){__VA_ARGS__}) / sizeof(Message)))

static inline kiln_tensor *call(kiln_onnx *m, kiln_operands in)
{
    kiln_tensor *y = NULL;
    kiln_onnx_call(m, in, &y, 1);
    return y;
}

static inline void says(kiln_tensor *y, kiln_code code, const char *what)
{
    (void)y;
    assert_true(kiln_failed(k));
    if (!strstr(kiln_error(k)->text, what)) print_error("%s\n", kiln_error(k)->text);
    assert_non_null(strstr(kiln_error(k)->text, what));
    assert_int_equal(kiln_error(k)->code, code);
    kiln_clear(k);
}

#define BOTH(eager) for (int eager = 0; kiln_eager(k, eager == 1), eager < 2; eager++)

#endif
