/* onnx_mutate: changes of a model that leave it one, for libFuzzer: another number, operator or attribute name, a message less,
 * twice or elsewhere, two of a kind exchanged, a length that lies. What is no tree of fields is changed byte by byte. Relies on
 * onnx_tree.h, and on MUTATE_ROOTS: which messages the target's files are. */
#ifndef KILN_TESTS_FUZZ_ONNX_MUTATE_H
#define KILN_TESTS_FUZZ_ONNX_MUTATE_H

#include <stdio.h>

#include "onnx_tree.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t cap);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t cap, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(
    const uint8_t *one, size_t n1, const uint8_t *two, size_t n2, uint8_t *to, size_t cap, unsigned seed);

static const char *const mutate_operators[] = {
#define ONE(name, since, f) #name,
#define TWO(name, since, f) #name,
#define ALONG(name, since, f) #name,
#define OVER(name, since, f) #name,
#define ROW(name, since, f, n, known) #name,
#define DRAW(name, since, f, known) #name,
#define UNKNOWN(name, since) #name,
#include "frontend/onnx/operators.def"
    "Adagrad", "Adam", "Gradient", "Momentum", "FlexAttention", "ArrayFeatureExtractor", "Binarizer"};

static const char *const mutate_attributes[] = {
#define ATTRIBUTES(op, since, names) names,
#include "frontend/onnx/attributes.def"
};

enum { SCRATCH = 1 << 16 };
static const Kind mutate_roots[] = {MUTATE_ROOTS};
static Tree mutate_now, mutate_before;
static uint8_t mutate_scratch[SCRATCH]; /* new text and packed numbers, of the change at hand */
static size_t mutate_used;
static uint64_t mutate_state;

static inline uint32_t draw(uint32_t n) /* 0 to n - 1; n > 0 */
{
    mutate_state = mutate_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(mutate_state >> 33) % n;
}

