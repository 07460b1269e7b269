/* table: a program as the table of codegen/walk.h, which an object for a device carries. What a launch looks like is as in
 * cuda_run.c. Relies on walk.h, print.h. Never compiles. */
#include "table.h"

#include "maps.h"

typedef struct Table {
    const Program *p;
    const CudaFunctions *text;
    int sm;
    Text words, names;
    int64_t most; /* operands of a launch */
    Status *st;
} Table;

static void put(Table *t, int64_t x) { text_add(&t->words, (const char *)&x, sizeof x); }
static void put_buf(Table *t, uint32_t buf) { put(t, buf == UINT32_MAX ? -1 : (int64_t)buf); }
static int64_t here(const Table *t) { return (int64_t)(t->words.len / sizeof(int64_t)); }

static void put_at(Table *t, int64_t at, int64_t x)
{
    if (!t->words.failed) memcpy(t->words.at + (size_t)at * sizeof x, &x, sizeof x);
}

static void put_dims(Table *t, const Dim *d, uint32_t n)
{
    put(t, n);
    for (uint32_t i = 0; i < n; i++) put(t, d[i]);
}

static int64_t element(const Table *t, uint32_t buf) { return (int64_t)dtype_bytes((DType)t->p->buf.at[buf].type.dtype); }

/* ---- steps ---------------------------------------------------------------------------------------- */

/* The words of what follows; to be filled in at the end. */
static int64_t open_words(Table *t)
{
    put(t, 0);
    return here(t);
}
static void close_words(Table *t, int64_t from) { put_at(t, from - 1, here(t) - from); }

static int64_t open_step(Table *t, WalkStep kind)
{
    put(t, kind);
    put(t, 0);
    return here(t);
}
static void close_step(Table *t, int64_t from) { put_at(t, from - 1, here(t) - from + 2); }

static bool put_steps(Table *t, const Step *s, uint32_t n);

static void put_operands(Table *t, const uint32_t *buf, uint32_t n)
{
    put(t, n);
    put(t, cuda_grid_most);
    for (uint32_t i = 0; i < n; i++) put_buf(t, buf[i]);
    t->most = MAX_OF(t->most, (int64_t)n);
}

static void put_maps(Table *t, const OperandMap *map, uint32_t n)
{
    put(t, n);
    for (uint32_t i = 0; i < n; i++) {
        put(t, map[i].buf);
        put(t, map[i].base);
        put(t, map[i].rank);
        put(t, map[i].box[0]);
        put(t, map[i].box[1]);
        for (uint32_t a = 0; a < map[i].rank; a++) put(t, map[i].extent[a]), put(t, map[i].stride[a]);
    }
}

static void put_kernel(Table *t, const Step *s)
{
    const Kernel *k = &t->p->kernel.at[s->kernel];
    const CudaShape shape = cuda_shape(t->p, k);
    Dim points[KERNEL_AXES];
    uint32_t n = 0;
    for (uint32_t a = 0; a < k->naxis; a++)
        if ((int)a != k->sweep) points[n++] = k->extent[a];
    put(t, s->kernel);
    if (shape.several) {
        for (size_t i = 0; i < sizeof shape.rows / sizeof(int64_t); i++) put(t, ((const int64_t *)&shape.rows)[i]);
        put(t, k->extent[k->sweep]);
        put_dims(t, points, n);
        put_operands(t, s->buf, k->nbuf);
        return;
    }
    put(t, shape.block);
    put(t, 0);
    put(t, 1);
    put(t, cuda_points(&shape));
    put_dims(t, points, n);
    put_operands(t, s->buf, k->nbuf);
    put_maps(t, NULL, 0);
}

static void put_product(Table *t, const Step *s)
{
    uint32_t buf[CUDA_OPERANDS];
    const uint32_t n = cuda_product_operands(t->p, s, buf);
    const ProductPlan *plan = product_plan(t->p, s, t->sm);
    put(t, t->p->kernel.len + cuda_product_of(&t->text->products, s));
    put(t, CUDA_BLOCK);
    put(t, product_shared(plan));
    put(t, 3);
    put(t, plan->rows);
    put_dims(t, &s->contract.m, 1);
    put(t, plan->columns);
    put_dims(t, &s->contract.n, 1);
    put(t, 1);
    put_dims(t, s->contract.batch, s->contract.nbatch);
    put_operands(t, buf, n);
    OperandMap map[2];
    put_maps(t, map, product_maps(t->p, s, plan, map) ? 2 : 0);
}

static void put_launch(Table *t, uint32_t number)
{
    const CudaLaunch *l = &t->text->launches.at[number];
    put(t, t->text->first_launch + number);
    put(t, CUDA_BLOCK);
    put(t, 0);
    put(t, 1);
    put(t, 1);
    put_dims(t, (const Dim[]){l->blocks}, 1);
    put_operands(t, l->buf, l->nbuf);
    put_maps(t, NULL, 0);
}

