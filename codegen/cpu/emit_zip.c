/* emit_zip: stores whose elements lie between each other's, as real and imaginary parts do, or the results of one stage of a
 * transform: 2, 4, 8 or 16 of them fill a run of memory together. Their vectors are interleaved in registers and stored whole, in
 * place of element by element. Relies on emit_stream, emit_turn. Never changes what is stored where. */
#include "cpu.h"

enum { MOST = 16 };

/* All lanes exist and lie so many elements apart; 0: not so, or a number that is none of ours. */
static int64_t apart(const KernelEmit *e, const Store *st)
{
    const Stream *s = &e->k->stream[st->stream];
    if (st->fold || s->dyn >= 0 || s->guard >= 0 || e->mask || e->in_square || (s->buf & STREAM_ROW) || !dim_is_const(s->base))
        return 0;
    const int64_t n = emit_stream_stride(e, s);
    return n > 1 && n <= MOST && (n & (n - 1)) == 0 ? n : 0;
}

/* The store of what lies `behind` elements behind those of st; NULL: there is none. */
static const Store *neighbour(const KernelEmit *e, const Stage *stage, const Store *st, int64_t behind)
{
    const Kernel *k = e->k;
    const Stream *s = &k->stream[st->stream];
    for (const Store *o = k->store + stage->first_store; o < k->store + stage->last_store; o++) {
        const Stream *t = &k->stream[o->stream];
        if (t->buf == s->buf && t->type == s->type && apart(e, o) && t->base == s->base + behind &&
            memcmp(t->coef, s->coef, sizeof s->coef) == 0)
            return o;
    }
    return NULL;
}

/* The stores that fill a run with st, in the order of their elements: how many; 0: some are not there. */
static uint32_t run_of(const KernelEmit *e, const Stage *stage, const Store *st, const Store **of)
{
    const int64_t n = apart(e, st);
    int64_t before = 0;
    while (before + 1 < n && neighbour(e, stage, st, -before - 1)) before++;
    for (int64_t i = 0; i < n; i++)
        if (!(of[i] = neighbour(e, stage, st, i - before))) return 0;
    return (uint32_t)n;
}

/* v: n vectors, as n vectors that hold element 0 of each, then element 1 ... Pairs of lists, which are vectors one after the other,
 * become lists of twice the length, until there is one. */
static void zip(Gen *g, LLVMValueRef *v, uint32_t n)
{
    const uint32_t lanes = gen_lanes_of(v[0]);
    LLVMValueRef to[MOST];
    for (uint32_t length = 1; length < n; length *= 2) {
        const uint32_t lists = n / length / 2;
        for (uint32_t list = 0; list < lists; list++)
            for (uint32_t i = 0; i < 2 * length; i++) {
                const uint32_t x = list * length + i / 2;
                to[list * 2 * length + i] = turn_interleaved(g, v[x], v[x + lists * length], lanes, i % 2);
            }
        memcpy(v, to, n * sizeof *v);
    }
}

bool emit_zipped(KernelEmit *e, const Stage *stage, const Store *st, uint32_t u)
{
    Gen *g = e->g;
    const Stream *s = &e->k->stream[st->stream];
    const Store *of[MOST];
    LLVMValueRef v[MOST];
    const uint32_t n = run_of(e, stage, st, of), bytes = (uint32_t)dtype_bytes((DType)s->type);
    if (n == 0) return false;
    for (uint32_t i = 0; i < n; i++)
        if (of[i] > st) return true; /* with the last of them */
    for (uint32_t i = 0; i < n; i++) v[i] = emit_to_memory(g, (DType)s->type, emit_operand(e, of[i]->value, u, true));
    zip(g, v, n);
    LLVMValueRef at = emit_stream_at(e, &e->k->stream[of[0]->stream], u, 0);
    for (uint32_t i = 0; i < n; i++)
        gen_store(g, v[i], gen_at(g, gen_mem_type(g, (DType)s->type), at, gen_i64(g, (int64_t)i * e->width)), bytes);
    return true;
}
