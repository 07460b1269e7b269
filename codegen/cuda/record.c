/* record: a program's steps as a CUDA graph, for one vector of sizes. Kernels find buffers by a table in device memory, which the
 * graph's first nodes write from the addresses of a call; so nothing but their arguments changes from call to call. A loop is a
 * conditional node whose body ends in a kernel that turns it; a branch is one for each block. Nodes follow one another as the steps
 * do. Relies on run.h, control.h. Never launches anything. */
#include "maps.h"
#include "run.h"

/* ---- one recording --------------------------------------------------------------------------- */

typedef struct Making {
    const Compiled *c;
    const CudaDriver *d;
    const int64_t *dim; /* the symbols' values */
    Recording *r;
    Status *st;
    Arena arena;
    CUgraph graph;    /* where nodes go: the graph, or the body of a loop or branch */
    CUgraphNode last; /* there; NULL: none yet */
    int64_t *word;    /* what will lie in the recording's memory */
    uint32_t words, room;
    int64_t *size;    /* the values of Program.dim */
    CUdeviceptr dims; /* and where they lie, if a launch does not bring them along */
    RecordedMaps maps;
    bool ok;
} Making;

static int64_t size_of(const Making *m, Dim d) { return program_size(m->c->p, d, m->dim); }
static CUdeviceptr address(const Making *m, uint32_t word) { return m->r->memory + (CUdeviceptr)word * sizeof *m->word; }
static CUdeviceptr place_of(const Making *m, uint32_t buf) { return m->r->table + (CUdeviceptr)buf * sizeof(uint64_t); }

static uint32_t take_words(Making *m, uint32_t n)
{
    const uint32_t at = m->words;
    m->words += n;
    CHECK(m->words <= m->room);
    return at;
}

/* A node after all that are there. */
static bool add_grid(Making *m, CUfunction f, const ShareGrid *g, unsigned threads, unsigned shared, void **args, const char *name)
{
    if (g->blocks <= 0) return true;
    const CUDA_KERNEL_NODE_PARAMS p = {.func = f,
        .gridDimX = (unsigned)MIN_OF(g->blocks, cuda_grid_most),
        .gridDimY = (unsigned)g->parts,
        .gridDimZ = 1,
        .blockDimX = threads,
        .blockDimY = 1,
        .blockDimZ = 1,
        .sharedMemBytes = shared,
        .kernelParams = args,
        .ctx = m->d->context};
    CUgraphNode n;
    if (!cuda_ok(m->d, m->d->GraphAddKernelNode(&n, m->graph, &m->last, m->last ? 1 : 0, &p), m->st, "recording %s", name))
        return false;
    m->last = n;
    m->r->nodes++;
    const CUlaunchAttributeValue yes = {.cooperative = 1};
    return g->parts == 1 ||
           cuda_ok(m->d, m->d->GraphKernelNodeSetAttribute(n, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &yes), m->st, "recording %s", name);
}

static bool add_kernel(Making *m, CUfunction f, int64_t blocks, unsigned threads, unsigned shared, void **args, const char *name)
{
    return add_grid(m, f, &(ShareGrid){.blocks = blocks, .parts = 1}, threads, shared, args, name);
}

static bool add_control(Making *m, Control k, int64_t blocks, void **args)
{
    const unsigned threads = k == C_PLACE || k == C_COPY ? CUDA_BLOCK : CONTROL_LANES;
    return add_kernel(m, m->c->control[k], blocks, threads, 0, args, control_name[k]);
}

static void *dims_of(Making *m) { return cuda_dims_by_value(m->c->p) ? (void *)m->size : &m->dims; }

