/* line: an update rule recorded as a straight line of elementwise steps over slots, and lines run block by block: a step passes
 * over memory once and needs no memory beyond the blocks. The blocks of all parameters are one list that threads share. Relies on
 * eager.h, whose elementwise kernels on contiguous blocks cannot fail. Never decides where new values go. */
#include "line.h"

#define CELLS 96
#define STEPS 64

/* ---- recording ----------------------------------------------------------------------------------------------- */
typedef enum Origin { OF_STATE, OF_GRADIENT, OF_SCALAR, OF_NUMBER, OF_STEP, OF_NEXT } Origin;

typedef struct Cell { /* one value of the rule */
    Type type;        /* rank 0 or 1: only whether it has an axis matters, not its size */
    uint8_t from;     /* Origin */
    uint32_t index;   /* the number of the state, the scalar, the slot or the new value */
    int last;         /* the last step that reads it */
    _Alignas(8) char number[8];
} Cell;

typedef struct RuleStep {
    Op op;
    uint32_t nin, nattr;
    Value in[3], out;
    int64_t attr;
} RuleStep;

struct Line {
    Emit e; /* first: rules see an Emit */
    int states, scalars, cells, steps, slots;
    Value next[UPDATE_STATES];
    Cell cell[CELLS];
    RuleStep step[STEPS];
};

static Value cell_new(Line *l, Cell c)
{
    if (l->cells == CELLS) return 0;
    l->cell[l->cells] = c;
    return (Value)l->cells++;
}

static const Type *line_type(Emit *e, Value v) { return &((Line *)e)->cell[v].type; }

static Value number(Line *l, const int64_t *attr)
{
    const struct constant_attrs *a = ATTRS(constant, attr);
    Cell c = {.type = {.dtype = (uint8_t)a->dtype, .rank = 1, .dim = {1}}, .from = OF_NUMBER};
    dtype_store_f64((DType)a->dtype, c.number, attr_f64(a->value));
    return cell_new(l, c);
}

static Value line_op(Emit *e, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    Line *l = (Line *)e;
    if (op == OP_constant) return number(l, attr);
    if (op == OP_broadcast) {
        Cell wide = l->cell[in[0]];
        wide.type.rank = 1;
        wide.type.dim[0] = 1;
        return cell_new(l, wide);
    }
    CHECK(op_def[op].flags & (OPF_ELEMENTWISE | OPF_CAST));
    if (l->steps == STEPS) return 0;
    RuleStep s = {.op = op, .nin = nin, .nattr = nattr, .attr = nattr ? attr[0] : 0};
    Cell out = {.type = l->cell[in[nin - 1]].type, .from = OF_STEP};
    if (op_def[op].flags & OPF_CAST) out.type.dtype = (uint8_t)ATTRS(cast, attr)->to;
    if (op_def[op].flags & OPF_TO_BOOL) out.type.dtype = DT_bool;
    for (uint32_t i = 0; i < nin; i++) {
        s.in[i] = in[i];
        l->cell[in[i]].last = l->steps;
    }
    s.out = cell_new(l, out);
    if (s.out) l->step[l->steps++] = s;
    return s.out;
}

/* A new value that comes when nobody reads the old one any more is computed where it goes. */
static void place_next(Line *l)
{
    for (int i = 0; i < UPDATE_STATES; i++)
        if (l->next[i]) l->cell[l->next[i]].last = STEPS;
    for (int s = 0; s < l->steps; s++)
        for (int i = 0; i < l->states; i++) {
            Cell *c = &l->cell[l->step[s].out];
            if (l->next[i] != l->step[s].out || l->cell[1 + i].last >= s || c->from != OF_STEP) continue;
            c->from = OF_NEXT;
            c->index = (uint32_t)i;
        }
}

