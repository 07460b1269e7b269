/* emit_step: emits one step after the other: kernels and products, copies, loops and branches. A kernel too small to share is
 * called directly; a big one goes through the host table, in chunks whose size depends only on its cost and extent. Relies on gen,
 * emit_kernel, emit_contract, emit_part. */
#include "emit_entry.h"

#include <stddef.h>

/* In units of Kernel.cost. A chunk costs about CHUNK, or more where there would be more than MOST_CHUNKS, which are enough for any
 * number of threads and keep what lies together on one of them. */
enum { CHUNK = 32768, MOST_CHUNKS = 256, GRAIN_ALIGN = 64, JOINED_PIECES = 4 };

static LLVMValueRef bytes_from(Gen *g, LLVMValueRef base, LLVMValueRef bytes) { return gen_at(g, g->i8, base, bytes); }

/* The address of a C struct's field, by its byte offset. */
static LLVMValueRef field(Gen *g, LLVMTypeRef t, LLVMValueRef base, size_t offset)
{
    return gen_load(g, t, bytes_from(g, base, gen_i64(g, (int64_t)offset)), 8);
}

static void set_field(Gen *g, LLVMValueRef v, LLVMValueRef base, size_t offset, uint32_t align)
{
    gen_store(g, v, bytes_from(g, base, gen_i64(g, (int64_t)offset)), align);
}

/* ---- marks ----------------------------------------------------------------------------------- */

static void mark(Entry *e, int64_t number)
{
    Gen *g = e->g;
    if (!g->marks) return;
    LLVMTypeRef types[2] = {g->ptr, g->i64};
    LLVMValueRef args[2] = {e->host, gen_i64(g, number)}, fn = field(g, g->ptr, e->host, offsetof(KilnHost, mark));
    LLVMBuildCall2(g->b, LLVMFunctionType(g->nothing, types, 2, false), fn, args, 2, "");
}

/* The steps inside one, after which that one goes on. */
static void inside(Entry *e, const Step *s, uint32_t block)
{
    part_block(e, s, block);
    mark(e, -1 - (int64_t)s->number);
}

/* ---- kernels and products -------------------------------------------------------------------- */

/* Along the vector axis a chunk is whole vectors, and along that which is turned whole squares, or else all of it would be tails.
 */
int64_t step_grain(const Kernel *k, int64_t cost)
{
    int64_t grain = cost / MAX_OF(k->cost, 1);
    if (grain >= GRAIN_ALIGN) return grain / GRAIN_ALIGN * GRAIN_ALIGN;
    return k->chunk == k->vector || k->chunk == k->turn ? GRAIN_ALIGN : MAX_OF(grain, 1);
}

static LLVMValueRef grain_for(Gen *g, const Kernel *k, LLVMValueRef n)
{
    const int64_t each = step_grain(k, CHUNK), align = each % GRAIN_ALIGN == 0 ? GRAIN_ALIGN : 1;
    LLVMValueRef most = LLVMBuildUDiv(g->b, n, gen_i64(g, MOST_CHUNKS * align), ""), least = gen_i64(g, each);
    most = gen_mul(g, most, gen_i64(g, align));
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSGT, most, least, ""), most, least);
}

void step_leave(Entry *e, LLVMValueRef when, LLVMValueRef code)
{
    Gen *g = e->g;
    LLVMBasicBlockRef out = gen_block(g, "failed"), next = gen_block(g, "next");
    LLVMBuildCondBr(g->b, when, out, next);
    gen_put(g, out);
    LLVMBuildRet(g->b, code);
    gen_put(g, next);
}

static LLVMValueRef status(const Entry *e, StatusCode code) { return LLVMConstInt(e->g->i32, (uint64_t)code, false); }

static void run_direct(Entry *e, LLVMValueRef fn, LLVMValueRef n)
{
    LLVMValueRef args[4] = {e->args, e->dim, gen_i64(e->g, 0), n};
    LLVMBuildCall2(e->g->b, e->g->kernel_type, fn, args, 4, "");
}