/* Where the blocks of a row meet is the recording's: each launch leaves it as it found it. */
static bool record_kernel(Making *m, const Step *s)
{
    const Kernel *k = &m->c->p->kernel.at[s->kernel];
    const CudaShape *shape = &m->c->shape[s->kernel];
    const ShareGrid g = cuda_grid(m->c, s->kernel, m->dim, m->graph != m->r->graph && !m->d->bodies);
    CUdeviceptr at[k->nbuf + 1], meeting = address(m, take_words(m, (uint32_t)g.words));
    void *args[k->nbuf + 2], **end = args + k->nbuf;
    for (uint32_t i = 0; i < k->nbuf; i++) {
        at[i] = place_of(m, s->buf[i]);
        args[i] = &at[i];
    }
    if (shape->several) *end++ = &meeting;
    *end = dims_of(m);
    return add_grid(m, m->c->function[s->kernel], &g, shape->block, 0, args, m->c->text.name[s->kernel]);
}

static bool record_product(Making *m, const Step *s)
{
    const uint32_t f = m->c->p->kernel.len + cuda_product_of(&m->c->text.products, s);
    uint32_t buf[CUDA_OPERANDS];
    const uint32_t n = cuda_product_operands(m->c->p, s, buf);
    CUdeviceptr at[CUDA_OPERANDS], maps = 0;
    void *args[CUDA_OPERANDS + 2];
    for (uint32_t i = 0; i < n; i++) {
        at[i] = place_of(m, buf[i]);
        args[i] = &at[i];
    }
    const RecordedMap *bulk = recorded_map(&m->maps, s);
    if (bulk) maps = address(m, bulk->word);
    args[n] = &maps;
    args[bulk ? n + 1 : n] = dims_of(m);
    return add_kernel(
        m, m->c->function[f], cuda_product_blocks(m->c, s, m->dim), CUDA_BLOCK, m->c->shared[f], args, m->c->text.name[f]);
}

static bool record_launch(Making *m, uint32_t number)
{
    const CudaLaunch *l = &m->c->text.launches.at[number];
    const uint32_t f = m->c->text.first_launch + number;
    CUdeviceptr at[l->nbuf];
    void *args[l->nbuf + 1];
    for (uint32_t i = 0; i < l->nbuf; i++) {
        at[i] = place_of(m, l->buf[i]);
        args[i] = &at[i];
    }
    args[l->nbuf] = dims_of(m);
    return add_kernel(m, m->c->function[f], l->blocks, CUDA_BLOCK, 0, args, m->c->text.name[f]);
}

static bool record_copy(Making *m, const Step *s)
{
    int64_t bytes = (int64_t)cuda_buffer_bytes(m->c->p, s->to, m->dim);
    CUdeviceptr to = place_of(m, s->to), from = place_of(m, s->from);
    return add_control(m, C_COPY, MIN_OF((bytes + 2047) / 2048, (int64_t)4096), (void *[]){&to, &from, &bytes});
}

/* ---- loops and branches ---------------------------------------------------------------------- */

static bool record_steps(Making *m, const Step *s, uint32_t n);

static bool new_condition(Making *m, CUgraphConditionalHandle *h)
{
    return cuda_ok(m->d, m->d->GraphConditionalHandleCreate(h, m->graph, m->d->context, 0, 0), m->st, "a condition of a graph");
}

typedef struct Outer { /* where it goes on after a body */
    CUgraph graph;
    CUgraphNode last;
} Outer;

/* What is recorded from now on is the body of a new node. */
static bool open_body(Making *m, CUgraphConditionalHandle h, int type, Outer *outer)
{
    CUgraphNode n;
    CUgraphNodeParams p = {
        .type = CU_GRAPH_NODE_TYPE_CONDITIONAL, .conditional = {.handle = h, .type = type, .size = 1, .ctx = m->d->context}};
    if (!cuda_ok(m->d, m->d->GraphAddNode(&n, m->graph, &m->last, NULL, m->last ? 1 : 0, &p), m->st, "a conditional node"))
        return false;
    m->last = n;
    m->r->nodes++;
    *outer = (Outer){m->graph, m->last};
    m->graph = p.conditional.phGraph_out[0];
    m->last = NULL;
    return true;
}

static void close_body(Making *m, const Outer *outer)
{
    m->graph = outer->graph;
    m->last = outer->last;
}

