/* test_card: graphs on the device that KILN_TEST_CARD names, emu:0 unless it is set: those of tests/chosen.kiln and random ones,
 * and with KILN_TEST_CARD those of tests/lower.kiln. They are judged by what is expected of them (expected.h): the CPU's bits, or
 * where docs/numerics.md leaves them to the device, as products on tensor cores, what the reference allows. KILN_EXPECTED names a
 * file with that; without it, it is computed here. KILN_EXPECTED_WRITE=FILE writes one and runs nothing. KILN_GRAPHS=FIRST:COUNT
 * chooses random graphs. KILN_LONG_ROW=N has rows of more than N elements shared by several blocks. */
#include "cases.h"
#include "codegen/cuda/run.h"
#include "codegen/cuda/schedule.h"
#include "codegen/devices.h"
#include "cuda_check.h"
#include "expected.h"
#include "graph_run.h"
#include "interp.h"
#include "ir/text.h"
#include "random_graph.h"

#include <stdlib.h>
#include <unistd.h>

enum { SYMBOLS = 4096, OF_TEXTS = 5 }; /* every size of a text that is not given */

static const CudaDriver *driver; /* of the device */
static FILE *kept;               /* what is expected; NULL: it is computed */

typedef struct Case {
    Arena arena;
    char name[96];
    const char *text; /* of a module; NULL: the random graph of that seed */
    size_t len;
    uint64_t seed;
    FILE *to; /* where what is expected is written; NULL: it runs */
    /* of the module */
    Module *m;
    void **in;
    int64_t symbol[SYMBOLS];
} Case;

/* ---- the graph and its inputs --------------------------------------------------------------------------------------------- */
static void make_text(Case *c)
{
    Status st = {0};
    c->m = module_parse(&c->arena, c->text, c->len, &st);
    if (c->m == NULL) fail_msg("%s: %s", c->name, st.text);
    for (int i = 0; i < SYMBOLS; i++) c->symbol[i] = OF_TEXTS;
    const Graph *g = c->m->graph.at[0];
    c->in = ARENA_ARRAY(&c->arena, void *, g->param.len + 1);
    for (uint32_t i = 0; i < g->param.len; i++) {
        const Type *t = graph_type(g, g->param.at[i]);
        size_t n = 1;
        for (uint32_t d = 0; d < t->rank; d++) n *= (size_t)dim_eval(&c->m->dims, t->dim[d], c->symbol);
        c->in[i] = cuda_spread(&c->arena, (DType)t->dtype, n);
    }
}

static void make_random(Case *c)
{
    Status st = {0};
    RandomGraph *rg = arena_zeros(&c->arena, 1, sizeof *rg);
    if (!random_graph(rg, &c->arena, c->seed, c->seed % 2 == 0, &st)) fail_msg("%s: %s", c->name, st.text);
    c->m = rg->m;
    memcpy(c->symbol, rg->symbol, sizeof c->symbol);
    c->in = ARENA_ARRAY(&c->arena, void *, rg->g->param.len + 1);
    for (uint32_t i = 0; i < rg->g->param.len; i++) c->in[i] = random_input(rg, &c->arena, i);
}

/* Passes use a module up, so each program starts anew. */
static void make(Case *c) { c->text != NULL ? make_text(c) : make_random(c); }

static Program *lower(Case *c, ProductSums sums)
{
    Status st = {0};
    LowerOptions o = {0};
    make(c);
    cuda_target(&o.target);
    o.target.sums = sums;
    Program *p = graph_passes(c->m, &o.target, false, -1, &st) ? program_lower(&c->arena, c->m, &o, &st) : NULL;
    if (p == NULL) fail_msg("%s: %s", c->name, st.text);
    return p;
}

/* ---- running --------------------------------------------------------------------------------------------------------------- */
static int64_t *symbols_of(Case *c)
{
    int64_t *v = ARENA_ARRAY(&c->arena, int64_t, SYMBOLS);
    for (uint32_t i = 0; i < SYMBOLS; i++) v[i] = c->text != NULL ? OF_TEXTS : c->symbol[0];
    return v;
}

static void **room(Case *c, const Program *p, const int64_t *symbol)
{
    void **buf = ARENA_ARRAY(&c->arena, void *, p->ninput + p->noutput + 1);
    memcpy(buf, c->in, p->ninput * sizeof *buf);
    for (uint32_t i = 0; i < p->noutput; i++) {
        const Type *t = &p->buf.at[p->ninput + i].type;
        size_t n = dtype_bytes((DType)t->dtype);
        for (uint32_t d = 0; d < t->rank; d++) n *= (size_t)dim_eval(&p->module->dims, t->dim[d], symbol);
        buf[p->ninput + i] = memset(arena_alloc(&c->arena, n + 1), 0x7f, n + 1);
    }
    return buf;
}

