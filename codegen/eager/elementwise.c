/* elementwise: ops that compute each element by itself, and cast. Contiguous operands are computed in one call over whole arrays,
 * others block by block through readers; large arrays use all threads. Relies on ops.h. Allocates only copies of transposed
 * operands. */
#include "ops.h"

#include "../../ir/op.h"

typedef struct MapJob {
    MapFn *fn;
    uint32_t nin;
    Reader in[3];
    void *out;
    DType type;    /* of the output */
    bool saturate; /* of a cast: a value beyond the output type's largest number becomes that number */
    bool whole;    /* whether no reader or writer needs a buffer */
    int64_t line;  /* blocks end where lines of so many elements end, so that they are read in place; 0: anywhere */
} MapJob;

/* Lines shorter than this are better packed, several at a time. */
#define LONG_LINE 64
/* For arrays of fewer elements, threads and copies never pay. */
#define SMALL 4096

#define KEEP_WITHIN(T)                                \
    do {                                              \
        T *v = x;                                     \
        const T most = (T)dtype_info[type].largest;   \
        for (int64_t i = 0; i < n; i++) {             \
            const T high = v[i] > most ? most : v[i]; \
            v[i] = high < -most ? -most : high;       \
        }                                             \
    } while (0)

/* Clamps x, n elements of the compute type of `type`, to its largest numbers. NaN stays. */
static void keep_within(DType type, void *x, int64_t n)
{
    if (type == DT_f64)
        KEEP_WITHIN(double);
    else
        KEEP_WITHIN(float);
}

static void map_run(const MapJob *j, void *to, const void *const *at, int64_t n)
{
    j->fn(to, at, n);
    if (UNLIKELY(j->saturate)) keep_within(j->type, to, n);
}

static void map_whole(const MapJob *j, int64_t lo, int64_t hi)
{
    const void *at[3];
    for (uint32_t i = 0; i < j->nin; i++) at[i] = j->in[i].data + lo * j->in[i].bytes;
    map_run(j, (char *)j->out + (size_t)lo * dtype_bytes(j->type), at, hi - lo);
}

static void map_chunk(void *arg, int64_t lo, int64_t hi)
{
    const MapJob *j = arg;
    if (j->whole) {
        map_whole(j, lo, hi);
        return;
    }
    ReadBuffer buf[4];
    const void *at[3];
    for (uint32_t i = 0; i < j->nin; i++)
        if (j->in[i].fixed) at[i] = reader_get(&j->in[i], lo, MIN_OF(hi - lo, READ_BLOCK), &buf[i]);
    while (lo < hi) {
        int64_t n = MIN_OF(hi - lo, READ_BLOCK);
        if (j->line != 0) n = MIN_OF(n, j->line - lo % j->line);
        for (uint32_t i = 0; i < j->nin; i++)
            if (!j->in[i].fixed) at[i] = reader_get(&j->in[i], lo, n, &buf[i]);
        void *to = writer_at(j->out, j->type, lo, &buf[3]);
        map_run(j, to, at, n);
        writer_put(j->out, j->type, lo, n, to);
        lo += n;
    }
}

static void plan(MapJob *j)
{
    j->whole = dtype_info[j->type].compute == j->type;
    j->line = 0;
    for (uint32_t i = 0; i < j->nin; i++) {
        const Reader *r = &j->in[i];
        if (r->direct) continue;
        j->whole = false;
        int64_t line = r->dim[r->rank - 1];
        if (r->rank > 1 && line >= LONG_LINE && (j->line == 0 || line < j->line)) j->line = line;
    }
}

/* How many elements of a chunk take some 20 us, judged by the op's expression; asked only for arrays that may need several
 * chunks. */
static int64_t grain(Op op, DType t)
{
    const ScalarTok *tok = dtype_is_float(t) ? op_def[op].value_f : op_def[op].value_i;
    int64_t most = (int64_t)1 << 16;
    for (; tok && tok->prim != P_END; tok++) {
        if (tok->prim == P_FN) return t == DT_f64 ? 1 << 11 : 1 << 14;
        if (tok->prim == P_fmod || tok->prim == P_idiv || tok->prim == P_irem || tok->prim == P_ipow) most = 1 << 12;
    }
    return most;
}

/* A transposed operand is copied tile by tile, if there is memory for a copy, rather than read across its lines block by block. */
static void *turn(const Run *r, Reader *in, const View *v, size_t bytes)
{
    if (in->direct || reader_tall_axis(in) < 0) return NULL;
    void *copy = mem_alloc(bytes);
    if (!copy) return NULL;
    eager_copy(&(EagerCtx){.threads = r->threads}, v, copy);
    View turned = *v;
    turned.data = copy;
    int64_t stride = 1;
    for (int i = v->rank; i-- > 0; stride *= v->dim[i]) turned.stride[i] = stride;
    reader_init(in, &turned);
    return copy;
}

static void run_planned(const Run *r, MapJob *j, int64_t n, DType from)
{
    void *copy[3] = {NULL, NULL, NULL};
    for (uint32_t i = 0; i < j->nin; i++) reader_init(&j->in[i], &r->in[i]);
    for (uint32_t i = 0; i < j->nin && n >= SMALL; i++) copy[i] = turn(r, &j->in[i], &r->in[i], (size_t)n * j->in[i].bytes);
    plan(j);
    run_chunks(n < SMALL ? NULL : r->threads, map_chunk, j, n, n < SMALL ? n : grain(r->op, from));
    for (uint32_t i = 0; i < j->nin; i++)
        if (copy[i]) mem_free(copy[i], (size_t)n * j->in[i].bytes);
}

bool run_elementwise(const Run *r)
{
    const View *in = r->in;
    DType from = (DType)in[r->op == OP_where ? 1 : 0].dtype;
    const TypeKernels *k = eager_kernels()->type[dtype_info[from].compute];
    MapJob j;
    j.type = (DType)r->out->dtype;
    j.fn = r->op == OP_cast ? k->cast[j.type] : k->map[r->op];
    j.saturate = r->op == OP_cast && r->nattr > 1;
    j.nin = r->nin;
    j.out = r->out->data;
    if (UNLIKELY(!j.fn)) return status_fail(r->st, ST_DTYPE, "%s: not defined for %s", op_def[r->op].name, dtype_info[from].name);
    int64_t n = view_elements(r->out);
    bool plain = dtype_info[from].compute == from && dtype_info[j.type].compute == j.type;
    for (uint32_t i = 0; i < r->nin && plain; i++) plain = view_contiguous(&in[i]);
    if (plain && (n < SMALL || !r->threads)) {
        const void *at[3];
        for (uint32_t i = 0; i < r->nin; i++) at[i] = in[i].data;
        map_run(&j, j.out, at, n);
        return true;
    }
    if (n > 0) run_planned(r, &j, n, from);
    return true;
}