static inline uint64_t draw_number(uint64_t old)
{
    static const int64_t some[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 64, 255, 256, 4095, 65536, -1, -2, -3, -5, INT32_MAX,
        INT32_MIN, UINT32_MAX, (int64_t)1 << 32, (int64_t)1 << 59, (int64_t)1 << 62, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    const uint32_t way = draw(8);
    if (way == 0) return old + 1;
    if (way == 1) return old - 1;
    if (way == 2) return draw(30); /* a dtype, an axis, a small size */
    if (way == 3) return mutate_now.at[draw((uint32_t)mutate_now.n)].value;
    return (uint64_t)some[draw(sizeof some / sizeof *some)];
}

static inline uint8_t *scratch(size_t n)
{
    if (mutate_used + n > SCRATCH) mutate_used = 0;
    mutate_used += n;
    return mutate_scratch + mutate_used - n;
}

static inline void set_bytes(Leaf *f, const void *at, size_t n)
{
    uint8_t *to = scratch(n);
    if (n) memcpy(to, at, n);
    f->at = to, f->n = n;
}

/* One of the names of a row. */
static inline void set_attribute_name(Leaf *f)
{
    const char *row = mutate_attributes[draw(sizeof mutate_attributes / sizeof *mutate_attributes)];
    for (uint32_t skip = draw(6); skip-- > 0 && strchr(row, ' ');) row = strchr(row, ' ') + 1;
    set_bytes(f, row, strcspn(row, " "));
}

static inline bool is_text(const Leaf *f) { return f->type == 2 && f->is == NOT_ONE; }

/* Any field for which that is so, or -1. */
static inline int find_like(const Tree *t, bool (*fits)(const Leaf *, const Leaf *), const Leaf *like)
{
    const int from = (int)draw((uint32_t)t->n);
    for (int i = 0; i < t->n; i++)
        if (fits(&t->at[(from + i) % t->n], like)) return (from + i) % t->n;
    return -1;
}

static inline bool both_text(const Leaf *a, const Leaf *like) { return a != like && is_text(a) && a->n < 64; }
static inline bool one_kind(const Leaf *a, const Leaf *like)
{
    return a != like && a->type == like->type && a->is == like->is &&
           (like->is != NOT_ONE || (a->in == like->in && a->number == like->number));
}
static inline bool one_place(const Leaf *a, const Leaf *like) { return a->in == like->in; }

/* Numbers that are packed: one of them becomes another. */
static inline void change_packed(Leaf *f)
{
    const uint8_t *at = f->at, *end = f->at + f->n;
    uint8_t *to = scratch(f->n + 10 + 10 * 2);
    size_t n = 0;
    uint64_t v;
    const uint32_t which = draw((uint32_t)(f->n < 64 ? f->n + 1 : 64));
    for (uint32_t i = 0; at < end && tree_number(&at, end, &v); i++) n += tree_put_number(to + n, i == which ? draw_number(v) : v);
    if (draw(4) == 0) n += tree_put_number(to + n, draw_number(0));
    f->at = to, f->n = n;
}

static inline void change_text(Leaf *f)
{
    const bool named_op = f->in == NODE && f->number == 4, named_attribute = f->in == ATTRIBUTE && f->number == 1;
    const bool numbers =
        (f->in == TENSOR && (f->number == 1 || f->number == 5 || f->number == 7)) || (f->in == ATTRIBUTE && f->number == 8);
    const int other = find_like(&mutate_now, both_text, f);
    if (named_op && draw(4)) {
        const char *name = mutate_operators[draw(sizeof mutate_operators / sizeof *mutate_operators)];
        set_bytes(f, name, strlen(name));
    } else if (named_attribute && draw(3)) {
        set_attribute_name(f);
    } else if (numbers && f->n < 256 && draw(4)) {
        change_packed(f);
    } else if (other >= 0 && draw(2)) {
        f->at = mutate_now.at[other].at, f->n = mutate_now.at[other].n;
    } else if (f->n < 1024) {
        uint8_t *to = scratch(f->n + 16);
        if (f->n) memcpy(to, f->at, f->n);
        f->n = LLVMFuzzerMutate(to, f->n, f->n + 16);
        f->at = to;
    }
}

static inline void change_fixed(Leaf *f)
{
    static const uint32_t some[] = {
        0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 1, 0x7f7fffff, 0x4f000000, 0x5f000000};
    uint32_t bits[2] = {draw(2) ? 0 : UINT32_MAX, some[draw(sizeof some / sizeof *some)]};
    set_bytes(f, f->type == 5 ? bits + 1 : bits, f->n);
}

/* Takes a field of `from`, which is a copy of the model or another one, into a place where one of its message stands. */
static inline void graft(const Tree *from)
{
    const int j = (int)draw((uint32_t)from->n);
    const int i = mutate_now.n ? find_like(&mutate_now, one_place, &from->at[j]) : -1;
    if (i >= 0) tree_insert(&mutate_now, i, from, j);
}

/* Field i becomes what another of its kind is. */
static inline void replace(const Tree *from, int i)
{
    const int j = find_like(from, one_kind, &mutate_now.at[i]);
    if (j < 0) return;
    const uint32_t number = mutate_now.at[i].number;
    const Kind in = mutate_now.at[i].in;
    tree_insert(&mutate_now, i, from, j);
    mutate_now.at[i].number = number, mutate_now.at[i].in = in;
    const int behind = i + 1 + mutate_now.at[i].inside;
    if (behind < mutate_now.n && mutate_now.at[behind].in == in) tree_remove(&mutate_now, behind);
}

static inline void change(int i)
{
    Leaf *f = &mutate_now.at[i];
    const uint32_t way = draw(16);
    if (way < 8) {
        if (f->type == 0)
            f->value = draw_number(f->value);
        else if (is_text(f))
            change_text(f);
        else if (f->type != 2)
            change_fixed(f);
        else
            graft(&mutate_before);
    } else if (way < 10) {
        graft(&mutate_before);
    } else if (way < 12) {
        tree_remove(&mutate_now, i);
    } else if (way < 15) {
        replace(&mutate_before, i);
    } else if (draw(4) == 0) {
        f->lie = draw(2) ? (int64_t)draw(5) - 2 : (int64_t)draw_number(f->n);
    } else if (draw(4) == 0) {
        f->number = draw(26);
    }
}

static inline Kind mutate_begin(unsigned seed)
{
    mutate_now.n = mutate_before.n = 0, mutate_used = 0, mutate_state = seed;
    draw(1);
    return mutate_roots[draw(sizeof mutate_roots / sizeof *mutate_roots)];
}

/* What is written of the tree, or all bytes as they were. */
static inline size_t mutate_end(uint8_t *to, size_t old, size_t cap)
{
    static uint8_t written[1 << 18];
    const size_t n = tree_write(&mutate_now, 0, mutate_now.n, written, sizeof written);
    if (n == SIZE_MAX || n > cap || n == 0) return old;
    memcpy(to, written, n);
    return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t cap, unsigned seed)
{
    static uint8_t copy[1 << 18]; /* the tree's fields point into it */
    const Kind root = mutate_begin(seed);
    if (size > sizeof copy || draw(16) == 0) return LLVMFuzzerMutate(data, size, cap);
    memcpy(copy, data, size);
    if (!tree_read(&mutate_now, root, copy, size, 0) || mutate_now.n == 0) return LLVMFuzzerMutate(data, size, cap);
    memcpy(&mutate_before, &mutate_now, sizeof mutate_now);
    for (uint32_t n = 1 + draw(4) * draw(2); n-- > 0 && mutate_now.n > 0;) change((int)draw((uint32_t)mutate_now.n));
    return mutate_end(data, size, cap);
}

/* Parts of a second model stand in for parts of the first. */
size_t LLVMFuzzerCustomCrossOver(
    const uint8_t *one, size_t n1, const uint8_t *two, size_t n2, uint8_t *to, size_t cap, unsigned seed)
{
    const size_t n = n1 < cap ? n1 : cap;
    const Kind root = mutate_begin(seed);
    memcpy(to, one, n);
    if (!tree_read(&mutate_now, root, one, n1, 0) || !tree_read(&mutate_before, root, two, n2, 0) || !mutate_now.n ||
        !mutate_before.n)
        return n;
    for (uint32_t times = 1 + draw(3); times-- > 0 && mutate_now.n > 0;)
        if (draw(2))
            replace(&mutate_before, (int)draw((uint32_t)mutate_now.n));
        else
            graft(&mutate_before);
    return mutate_end(to, n, cap);
}

#endif