/* Whether an assertion is among the steps. */
static bool may_end(const Step *s, uint32_t n)
{
    bool yes = false;
    for (uint32_t i = 0; i < n && !yes; i++) {
        yes = s[i].kind == STEP_EFFECT;
        for (uint32_t k = 0; k < s[i].nblock && !yes; k++) yes = may_end(s[i].block[k].step, s[i].block[k].n);
    }
    return yes;
}

/* A body that runs if no assertion has failed. */
static bool open_while_whole(Making *m, Outer *outer)
{
    CUgraphConditionalHandle h;
    return new_condition(m, &h) && add_control(m, C_CHECK, 1, (void *[]){&m->r->failed, &h}) &&
           open_body(m, h, CU_GRAPH_COND_TYPE_IF, outer);
}

/* How far apart the slices of a buffer lie for each turn of the loop, that it is sliced from a slice of the same one included; *of:
 * what it is cut from in the end. */
static int64_t slice_of(const Making *m, uint32_t buf, uint32_t loop, uint32_t *of)
{
    int64_t stride = 0;
    const Buf *all = m->c->p->buf.at;
    for (*of = buf; all[*of].kind == BUF_SLICE && all[*of].loop == loop; *of = all[*of].of)
        stride += size_of(m, all[*of].stride) * (int64_t)dtype_bytes((DType)all[*of].type.dtype);
    return stride;
}

static bool is_slice(const Buf *b, uint32_t loop) { return b->kind == BUF_SLICE && b->loop == loop; }
static int64_t place_or_none(uint32_t buf) { return buf == UINT32_MAX ? -1 : (int64_t)buf; }

/* Bytes of a selector, negative if it is signed. */
static int64_t kind_of(const Making *m, uint32_t buf)
{
    const DType t = (DType)m->c->p->buf.at[buf].type.dtype;
    const int64_t bytes = (int64_t)dtype_bytes(t);
    return t == DT_i8 || t == DT_i16 || t == DT_i32 || t == DT_i64 ? -bytes : bytes;
}

/* What is to be written into maps when the places of the table are known that change with a loop (UINT32_MAX: that do not), as
 * MapWords. Returns how many. */
static uint32_t map_words(Making *m, uint32_t loop)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->maps.len; i++)
        for (uint32_t k = 0; k < 2; k++) {
            const RecordedMap *r = &m->maps.at[i];
            const Buf *b = &m->c->p->buf.at[r->map[k].buf];
            if (!r->there[k] || (b->kind == BUF_SLICE ? b->loop : UINT32_MAX) != loop) continue;
            uint32_t of = r->map[k].buf;
            MapWords w = {.map = (int64_t)(address(m, r->word) + k * sizeof(CUtensorMap)),
                .use = (int64_t)(address(m, r->word) + offsetof(ProductMaps, use) + k * sizeof(uint64_t)),
                .stride = loop == UINT32_MAX ? 0 : slice_of(m, of, loop, &of),
                .base = size_of(m, r->map[k].base) * (int64_t)sizeof(uint16_t)};
            w.of = of;
            memcpy(m->word + take_words(m, sizeof w / 8), &w, sizeof w);
            n++;
        }
    return n;
}

/* The words of a loop; those of its slices follow, and of maps. */
static uint32_t loop_words(Making *m, const Step *s)
{
    const Program *p = m->c->p;
    const uint32_t at = take_words(m, sizeof(LoopWords) / 8);
    LoopWords l = {.most = s->trip_dim == DIM_BAD ? -1 : size_of(m, s->trip_dim),
        .trip_at = place_or_none(s->trip),
        .index = place_or_none(s->index),
        .count = s->selector == UINT32_MAX ? -1 : place_or_none(s->count),
        .selector = place_or_none(s->selector),
        .kind = s->selector == UINT32_MAX ? 0 : kind_of(m, s->selector),
        .back = s->reverse,
        .code = (int64_t)ST_VALUE + (int64_t)ENTRY_LOOP * (s->id + 1)};
    for (uint32_t i = 0; i < p->buf.len; i++) {
        if (!is_slice(&p->buf.at[i], s->id)) continue;
        uint32_t of;
        const int64_t stride = slice_of(m, i, s->id, &of);
        const SliceWords w = {.at = i, .of = of, .stride = stride};
        memcpy(m->word + take_words(m, sizeof w / 8), &w, sizeof w);
        l.slices++;
    }
    l.maps = map_words(m, s->id);
    memcpy(m->word + at, &l, sizeof l);
    return at;
}

