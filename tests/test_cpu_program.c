/* The LLVM backend's programs: loops over slices, copies, run-time dims, threads that compile at once, objects that a C program
 * links and runs. test_cpu_product.c has the products. */
#include "kernel_make.h"
#include "model.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define NEED_LLVM()                  \
    do {                             \
        (void)state;                 \
        if (!llvm_backend()) skip(); \
    } while (0)

/* ---- loops ----------------------------------------------------------------------------------- */

/* acc = x[i] * 2 + acc, row by row; y[i] = acc; index kept. Inside, a second loop adds its own
 * index `inner` times. */
static void make_loop(Make *m, bool reverse, Dim trip, int64_t width)
{
    Type f = {.dtype = DT_f32, .rank = 1, .dim = {width}}, i64 = {.dtype = DT_i64};
    uint32_t x = make_input(m, DT_f32), start = make_input(m, DT_f32), y = make_output(m, DT_f32),
             last = make_output(m, DT_f32);
    m->p->buf.at[start].type = m->p->buf.at[last].type = f;
    m->p->buf.at[x].type = m->p->buf.at[y].type = (Type){.dtype = DT_f32, .rank = 2, .dim = {trip, width}};
    uint32_t acc = make_buf(m, (Buf){.kind = BUF_TEMP, .type = f, .offset = 64});
    uint32_t index = make_buf(m, (Buf){.kind = BUF_TEMP, .type = i64, .offset = 0});
    uint32_t inner = make_buf(m, (Buf){.kind = BUF_TEMP, .type = i64, .offset = 8});
    uint32_t xi =
        make_buf(m, (Buf){.kind = BUF_SLICE, .type = f, .of = x, .loop = 7, .stride = width});
    uint32_t yi =
        make_buf(m, (Buf){.kind = BUF_SLICE, .type = f, .of = y, .loop = 7, .stride = width});
    m->p->workspace = 64 + width * 4;
    make_kernel(m, 1, (Dim[]){width}, -1, 0, 0, 2, 3);
    make_stage(m, false);
    int32_t v = make_load(m, make_stream(m, 0, DT_f32, 0, (Dim[]){1}, -1, -1));
    int32_t a = make_load(m, make_stream(m, 1, DT_f32, 0, (Dim[]){1}, -1, -1));
    int32_t r = make_prim(m, P_mad, DT_f32, v, make_const(m, DT_f32, (Scalar){.f = 2}), a);
    make_store(m, make_stream(m, 1, DT_f32, 0, (Dim[]){1}, -1, -1), r, false);
    make_store(m, make_stream(m, 2, DT_f32, 0, (Dim[]){1}, -1, -1), r, false);
    uint32_t k = make_kernel_end(m);
    make_kernel(m, 1, (Dim[]){width}, -1, 0, 0, 2, 2);
    make_stage(m, false);
    int32_t i = make_load(m, make_stream(m, 1, DT_i64, 0, (Dim[]){0}, -1, -1));
    uint32_t both = make_stream(m, 0, DT_f32, 0, (Dim[]){1}, -1, -1);
    int32_t sum =
        make_prim(m, P_add, DT_f32, make_load(m, both), make_prim(m, P_cvt, DT_f32, i, -1, -1), -1);
    make_store(m, both, sum, false);
    uint32_t add = make_kernel_end(m);
    Step *twice = ARENA_NEW(&m->arena, Step), *body = ARENA_ARRAY(&m->arena, Step, 2);
    Block *block = ARENA_ARRAY(&m->arena, Block, 2);
    block[0] = (Block){twice, 1};
    block[1] = (Block){body, 2};
    *twice = make_run(m, add, 2, (uint32_t[]){acc, inner});
    body[0] = make_run(m, k, 3, (uint32_t[]){xi, acc, yi});
    body[1] = (Step){
        .kind = STEP_LOOP, .id = 8, .trip = index, .trip_dim = DIM_BAD, .index = inner, .selector = UINT32_MAX, .block = block, .nblock = 1};
    make_step(m, (Step){.kind = STEP_COPY, .from = start, .to = acc});
    make_step(m, (Step){.kind = STEP_LOOP,
                     .id = 7,
                     .trip = UINT32_MAX,
                     .trip_dim = trip,
                     .index = index,
                     .reverse = reverse,
                     .selector = UINT32_MAX,
                     .block = block + 1,
                     .nblock = 1});
    make_step(m, (Step){.kind = STEP_COPY, .from = acc, .to = last});
}