/* Assigns slots to the results of the other steps; a slot is free again after its last reader has run. */
static void place(Line *l)
{
    int free_slot[STEPS], nfree = 0;
    for (int s = 0; s < l->steps; s++) {
        const RuleStep *step = &l->step[s];
        if (l->cell[step->out].from == OF_STEP) l->cell[step->out].index = (uint32_t)(nfree ? free_slot[--nfree] : l->slots++);
        for (uint32_t i = 0; i < step->nin; i++) {
            Cell *c = &l->cell[step->in[i]];
            if (c->from != OF_STEP || c->last != s) continue;
            c->last = STEPS; /* an operand that is named twice */
            free_slot[nfree++] = (int)c->index;
        }
    }
}

/* Cells of the states come first, then the gradient's, then those of the scalars. */
bool line_fits(const Line *l, const Update *u)
{
    if (l->states != u->states || l->scalars != u->scalars) return false;
    const Cell *c = l->cell + 1;
    for (int i = 0; i < u->states; i++, c++)
        if (c->type.dtype != u->state[i]->type.dtype) return false;
    if ((c++)->type.dtype != u->gradient->type.dtype) return false;
    for (int i = 0; i < u->scalars; i++, c++)
        if (c->type.dtype != u->scalar[i]->type.dtype) return false;
    return true;
}

static bool record(Line *l, UpdateRule *rule, const void *user, const Update *u)
{
    *l = (Line){.e = {.op = line_op, .type = line_type}, .states = u->states, .scalars = u->scalars, .cells = 1};
    UpdateIn in = {.e = &l->e, .user = user};
    Cell c = {.type = {.rank = 1, .dim = {1}}};
    for (int i = 0; i < u->states; i++) {
        c.type.dtype = u->state[i]->type.dtype;
        c.from = OF_STATE;
        c.index = (uint32_t)i;
        in.state[i] = cell_new(l, c);
    }
    c.from = OF_GRADIENT;
    c.type.dtype = u->gradient->type.dtype;
    in.gradient = cell_new(l, c);
    for (int i = 0; i < u->scalars; i++) {
        c.from = OF_SCALAR;
        c.type.dtype = u->scalar[i]->type.dtype;
        c.index = (uint32_t)i;
        in.scalar[i] = cell_new(l, c);
    }
    rule(&in, l->next);
    place_next(l);
    place(l);
    for (int i = 0; i < u->states; i++)
        if (!l->next[i] || l->cell[l->next[i]].type.dtype != u->state[i]->type.dtype) return false;
    return true;
}

Line *line_new(UpdateRule *rule, const void *user, const Update *u, bool *memory)
{
    Line *l = mem_alloc(sizeof *l);
    *memory = l;
    if (l && record(l, rule, user, u)) return l;
    line_free(l);
    return NULL;
}

void line_free(Line *l) { mem_free(l, l ? sizeof *l : 0); }
int line_slots(const Line *l) { return l->slots; }
int line_steps(const Line *l) { return l->steps; }

/* ---- running it ---------------------------------------------------------------------------------------------- */
/* A block of few elements costs about as much as one of so many, for each step is a call. */
#define CALLS 256

bool line_room(LineRoom *r, int64_t blocks, int64_t most, int slots, int threads)
{
    r->workers = (int)MIN_OF(MIN_OF(MAX_OF(blocks, 1), LINE_WORKERS), threads);
    for (int i = 0; i < r->workers; i++) atomic_flag_clear(&r->taken[i]);
    r->each = ((size_t)MIN_OF(MAX_OF(most, 1), LINE_BLOCK) * 8 + 63) / 64 * 64;
    r->slots = (size_t)MAX_OF(slots, 1) * r->each;
    r->bytes = r->slots * (size_t)r->workers;
    r->at = mem_alloc_aligned(r->bytes, 64);
    return r->at;
}

void line_room_free(LineRoom *r)
{
    if (r->at) mem_free_aligned(r->at, r->bytes, 64);
}

typedef struct Shared { /* what threads share */
    const LineJob *job;
    int jobs;
    LineRoom *room;
} Shared;