/* A program that was recorded is run twice: as it is recorded, and again. */
static void **on_device(Case *c, const Program *p)
{
    Status st = {0};
    int64_t *symbol = symbols_of(c);
    void **buf = room(c, p, symbol);
    Compiled *compiled = cuda_backend()->compile(p, &(CompileOptions){.there = driver}, &st);
    int32_t code = compiled ? cuda_copies_run(compiled, buf, symbol, &st) : -1;
    if (code == 0 && compiled->recordings) code = cuda_copies_run(compiled, buf, symbol, &st);
    cuda_backend()->release(compiled);
    if (code != 0) fail_msg("%s on %s: %s (%d)", c->name, driver->device, st.text, (int)code);
    return buf + p->ninput;
}

static Expected expect(Case *c)
{
    Status st = {0};
    RefTensor *all;
    make(c);
    const Graph *g = c->m->graph.at[0];
    Expected e = {.n = g->result.len, .ref = ARENA_ARRAY(&c->arena, RefTensor, g->result.len + 1)};
    if (!ref_run(&c->arena, g, c->symbol, (const void *const *)c->in, &all, &st)) fail_msg("%s: %s", c->name, st.text);
    for (uint32_t i = 0; i < e.n; i++) e.ref[i] = all[g->result.at[i]];
    const Program *p = lower(c, SUMS_CHAINS);
    int64_t *symbol = symbols_of(c);
    void **buf = room(c, p, symbol);
    if (!interp_run(p, buf, symbol, &st)) fail_msg("%s: %s", c->name, st.text);
    e.bits = buf + p->ninput;
    return e;
}

/* ---- judging --------------------------------------------------------------------------------------------------------------- */
/* Temporaries lie where the sizes' bounds put them: more than devices have, emulated ones first, is none of a test's business. */
#define MOST_WORKSPACE ((int64_t)1 << 30)

static bool judge(Case *c, const Expected *e, char *why, size_t cap)
{
    const Program *p = lower(c, SUMS_CHAINS);
    if (p->workspace > MOST_WORKSPACE) {
        print_message("%s is left out: its sizes' bounds take %lld bytes\n", c->name, (long long)p->workspace);
        return true;
    }
    if (!expected_bits(e, on_device(c, p), why, cap)) return false;
    return !cuda_may_use_tensor_cores(p) || expected_allowed(e, on_device(c, lower(c, SUMS_USUAL)), why, cap);
}

static void case_body(void *arg)
{
    Case *c = arg;
    Expected e;
    char why[300];
    if (c->to != NULL || kept == NULL)
        e = expect(c);
    else if (!expected_read(&c->arena, kept, c->name, &e))
        fail_msg("%s: %s says nothing of it", c->name, getenv("KILN_EXPECTED"));
    if (c->to != NULL && !expected_write(c->to, c->name, &e)) fail_msg("%s: what is expected cannot be written", c->name);
    if (c->to == NULL && !judge(c, &e, why, sizeof why)) fail_msg("%s on %s: %s", c->name, driver->device, why);
}

static void run_case(Case *c)
{
    Status st = {0};
    const char *only = getenv("KILN_CASE");
    if (only != NULL && strstr(c->name, only) == NULL) return;
    arena_init(&c->arena);
    if (!arena_try(&c->arena, &st, case_body, c)) fail_msg("%s: %s", c->name, st.text);
    arena_free(&c->arena);
}

/* Effects are the front end's, whose tests have them. */
static bool has_effects(const TextCase *t)
{
    char *text = strndup(t->text, t->len);
    const bool yes = strstr(text, "print(") || strstr(text, "assert(") || strstr(text, "callback(");
    free(text);
    return yes;
}

static int each_text(const char *path, FILE *to)
{
    Arena a;
    TextCase t;
    int n = 0;
    arena_init(&a);
    for (const char *at = cases_read(&a, path); cases_next(&at, CASE_MARK, &t);) {
        if (has_effects(&t)) continue;
        Case *c = arena_zeros(&a, 1, sizeof *c);
        *c = (Case){.text = t.text, .len = t.len, .to = to};
        snprintf(c->name, sizeof c->name, "%s: %.80s", strrchr(path, '/') + 1, t.name); /* names are of their file alone */
        run_case(c);
        n++;
    }
    arena_free(&a);
    return n;
}

