/* sizes: what a call of a program needs, found on the host; compiled code for the CPU has a function that does the same
 * (cpu/emit_sizes.c). Allocates nothing. Relies on program.h. */
#include "program.h"

int64_t program_size(const Program *p, Dim d, const int64_t *symbol)
{
    if (d >= 0) return d;
    const DimExpr *e = &p->module->dims.expr.at[-1 - d];
    if (e->kind == DIM_NEGATIVE) return e->lo;
    for (uint32_t i = 0; e->kind == DIM_SYMBOL && i < p->symbol.len; i++)
        if (p->symbol.at[i] == d) return symbol[i];
    if (e->kind == DIM_SYMBOL && e->counted) return symbol[p->symbol.len + program_counted(p, d)];
    if (e->kind == DIM_SYMBOL) return 0; /* only a loop learns it */
    const int64_t a = program_size(p, e->a, symbol), b = program_size(p, e->b, symbol);
    switch ((DimKind)e->kind) {
    case DIM_ADD: return a + b;
    case DIM_MUL: return a * b;
    case DIM_FLOORDIV: return a / b;
    default: return MAX_OF(a, b);
    }
}

/* Offsets are those of the bounds; only memory beyond the last temporary's end is not needed. */
void program_measure(const Program *p, const int64_t *symbol, int64_t *out)
{
    int64_t most = 0, word = 1;
    for (uint32_t i = p->ninput; i < p->buf.len; i++) {
        const Buf *b = &p->buf.at[i];
        int64_t bytes = (int64_t)dtype_bytes((DType)b->type.dtype);
        for (uint32_t k = 0; b->kind == BUF_OUTPUT && k < b->type.rank; k++)
            out[word++] = program_size(p, buf_room(b)->dim[k], symbol);
        if (b->kind != BUF_TEMP || b->bytes == 0) continue;
        for (uint32_t k = 0; k < b->type.rank; k++) bytes *= program_size(p, buf_room(b)->dim[k], symbol);
        most = MAX_OF(most, (b->offset + bytes + 63) / 64 * 64);
    }
    out[0] = most;
}
