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

/* Names with a blank between them; _ is one that is left out. */
static inline void texts(Message *m, int number, const char *names)
{
    for (size_t n; names && *names; names += n + (names[n] != 0)) {
        n = strcspn(names, " ");
        bytes(m, number, names, *names == '_' ? 0 : n);
    }
}

static inline Message node(const char *op, const char *in, const char *out)
{
    Message n = {.n = 0};
    texts(&n, 1, in), texts(&n, 2, out), text(&n, 4, op);
    return n;
}

static inline Message attribute_of(const char *name, int type)
{
    Message a = {.n = 0};
    text(&a, 1, name), integer(&a, 20, type);
    return a;
}

static inline Message with_graph(Message n, const char *name, const Message *graph)
{
    Message a = attribute_of(name, 5);
    message(&a, 6, graph), message(&n, 5, &a);
    return n;
}

static inline Message with_integer(Message n, const char *name, int64_t v)
{
    Message a = attribute_of(name, 2);
    integer(&a, 3, v), message(&n, 5, &a);
    return n;
}

static inline Message with_integers(Message n, const char *name, int64_t v)
{
    Message a = attribute_of(name, 7);
    integer(&a, 8, v), message(&n, 5, &a);
    return n;
}

/* Values of no stated type. */
static inline Message graph_of(const char *in, const char *out, const Message *nodes, int n)
{
    Message g = {.n = 0};
    for (int i = 0; i < n; i++) message(&g, 1, &nodes[i]);
    for (int way = 0; way < 2; way++)
        for (const char *s = way ? out : in; s && *s;) {
            const size_t length = strcspn(s, " ");
            Message v = {.n = 0};
            bytes(&v, 1, s, length), message(&g, way ? 12 : 11, &v);
            s += length + (s[length] != 0);
        }
    return g;
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

/* Types: f32[...] of so many axes of which each has a size of its own (-1: any rank), a sequence and an optional of another one. */
static inline Message array_type(int rank)
{
    Message dim = {.n = 0}, shape = {.n = 0}, array = {.n = 0}, type = {.n = 0};
    for (int i = 0; i < rank; i++) message(&shape, 1, &dim);
    integer(&array, 1, 1);
    if (rank >= 0) message(&array, 2, &shape);
    message(&type, 1, &array);
    return type;
}

static inline Message type_of_type(int number, const Message *element)
{
    Message of = {.n = 0}, type = {.n = 0};
    message(&of, 1, element);
    message(&type, number, &of);
    return type;
}

/* S: a sequence, O: an optional, of what follows, in the end of a tensor of any rank or, after a digit, of so many axes. */
static inline Message type_of_text(const char *kind)
{
    if (*kind != 'S' && *kind != 'O') return array_type(*kind ? *kind - '0' : -1);
    const Message element = type_of_text(kind + 1);
    return type_of_type(*kind == 'S' ? 4 : 9, &element);
}

/* Adds inputs, or outputs, of the graph as NAME:KIND with blanks between them. */
static inline void typed_values(Message *graph, int number, const char *values)
{
    for (size_t n; *values; values += n + (values[n] != 0)) {
        char name[64] = "", kind[16] = "";
        Message v = {.n = 0};
        n = strcspn(values, " ");
        const size_t colon = strcspn(values, ":");
        memcpy(name, values, colon);
        memcpy(kind, values + colon + 1, n - colon - 1);
        const Message type = type_of_text(kind);
        text(&v, 1, name);
        message(&v, 2, &type);
        message(graph, number, &v);
    }
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
