/* onnx_tree: a file of ONNX as a tree of protobuf fields, for the mutator: read, searched and written again, with the lengths of
 * all that lie around a change. Knows which fields hold messages and nothing else of the format. What is no such tree is not read.
 */
#ifndef KILN_TESTS_FUZZ_ONNX_TREE_H
#define KILN_TESTS_FUZZ_ONNX_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum Kind { /* of messages; NOT_ONE: text, numbers or raw bytes */
    NOT_ONE,
    MODEL,
    GRAPH,
    NODE,
    ATTRIBUTE,
    TENSOR,
    VALUE,
    TYPE,
    ARRAY,
    SHAPE,
    DIM,
    OF,
    OPSET,
    FUNCTION,
    TRAINING,
    ENTRY,
    SPARSE,
    SEQUENCE,
    OPTIONAL
} Kind;

static const struct {
    Kind of;
    uint32_t number;
    Kind is;
} tree_links[] = {{MODEL, 7, GRAPH}, {MODEL, 8, OPSET}, {MODEL, 20, TRAINING}, {MODEL, 25, FUNCTION}, {GRAPH, 1, NODE},
    {GRAPH, 5, TENSOR}, {GRAPH, 11, VALUE}, {GRAPH, 12, VALUE}, {GRAPH, 13, VALUE}, {GRAPH, 15, SPARSE}, {NODE, 5, ATTRIBUTE},
    {ATTRIBUTE, 5, TENSOR}, {ATTRIBUTE, 6, GRAPH}, {ATTRIBUTE, 10, TENSOR}, {ATTRIBUTE, 11, GRAPH}, {ATTRIBUTE, 22, SPARSE},
    {VALUE, 2, TYPE}, {TYPE, 1, ARRAY}, {TYPE, 4, OF}, {TYPE, 8, ARRAY}, {TYPE, 9, OF}, {OF, 1, TYPE}, {ARRAY, 2, SHAPE},
    {SHAPE, 1, DIM}, {FUNCTION, 7, NODE}, {FUNCTION, 9, OPSET}, {FUNCTION, 11, ATTRIBUTE}, {TRAINING, 1, GRAPH},
    {TRAINING, 2, GRAPH}, {TRAINING, 3, ENTRY}, {TRAINING, 4, ENTRY}, {TENSOR, 13, ENTRY}, {SPARSE, 1, TENSOR}, {SPARSE, 2, TENSOR},
    {SEQUENCE, 3, TENSOR}, {OPTIONAL, 3, TENSOR}, {OPTIONAL, 5, SEQUENCE}};

/* A field lies in an array in the order of the bytes; what a message holds follows it at once. */
typedef struct Leaf {
    uint32_t number;
    uint8_t type; /* of the wire */
    Kind in, is;  /* the message that it stands in, and the one that it is */
    int inside;   /* how many fields are within it, at any depth */
    uint64_t value;
    const uint8_t *at;
    size_t n;
    int64_t lie; /* added to the length that is written */
} Leaf;

enum { TREE_MOST = 8192, TREE_DEEP = 120 };
typedef struct Tree {
    Leaf at[TREE_MOST];
    int n;
} Tree;

static inline Kind tree_kind(Kind of, uint32_t number)
{
    for (size_t i = 0; i < sizeof tree_links / sizeof *tree_links; i++)
        if (tree_links[i].of == of && tree_links[i].number == number) return tree_links[i].is;
    return NOT_ONE;
}

static inline bool tree_number(const uint8_t **at, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        const uint8_t b = *(*at)++;
        *v |= (uint64_t)(b & 127) << shift;
        if (b < 128) return true;
    }
    return false;
}

/* The fields of a message; false: it is none. */
static inline bool tree_read(Tree *t, Kind in, const uint8_t *at, size_t n, int deep)
{
    const uint8_t *end = at + n;
    for (uint64_t tag, v = 0; at < end;) {
        if (t->n == TREE_MOST || deep > TREE_DEEP || !tree_number(&at, end, &tag)) return false;
        Leaf *f = &t->at[t->n++];
        const int own = t->n;
        *f = (Leaf){.number = (uint32_t)(tag >> 3), .type = tag & 7, .in = in};
        if (f->type > 5 || f->type == 3 || f->type == 4) return false;
        if ((f->type == 0 || f->type == 2) && !tree_number(&at, end, &v)) return false;
        f->value = v;
        f->n = f->type == 2 ? (size_t)v : f->type == 1 ? 8 : f->type == 5 ? 4 : 0;
        if ((f->type == 2 && v > (uint64_t)(end - at)) || f->n > (size_t)(end - at)) return false;
        f->at = at;
        at += f->n;
        f->is = f->type == 2 ? tree_kind(in, f->number) : NOT_ONE;
        if (f->is == NOT_ONE) continue;
        if (!tree_read(t, f->is, f->at, f->n, deep + 1)) return false;
        f->inside = t->n - own;
    }
    return true;
}

static inline size_t tree_put_number(uint8_t *to, uint64_t v)
{
    size_t n = 0;
    for (; v > 127; v >>= 7) to[n++] = (uint8_t)(v | 128);
    to[n++] = (uint8_t)v;
    return n;
}

/* Writes fields i to end - 1; SIZE_MAX: they do not fit. A message is written first, and then moved behind its length. */
static inline size_t tree_write(const Tree *t, int i, int end, uint8_t *to, size_t cap)
{
    size_t n = 0;
    for (; i < end; i += 1 + t->at[i].inside) {
        const Leaf *f = &t->at[i];
        uint8_t head[20];
        if (cap - n < 64) return SIZE_MAX;
        n += tree_put_number(to + n, (uint64_t)f->number << 3 | f->type);
        if (f->type == 0) n += tree_put_number(to + n, f->value);
        if (f->type == 0) continue;
        size_t length = f->n;
        if (f->is != NOT_ONE) length = tree_write(t, i + 1, i + 1 + f->inside, to + n, cap - n);
        if (length == SIZE_MAX || length + sizeof head > cap - n) return SIZE_MAX;
        const size_t own = f->type == 2 ? tree_put_number(head, (uint64_t)((int64_t)length + f->lie)) : 0;
        if (f->is != NOT_ONE)
            memmove(to + n + own, to + n, length);
        else if (length)
            memcpy(to + n + own, f->at, length);
        memcpy(to + n, head, own);
        n += own + length;
    }
    return n;
}

/* Fields of that message, and around it all that counts it, gain or lose `more` fields. */
static inline void tree_grow(Tree *t, int i, int more)
{
    for (int j = 0; j < i; j++)
        if (j + t->at[j].inside >= i) t->at[j].inside += more;
}

static inline void tree_remove(Tree *t, int i)
{
    const int n = 1 + t->at[i].inside;
    tree_grow(t, i, -n);
    memmove(&t->at[i], &t->at[i + n], (size_t)(t->n - i - n) * sizeof *t->at);
    t->n -= n;
}

/* Puts a copy of field j of another tree, or of a copy of this one, before field i, into i's message. */
static inline void tree_insert(Tree *t, int i, const Tree *from, int j)
{
    const int n = 1 + from->at[j].inside;
    if (t->n + n > TREE_MOST) return;
    tree_grow(t, i, n);
    memmove(&t->at[i + n], &t->at[i], (size_t)(t->n - i) * sizeof *t->at);
    memcpy(&t->at[i], &from->at[j], (size_t)n * sizeof *t->at);
    t->n += n;
}

#endif