static void run_shared(Entry *e, LLVMValueRef fn, LLVMValueRef n, LLVMValueRef grain)
{
    Gen *g = e->g;
    LLVMValueRef args[6] = {e->host, fn, e->args, e->dim, n, grain};
    LLVMBuildCall2(g->b, e->run_type, field(g, g->ptr, e->host, offsetof(KilnHost, run)), args, 6, "");
}

/* Runs fn over [0, n), through the host if there is one and the work is worth it. */
static void run(Entry *e, LLVMValueRef fn, LLVMValueRef n, LLVMValueRef cost, LLVMValueRef grain)
{
    Gen *g = e->g;
    LLVMValueRef work = gen_mul(g, n, cost), big = LLVMBuildICmp(g->b, LLVMIntSGE, work, gen_i64(g, SHARED_WORK), "");
    LLVMValueRef many = LLVMBuildICmp(g->b, LLVMIntSGT, n, grain, ""), share = gen_and(g, big, many);
    if (!e->hosted) share = gen_and(g, share, LLVMBuildICmp(g->b, LLVMIntNE, e->host, LLVMConstNull(g->ptr), ""));
    if (LLVMIsConstant(share)) {
        if (LLVMIsNull(share))
            run_direct(e, fn, n);
        else
            run_shared(e, fn, n, grain);
        return;
    }
    LLVMBasicBlockRef shared = gen_block(g, "shared"), direct = gen_block(g, "direct"), next = gen_block(g, "next");
    LLVMBuildCondBr(g->b, share, shared, direct);
    gen_put(g, shared);
    run_shared(e, fn, n, grain);
    LLVMBuildBr(g->b, next);
    gen_put(g, direct);
    run_direct(e, fn, n);
    LLVMBuildBr(g->b, next);
    gen_put(g, next);
}

/* In a program with loops each call has its own array, so that inlined calls leave nothing in memory. */
static void set_args(Entry *e, const uint32_t *buf, uint32_t n)
{
    if (e->g->flow) e->args = gen_alloca(e->g, e->g->ptr, n, 8);
    if (!e->args) e->args = gen_alloca(e->g, e->g->ptr, e->most, 8);
    for (uint32_t i = 0; i < n; i++) set_field(e->g, part_address(e, buf[i]), e->args, i * sizeof(void *), 8);
}

/* Kernels and products so small that no thread could help are made for their whole extent. */
bool step_stays_direct(const Gen *g, const Kernel *k)
{
    int64_t n;
    return k->chunk >= 0 && gen_dim_const(g, k->extent[k->chunk], &n) &&
           (n * MAX_OF(k->cost, 1) < SHARED_WORK || n <= step_grain(k, CHUNK));
}

static void step_kernel(Entry *e, const Step *s)
{
    Gen *g = e->g;
    const Kernel *k = &entry_program(e)->kernel.at[s->kernel];
    LLVMValueRef n = k->chunk < 0 ? gen_i64(g, 1) : gen_dim(g, k->extent[k->chunk]);
    set_args(e, s->buf, k->nbuf);
    if (k->chunk < 0)
        run_direct(e, g->kernel_fn[s->kernel], n);
    else
        run(e, g->kernel_fn[s->kernel], n, gen_i64(g, MAX_OF(k->cost, 1)), grain_for(g, k, n));
}

/* Kernels side by side as one. Returns how many steps they are. */
static uint32_t step_launch(Entry *e, const Step *s, uint32_t n)
{
    Gen *g = e->g;
    const uint32_t count = launch_steps_from(g, s, n);
    if (count == 1) return step_kernel(e, s), 1;
    LLVMValueRef outer = e->args;
    int64_t units, work = 0;
    for (uint32_t i = 0; i < count; i++) work += kernel_work(&entry_program(e)->kernel.at[s[i].kernel]);
    LLVMValueRef fn = emit_launch(e, s, count, &units, &e->args);
    run(e, fn, gen_i64(g, units), gen_i64(g, work / units + 1), gen_i64(g, 1));
    e->args = outer;
    return count;
}

