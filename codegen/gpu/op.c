/* op: single ops. A call finds the code of its key, and of what must be done to its operands first, before it takes its turn; then
 * it is a few launches. What eager code shows as a view and somebody wants in order is a copy; operands are read through their
 * strides, but where passes take an op apart they are packed before. Relies on parts.h, eager. */
#include "parts.h"

#define JOINED_AT_ONCE 32 /* more operands are joined in rounds */

/* An op that some passes make others of. */
static bool needs_passes(const OpCall *c)
{
    if (op_convolves(c->op) || op_attends(c->op) || op_factors(c->op)) return true;
    if (op_joins(c->op)) return c->nin > JOINED_AT_ONCE;
    if (!op_reduces(c->op) || op_def[c->op].attrs[0] != 'I') return false;
    const DType t = (DType)c->in[0].dtype;
    return c->nattr != 1 || (dtype_info[t].compute != t && op_def[c->op].role <= ROLE_PROD);
}

typedef struct Part { /* one launch of code */
    OpCode *code;     /* NULL: none */
    int64_t *symbol;
} Part;

/* All that a call needs beside its operands' addresses; one block of memory. */
typedef struct Plan {
    size_t bytes;
    Part main, *pack; /* pack: per operand */
    bool copies;      /* main copies the elements of `from`; without code they lie in order */
    View from;
} Plan;

static bool nothing_to_make(const OpCall *c)
{
    bool some = false;
    for (uint32_t i = 0; i < c->nout; i++) some |= view_elements(&c->out[i]) != 0;
    return !some;
}

/* ---- before its turn --------------------------------------------------------------------------- */

static const int64_t copied_as[9] = {[1] = DT_u8, [2] = DT_u16, [4] = DT_u32, [8] = DT_u64};

/* A cast to what it is: elements move as integers, whose bits no conversion touches. */
static OpCode *copy_code(Gpu *g, const OpCall *c, const View *from, int64_t *scratch, int64_t *symbol, Status *st)
{
    const int64_t type = copied_as[dtype_bytes((DType)from->dtype)];
    View v = *from;
    v.dtype = (uint8_t)type;
    return code_of(g, &(OpCall){.op = OP_cast, .in = &v, .nin = 1, .attr = &type, .nattr = 1, .store = c->store}, false, false,
        scratch, symbol, st);
}

/* What the call copies, if that is all it does. */
static bool is_copy(const OpCall *c, View *from)
{
    Type type = {.dtype = c->out->dtype, .rank = c->out->rank};
    if (c->nin != 1 || !(op_def[c->op].flags & OPF_MOVES)) return false;
    memcpy(type.dim, c->out->dim, sizeof type.dim);
    *from = *c->in;
    return c->op == OP_leaf || c->op == OP_reshape || eager_view(c->op, c->in, c->attr, c->nattr, &type, from);
}

/* Finds or makes all code. False: st; what was found is held all the same. */
static bool plan_code(Gpu *g, const OpCall *c, Plan *p, View *packed, int64_t *scratch, Status *st)
{
    const bool passes = needs_passes(c);
    OpCall call = *c;
    if (p->copies) return view_contiguous(&p->from) || (p->main.code = copy_code(g, c, &p->from, scratch, p->main.symbol, st));
    for (uint32_t i = 0; i < c->nin && passes; i++) {
        packed[i] = c->in[i];
        if (view_contiguous(&packed[i])) continue;
        if (!(p->pack[i].code = copy_code(g, c, &packed[i], scratch, p->pack[i].symbol, st))) return false;
        for (int64_t n = 1, a = packed[i].rank; a-- > 0; n *= packed[i].dim[a]) packed[i].stride[a] = n;
    }
    if (passes) call.in = packed;
    return (p->main.code = code_of(
                g, &call, passes, op_convolves(c->op) || op_attends(c->op) || op_factors(c->op), scratch, p->main.symbol, st));
}

static void plan_free(Gpu *g, Plan *p, uint32_t nin)
{
    code_release(g, p->main.code);
    for (uint32_t i = 0; i < nin; i++) code_release(g, p->pack[i].code);
    mem_free(p, p->bytes);
}

