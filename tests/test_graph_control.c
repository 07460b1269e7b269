/* test_graph_control: the kernels of graphs that stand in for the host: each barrier and each guard of memory in their text is
 * needed, since without it an emulated device reports a race or an address; and more addresses than one kernel takes. */
#include "mutant.h"

#include "cuda_check.h"

static uint32_t temporary(Make *m, DType t, Dim n, int64_t offset)
{
    return make_buf(m, (Buf){.kind = BUF_TEMP,
                           .type = {.dtype = (uint8_t)t, .rank = 1, .dim = {n}},
                           .offset = offset,
                           .bytes = n * (int64_t)dtype_bytes(t)});
}

static uint32_t slice(Make *m, uint32_t of, Dim n)
{
    return make_buf(
        m, (Buf){.kind = BUF_SLICE, .type = {.dtype = DT_f32, .rank = 1, .dim = {n}}, .of = of, .loop = 0, .stride = n});
}

static Block *copies(Make *m, uint32_t n, const uint32_t (*pair)[2])
{
    Block *b = arena_zeros(&m->arena, 1, sizeof *b);
    b->n = n;
    b->step = arena_zeros(&m->arena, n + 1, sizeof *b->step);
    for (uint32_t i = 0; i < n; i++) b->step[i] = (Step){.kind = STEP_COPY, .from = pair[i][0], .to = pair[i][1]};
    return b;
}

static void case_begin(Case *c)
{
    c->graph = true;
    c->from = "graph_place(";
    case_open(c);
    c->m->p->workspace = 128;
}

/* Three rows, through a temporary: counted, or while a selector says so, up to two turns. */
static void loop_of(Case *c, bool counted)
{
    Make *m = c->m = make_new();
    uint32_t way = counted ? UINT32_MAX : make_input(m, DT_bool);
    const uint32_t x = make_length(m, make_input(m, DT_f32), 12), y = make_length(m, make_output(m, DT_f32), 12);
    const uint32_t index = temporary(m, DT_i64, 1, 0), t = temporary(m, DT_f32, 4, 64), from = slice(m, x, 4), to = slice(m, y, 4);
    Block *block = arena_zeros(&m->arena, 2, sizeof *block);
    block[0] = *copies(m, 2, (const uint32_t[][2]){{from, t}, {t, to}});
    make_step(m, (Step){.kind = STEP_LOOP,
                     .trip = UINT32_MAX,
                     .trip_dim = counted ? 3 : 2,
                     .index = index,
                     .count = UINT32_MAX,
                     .selector = way,
                     .block = block,
                     .nblock = counted ? 1 : 2});
    case_begin(c);
    if (!counted) *(char *)c->buf[0] = 1;
}

static void loops_need(void **state)
{
    (void)state;
    Case c = {0};
    loop_of(&c, true);
    float *x = c.buf[0];
    for (int i = 0; i < 12; i++) x[i] = (float)i;
    case_runs(&c);
    assert_memory_equal(c.buf[0], c.buf[1], 12 * sizeof *x);
    needed(&c, "i < n; i += 256u", "i < n + 1; i += 256u", 1);
    needed(&c, "i < to; i += 256u", "i < to + 1; i += 256u", 1);
    needed(&c, "if (threadIdx.x == 0) *failed", "*failed", 1);
    needed(&c, "i < bytes / i64(sizeof(T))", "i < bytes / i64(sizeof(T)) + 1", 1);
    needed(&c, "i < l->slices", "i < l->slices + 1", 1);
    needed(&c, "    __syncwarp();\n", "", 1);
    needed(&c, "if (threadIdx.x != 0) return;", "", 1);
    case_free(&c);
}

static void whiles_need(void **state)
{
    (void)state;
    Case c = {0};
    loop_of(&c, false);
    case_runs(&c);
    needed(&c, "    __syncwarp();\n", "", 1);
    needed(&c, "if (threadIdx.x != 0) return;", "", 1);
    needed(&c, "if (threadIdx.x != 0) return;", "", 2);
    case_free(&c);
}