static LLVMValueRef product_grain(Gen *g, LLVMValueRef cost)
{
    LLVMValueRef one = gen_i64(g, 1), grain = LLVMBuildSDiv(g->b, gen_i64(g, CHUNK), cost, "");
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSGT, grain, one, ""), grain, one);
}

bool step_product_direct(Gen *g, const Step *s)
{
    int64_t n, cost, grain;
    LLVMValueRef v[2];
    bool known = gen_dim_const(g, s->contract.m, &n) && gen_dim_const(g, s->contract.n, &n) && gen_dim_const(g, s->contract.k, &n);
    for (uint32_t i = 0; i < s->contract.nbatch; i++) known = known && gen_dim_const(g, s->contract.batch[i], &n);
    if (!known) return false;
    emit_contract_pieces(g, s, &v[0], &v[1]);
    if (!gen_is_int(v[0], &n) || !gen_is_int(v[1], &cost) || !gen_is_int(product_grain(g, v[1]), &grain)) return false;
    return n <= grain || n * cost < SHARED_WORK;
}

bool step_joins_pieces(Gen *g, const Step *s, const Step *next)
{
    if (s->kind != STEP_CONTRACT || s->contract.host || !next || next->kind != STEP_KERNEL || next->joins == 0) return false;
    return !step_stays_direct(g, &g->p->kernel.at[next->kernel]) && emit_contract_tiles(g, s) >= JOINED_PIECES &&
           !step_product_direct(g, s);
}

/* Whether the next step is done, too. */
static bool own_product(Entry *e, const Step *s, const Step *next)
{
    Gen *g = e->g;
    const uint32_t buf[3] = {s->contract.a, s->contract.b, s->contract.c};
    const bool joins = step_joins_pieces(g, s, next);
    LLVMValueRef n, cost, fn, outer = e->args;
    emit_contract_pieces(g, s, &n, &cost);
    if (joins) {
        const uint32_t more = entry_program(e)->kernel.at[next->kernel].nbuf;
        e->args = gen_alloca(g, g->ptr, 3 + more, 8);
        for (uint32_t i = 0; i < 3 + more; i++)
            set_field(g, part_address(e, i < 3 ? buf[i] : next->buf[i - 3]), e->args, i * sizeof(void *), 8);
        fn = emit_contract_joined(g, s, g->kernel_fn[next->kernel], next->joins);
    } else {
        set_args(e, buf, 3);
        outer = e->args;
        fn = emit_contract(g, s, step_product_direct(g, s));
    }
    run(e, fn, n, cost, product_grain(g, cost));
    e->args = outer;
    return joins;
}

/* ---- what the host is asked ------------------------------------------------------------------ */

/* A struct of host.h that the host's routine gets: bytes that are known now, which the code copies as one, and values that it
 * stores over them. Most is known; code that stores it number by number is most of what there would be to compile of an entry. */
typedef union Asked {
    HostContract product;
    HostConv convolution;
    HostAttention attention;
    HostFactor factor;
} Asked;
typedef struct Question {
    char known[sizeof(Asked)];
    LLVMValueRef value[sizeof(Asked) / sizeof(int64_t)];
} Question;

static void tell(Question *q, size_t at, LLVMValueRef v)
{
    int64_t n;
    if (LLVMIsNull(v)) return;
    if (gen_is_int(v, &n))
        memcpy(q->known + at, &n, sizeof n);
    else
        q->value[at / sizeof(int64_t)] = v;
}

static void tell_word(Question *q, size_t at, int32_t v) { memcpy(q->known + at, &v, sizeof v); }

static void tell_dims(Entry *e, Question *q, const Dim *d, uint32_t n, size_t at)
{
    for (uint32_t i = 0; i < n; i++) tell(q, at + i * sizeof(int64_t), gen_dim(e->g, d[i]));
}