static bool record_loop(Making *m, const Step *s)
{
    const uint32_t at = loop_words(m, s);
    CUgraphConditionalHandle h;
    CUdeviceptr loop = address(m, at), slices = address(m, at + sizeof(LoopWords) / 8);
    uint32_t first = 1;
    void *args[] = {&m->r->table, &loop, &slices, &m->r->failed, &h, &first};
    Outer outer;
    if (!new_condition(m, &h) || !add_control(m, C_TURN, 1, args) || !open_body(m, h, CU_GRAPH_COND_TYPE_WHILE, &outer))
        return false;
    first = 0;
    if (!record_steps(m, s->block[0].step, s->block[0].n) || !add_control(m, C_TURN, 1, args)) return false;
    close_body(m, &outer);
    return true;
}

/* What is asked before each turn is recorded twice: before the node and at the end of its body. */
static bool record_while(Making *m, const Step *s)
{
    const uint32_t at = loop_words(m, s);
    CUgraphConditionalHandle h;
    CUdeviceptr loop = address(m, at), slices = address(m, at + sizeof(LoopWords) / 8);
    uint32_t first = 1;
    void *next[] = {&m->r->table, &loop, &first}, *decide[] = {&m->r->table, &loop, &slices, &m->r->failed, &h};
    Outer outer;
    if (!new_condition(m, &h) || !add_control(m, C_NEXT, 1, next) || !record_steps(m, s->block[1].step, s->block[1].n) ||
        !add_control(m, C_DECIDE, 1, decide) || !open_body(m, h, CU_GRAPH_COND_TYPE_WHILE, &outer))
        return false;
    first = 0;
    Outer whole;
    const bool ends = may_end(s->block[0].step, s->block[0].n);
    if (!record_steps(m, s->block[0].step, s->block[0].n) || (ends && !open_while_whole(m, &whole)) ||
        !add_control(m, C_NEXT, 1, next) || !record_steps(m, s->block[1].step, s->block[1].n))
        return false;
    if (ends) close_body(m, &whole);
    if (!add_control(m, C_DECIDE, 1, decide)) return false;
    close_body(m, &outer);
    return true;
}

static bool record_branch(Making *m, const Step *s)
{
    const uint32_t at = take_words(m, s->nblock);
    CUdeviceptr selector = place_of(m, s->selector), handles = address(m, at);
    int64_t kind = kind_of(m, s->selector), n = s->nblock;
    for (uint32_t i = 0; i < s->nblock; i++) {
        CUgraphConditionalHandle h;
        if (!new_condition(m, &h)) return false;
        m->word[at + i] = (int64_t)h;
    }
    if (!add_control(m, C_CHOOSE, 1, (void *[]){&selector, &kind, &n, &handles})) return false;
    for (uint32_t i = 0; i < s->nblock; i++) {
        Outer outer;
        if (!open_body(m, (CUgraphConditionalHandle)m->word[at + i], CU_GRAPH_COND_TYPE_IF, &outer) ||
            !record_steps(m, s->block[i].step, s->block[i].n))
            return false;
        close_body(m, &outer);
    }
    return true;
}

static bool record_assert(Making *m, const Step *s)
{
    CUdeviceptr holds = place_of(m, s->buf[0]);
    int64_t n = 1, code = control_asserted(s);
    for (uint32_t i = 0; i < s->effect.type[0].rank; i++) n *= size_of(m, s->effect.type[0].dim[i]);
    return add_control(m, C_ASSERT, 1, (void *[]){&holds, &n, &m->r->failed, &code});
}

