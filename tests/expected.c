/* expected: see expected.h. A file is a line and then records: a head, and for each result its type, its bits, and what the
 * reference has of it. */
#include "expected.h"

#include <string.h>

#include "graph_run.h"

static const char first_line[] = "kiln: expected results, 1\n";

typedef struct Head {
    char name[96];
    uint64_t bytes; /* behind it, of this record */
    uint32_t n;
} Head;

typedef struct Result {
    Type type;
    int64_t count;
    uint32_t floats;
} Result;

static size_t bits_of(const RefTensor *r) { return (size_t)r->count * dtype_bytes((DType)r->type.dtype); }

/* Reads or writes n bytes. */
typedef bool Move(FILE *f, void *at, size_t n);
static bool put(FILE *f, void *at, size_t n) { return n == 0 || fwrite(at, 1, n, f) == n; }
static bool get(FILE *f, void *at, size_t n) { return n == 0 || fread(at, 1, n, f) == n; }

static bool move_ref(FILE *f, RefTensor *r, Move *move)
{
    const size_t n = (size_t)r->count;
    if (r->f) return move(f, r->f, n * 8) && move(f, r->bound, n * 8) && move(f, r->undecided, n);
    return move(f, r->i, n * 8) && move(f, r->undecided, n);
}

bool expected_begin(FILE *f) { return fputs(first_line, f) >= 0; }

static size_t bytes_of(const Expected *e)
{
    size_t all = 0;
    for (uint32_t i = 0; i < e->n; i++)
        all += sizeof(Result) + bits_of(&e->ref[i]) + (size_t)e->ref[i].count * (e->ref[i].f ? 17 : 9);
    return all;
}

bool expected_write(FILE *f, const char *name, const Expected *e)
{
    Head h = {.bytes = bytes_of(e), .n = e->n};
    snprintf(h.name, sizeof h.name, "%s", name);
    bool ok = put(f, &h, sizeof h);
    for (uint32_t i = 0; i < e->n && ok; i++) {
        RefTensor *r = &e->ref[i];
        Result head = {.type = r->type, .count = r->count, .floats = r->f != NULL};
        ok = put(f, &head, sizeof head) && put(f, e->bits[i], bits_of(r)) && move_ref(f, r, put);
    }
    return ok;
}

static bool read_result(Arena *a, FILE *f, RefTensor *r, void **bits)
{
    Result head;
    if (!get(f, &head, sizeof head) || head.count < 0 || head.count > 1 << 28) return false;
    const size_t n = (size_t)head.count + 1;
    *r = (RefTensor){.type = head.type, .count = head.count, .undecided = arena_zeros(a, n, 1)};
    if (head.floats) {
        r->f = arena_zeros(a, n, 8);
        r->bound = arena_zeros(a, n, 8);
    } else {
        r->i = arena_zeros(a, n, 8);
    }
    *bits = arena_zeros(a, n, dtype_bytes((DType)head.type.dtype));
    return get(f, *bits, bits_of(r)) && move_ref(f, r, get);
}

bool expected_read(Arena *a, FILE *f, const char *name, Expected *e)
{
    char line[sizeof first_line] = "";
    Head h = {.n = 0};
    rewind(f);
    if (!fgets(line, sizeof line, f) || strcmp(line, first_line) != 0) return false;
    do {
        if (h.bytes != 0 && fseek(f, (long)h.bytes, SEEK_CUR) != 0) return false;
        if (!get(f, &h, sizeof h)) return false;
    } while (strncmp(h.name, name, sizeof h.name - 1) != 0);
    *e = (Expected){.n = h.n, .bits = ARENA_ARRAY(a, void *, h.n + 1), .ref = ARENA_ARRAY(a, RefTensor, h.n + 1)};
    bool ok = true;
    for (uint32_t i = 0; i < h.n && ok; i++) ok = read_result(a, f, &e->ref[i], &e->bits[i]);
    return ok;
}

bool expected_bits(const Expected *e, void *const *out, char *why, size_t cap)
{
    for (uint32_t i = 0; i < e->n; i++) {
        const DType t = (DType)e->ref[i].type.dtype;
        const int64_t at = bytes_differ(t, e->bits[i], out[i], e->ref[i].count);
        if (at < 0) continue;
        const char *want = (const char *)e->bits[i] + at * (int64_t)dtype_bytes(t),
                   *got = (const char *)out[i] + (want - (const char *)e->bits[i]);
        if (dtype_is_float(t))
            snprintf(
                why, cap, "result %u, element %lld: %a, not %a", i, (long long)at, dtype_load_f64(t, got), dtype_load_f64(t, want));
        else
            snprintf(why, cap, "result %u, element %lld: %lld, not %lld", i, (long long)at, (long long)dtype_load_i64(t, got),
                (long long)dtype_load_i64(t, want));
        return false;
    }
    return true;
}

bool expected_allowed(const Expected *e, void *const *out, char *why, size_t cap)
{
    for (uint32_t i = 0; i < e->n; i++) {
        RefVerdict v;
        if (ref_compare(&e->ref[i], out[i], &v)) continue;
        snprintf(why, cap, "result %u: %s", i, v.why);
        return false;
    }
    return true;
}