static LLVMValueRef operand(Entry *e, uint32_t buf, Dim base, DType t)
{
    Gen *g = e->g;
    return bytes_from(g, part_address(e, buf), gen_mul(g, gen_dim(g, base), gen_i64(g, (int64_t)dtype_bytes(t))));
}

bool step_joins_host(const Gen *g, const Step *s, const Step *next)
{
    const bool asks = s->kind == STEP_CONTRACT ? s->contract.host : s->kind == STEP_HOST && host_routine((Op)s->host.op)->joins;
    if (!asks || !next || next->kind != STEP_KERNEL || next->joins == 0) return false;
    return !step_stays_direct(g, &g->p->kernel.at[next->kernel]);
}

LLVMValueRef *step_rows_fn(const Gen *g, const Step *s) { return &g->rows_fn[2 * s->kernel + (s->columns != 0)]; }

/* The kernel of the next step, if it is one that the host may run on the rows of this one (Step.joins); at: where it is told. */
static bool tell_rows(Entry *e, Question *q, const Step *s, const Step *next, size_t at)
{
    Gen *g = e->g;
    if (!step_joins_host(g, s, next)) return false;
    set_args(e, next->buf, entry_program(e)->kernel.at[next->kernel].nbuf);
    tell(q, at + offsetof(HostRows, fn), *step_rows_fn(g, next));
    tell(q, at + offsetof(HostRows, buf), e->args);
    tell(q, at + offsetof(HostRows, dim), e->dim);
    tell(q, at + offsetof(HostRows, each), gen_i64(g, next->joins));
    tell(q, at + offsetof(HostRows, columns), gen_i64(g, next->columns));
    return true;
}

/* Pieces of so many bytes are copied without a call. */
enum { COPY_BYTES = 256 };

/* Calls the host table's function with the question of so many bytes; slot: its byte offset there. */
static void ask_host(Entry *e, const Question *q, size_t bytes, size_t slot)
{
    Gen *g = e->g;
    LLVMValueRef known = LLVMConstStringInContext2(g->ctx, q->known, bytes, true);
    LLVMValueRef from = LLVMAddGlobal(g->module, LLVMTypeOf(known), "question");
    LLVMSetInitializer(from, known);
    LLVMSetGlobalConstant(from, true);
    LLVMSetLinkage(from, LLVMPrivateLinkage);
    LLVMSetAlignment(from, 64);
    if (!e->contract) e->contract = gen_alloca(g, g->i8, sizeof q->known, 8);
    for (size_t at = 0; at < bytes; at += COPY_BYTES) {
        LLVMValueRef n = gen_i64(g, (int64_t)at), left = gen_i64(g, (int64_t)MIN_OF(bytes - at, COPY_BYTES));
        LLVMBuildMemCpy(g->b, bytes_from(g, e->contract, n), 8, bytes_from(g, from, n), 64, left);
    }
    for (size_t at = 0; at < bytes; at += sizeof(int64_t))
        if (q->value[at / sizeof(int64_t)]) set_field(g, q->value[at / sizeof(int64_t)], e->contract, at, 8);
    LLVMValueRef fn = field(g, g->ptr, e->host, slot);
    LLVMValueRef code = LLVMBuildCall2(g->b, e->contract_type, fn, (LLVMValueRef[]){e->host, e->contract}, 2, "");
    step_leave(e, LLVMBuildICmp(g->b, LLVMIntNE, code, LLVMConstNull(g->i32), ""), code);
}

