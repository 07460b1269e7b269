/* lower_op: see lower_op.h. This file makes the key of a call, and a graph of one node for all calls of that key. Relies on
 * lower. */
#include "../lower_op.h"

#include "lower.h"

#include <stdio.h>

/* ---- keys ---------------------------------------------------------------------------------------- */

/* All sizes of one class lie between two successive powers of 16. So the bounds of the program's symbols hold for all calls that
 * share the program, and the bounds of their products stay in range. Strides are compared with nothing and may be negative. */
#define CLASS_BITS 4
#define CLASS_STRIDE 15
#define STRIDE_MOST ((int64_t)1 << 20)

static int64_t new_value(OpKey *key, int64_t v, int64_t class)
{
    key->value[key->values] = v;
    return -1 - (int64_t)(16 * key->values++ + class);
}

/* Equal sizes share a symbol, because most ops need to know that some of their sizes are equal. */
static int64_t size_word(OpKey *key, int64_t v, bool exact)
{
    if (v <= 1 || exact) return v;
    int64_t class = (64 - __builtin_clzll((uint64_t)v - 1) + CLASS_BITS - 1) / CLASS_BITS;
    for (uint32_t i = 0; i < key->values; i++)
        if (key->value[i] == v) return -1 - (int64_t)(16 * i + class);
    return new_value(key, v, class);
}

static void add_word(OpKey *key, int64_t w) { key->word[key->words++] = w; }

size_t op_key_room(const View *in, uint32_t nin, uint32_t nattr)
{
    size_t n = 3 + nattr;
    for (uint32_t i = 0; i < nin; i++) n += 1 + 2u * in[i].rank;
    return n;
}

void op_key(OpKey *key, Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr, bool exact)
{
    key->words = key->values = 0;
    add_word(key, op);
    add_word(key, nin);
    add_word(key, nattr);
    uint32_t head = key->words;
    key->words += nin;
    for (uint32_t i = 0; i < nin; i++) /* put before the strides, which may equal a size by chance */
        for (uint32_t a = 0; a < in[i].rank; a++) add_word(key, size_word(key, in[i].dim[a], exact));
    const char *schema = op_def[op].attrs;
    for (uint32_t i = 0; i < nattr; i++) {
        bool size = schema[0] == 'd' || schema[0] == 'D';
        add_word(key, size ? size_word(key, attr[i], exact) : attr[i]);
        if (schema[0] >= 'a') schema++; /* a capital letter stands for all that follow */
    }
    for (uint32_t i = 0; i < nin; i++) {
        bool strided = !view_contiguous(&in[i]);
        key->word[head + i] = in[i].dtype | in[i].rank << 8 | strided << 16;
        for (uint32_t a = 0; strided && a < in[i].rank; a++) {
            int64_t s = in[i].dim[a] == 1 ? 0 : in[i].stride[a];
            add_word(key, s == 0 || s == 1 ? s : new_value(key, s, CLASS_STRIDE));
        }
    }
}

/* ---- programs ------------------------------------------------------------------------------------ */

/* Reads the word as a size of the table. Values come in their order, and so do the symbols. */
static Dim dim_of(DimTable *t, int64_t word)
{
    char name[16];
    if (word >= 0) return word;
    int64_t value = (-1 - word) / 16, class = (-1 - word) % 16;
    snprintf(name, sizeof name, "v%d", (int)value);
    if (class == CLASS_STRIDE) return dim_symbol(t, name, 0, STRIDE_MOST);
    return dim_symbol(t, name, class == 1 ? 2 : ((int64_t)1 << CLASS_BITS * (class - 1)) + 1, (int64_t)1 << CLASS_BITS * class);
}

typedef struct OneOp {
    Arena *arena;
    const int64_t *word;
    const Target *target;
    Module *m;
    const Dim **stride;
    Program *p;
    Status *st;
} OneOp;

static void make_graph(OneOp *one)
{
    Module *m = module_new(one->arena);
    const int64_t *at = one->word;
    Op op = (Op)*at++;
    Graph *g = graph_new(m, op_def[op].name);
    const uint32_t nin = (uint32_t)*at++, nattr = (uint32_t)*at++;
    const int64_t *head = at;
    Value *in = ARENA_ARRAY(one->arena, Value, nin + 1);
    Dim *attr = ARENA_ARRAY(one->arena, Dim, nattr + 1);
    const Dim **strides = ARENA_ARRAY(one->arena, const Dim *, nin + 1);
    at += nin;
    for (uint32_t i = 0; i < nin; i++) {
        Type t = {.dtype = (uint8_t)head[i], .rank = (uint8_t)(head[i] >> 8)};
        for (uint32_t a = 0; a < t.rank; a++) t.dim[a] = dim_of(&m->dims, *at++);
        in[i] = graph_param(g, &t, (Loc){0});
    }
    const char *schema = op_def[op].attrs;
    for (uint32_t i = 0; i < nattr; i++, at++) {
        attr[i] = schema[0] == 'd' || schema[0] == 'D' ? dim_of(&m->dims, *at) : *at;
        if (schema[0] >= 'a') schema++;
    }
    for (uint32_t i = 0; i < nin; i++) {
        if (!(head[i] >> 16)) continue;
        Dim *stride = ARENA_ARRAY(one->arena, Dim, MAX_RANK);
        for (uint32_t a = 0; a < (uint8_t)(head[i] >> 8); a++) stride[a] = dim_of(&m->dims, *at++);
        strides[i] = stride;
    }
    Value v = graph_append(g, op, in, nin, attr, nattr, (Loc){0}, one->st);
    if (v == 0) return;
    for (uint32_t i = 0; i < graph_maker(g, v)->nout; i++) graph_result(g, v + i);
    one->m = m;
    one->stride = strides;
}

static void make_one(void *arg)
{
    OneOp *one = arg;
    make_graph(one);
    if (!one->m || !one->target) return;
    one->p = program_lower(one->arena, one->m, &(LowerOptions){.target = *one->target, .stride = one->stride}, one->st);
}

Module *op_module(Arena *arena, const int64_t *word, Status *st)
{
    OneOp one = {.arena = arena, .word = word, .st = st};
    return arena_try(arena, st, make_one, &one) ? one.m : NULL;
}

Program *op_program(Arena *arena, const int64_t *word, const Target *target, Status *st)
{
    OneOp one = {.arena = arena, .word = word, .target = target, .st = st};
    return arena_try(arena, st, make_one, &one) ? one.p : NULL;
}