static void put_copy(Table *t, const Step *s)
{
    const Type *type = &t->p->buf.at[s->to].type;
    put_buf(t, s->from);
    put_buf(t, s->to);
    put(t, element(t, s->to));
    put_dims(t, type->dim, type->rank);
}

static void put_slices(Table *t, uint32_t loop)
{
    const int64_t count = here(t);
    int64_t n = 0;
    put(t, 0);
    for (uint32_t i = 0; i < t->p->buf.len; i++) {
        const Buf *b = &t->p->buf.at[i];
        if (b->kind != BUF_SLICE || b->loop != loop) continue;
        put(t, i);
        put(t, b->of);
        put(t, element(t, i));
        put(t, b->stride);
        n++;
    }
    put_at(t, count, n);
}

static int64_t bound(Dim d) { return d == DIM_BAD ? INT64_MAX : d; }

static bool put_loop(Table *t, const Step *s)
{
    const bool looks = s->selector != UINT32_MAX;
    put_buf(t, looks ? s->selector : s->trip);
    if (!looks) put(t, bound(s->trip_dim));
    put_buf(t, s->index);
    if (looks) put_buf(t, s->count);
    put(t, looks ? bound(s->trip_dim) : s->reverse);
    if (looks) put(t, ST_VALUE + (int64_t)ENTRY_LOOP * (s->id + 1));
    put_slices(t, s->id);
    return (!looks || put_steps(t, s->block[1].step, s->block[1].n)) && put_steps(t, s->block[0].step, s->block[0].n);
}

static bool put_branch(Table *t, const Step *s)
{
    const DType type = (DType)t->p->buf.at[s->selector].type.dtype;
    bool ok = true;
    put_buf(t, s->selector);
    put(t, (int64_t)dtype_bytes(type));
    put(t, dtype_info[type].kind == DK_INT);
    put(t, s->nblock);
    for (uint32_t i = 0; i < s->nblock && ok; i++) ok = put_steps(t, s->block[i].step, s->block[i].n);
    return ok;
}

/* Without a host a print does nothing, as in an object for the CPU. */
static bool put_effect(Table *t, const Step *s)
{
    const Type *type = &s->effect.type[0];
    if (s->effect.op == OP_assert) {
        const int64_t from = open_step(t, WALK_CHECK);
        put_buf(t, s->buf[0]);
        put_dims(t, type->dim, type->rank);
        close_step(t, from);
    }
    return s->effect.op != OP_callback || status_fail(t->st, ST_UNSUPPORTED, "the body calls C code (kiln_callback)");
}

static bool put_step(Table *t, const Step *s)
{
    static const uint8_t kind[] = {[STEP_KERNEL] = WALK_LAUNCH,
        [STEP_CONTRACT] = WALK_LAUNCH,
        [STEP_COPY] = WALK_COPY,
        [STEP_LOOP] = WALK_LOOP,
        [STEP_BRANCH] = WALK_BRANCH,
        [STEP_SIZE] = WALK_SIZE};
    bool ok = true;
    if (s->kind == STEP_EFFECT) return put_effect(t, s);
    if (s->kind == STEP_HOST) return status_fail(t->st, ST_INTERNAL, "%s was not expanded", op_def[s->host.op].name);
    const bool rows = s->kind == STEP_KERNEL && cuda_shape(t->p, &t->p->kernel.at[s->kernel]).several;
    const int64_t from = open_step(t, rows                                                ? WALK_ROWS
                                      : s->kind == STEP_LOOP && s->selector != UINT32_MAX ? WALK_WHILE
                                                                                          : (WalkStep)kind[s->kind]);
    switch ((StepKind)s->kind) {
    case STEP_KERNEL: put_kernel(t, s); break;
    case STEP_CONTRACT: put_product(t, s); break;
    case STEP_COPY: put_copy(t, s); break;
    case STEP_LOOP: ok = put_loop(t, s); break;
    case STEP_SIZE:
        put(t, s->size);
        put(t, t->p->module->dims.expr.at[-1 - s->size].bound);
        put_buf(t, s->from);
        ok = put_steps(t, s->block[0].step, s->block[0].n);
        break;
    default: ok = put_branch(t, s); break;
    }
    close_step(t, from);
    return ok;
}

static bool put_steps(Table *t, const Step *s, uint32_t n)
{
    const int64_t from = open_words(t);
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        const uint32_t number = cuda_launch_at(&t->text->launches, &s[i]);
        if (number == t->text->launches.len) {
            ok = s[i].ends || put_step(t, &s[i]);
            continue;
        }
        const int64_t step = open_step(t, WALK_LAUNCH);
        put_launch(t, number);
        close_step(t, step);
        i += t->text->launches.at[number].n - 1;
    }
    close_words(t, from);
    return ok;
}