/* Whether the next step is done, too. */
static bool host_product(Entry *e, const Step *s, const Step *next)
{
    const DType t = (DType)s->contract.type;
    const uint32_t nbatch = s->contract.nbatch;
    Question q = {0};
    tell_word(&q, offsetof(HostContract, type), (int32_t)t);
    tell_word(&q, offsetof(HostContract, nbatch), (int32_t)nbatch);
    tell_dims(e, &q, s->contract.batch, nbatch, offsetof(HostContract, batch));
    tell_dims(e, &q, &s->contract.m, 1, offsetof(HostContract, m));
    tell_dims(e, &q, &s->contract.n, 1, offsetof(HostContract, n));
    tell_dims(e, &q, &s->contract.k, 1, offsetof(HostContract, k));
    tell(&q, offsetof(HostContract, a), operand(e, s->contract.a, s->contract.a_base, t));
    tell(&q, offsetof(HostContract, b), operand(e, s->contract.b, s->contract.b_base, (DType)s->contract.b_type));
    tell(&q, offsetof(HostContract, c), part_address(e, s->contract.c));
    tell_dims(e, &q, s->contract.a_batch, nbatch, offsetof(HostContract, a_batch));
    tell_dims(e, &q, s->contract.a_row.stride, 1, offsetof(HostContract, a_row));
    tell_dims(e, &q, s->contract.a_col.stride, 1, offsetof(HostContract, a_col));
    tell_dims(e, &q, s->contract.b_batch, nbatch, offsetof(HostContract, b_batch));
    tell_dims(e, &q, s->contract.b_row.stride, 1, offsetof(HostContract, b_row));
    tell_dims(e, &q, s->contract.b_col.stride, 1, offsetof(HostContract, b_col));
    tell_word(&q, offsetof(HostContract, b_type), s->contract.b_type);
    tell_word(&q, offsetof(HostContract, to), s->contract.to);
    const bool joined = tell_rows(e, &q, s, next, offsetof(HostContract, rows));
    ask_host(e, &q, sizeof(HostContract), offsetof(KilnHost, contract));
    return joined;
}

/* Fills the routine's struct from its first field to its last (host.h). Whether the next step is done, too. */
static bool step_host(Entry *e, const Step *s, const Step *next)
{
    const HostRoutine *h = host_routine((Op)s->host.op);
    size_t at = sizeof(int64_t) * (1 + h->dims);
    Question q = {0};
    tell_word(&q, 0, s->host.type);
    tell_word(&q, sizeof(int32_t), routine_which((Op)s->host.op));
    tell_dims(e, &q, s->host.dim, h->dims, sizeof(int64_t));
    for (uint32_t i = 0; i < h->words; i++, at += sizeof(int64_t)) tell(&q, at, gen_i64(e->g, s->host.word[i]));
    for (uint32_t i = 0; i < routine_buffers((Op)s->host.op); i++, at += sizeof(void *)) tell(&q, at, part_address(e, s->buf[i]));
    const bool joined = h->joins && tell_rows(e, &q, s, next, at);
    if (h->joins) at += sizeof(HostRows) + sizeof(struct Keep *);
    ask_host(e, &q, at, h->call);
    return joined;
}

/* ---- copies and loops ------------------------------------------------------------------------ */

static void step_copy(Entry *e, const Step *s)
{
    Gen *g = e->g;
    const Type *t = &entry_program(e)->buf.at[s->to].type;
    LLVMValueRef bytes = gen_i64(g, (int64_t)dtype_bytes((DType)t->dtype));
    for (uint32_t i = 0; i < t->rank; i++) bytes = gen_mul(g, bytes, gen_dim(g, t->dim[i]));
    uint32_t align = (uint32_t)dtype_bytes((DType)t->dtype);
    LLVMBuildMemCpy(g->b, part_address(e, s->to), align, part_address(e, s->from), align, bytes);
}