static void branches_need(void **state)
{
    (void)state;
    Case c = {.m = make_new()};
    const uint32_t way = make_input(c.m, DT_bool), x = make_length(c.m, make_input(c.m, DT_f32), 3),
                   y = make_length(c.m, make_output(c.m, DT_f32), 3);
    Block *block = arena_zeros(&c.m->arena, 2, sizeof *block);
    block[1] = *copies(c.m, 1, (const uint32_t[][2]){{x, y}});
    make_step(c.m, (Step){.kind = STEP_BRANCH, .selector = way, .block = block, .nblock = 2});
    case_begin(&c);
    for (int taken = 0; taken < 2; taken++) {
        *(char *)c.buf[0] = (char)taken;
        ((float *)c.buf[1])[2] = 5;
        case_runs(&c);
        if (taken) assert_memory_equal(c.buf[1], c.buf[2], 12);
    }
    needed(&c, "i < n; i += 32", "i < n + 1; i += 32", 1);
    case_free(&c);
}

/* The copy after it does not come where it does not hold. */
static void assertions_need(void **state)
{
    (void)state;
    Case c = {.m = make_new()};
    const uint32_t holds = make_length(c.m, make_input(c.m, DT_bool), 5), x = make_length(c.m, make_input(c.m, DT_f32), 3);
    const uint32_t y = make_length(c.m, make_output(c.m, DT_f32), 3);
    const Type type = {.dtype = DT_bool, .rank = 1, .dim = {5}};
    const uint32_t buf[] = {holds};
    Step s = {.kind = STEP_EFFECT, .buf = buf, .number = 1};
    s.effect.op = OP_assert;
    s.effect.nin = 1;
    s.effect.type = &type;
    make_step(c.m, s);
    make_step(c.m, (Step){.kind = STEP_COPY, .from = x, .to = y});
    c.m->p->may_fail = true;
    case_begin(&c);
    ((float *)c.buf[1])[2] = 5;
    for (int hold = 0; hold < 2; hold++) {
        memset(c.buf[0], 1, 5);
        *((char *)c.buf[0] + 3) = (char)hold;
        case_runs(&c);
        assert_true(((float *)c.buf[2])[2] == (hold ? 5 : 0));
    }
    needed(&c, "i < n; i += 32", "i < n + 1; i += 32", 1);
    *((char *)c.buf[0] + 4) = 0; /* which several lanes hear of */
    needed(&c, "threadIdx.x == 0 && fails", "fails", 1);
    needed(&c, "if (threadIdx.x == 0) cudaGraph", "cudaGraph", 1);
    if (cuda_nvrtc(&(Status){0})) {
        cuda_source_compiles(c.source.at, "assertions");
        cuda_fits_registers(c.source.at, "assertions");
    }
    case_free(&c);
}

/* Two kernels write the table. */
static void more_addresses_than_one_takes(void **state)
{
    (void)state;
    enum { N = 300 };
    Case c = {.m = make_new()};
    uint32_t pair[N][2];
    for (uint32_t i = 0; i < N; i++) pair[i][0] = make_input(c.m, DT_i32);
    for (uint32_t i = 0; i < N; i++) pair[i][1] = make_output(c.m, DT_i32);
    const uint32_t t = temporary(c.m, DT_i32, 1, 0);
    for (uint32_t i = 0; i < N; i++) {
        const uint32_t from = pair[i][0], to = pair[N - 1 - i][1];
        make_step(c.m, (Step){.kind = STEP_COPY, .from = from, .to = t});
        make_step(c.m, (Step){.kind = STEP_COPY, .from = t, .to = to});
    }
    case_begin(&c);
    for (int i = 0; i < N; i++) *(int *)c.buf[i] = 7 * i + 1;
    case_runs(&c);
    for (int i = 0; i < N; i++) assert_int_equal(*(int *)c.buf[N + i], 7 * (N - 1 - i) + 1);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_need),
        cmocka_unit_test(whiles_need),
        cmocka_unit_test(branches_need),
        cmocka_unit_test(assertions_need),
        cmocka_unit_test(more_addresses_than_one_takes),
    };
    EMU_TESTS(tests);
}