static int each_random(int count, FILE *to)
{
    int first = 1;
    const char *which = getenv("KILN_GRAPHS");
    static Case c;
    if (which != NULL) sscanf(which, "%d:%d", &first, &count);
    for (int seed = first; seed < first + count; seed++) {
        c = (Case){.seed = (uint64_t)seed, .to = to};
        snprintf(c.name, sizeof c.name, "random graph %d", seed);
        run_case(&c);
    }
    return count;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------- */
#define CHOSEN "tests/chosen.kiln"

static bool on_card(void) { return getenv("KILN_TEST_CARD") != NULL; }

/* Two of the products have more elements than this. */
static void chosen_graphs(void **state)
{
    (void)state;
    const int64_t large = product_large;
    product_large = 140 * 133;
    assert_int_equal(each_text(CHOSEN, NULL), 20);
    product_large = large;
}

static void lowered_graphs(void **state)
{
    (void)state;
    if (on_card()) each_text(LOWER_CASES, NULL);
}

static void random_graphs(void **state)
{
    (void)state;
    each_random(getenv("KILN_TEST_FULL") != NULL ? 300 : on_card() ? 50 : 4, NULL);
}

static void spoil(Expected *e, bool bits)
{
    if (bits)
        *(uint8_t *)e->bits[0] ^= 1;
    else
        e->ref[0].f[0] += 1 + 8 * e->ref[0].bound[0];
}

/* What was written is what is read, by whatever name it is asked for; and another value is a failure that names the place. */
static void files_body(void *arg)
{
    Case *c = arg;
    char why[300];
    Expected e = expect(c), again, other;
    FILE *f = tmpfile();
    assert_true(expected_begin(f) && expected_write(f, "another", &(Expected){0}) && expected_write(f, c->name, &e) &&
                expected_write(f, "last", &e));
    assert_false(expected_read(&c->arena, f, "none of them", &other));
    assert_true(expected_read(&c->arena, f, "last", &other) && expected_read(&c->arena, f, c->name, &again));
    fclose(f);
    assert_int_equal(again.n, e.n);
    if (!judge(c, &again, why, sizeof why)) fail_msg("%s", why);
    void **out = on_device(c, lower(c, SUMS_CHAINS));
    assert_true(expected_bits(&again, out, why, sizeof why) && expected_allowed(&again, out, why, sizeof why));
    spoil(&again, true);
    assert_false(expected_bits(&again, out, why, sizeof why));
    assert_non_null(strstr(why, "result 0, element 0: "));
    assert_true(expected_allowed(&again, out, why, sizeof why));
    spoil(&again, false);
    assert_false(expected_allowed(&again, out, why, sizeof why));
    assert_false(judge(c, &again, why, sizeof why));
}

static void files_keep_what_is_expected(void **state)
{
    static const char text[] = "module {}\n"
                               "graph @main(%1: f32[3,4], %2: f32[4]) -> (%4, %6) {\n"
                               "  %3 = broadcast(%2) {[3, 4]} : f32[3,4]\n"
                               "  %4 = mul(%1, %3) : f32[3,4]\n"
                               "  %5 = cast(%1) {i32} : i32[3,4]\n"
                               "  %6 = add(%5, %5) : i32[3,4]\n}\n";
    Status st = {0};
    static Case c;
    (void)state;
    c = (Case){.name = "by hand", .text = text, .len = sizeof text - 1};
    arena_init(&c.arena);
    if (!arena_try(&c.arena, &st, files_body, &c)) fail_msg("%s", st.text);
    arena_free(&c.arena);
}

/* ---- all ------------------------------------------------------------------------------------------------------------------- */
static void written(void **state)
{
    (void)state;
    const char *path = getenv("KILN_EXPECTED_WRITE");
    FILE *f = fopen(path, "wb");
    assert_true(f && expected_begin(f));
    const int n = each_text(CHOSEN, f) + each_text(LOWER_CASES, f) + each_random(200, f);
    const long bytes = ftell(f);
    assert_true(fclose(f) == 0 && bytes > 0);
    print_message("%s: %d graphs, %ld bytes\n", path, n, bytes);
}

static bool find_device(void)
{
    Status st = {0};
    uint32_t number;
    const char *name = on_card() ? getenv("KILN_TEST_CARD") : "emu:0", *path = getenv("KILN_EXPECTED");
    if (!device_named(name, &number, &st) || (strncmp(name, "gpu:", 4) == 0 && !cuda_nvrtc(&st)))
        return print_message("skip: %s\n", st.text), false;
    driver = device_at(number)->there;
    kept = path != NULL ? fopen(path, "rb") : NULL;
    if (path != NULL && kept == NULL) return print_message("skip: %s does not open\n", path), false;
    if (kept == NULL && !cpu_has_fma())
        return print_message("skip: this CPU has no FMA, so its bits are not those of a device\n"), false;
    return true;
}

int main(void)
{
    if (getenv("KILN_LONG_ROW")) cuda_long_row = atoi(getenv("KILN_LONG_ROW"));
    const struct CMUnitTest tests[] = {cmocka_unit_test(chosen_graphs), cmocka_unit_test(lowered_graphs),
        cmocka_unit_test(random_graphs), cmocka_unit_test(files_keep_what_is_expected)};
    const struct CMUnitTest writes[] = {cmocka_unit_test(written)};
    if (getenv("KILN_EXPECTED_WRITE") != NULL) return cmocka_run_group_tests(writes, NULL, NULL);
    if (!find_device()) return 77;
    if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