/* The stack's address, after making sure that it holds `bytes` bytes. */
static LLVMValueRef open_stack(Entry *e, uint32_t number, LLVMValueRef bytes)
{
    Gen *g = e->g;
    LLVMValueRef at = part_stack(e, number, false), room = part_stack(e, number, true);
    LLVMBasicBlockRef grow = gen_block(g, "grow"), next = gen_block(g, "next");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, bytes, gen_load(g, g->i64, room, 8), ""), grow, next);
    gen_put(g, grow);
    LLVMValueRef args[4] = {e->host, gen_i64(g, number), bytes, room};
    LLVMTypeRef types[4] = {g->ptr, g->i64, g->i64, g->ptr};
    LLVMValueRef now = LLVMBuildCall2(
        g->b, LLVMFunctionType(g->ptr, types, 4, false), field(g, g->ptr, e->host, offsetof(KilnHost, stack)), args, 4, "");
    step_leave(e, LLVMBuildICmp(g->b, LLVMIntEQ, now, LLVMConstNull(g->ptr), ""), status(e, ST_MEMORY));
    gen_store(g, now, at, 8);
    LLVMBuildBr(g->b, next);
    gen_put(g, next);
    return gen_load(g, g->ptr, at, 8);
}

/* Finds the slices of this loop; a slice of a slice comes after what it slices. */
static void open_slices(Entry *e, uint32_t loop, LLVMValueRef index)
{
    Gen *g = e->g;
    for (uint32_t i = e->parts.slice[loop]; i != PART_NONE; i = e->parts.after[i]) {
        const Buf *b = &entry_program(e)->buf.at[i], *of = &entry_program(e)->buf.at[b->of];
        LLVMValueRef stride = gen_mul(g, gen_dim(g, b->stride), gen_i64(g, (int64_t)dtype_bytes((DType)b->type.dtype)));
        LLVMValueRef base, above = gen_mul(g, LLVMBuildAdd(g->b, index, gen_i64(g, 1), ""), stride);
        base = of->kind == BUF_STACK ? open_stack(e, of->index, above) : part_address(e, b->of);
        part_open_slice(e, i, bytes_from(g, base, gen_mul(g, index, stride)));
    }
}

/* How often a loop without a condition turns. */
static LLVMValueRef turns_of(Entry *e, const Step *s)
{
    Gen *g = e->g;
    LLVMValueRef most = s->trip_dim == DIM_BAD ? NULL : gen_dim(g, s->trip_dim);
    if (s->trip == UINT32_MAX) return most;
    LLVMValueRef trip = gen_load(g, g->i64, part_address(e, s->trip), 8);
    return most ? gen_select(g, LLVMBuildICmp(g->b, LLVMIntSLT, trip, most, ""), trip, most) : trip;
}

static void step_scan(Entry *e, const Step *s)
{
    Gen *g = e->g;
    LLVMValueRef trip = turns_of(e, s);
    if (loop_turns(gen_i64(g, 0), trip, 1) == 0) return;
    Loop l;
    loop_begin(g, &l, gen_i64(g, 0), trip, 1, NULL, 0);
    LLVMValueRef index = l.i;
    if (s->reverse) index = LLVMBuildSub(g->b, LLVMBuildSub(g->b, trip, gen_i64(g, 1), ""), l.i, "");
    open_slices(e, s->id, index);
    if (s->index != UINT32_MAX) gen_store(g, index, part_address(e, s->index), 8);
    inside(e, s, 0);
    loop_end(g, &l);
}

static LLVMValueRef holds(Entry *e, uint32_t buf) /* a bool buffer */
{
    Gen *g = e->g;
    return LLVMBuildICmp(g->b, LLVMIntNE, gen_load(g, g->i8, part_address(e, buf), 1), LLVMConstNull(g->i8), "");
}

static void step_while(Entry *e, const Step *s)
{
    Gen *g = e->g;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b), head = gen_block(g, "while"), body = gen_block(g, "do"),
                      next = gen_block(g, "next");
    LLVMBuildBr(g->b, head);
    gen_put(g, head);
    LLVMValueRef index = LLVMBuildPhi(g->b, g->i64, ""), zero = gen_i64(g, 0);
    LLVMAddIncoming(index, &zero, &before, 1);
    if (s->index != UINT32_MAX) gen_store(g, index, part_address(e, s->index), 8);
    inside(e, s, 1);
    LLVMBuildCondBr(g->b, holds(e, s->selector), body, next);
    gen_put(g, body);
    if (s->trip_dim != DIM_BAD)
        step_leave(e, LLVMBuildICmp(g->b, LLVMIntSGE, index, gen_dim(g, s->trip_dim), ""),
            LLVMConstInt(g->i32, ST_VALUE + ENTRY_LOOP * (s->id + 1ull), false));
    open_slices(e, s->id, index);
    inside(e, s, 0);
    LLVMValueRef more = LLVMBuildAdd(g->b, index, gen_i64(g, 1), "");
    LLVMBasicBlockRef end = LLVMGetInsertBlock(g->b);
    LLVMAddIncoming(index, &more, &end, 1);
    LLVMBuildBr(g->b, head);
    gen_put(g, next);
    gen_store(g, index, part_address(e, s->count), 8);
}