static View view_of(const LineJob *j, const Cell *c, const LineRoom *r, char *slots, int64_t lo, int64_t n)
{
    const size_t bytes = dtype_bytes((DType)c->type.dtype);
    View v = {.dtype = c->type.dtype, .rank = 1, .dim = {n}, .stride = {1}};
    switch (c->from) {
    case OF_STATE: v.data = j->u->state[c->index]->value->data + (size_t)lo * bytes; break;
    case OF_GRADIENT: v.data = (char *)(uintptr_t)j->gradient + (size_t)lo * bytes; break;
    case OF_SCALAR:
        v.data = j->u->scalar[c->index]->data;
        v.stride[0] = 0;
        break;
    case OF_NUMBER:
        v.data = (char *)(uintptr_t)c->number;
        v.stride[0] = 0;
        break;
    case OF_NEXT: v.data = j->to[c->index] + (size_t)lo * bytes; break;
    default: v.data = slots + c->index * r->each; break;
    }
    return v;
}

/* Elements [lo, lo + n) of the job. */
static void run_block(const LineJob *j, const LineRoom *r, char *slots, int64_t lo, int64_t n)
{
    const EagerCtx alone = {0};
    const Line *l = j->line;
    for (int s = 0; s < l->steps; s++) {
        const RuleStep *step = &l->step[s];
        View in[3], out = view_of(j, &l->cell[step->out], r, slots, lo, n);
        Status st = {0};
        for (uint32_t i = 0; i < step->nin; i++) in[i] = view_of(j, &l->cell[step->in[i]], r, slots, lo, n);
        bool ok = eager_run(&alone, step->op, in, step->nin, &step->attr, step->nattr, &out, 1, &st);
        CHECK(ok);
        (void)ok;
    }
    for (int i = 0; i < j->u->states; i++) {
        const View from = view_of(j, &l->cell[l->next[i]], r, slots, lo, n);
        const size_t bytes = dtype_bytes((DType)from.dtype);
        char *to = j->to[i] + (size_t)lo * bytes;
        if (from.data != to) memcpy(to, from.data, (size_t)n * bytes);
    }
}

static int slots_take(LineRoom *r)
{
    for (int i = 0;; i = (i + 1) % r->workers)
        if (!atomic_flag_test_and_set_explicit(&r->taken[i], memory_order_acquire)) return i;
}

/* The last job that begins at this block or before it. */
static const LineJob *job_at(const Shared *s, int64_t block)
{
    int low = 0, high = s->jobs - 1;
    while (low < high) {
        const int mid = (low + high + 1) / 2;
        if (s->job[mid].first <= block)
            low = mid;
        else
            high = mid - 1;
    }
    return &s->job[low];
}

static void run_blocks(void *arg, int64_t lo, int64_t hi)
{
    const Shared *s = arg;
    const int worker = slots_take(s->room);
    char *slots = s->room->at + (size_t)worker * s->room->slots;
    for (; lo < hi; lo++) {
        const LineJob *j = job_at(s, lo);
        const int64_t at = (lo - j->first) * LINE_BLOCK;
        run_block(j, s->room, slots, at, MIN_OF(j->count - at, LINE_BLOCK));
    }
    atomic_flag_clear_explicit(&s->room->taken[worker], memory_order_release);
}

void line_run(ThreadPool *threads, LineJob *job, int jobs, LineRoom *room)
{
    int64_t blocks = 0, elements = 0;
    for (int i = 0; i < jobs; i++) {
        job[i].first = blocks;
        blocks += line_blocks(job[i].count);
        elements += job[i].count;
    }
    Shared s = {job, jobs, room};
    if (blocks == 0) return;
    if (threads && blocks > 1 && elements + CALLS * blocks > LINE_BLOCK)
        threads_run(threads, run_blocks, &s, blocks, 1);
    else
        run_blocks(&s, 0, blocks);
}