static bool record_step(Making *m, const Step *s)
{
    switch ((StepKind)s->kind) {
    case STEP_KERNEL: return s->ends || record_kernel(m, s);
    case STEP_CONTRACT: return record_product(m, s);
    case STEP_COPY: return record_copy(m, s);
    case STEP_LOOP: return s->selector != UINT32_MAX ? record_while(m, s) : record_loop(m, s);
    case STEP_BRANCH: return record_branch(m, s);
    case STEP_EFFECT: return record_assert(m, s);
    case STEP_SIZE:
    case STEP_HOST: break;
    }
    return status_fail(m->st, ST_INTERNAL, "cuda: a step of the host cannot be recorded");
}

/* What comes after a step that may end the program runs only if it has not: what the assertion is about stays as it was. */
static bool record_steps(Making *m, const Step *s, uint32_t n)
{
    const CudaLaunches *launches = &m->c->text.launches;
    for (uint32_t i = 0; i < n;) {
        Outer outer;
        const bool inside = i > 0;
        bool ends = false;
        if (inside && !open_while_whole(m, &outer)) return false;
        for (; i < n && !ends; i++) {
            const uint32_t number = cuda_launch_at(launches, &s[i]);
            if (number < launches->len) {
                if (!record_launch(m, number)) return false;
                i += launches->at[number].n - 1;
                continue;
            }
            if (!record_step(m, &s[i])) return false;
            ends = may_end(&s[i], 1);
        }
        if (inside) close_body(m, &outer);
    }
    return true;
}

/* How many products may have maps. */
static uint32_t products_of(const Compiled *c, const Step *s, uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; c->maps && i < n; i++) {
        sum += s[i].kind == STEP_CONTRACT;
        for (uint32_t k = 0; k < s[i].nblock; k++) sum += products_of(c, s[i].block[k].step, s[i].block[k].n);
    }
    return sum;
}

/* Words that the steps take at most, each as often as it is recorded. */
static uint32_t words_of(const Compiled *c, const int64_t *dim, const Step *s, uint32_t n)
{
    const Program *p = c->p;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].kind == STEP_KERNEL && !s[i].ends) sum += (uint32_t)cuda_grid(c, s[i].kernel, dim, false).words;
        if (s[i].kind == STEP_BRANCH) sum += s[i].nblock;
        if (s[i].kind == STEP_LOOP) sum += sizeof(LoopWords) / 8 + 2 * sizeof(MapWords) / 8 * products_of(c, &s[i], 1);
        for (uint32_t k = 0; s[i].kind == STEP_LOOP && k < p->buf.len; k++)
            if (is_slice(&p->buf.at[k], s[i].id)) sum += sizeof(SliceWords) / 8;
        for (uint32_t k = 0; k < s[i].nblock; k++)
            sum += words_of(c, dim, s[i].block[k].step, s[i].block[k].n) * (s[i].kind == STEP_LOOP && k == 1 ? 2 : 1);
    }
    return sum;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* The first nodes, whose addresses each call sets. */
static bool record_places(Making *m)
{
    const uint32_t all = m->c->p->ninput + m->c->p->noutput;
    const CudaCall none = {.buf = ARENA_ARRAY(&m->arena, void *, all + 1)};
    PlaceArgs *a = ARENA_ARRAY(&m->arena, PlaceArgs, 1);
    for (uint32_t i = 0; i < m->r->nplace; i++) {
        const CUDA_KERNEL_NODE_PARAMS p = cuda_place(m->c, m->r, i, &none, a);
        if (!add_kernel(m, p.func, 1, CUDA_BLOCK, 0, p.kernelParams, control_name[C_PLACE])) return false;
        m->r->place[i] = m->last;
    }
    return true;
}

/* The maps, which lie at multiples of 128 bytes, the table's room, the offsets of temporaries, the code, and the sizes that
 * launches do not bring along. */