static void loops(void **state)
{
    NEED_LLVM();
    enum { TRIP = 5, WIDTH = 13 };
    float x[TRIP * WIDTH], start[WIDTH], y[TRIP * WIDTH], last[WIDTH], acc[WIDTH],
        want[TRIP * WIDTH];
    for (int i = 0; i < TRIP * WIDTH; i++) x[i] = (float)(i % 17);
    for (int variant = 0; variant < 4; variant++) {
        bool reverse = variant & 1;
        Make *m = make_new();
        make_loop(m, reverse, variant & 2 ? make_symbol(m, "T", 0, 100) : TRIP, WIDTH);
        for (int j = 0; j < WIDTH; j++) acc[j] = start[j] = (float)j;
        for (int n = 0; n < TRIP; n++) {
            int i = reverse ? TRIP - 1 - n : n;
            for (int j = 0; j < WIDTH; j++) {
                want[i * WIDTH + j] = acc[j] = x[i * WIDTH + j] * 2 + acc[j];
                for (int k = 0; k < i; k++) acc[j] += (float)k;
            }
        }
        run_program(make_program(m), (void *[]){x, start, y, last}, (int64_t[]){TRIP}, NULL);
        assert_memory_equal(y, want, sizeof y);
        assert_memory_equal(last, acc, sizeof last);
        make_free(m);
    }
}

/* ---- run-time dims --------------------------------------------------------------------------- */

static void dims_are_evaluated_once(void **state)
{
    NEED_LLVM();
    Make *m = make_new();
    DimTable *t = &m->module->dims;
    Dim n = make_symbol(m, "N", 1, 100), k = make_symbol(m, "K", 1, 100);
    const Dim dims[] = {dim_add(t, dim_mul(t, n, k), 3), dim_floordiv(t, dim_add(t, n, k), 2),
        dim_max(t, n, k), dim_sub(t, dim_mul(t, 2, n), 1)};
    uint32_t buf[1] = {make_output(m, DT_i64)};
    make_kernel(m, 1, (Dim[]){1}, -1, -1, 0, 1, 1);
    make_stage(m, false);
    for (uint32_t i = 0; i < COUNT_OF(dims); i++) {
        make_dim(m, dims[i]);
        Instr in = {
            .kind = I_DIM, .type = DT_i64, .a = -1, .b = -1, .c = -1, .ref = m->p->dim.len - 1};
        *VEC_PUSH(&m->arena, &m->instr) = in;
        m->stage.at[0].last = m->instr.len;
        make_store(
            m, make_stream(m, 0, DT_i64, i, (Dim[]){1}, -1, -1), (int32_t)m->instr.len - 1, false);
    }
    make_step(m, make_run(m, make_kernel_end(m), 1, buf));
    int64_t out[COUNT_OF(dims)];
    run_program(make_program(m), (void *[]){out}, (int64_t[]){7, 12}, NULL);
    assert_true(out[0] == 87 && out[1] == 9 && out[2] == 12 && out[3] == 13);
    make_free(m);
}

/* ---- threads, dumps, objects ----------------------------------------------------------------- */

static void *compile_many(void *arg)
{
    for (int n = 0; n < 8; n++) {
        Make *m = make_new();
        Status st = {0};
        make_loop(m, n & 1, 5, 8 + n);
        Compiled *c = llvm_backend()->compile(make_program(m), &(CompileOptions){0}, &st);
        if (c && llvm_backend()->entry(c) && llvm_backend()->code_bytes(c) > 0) ++*(int *)arg;
        if (c) llvm_backend()->release(c);
        make_free(m);
    }
    return NULL;
}

static void threads_compile_at_once(void **state)
{
    NEED_LLVM();
    pthread_t t[3];
    int done[3] = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, compile_many, &done[i]), 0);
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 3; i++) assert_int_equal(done[i], 8);
}

/* The module links by itself where nobody else can; what it makes runs as what we lay out ourselves. */
static void the_module_links_too(void **state)
{
    NEED_LLVM();
    const Backend *all[] = {llvm_backend(), llvm_module()};
    float x[5 * 8], s[8] = {1, 1, 1}, y[2][5 * 8], l[2][8];
    for (int i = 0; i < 5 * 8; i++) x[i] = (float)(i + 1);
    for (int i = 0; i < 2; i++) {
        Make *m = make_new();
        Status st = {0};
        make_loop(m, false, 5, 8);
        const Program *p = make_program(m);
        Compiled *c = all[i]->compile(p, &(CompileOptions){0}, &st);
        if (!c) fail_msg("%s", st.text);
        _Alignas(64) static char work[4096];
        assert_true(p->workspace <= (int64_t)sizeof work);
        assert_int_equal(all[i]->entry(c)((void *[]){x, s, y[i], l[i]}, (int64_t[]){5}, work, NULL), 0);
        all[i]->release(c);
        make_free(m);
    }
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    assert_memory_equal(l[0], l[1], sizeof l[0]);
}

static void note_dump(void *user, const char *stage, const char *name, const char *text, size_t len)
{
    assert_string_equal(name, "made");
    assert_true(len > 0);
    if (strcmp(stage, "llvm") == 0 && strstr(text, "define")) *(int *)user |= 1;
    if (strcmp(stage, "asm") == 0 && strstr(text, ".globl")) *(int *)user |= 2;
}

static void dumps_what_is_wanted(void **state)
{
    NEED_LLVM();
    for (int want = 0; want < 4; want++) {
        static const char *const stages[] = {"cuda", "cuda,llvm", "asm", "llvm,asm"};
        int got = 0;
        Status st = {0};
        Make *m = make_new();
        make_loop(m, false, 5, 8);
        Compiled *c = llvm_backend()->compile(make_program(m),
            &(CompileOptions){.dump = note_dump, .dump_user = &got, .want = stages[want]}, &st);
        assert_non_null(c);
        assert_int_equal(got, want);
        llvm_backend()->release(c);
        make_free(m);
    }
}

