/* kernel_print: kernels and programs as text, for KILN_DUMP and tests. Relies on kernel, program. Prints everything that an emitter
 * reads. */
#include "program.h"

static const char *const reduce_name[] = {"sum", "prod", "max", "min", "argmax", "argmin"};
static const char *const order_name[] = {"in order", "by chains", "by lanes", "by lanes from 32"};

static void put_dim(Text *out, const DimTable *t, Dim d)
{
    char text[160];
    dim_print(t, d, text, sizeof text);
    text_printf(out, "%s", text);
}

/* ---- kernels ------------------------------------------------------------------------------------- */

static void put_value(Text *out, const Instr *i)
{
    if (dtype_is_float(i->type))
        text_printf(out, "%.9g", i->value.f);
    else
        text_printf(out, "%lld", (long long)i->value.i);
}

static void put_stream(Text *out, const Kernel *k, const DimTable *t, uint32_t stream)
{
    const Stream *s = &k->stream[stream];
    bool any = false;
    if (s->buf & STREAM_ROW) {
        text_printf(out, "row%u", s->buf & ~STREAM_ROW);
        return;
    }
    text_printf(out, "b%u:%s[", s->buf, dtype_info[s->type].name);
    for (uint32_t a = 0; a < k->naxis; a++) {
        if (s->coef[a] == 0) continue;
        text_printf(out, any ? " + " : "");
        if (s->coef[a] != 1) put_dim(out, t, s->coef[a]), text_printf(out, "*");
        text_printf(out, "i%u", a);
        any = true;
    }
    if (s->base != 0 || (!any && s->dyn < 0)) text_printf(out, any ? " + " : ""), put_dim(out, t, s->base), any = true;
    if (s->dyn >= 0) text_printf(out, "%s%%%d", any ? " + " : "", s->dyn);
    text_printf(out, "]");
    if (s->guard >= 0) text_printf(out, " if %%%d", s->guard);
}

static void put_instr(Text *out, const Kernel *k, const DimTable *t, uint32_t at)
{
    const Instr *i = &k->instr[at];
    text_printf(out, "    %%%u:%s%s%s = ", at, dtype_info[i->type].name, i->lanes ? "*" : "", i->sweeps ? "~" : "");
    switch ((InstrKind)i->kind) {
    case I_CONST: put_value(out, i); break;
    case I_PRIM:
    case I_RANDOM:
        text_printf(out, "%s %%%d", i->kind == I_PRIM ? prim_info[i->prim].name : "random", i->a);
        if (i->b >= 0) text_printf(out, " %%%d", i->b);
        if (i->c >= 0) text_printf(out, " %%%d", i->c);
        break;
    case I_LOAD:
        text_printf(out, "load ");
        put_stream(out, k, t, i->ref);
        break;
    case I_AXIS: text_printf(out, "i%u", i->ref); break;
    case I_DIM: text_printf(out, "dim%u", i->ref); break;
    case I_REDUCED: text_printf(out, "r%u", i->ref); break;
    case I_FETCH:
        text_printf(out, "fetch ");
        put_stream(out, k, t, i->ref);
        if (i->b >= 0) text_printf(out, " times %%%d", i->b);
        if (i->a >= 0) text_printf(out, " plus %%%d", i->a);
        break;
    }
    text_printf(out, "\n");
}

static void put_stage(Text *out, const Kernel *k, const DimTable *t, const Stage *s)
{
    text_printf(out, s->sweep ? "  sweep\n" : "  point\n");
    for (uint32_t i = s->first; i < s->last; i++) put_instr(out, k, t, i);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &k->reduction[i];
        text_printf(out, "    r%u = %s %%%d %s\n", i, reduce_name[r->kind], r->value, order_name[r->order]);
    }
    for (uint32_t i = s->first_store; i < s->last_store; i++) {
        text_printf(out, "    ");
        put_stream(out, k, t, k->store[i].stream);
        static const char *const how[] = {
            "=", [1 + R_SUM] = "+=", [1 + R_PROD] = "*=", [1 + R_MAX] = "max=", [1 + R_MIN] = "min=", [STORE_SETS] = "set="};
        text_printf(out, " %s %%%d", how[k->store[i].fold], k->store[i].value);
        if (k->store[i].past != 0) text_printf(out, " past %lld", (long long)k->store[i].past);
        text_printf(out, "\n");
    }
}