/* ---- sizes, buffers, names --------------------------------------------------------------------------- */

static int64_t symbol_place(const Program *p, Dim d)
{
    uint32_t i = 0;
    while (i < p->symbol.len && p->symbol.at[i] != d) i++;
    return i; /* beyond the last: one that nobody brings */
}

static void put_expressions(Table *t)
{
    const DimTable *dims = &t->p->module->dims;
    for (uint32_t i = 0; i < dims->expr.len; i++) {
        const DimExpr *e = &dims->expr.at[i];
        const bool leaf = e->kind == DIM_SYMBOL || e->kind == DIM_NEGATIVE;
        put(t, e->kind);
        put(t, e->kind == DIM_SYMBOL ? symbol_place(t->p, -1 - (Dim)i) : leaf ? -e->lo : e->a);
        put(t, leaf ? 0 : e->b);
    }
}

static void put_buffers(Table *t)
{
    const Program *p = t->p;
    for (uint32_t i = 0; i < p->buf.len; i++) {
        const Buf *b = &p->buf.at[i];
        put(t, b->kind);
        put(t, b->kind == BUF_TEMP ? b->offset : b->kind == BUF_OUTPUT ? (int64_t)p->ninput + b->index : (int64_t)b->index);
    }
}

static int64_t put_temporaries(Table *t)
{
    int64_t n = 0;
    for (uint32_t i = t->p->ninput; i < t->p->buf.len; i++) {
        const Buf *b = &t->p->buf.at[i];
        if (b->kind != BUF_TEMP || b->bytes == 0) continue;
        put(t, b->offset);
        put(t, element(t, i));
        put_dims(t, buf_room(b)->dim, b->type.rank);
        n++;
    }
    return n;
}

static void put_results(Table *t)
{
    for (uint32_t i = 0; i < t->p->noutput; i++) {
        const Type *type = buf_room(&t->p->buf.at[t->p->ninput + i]);
        put_dims(t, type->dim, type->rank);
    }
}

static void put_functions(Table *t)
{
    const char *const *name = t->text->name;
    for (uint32_t i = 0; i < t->text->n; i++) {
        put(t, (int64_t)t->names.len);
        text_add(&t->names, name[i], strlen(name[i]) + 1);
    }
}

static void put_names(Table *t)
{
    while (t->names.len % sizeof(int64_t) != 0 && !t->names.failed) text_add(&t->names, "", 1);
    text_add(&t->words, t->names.at, t->names.len);
    t->words.failed |= t->names.failed;
}

/* An expression comes after its parts, since it was made of them. */
static bool in_order(const DimTable *t)
{
    for (uint32_t i = 0; i < t->expr.len; i++) {
        const DimExpr *e = &t->expr.at[i];
        if (e->kind == DIM_SYMBOL || e->kind == DIM_NEGATIVE) continue;
        if ((e->a < 0 && -1 - e->a >= (Dim)i) || (e->b < 0 && -1 - e->b >= (Dim)i)) return false;
    }
    return true;
}

bool cuda_table(const Program *p, int sm, const CudaFunctions *text, int64_t constants, Text *out, Status *st)
{
    Table t = {.p = p, .text = text, .sm = sm, .st = st};
    WalkHead h = {.magic = WALK_MAGIC, .constants = constants, .nsymbol = p->symbol.len, .nresult = p->noutput};
    if (!in_order(&p->module->dims)) return status_fail(st, ST_INTERNAL, "sizes are not in the order of their parts");
    text_add(&t.words, (const char *)&h, sizeof h);
    h.expr = here(&t), h.nexpr = p->module->dims.expr.len, put_expressions(&t);
    h.dim = here(&t), h.ndim = p->dim.len, h.by_value = cuda_dims_by_value(p);
    for (uint32_t i = 0; i < p->dim.len; i++) put(&t, p->dim.at[i]);
    h.buf = here(&t), h.nbuf = p->buf.len, put_buffers(&t);
    h.temp = here(&t), h.ntemp = put_temporaries(&t);
    h.result = here(&t), put_results(&t);
    h.function = here(&t), h.nfunction = text->n, put_functions(&t);
    h.step = here(&t);
    const bool ok = put_steps(&t, p->step, p->nstep);
    h.most = t.most;
    h.meeting = cuda_meeting(p);
    h.names = here(&t), put_names(&t);
    if (!t.words.failed) memcpy(t.words.at, &h, sizeof h);
    text_add(out, t.words.at, t.words.len);
    out->failed |= t.words.failed;
    text_free(&t.words);
    text_free(&t.names);
    return ok && (!out->failed || status_fail(st, ST_MEMORY, "no memory for a table"));
}