static const char main_c[] =
    "#include <stdint.h>\n"
    "int32_t my_loop(void *const *, const int64_t *, void *, const void *);\n"
    "extern const unsigned char my_data[5];\n"
    "int main(void) {\n"
    "  static float x[15] = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}, s[3] = {1,1,1}, y[15], l[3];\n"
    "  static _Alignas(64) char work[128];\n"
    "  void *buf[4] = {x, s, y, l}; int64_t dim[1] = {5};\n"
    "  if (my_loop(buf, dim, work, 0)) return 1;\n"
    "  if (my_data[0] != 9 || my_data[4] != 7 || (uintptr_t)my_data % 64) return 3;\n"
    "  return l[0] == 1 + 2 * (1 + 4 + 7 + 10 + 13) + 1 + 3 + 6 ? 0 : 2;\n"
    "}\n";

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

typedef struct Copy {
    void *bytes;
    size_t len;
} Copy;
static void keep(void *user, const void *bytes, size_t len)
{
    Copy *c = user;
    c->bytes = malloc(c->len = len);
    assert_non_null(c->bytes);
    memcpy(c->bytes, bytes, len);
}

static void objects_link_into_c(void **state)
{
    NEED_LLVM();
    static const unsigned char bytes[5] = {9, 0, 0, 0, 7};
    const ObjectData data[2] = {{.symbol = "my_data", .bytes = bytes, .len = sizeof bytes}, {.symbol = "my_nothing"}};
    char dir[] = "/tmp/kiln_object_XXXXXX", command[1024], path[256];
    Copy copy[2];
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < 2; i++) {
        Make *m = make_new();
        Status st = {0};
        make_loop(m, false, make_symbol(m, "T", 0, 100), 3);
        if (!llvm_backend()->object(
                make_program(m), &(CompileOptions){0}, "my_loop", "my_sizes", data, 2, keep, &copy[i], &st))
            fail_msg("%s", st.text);
        make_free(m);
    }
    assert_int_equal(copy[0].len, copy[1].len);
    assert_memory_equal(copy[0].bytes, copy[1].bytes, copy[0].len);
    snprintf(path, sizeof path, "%s/k.o", dir);
    write_file(path, copy[0].bytes, copy[0].len);
    snprintf(path, sizeof path, "%s/m.c", dir);
    write_file(path, main_c, sizeof main_c - 1);
    const char *cc = getenv("CC");
    snprintf(command, sizeof command,
        "cd %s && %s -o m m.c k.o -lm && ./m; r=$?; rm -rf %s; exit $r", dir, cc && *cc ? cc : "cc",
        dir);
    assert_int_equal(system(command), 0);
    free(copy[0].bytes);
    free(copy[1].bytes);
}

static void objects_for_elsewhere(void **state)
{
    NEED_LLVM();
    static const CompileOptions there[] = {
        {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64"},
        {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64-v3"},
        {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64", .features = "+avx2,+fma,+f16c"},
        {.triple = "aarch64-unknown-linux-gnu"},
    };
    for (uint32_t i = 0; i < COUNT_OF(there); i++) {
        Copy c = {0};
        Status st = {0};
        Make *m = make_new();
        make_loop(m, false, 5, 8);
        if (!llvm_backend()->object(make_program(m), &there[i], "f", NULL, NULL, 0, keep, &c, &st))
            fail_msg("%s", st.text);
        assert_true(c.len > 100 && memcmp(c.bytes, "\177ELF", 4) == 0);
        free(c.bytes);
        make_free(m);
    }
    Make *m = make_new();
    Status st = {0};
    Copy c = {0};
    make_loop(m, false, 5, 8);
    assert_false(llvm_backend()->object(make_program(m),
        &(CompileOptions){.triple = "nonsense-none-none"}, "f", NULL, NULL, 0, keep, &c, &st));
    assert_int_equal(st.code, ST_UNSUPPORTED);
    make_free(m);
}

static void says_what_it_is(void **state)
{
    NEED_LLVM();
    char text[200];
    Target t;
    Status st = {0};
    llvm_backend()->describe(text, sizeof text);
    print_message("%s\n", text);
    assert_non_null(strstr(text, "LLVM"));
    assert_true(llvm_backend()->target(NULL, &t, &st));
    assert_true(t.vector_bytes >= 16 && t.row_cache_bytes == 16 << 10);
    assert_int_equal(t.fma, cpu_has_fma());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops),
        cmocka_unit_test(dims_are_evaluated_once),
        cmocka_unit_test(threads_compile_at_once),
        cmocka_unit_test(the_module_links_too),
        cmocka_unit_test(dumps_what_is_wanted),
        cmocka_unit_test(objects_link_into_c),
        cmocka_unit_test(objects_for_elsewhere),
        cmocka_unit_test(says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