static void kernel_print(Text *out, const Kernel *k, const DimTable *dims)
{
    text_printf(out, "kernel %s(", k->name ? k->name : "?");
    for (uint32_t a = 0; a < k->naxis; a++) {
        text_printf(out, "%si%u<", a ? ", " : "", a);
        put_dim(out, dims, k->extent[a]);
        if ((int)a == k->sweep) text_printf(out, " sweep");
        if ((int)a == k->vector) text_printf(out, " vector*%u", k->unroll);
        if ((int)a == k->turn) text_printf(out, " turn");
        if ((int)a == k->chunk) text_printf(out, " chunk");
    }
    text_printf(out, ") cost %lld", (long long)k->cost);
    for (uint32_t r = 0; r < k->nrow; r++) text_printf(out, ", row%u:%s", r, dtype_info[k->row_type[r]].name);
    text_printf(out, "\n");
    for (uint32_t s = 0; s < k->nstage; s++) put_stage(out, k, dims, &k->stage[s]);
}

/* ---- programs ------------------------------------------------------------------------------------ */

static void put_buf(Text *out, const Program *p, uint32_t at)
{
    const Buf *b = &p->buf.at[at];
    char type[160];
    type_print(&p->module->dims, &b->type, type, sizeof type);
    text_printf(out, "  b%u = ", at);
    switch ((BufKind)b->kind) {
    case BUF_INPUT: text_printf(out, "input %u", b->index); break;
    case BUF_OUTPUT: text_printf(out, "output %u", b->index); break;
    case BUF_TEMP: text_printf(out, "temp at %lld, steps %u..%u", (long long)b->offset, b->first, b->last); break;
    case BUF_STACK: text_printf(out, "stack %u", b->index); break;
    case BUF_SLICE:
        text_printf(out, "b%u at loop %u * ", b->of, b->loop);
        put_dim(out, &p->module->dims, b->stride);
        break;
    }
    text_printf(out, " : %s\n", type);
}

/* A stride, or those of several digits, each but the first with how many of it there are. */
static void put_digits(Text *out, const DimTable *t, const Strides *d)
{
    if (d->n > 1) text_printf(out, "(");
    for (uint32_t i = 0; i < d->n; i++) {
        put_dim(out, t, d->stride[i]);
        if (i + 1 < d->n) text_printf(out, ", "), put_dim(out, t, d->extent[i + 1]), text_printf(out, " of ");
    }
    if (d->n > 1) text_printf(out, ")");
}

static void put_strides(
    Text *out, const DimTable *t, uint32_t buf, Dim base, const Dim *batch, uint32_t nbatch, const Strides *row, const Strides *col)
{
    text_printf(out, " b%u(", buf);
    if (base != 0) text_printf(out, "from "), put_dim(out, t, base), text_printf(out, " ");
    for (uint32_t i = 0; i < nbatch; i++) put_dim(out, t, batch[i]), text_printf(out, " ");
    put_digits(out, t, row);
    text_printf(out, " ");
    put_digits(out, t, col);
    text_printf(out, ")");
}

/* The numbers' names, of which "." stands for one more of the last, stand before them. */
static void put_routine(Text *out, const DimTable *t, const Step *s)
{
    const HostRoutine *h = host_routine((Op)s->host.op);
    const uint32_t results = routine_results((Op)s->host.op);
    const char *name = h->numbers;
    text_printf(out, "%s %s", op_def[s->host.op].name, dtype_info[s->host.type].name);
    for (uint32_t i = 0; i < h->dims + h->words; i++, name += strcspn(name, " "), name += *name == ' ') {
        if (*name != '.') text_printf(out, ", %.*s", (int)strcspn(name, " "), name);
        text_printf(out, " ");
        if (i < h->dims)
            put_dim(out, t, s->host.dim[i]);
        else
            text_printf(out, "%lld", (long long)s->host.word[i - h->dims]);
    }
    for (uint32_t i = results; i < routine_buffers((Op)s->host.op); i++)
        text_printf(out, "%sb%u", i == results ? ": " : " ", s->buf[i]);
    for (uint32_t i = 0; i < results; i++) text_printf(out, "%sb%u", i == 0 ? " -> " : " ", s->buf[i]);
    text_printf(out, "\n");
}

static void put_steps(Text *out, const Program *p, const Step *step, uint32_t n, int depth);

