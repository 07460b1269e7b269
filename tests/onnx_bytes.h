/* onnx_bytes: small ONNX models, written field by field, for the tests that read them. */
#ifndef KILN_TESTS_ONNX_BYTES_H
#define KILN_TESTS_ONNX_BYTES_H

#include <stdint.h>
#include <string.h>

typedef struct Message {
    uint8_t at[1 << 14];
    size_t n;
} Message;

static inline void varint(Message *m, uint64_t v)
{
    for (; v > 127; v >>= 7) m->at[m->n++] = (uint8_t)(v | 128);
    m->at[m->n++] = (uint8_t)v;
}

static inline void integer(Message *m, int number, int64_t v) { varint(m, (uint64_t)number << 3), varint(m, (uint64_t)v); }

static inline void bytes(Message *m, int number, const void *at, size_t n)
{
    varint(m, (uint64_t)number << 3 | 2);
    varint(m, n);
    memcpy(m->at + m->n, at, n);
    m->n += n;
}

static inline void text(Message *m, int number, const char *s) { bytes(m, number, s, strlen(s)); }
static inline void message(Message *m, int number, const Message *part) { bytes(m, number, part->at, part->n); }

static inline Message node_of(const char *op, const char *in, const char *in2, const char *out)
{
    Message n = {.n = 0};
    text(&n, 1, in);
    if (in2) text(&n, 1, in2);
    text(&n, 2, out);
    text(&n, 4, op);
    return n;
}

static inline Message value_of(const char *name)
{
    Message dim = {.n = 0}, rows = {.n = 0}, shape = {.n = 0}, array = {.n = 0}, type = {.n = 0}, v = {.n = 0};
    text(&rows, 2, "N");
    integer(&dim, 1, 3);
    message(&shape, 1, &rows);
    message(&shape, 1, &dim);
    integer(&array, 1, 1);
    message(&array, 2, &shape);
    message(&type, 1, &array);
    text(&v, 1, name);
    message(&v, 2, &type);
    return v;
}

static inline Message model_of(const Message *graph, int64_t version)
{
    Message m = {.n = 0}, opset = {.n = 0};
    integer(&m, 1, 8);
    text(&m, 2, "a test");
    text(&opset, 1, "");
    integer(&opset, 2, version);
    message(&m, 7, graph);
    message(&m, 8, &opset);
    return m;
}

#endif