static void lay_out(Making *m)
{
    const Program *p = m->c->p;
    const bool by_value = cuda_dims_by_value(p);
    take_words(m, m->maps.len * MAP_WORDS);
    m->r->table = address(m, take_words(m, p->buf.len));
    const uint32_t offset = take_words(m, p->buf.len);
    m->r->offset = address(m, offset);
    m->r->failed = address(m, take_words(m, 1));
    for (uint32_t i = 0; i < p->buf.len; i++)
        m->word[offset + i] = p->buf.at[i].kind == BUF_TEMP && p->buf.at[i].bytes != 0 ? p->buf.at[i].offset : -1;
    const uint32_t sizes = take_words(m, by_value ? 0 : p->dim.len);
    m->dims = address(m, sizes);
    m->size = by_value ? ARENA_ARRAY(&m->arena, int64_t, p->dim.len) : m->word + sizes;
    for (uint32_t i = 0; i < p->dim.len; i++) m->size[i] = size_of(m, p->dim.at[i]);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void record(void *arg)
{
    Making *m = arg;
    const Program *p = m->c->p;
    m->word = ARENA_ARRAY(&m->arena, int64_t, m->room);
    recorded_maps(&m->arena, p, cuda_sm(m->d), p->step, p->nstep, &m->maps);
    lay_out(m);
    m->ok = recorded_maps_make(m->d, p, m->dim, m->r->memory, &m->maps, m->word, m->st);
    const uint32_t first = m->words;
    m->r->maps = address(m, first);
    m->r->nmap = m->ok ? map_words(m, UINT32_MAX) : 0;
    m->ok = m->ok && record_places(m) && record_steps(m, p->step, p->nstep);
}

/* The recording's own arrays, in one block. */
static bool make_room(const Compiled *c, const int64_t *dim, Recording *r, Status *st)
{
    const uint32_t all = c->p->ninput + c->p->noutput, nplace = all / control_places(c->p) + 1;
    const size_t symbols = c->p->symbol.len * sizeof *dim;
    *r = (Recording){.nplace = nplace, .symbol = mem_alloc(symbols + nplace * sizeof *r->place)};
    if (!r->symbol) return status_fail(st, ST_MEMORY, "no memory for a recording of %s", c->p->name ? c->p->name : "a program");
    if (symbols) memcpy(r->symbol, dim, symbols);
    r->place = (CUgraphNode *)(void *)((char *)r->symbol + symbols);
    return true;
}

void cuda_record_free(const Compiled *c, Recording *r)
{
    const CudaDriver *d = c->driver;
    if (r->exec && d->GraphExecDestroy(r->exec) != 0) d->GraphExecDestroy(r->exec);
    if (r->graph && d->GraphDestroy(r->graph) != 0) d->GraphDestroy(r->graph);
    if (r->memory && d->MemFree(r->memory) != 0) d->MemFree(r->memory);
    mem_free(r->symbol, c->p->symbol.len * sizeof *r->symbol + r->nplace * sizeof *r->place);
    *r = (Recording){0};
}

bool cuda_record(const Compiled *c, CudaQueue *q, const int64_t *dim, Recording *r, Status *st)
{
    const CudaDriver *d = c->driver;
    const Program *p = c->p;
    Making m = {.c = c, .d = d, .dim = dim, .r = r, .st = st};
    if (!make_room(c, dim, r, st)) return false;
    m.room = 2 * p->buf.len + 1 + p->dim.len + words_of(c, dim, p->step, p->nstep) +
             (MAP_WORDS + 2 * sizeof(MapWords) / 8) * products_of(c, p->step, p->nstep);
    r->bytes = m.room * sizeof *m.word;
    arena_init(&m.arena);
    bool ok = cuda_take(q, r->bytes, &r->memory, st);
    if (!ok) r->memory = 0;
    ok = ok && cuda_ok(d, d->GraphCreate(&r->graph, 0), st, "a graph");
    if (!ok) r->graph = NULL;
    m.graph = r->graph;
    ok = ok && arena_try(&m.arena, st, record, &m) && m.ok;
    ok = ok && q->put(q, r->memory, m.word, r->bytes, st);
    if (ok && !(ok = cuda_ok(d, d->GraphInstantiate(&r->exec, r->graph, 0), st, "a graph of %u nodes", r->nodes))) r->exec = NULL;
    arena_free(&m.arena);
    if (ok) return true;
    if (r->memory) cuda_give(q, r->memory); /* something may be on its way there */
    r->memory = 0;
    cuda_record_free(c, r);
    return false;
}