static void put_loop(Text *out, const Program *p, const Step *s, int depth)
{
    text_printf(out, "loop %u ", s->id);
    if (s->selector != UINT32_MAX)
        text_printf(out, "while b%u, count b%u%s", s->selector, s->count, s->trip_dim == DIM_BAD ? "" : ", bounded");
    else if (s->trip != UINT32_MAX)
        text_printf(out, "of b%u", s->trip);
    else
        text_printf(out, "of "), put_dim(out, &p->module->dims, s->trip_dim);
    if (s->index != UINT32_MAX) text_printf(out, ", index b%u", s->index);
    text_printf(out, s->reverse ? ", backwards\n" : "\n");
    if (s->nblock == 2) {
        put_steps(out, p, s->block[1].step, s->block[1].n, depth + 1);
        text_printf(out, "%*sdo\n", 2 * depth, "");
    }
    put_steps(out, p, s->block[0].step, s->block[0].n, depth + 1);
}

static void put_step(Text *out, const Program *p, const Step *s, int depth)
{
    const DimTable *t = &p->module->dims;
    text_printf(out, "%*s", 2 * depth, "");
    switch ((StepKind)s->kind) {
    case STEP_KERNEL:
        text_printf(out, "%s", p->kernel.at[s->kernel].name);
        for (uint32_t i = 0; i < p->kernel.at[s->kernel].nbuf; i++)
            text_printf(out, " %sb%u", p->kernel.at[s->kernel].writes[i] ? "-> " : "", s->buf[i]);
        text_printf(out, s->joins    ? ", row by row\n"
                         : s->ends   ? ", at the end of the product before\n"
                         : s->beside ? ", beside the step before\n"
                                     : "\n");
        break;
    case STEP_CONTRACT:
        text_printf(out, "contract %s ", dtype_info[s->contract.type].name);
        if (s->contract.b_type != s->contract.type) text_printf(out, "by %s ", dtype_info[s->contract.b_type].name);
        if (s->contract.to != s->contract.type) text_printf(out, "in %s ", dtype_info[s->contract.to].name);
        text_printf(out, "[");
        for (uint32_t i = 0; i < s->contract.nbatch; i++) put_dim(out, t, s->contract.batch[i]), text_printf(out, ",");
        put_dim(out, t, s->contract.m), text_printf(out, ","), put_dim(out, t, s->contract.n), text_printf(out, "] over ");
        put_dim(out, t, s->contract.k);
        put_strides(out, t, s->contract.a, s->contract.a_base, s->contract.a_batch, s->contract.nbatch, &s->contract.a_row,
            &s->contract.a_col);
        put_strides(out, t, s->contract.b, s->contract.b_base, s->contract.b_batch, s->contract.nbatch, &s->contract.b_row,
            &s->contract.b_col);
        text_printf(out, " -> b%u\n", s->contract.c);
        break;
    case STEP_HOST: put_routine(out, t, s); break;
    case STEP_COPY: text_printf(out, "copy b%u -> b%u\n", s->from, s->to); break;
    case STEP_EFFECT:
        text_printf(out, "%s %lld", op_def[s->effect.op].name, (long long)s->effect.number);
        for (uint32_t i = 0; i < s->effect.nin + s->effect.nout; i++)
            text_printf(out, " %sb%u", i < s->effect.nin ? "" : "-> ", s->buf[i]);
        text_printf(out, "\n");
        break;
    case STEP_SIZE:
        put_dim(out, t, s->size);
        text_printf(out, " is b%u\n", s->from);
        put_steps(out, p, s->block[0].step, s->block[0].n, depth);
        break;
    case STEP_LOOP: put_loop(out, p, s, depth); break;
    case STEP_BRANCH:
        text_printf(out, "branch on b%u\n", s->selector);
        for (uint32_t i = 0; i < s->nblock; i++) {
            text_printf(out, "%*scase %u\n", 2 * depth, "", i);
            put_steps(out, p, s->block[i].step, s->block[i].n, depth + 1);
        }
        break;
    }
}

static void put_steps(Text *out, const Program *p, const Step *step, uint32_t n, int depth)
{
    for (uint32_t i = 0; i < n; i++) put_step(out, p, &step[i], depth);
}

void program_print(Text *out, const Program *p)
{
    text_printf(out, "program %s: %u launches, %lld bytes of work, %lld moved\n", p->name, p->launches, (long long)p->workspace,
        (long long)p->moved);
    for (uint32_t i = 0; i < p->dim.len; i++) {
        text_printf(out, "  dim%u = ", i);
        put_dim(out, &p->module->dims, p->dim.at[i]);
        text_printf(out, "\n");
    }
    for (uint32_t i = 0; i < p->buf.len; i++) put_buf(out, p, i);
    put_steps(out, p, p->step, p->nstep, 1);
    for (uint32_t i = 0; i < p->kernel.len; i++) kernel_print(out, &p->kernel.at[i], &p->module->dims);
}