void *gpu_ready(const Device *d, const OpCall *c, Status *st)
{
    Gpu *g = (Gpu *)(uintptr_t)d;
    const OpDef *def = &op_def[c->op];
    if ((def->flags & (OPF_REGION | OPF_EFFECT)) || c->op == OP_param || c->op == OP_saved || c->op == OP_dim_size ||
        c->op == OP_set_size || c->op == OP_custom)
        return status_fail(st, ST_UNSUPPORTED, "%s: only exists in graphs", def->name), NULL;
    const size_t nin = c->nin, each = 2 * MAX_RANK, room = op_key_room(c->in, c->nin, c->nattr) + 8 + each;
    const size_t bytes = sizeof(Plan) + nin * (sizeof(Part) + sizeof(View)) + (3 * room + nin * each) * sizeof(int64_t);
    Plan *p = mem_zeros(1, bytes);
    if (!p) return status_fail(st, ST_MEMORY, "%s: no memory for a call of %zu operands", def->name, nin), NULL;
    p->bytes = bytes;
    p->pack = (Part *)(p + 1);
    View *packed = (View *)(p->pack + nin);
    int64_t *at = (int64_t *)(packed + nin), *scratch = at;
    p->main.symbol = at + 2 * room;
    for (size_t i = 0; i < nin; i++) p->pack[i].symbol = at + 3 * room + i * each;
    p->copies = is_copy(c, &p->from);
    if (nothing_to_make(c) || plan_code(g, c, p, packed, scratch, st)) return p;
    plan_free(g, p, c->nin);
    return NULL;
}

/* ---- in its turn ------------------------------------------------------------------------------- */

static bool run_part(Queue *q, const Part *p, void *const *buf, Loc at, Status *st)
{
    const CudaCall call = {.buf = buf, .dim = p->symbol, .at = at};
    const int32_t rc = cuda_run(p->code->compiled, &q->cuda, &call, st);
    return rc == 0 || (rc > 0 && status_fail(st, ST_INTERNAL, "%s ended with %d", p->code->program->name, rc));
}

static bool copy_there(Queue *q, const Plan *p, const View *to, Loc at, Status *st)
{
    const size_t bytes = (size_t)view_elements(to) * dtype_bytes((DType)to->dtype);
    if (p->main.code) return run_part(q, &p->main, (void *[]){p->from.data, to->data}, at, st);
    return gpu_ok(q->gpu,
        q->cuda.driver->MemcpyDtoDAsync(
            (CUdeviceptr)(uintptr_t)to->data, (CUdeviceptr)(uintptr_t)p->from.data, bytes, q->cuda.stream),
        st, "copying");
}

/* Puts the operand's elements in order, in memory for this call. */
static bool pack(Queue *q, const Part *p, const View *v, void **data, Loc asked, Status *st)
{
    const size_t bytes = (size_t)view_elements(v) * dtype_bytes((DType)v->dtype);
    CUdeviceptr at;
    if (!cuda_take(&q->cuda, MAX_OF(bytes, (size_t)1), &at, st)) return false;
    void *const from = *data;
    *data = (void *)(uintptr_t)at;
    return run_part(q, p, (void *[]){from, *data}, asked, st);
}

static bool run_call(Queue *q, const OpCall *c, const Plan *p, Status *st)
{
    void *few[8], **buf = c->nin + c->nout <= COUNT_OF(few) ? few : mem_alloc((c->nin + c->nout) * sizeof *buf);
    bool ok = buf || status_fail(st, ST_MEMORY, "%s: no memory for the addresses of its operands", op_def[c->op].name);
    for (uint32_t i = 0; i < c->nin && ok; i++) buf[i] = c->in[i].data;
    for (uint32_t i = 0; i < c->nout && ok; i++) buf[c->nin + i] = c->out[i].data;
    for (uint32_t i = 0; i < c->nin && ok; i++)
        if (p->pack[i].code) ok = pack(q, &p->pack[i], &c->in[i], &buf[i], c->at, st);
    ok = ok && run_part(q, &p->main, buf, c->at, st);
    for (uint32_t i = 0; i < c->nin && buf; i++)
        if (p->pack[i].code && buf[i] != c->in[i].data)
            ok = gpu_ok(q->gpu, cuda_give(&q->cuda, (CUdeviceptr)(uintptr_t)buf[i]), st, "freeing memory") && ok;
    if (buf && buf != few) mem_free(buf, (c->nin + c->nout) * sizeof *buf);
    return ok;
}

void gpu_unready(const Device *d, const OpCall *c, void *ready) { plan_free((Gpu *)(uintptr_t)d, ready, c->nin); }

bool gpu_op(Queue *q, const OpCall *c, void *ready, Status *st)
{
    Gpu *g = q->gpu;
    Plan *p = ready;
    bool ok = gpu_enter(g, st);
    if (ok) {
        if (!nothing_to_make(c)) ok = p->copies ? copy_there(q, p, c->out, c->at, st) : run_call(q, c, p, st);
        atomic_fetch_add(&q->asked, 1);
        if (!ok) gpu_failed(g, st);
        gpu_leave(g);
    }
    plan_free(g, p, c->nin);
    return ok;
}