/* The number of the case that the selector picks, clamped to the first and the last. */
static LLVMValueRef case_number(Entry *e, const Step *s)
{
    Gen *g = e->g;
    const DType t = (DType)entry_program(e)->buf.at[s->selector].type.dtype;
    if (t == DT_bool) return LLVMBuildZExt(g->b, holds(e, s->selector), g->i64, "");
    const bool has_sign = dtype_info[t].kind == DK_INT;
    const unsigned bytes = (unsigned)dtype_bytes(t);
    LLVMValueRef x = gen_load(g, LLVMIntTypeInContext(LLVMGetTypeContext(g->i64), 8 * bytes), part_address(e, s->selector), bytes);
    if (bytes < 8) x = has_sign ? LLVMBuildSExt(g->b, x, g->i64, "") : LLVMBuildZExt(g->b, x, g->i64, "");
    LLVMValueRef last = gen_i64(g, (int64_t)s->nblock - 1), first = gen_i64(g, 0);
    x = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, has_sign ? LLVMIntSGT : LLVMIntUGT, x, last, ""), last, x, "");
    return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, x, first, ""), first, x, "");
}

static void step_branch(Entry *e, const Step *s)
{
    Gen *g = e->g;
    LLVMBasicBlockRef next = gen_block(g, "next"), first = gen_block(g, "case");
    LLVMValueRef sw = LLVMBuildSwitch(g->b, case_number(e, s), first, s->nblock - 1);
    for (uint32_t i = 0; i < s->nblock; i++) {
        LLVMBasicBlockRef at = i == 0 ? first : gen_block(g, "case");
        if (i != 0) LLVMAddCase(sw, gen_i64(g, i), at);
        gen_put(g, at);
        inside(e, s, i);
        LLVMBuildBr(g->b, next);
    }
    gen_put(g, next);
}

static void step_effect(Entry *e, const Step *s)
{
    uint32_t n = s->effect.nin + s->effect.nout;
    LLVMValueRef *at = ARENA_ARRAY(e->g->arena, LLVMValueRef, n + 1);
    for (uint32_t i = 0; i < n; i++) at[i] = part_address(e, s->buf[i]);
    emit_effect(e->g, s, at, e->host);
}

void emit_steps(Entry *e, const Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const Step *next = i + 1 < n ? &s[i + 1] : NULL;
        mark(e, s[i].number); /* of the next steps, too, if they are done with it */
        switch ((StepKind)s[i].kind) {
        case STEP_KERNEL: i += step_launch(e, &s[i], n - i) - 1; break;
        case STEP_CONTRACT: i += s[i].contract.host ? host_product(e, &s[i], next) : own_product(e, &s[i], next); break;
        case STEP_HOST: i += step_host(e, &s[i], next); break;
        case STEP_COPY: step_copy(e, &s[i]); break;
        case STEP_SIZE:
            emit_size(e, &s[i]);
            inside(e, &s[i], 0);
            break;
        case STEP_LOOP: s[i].selector != UINT32_MAX ? step_while(e, &s[i]) : step_scan(e, &s[i]); break;
        case STEP_BRANCH: step_branch(e, &s[i]); break;
        case STEP_EFFECT: step_effect(e, &s[i]); break;
        }
    }
}
