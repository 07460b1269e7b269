/* ref_index: gather; window_add, which adds elements up where they belong; the ops that make values: constant iota dim_size
 * random_bits. Relies on internal.h. */
#include "internal.h"

#include <math.h>

/* ---- gather -------------------------------------------------------------------------------------------------- */

int64_t ref_clamped(const RefTensor *indices, int64_t i, int64_t extent)
{
    int64_t at = indices->i[i];
    if (at < 0) return indices->type.dtype == DT_u64 ? extent - 1 : 0;
    return at < extent ? at : extent - 1;
}

int64_t ref_split(const RefTensor *indices, const int64_t *index, uint32_t rank, uint32_t axis, int64_t *at)
{
    uint32_t n = indices->type.rank;
    for (uint32_t k = 0; k < axis; k++) at[k] = index[k];
    for (uint32_t k = axis + 1; k < rank; k++) at[k] = index[k - 1 + n];
    return ravel(&indices->type, index + axis);
}

bool ref_gather(Run *r)
{
    RefTensor *out = &r->out[0];
    const RefTensor *x = r->in[0], *indices = r->in[1];
    uint32_t axis = (uint32_t)ATTRS(gather, r->node->attr->at)->axis;
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[MAX_RANK], at[MAX_RANK];
        unravel(&out->type, i, index);
        int64_t which = ref_split(indices, index, x->type.rank, axis, at);
        at[axis] = ref_clamped(indices, which, x->type.dim[axis]);
        ref_copy(out, i, x, ravel(&x->type, at));
        out->undecided[i] |= indices->undecided[which];
    }
    return true;
}

/* ---- adding up ------------------------------------------------------------------------------------------------- */

/* Adds element j of x to element i of t. Until finish() makes bounds of them, `bounds` gather the incoming error and |x|. */
typedef struct Adder {
    RefTensor *out;
    double *size; /* sum of |x| */
    int64_t *n;
} Adder;

static bool adder_begin(Adder *a, RefTensor *out, Status *st)
{
    *a = (Adder){.out = out};
    size_t count = (size_t)out->count + 1;
    a->size = mem_zeros(count, sizeof *a->size);
    a->n = mem_zeros(count, sizeof *a->n);
    for (int64_t i = 0; i < out->count; i++) {
        if (out->f)
            out->f[i] = out->bound[i] = 0;
        else
            out->i[i] = 0;
    }
    return (a->size && a->n) || status_fail(st, ST_MEMORY, "no memory for %zu sums", count);
}

static void adder_add(Adder *a, int64_t i, const RefTensor *x, int64_t j)
{
    RefTensor *t = a->out;
    t->undecided[i] |= x->undecided[j];
    a->n[i]++;
    if (!t->f) {
        t->i[i] = ref_wrap((DType)t->type.dtype, (int64_t)((uint64_t)t->i[i] + (uint64_t)x->i[j]));
        return;
    }
    t->f[i] += x->f[j];
    t->bound[i] += x->bound[j];
    a->size[i] += isfinite(x->f[j]) ? fabs(x->f[j]) : 0;
}

/* Each addition may round, to the dtype itself. */
static void adder_end(Adder *a)
{
    RefTensor *t = a->out;
    DType type = (DType)t->type.dtype;
    size_t count = (size_t)t->count + 1;
    for (int64_t i = 0; t->f && a->size && a->n && i < t->count; i++) {
        double err = t->bound[i];
        if (a->n[i] > 1) err += 2 * (double)a->n[i] * ref_ulp(type, a->size[i]);
        if (a->size[i] + err >= ref_largest(type) && t->f[i] == t->f[i]) t->undecided[i] |= DOUBT_OVERFLOW;
        ref_set(t, i, t->f[i], err, 0);
    }
    mem_free(a->size, count * sizeof *a->size);
    mem_free(a->n, count * sizeof *a->n);
}

bool ref_window_add(Run *r)
{
    const RefTensor *x = r->in[0];
    const struct window_add_attrs *w = ATTRS(window_add, r->node->attr->at);
    Adder a;
    const bool ok = adder_begin(&a, &r->out[0], r->st);
    for (int64_t i = 0; i < x->count && ok; i++) {
        int64_t k[MAX_RANK];
        unravel(&x->type, i, k);
        int64_t at[4] = {k[0], k[1] * w->stride[0] + k[3] * w->dilation[0], k[2] * w->stride[1] + k[4] * w->dilation[1], k[5]};
        adder_add(&a, ravel(&a.out->type, at), x, i);
    }
    adder_end(&a);
    return ok;
}

/* ---- sources ----------------------------------------------------------------------------------------------------- */

static void whole_number(RefTensor *out, int64_t i, int64_t v)
{
    if (out->f)
        ref_set_integer(out, i, DT_i64, v);
    else
        out->i[i] = ref_wrap((DType)out->type.dtype, v);
}

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; SC 2011). */
static void philox(uint64_t counter_low, uint64_t counter_high, uint64_t key, uint32_t *word)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    word[0] = (uint32_t)counter_low;
    word[1] = (uint32_t)(counter_low >> 32);
    word[2] = (uint32_t)counter_high;
    word[3] = (uint32_t)(counter_high >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t p0 = (uint64_t)0xD2511F53u * word[0], p1 = (uint64_t)0xCD9E8D57u * word[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ word[1] ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ word[3] ^ k1, (uint32_t)p0};
        memcpy(word, next, sizeof next);
    }
}

bool ref_set_size(Run *r)
{
    ref_copy_all(&r->out[0], r->in[0]);
    return true;
}

bool ref_source(Run *r)
{
    RefTensor *out = &r->out[0];
    const int64_t *attr = r->node->attr->at, value = r->node->op == OP_constant ? ATTRS(constant, attr)->value : 0;
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[MAX_RANK];
        uint32_t word[4];
        unravel(&out->type, i, index);
        switch (r->node->op) {
        case OP_iota: whole_number(out, i, index[ATTRS(iota, attr)->axis]); break;
        case OP_dim_size: whole_number(out, i, run_dim(r, ATTRS(dim_size, attr)->dim)); break;
        case OP_random_bits:
            /* The operand is {key, high half of the counter}; the low half counts blocks of four words. */
            philox((uint64_t)i / 4, (uint64_t)r->in[0]->i[1], (uint64_t)r->in[0]->i[0], word);
            out->i[i] = word[i % 4];
            out->undecided[i] = r->in[0]->undecided[0] | r->in[0]->undecided[1];
            break;
        default:
            if (out->f)
                ref_set(out, i, attr_f64(value), 0, 0);
            else
                out->i[i] = value;
        }
    }
    return true;
}
