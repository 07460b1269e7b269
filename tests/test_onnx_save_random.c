/* test_onnx_save_random: random graphs over every op as files of ONNX. What is refused is refused for one of the reasons that docs/tour.md
 * lists; all others are read again and computed, and nearly all results are what the graph gives: indices from outside that lie beyond the end,
 * and numbers of which little is left, are others. KILN_SEEDS=N tries more. */
#include "remove_all.h"

#include "random_graph.h"

#include "ir/text.h"
#include "onnx_round.h"

#include <kiln/aot.h>

enum { SEEDS = 150, OTHERS = 4 /* of a hundred results */ };

typedef struct Tally {
    int models, refused, results, others;
} Tally;

/* What ONNX does not have. */
static const char *const reasons[] = {"random_bits (", "eigh (", "eigvalsh (", "svd (", "svdvals (", "conv (of images", "conv_filter (of images",
    "window_add (into", "a size (no input", "a size (below 0", "print (", "callback (", "pow (of integers", "cast (that saturates"};

static bool has_reason(const char *text)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strstr(text, reasons[i])) return true;
    return false;
}

static kiln_tensor *tensor_of(const RandomGraph *rg, Arena *arena, uint32_t i)
{
    const Type *t = graph_type(rg->g, rg->g->param.at[i]);
    kiln_shape shape = {.rank = t->rank};
    int64_t n = 1;
    for (uint32_t a = 0; a < t->rank; a++) n *= shape.size[1 + a] = dim_eval(&rg->m->dims, t->dim[a], rg->symbol);
    return kiln_from_at(KILN_HERE, k, (kiln_dtype)t->dtype, shape, random_input(rg, arena, i), n);
}

static bool alike(kiln_tensor *got, kiln_tensor *want)
{
    if (kiln_dtype_of(got) != kiln_dtype_of(want) || kiln_rank(got) != kiln_rank(want)) return false;
    for (int i = 0; i < kiln_rank(got); i++)
        if (kiln_dim(got, i) != kiln_dim(want, i)) return false;
    kiln_tensor *g = kiln_reshape(kiln_cast(got, KILN_F64), S(-1)), *w = kiln_reshape(kiln_cast(want, KILN_F64), S(-1));
    const double *a = kiln_data(g), *b = kiln_data(w);
    for (int64_t i = 0; i < kiln_elements(want); i++)
        if (!(isnan(a[i]) && isnan(b[i])) && a[i] != b[i] && !(fabs(a[i] - b[i]) <= 1e-3 * fmax(1, fabs(b[i])))) return false;
    return true;
}

static void compare(const RandomGraph *rg, Arena *arena, const char *name, const Text *text, Tally *tally)
{
    kiln_tensor *in[64], *want[64], *got[64];
    const int n = (int)rg->g->param.len, m = (int)rg->g->result.len;
    const Dim symbol = dim_find(&rg->m->dims, "N", 1);
    const kiln_run_dim dim = {"N", symbol == DIM_BAD ? 0 : rg->symbol[-1 - symbol]};
    for (int i = 0; i < n; i++) in[i] = tensor_of(rg, arena, (uint32_t)i);
    if (!kiln_run_text_with(k, text->at, text->len, kiln_tensors(in, n), want, m, &(kiln_run_options){.dims = &dim, .dims_count = symbol != DIM_BAD}))
        fail_msg("%s: %s", name, kiln_error(k)->text);
    kiln_onnx *model = kiln_onnx_load(k, path_of(name));
    const bool called = model && kiln_onnx_call(model, kiln_tensors(in, n), got, m);
    const bool stacks = !called && strstr(kiln_error(k)->text, "stacking until a condition that is computed"); /* other runtimes do that */
    if (!called && !stacks) fail_msg("%s: %s", name, kiln_error(k)->text);
    if (stacks) kiln_clear(k);
    for (int i = 0; i < m && called; i++) tally->results++, tally->others += !alike(got[i], want[i]);
    kiln_onnx_free(model);
}

typedef struct Task {
    Arena arena;
    uint64_t seed;
    Tally *tally;
} Task;

static void one_body(void *arg)
{
    Task *task = arg;
    const uint64_t seed = task->seed;
    Tally *tally = task->tally;
    KILN_SCOPE(k);
    Status st = {0};
    RandomGraph rg = {0};
    Text text = {0};
    char name[64];
    snprintf(name, sizeof name, "random_%d", (int)seed);
    if (!random_graph(&rg, &task->arena, seed, seed % 2 == 1, &st)) fail_msg("%s", st.text);
    module_print(&text, rg.m);
    if (kiln_onnx_save_text(k, text.at, text.len, path_of(name))) {
        tally->models++;
        compare(&rg, &task->arena, name, &text, tally);
    } else {
        if (!has_reason(kiln_error(k)->text)) fail_msg("%s: %s", name, kiln_error(k)->text);
        tally->refused++;
        kiln_clear(k);
    }
    text_free(&text);
}

static void one(uint64_t seed, Tally *tally)
{
    Task task = {.seed = seed, .tally = tally};
    Status st = {0};
    arena_init(&task.arena);
    if (!arena_try(&task.arena, &st, one_body, &task)) fail_msg("%d: %s", (int)seed, st.text);
    arena_free(&task.arena);
}

static void graphs_go_round(void **state)
{
    open_folder(*state);
    const char *more = getenv("KILN_SEEDS");
    Tally t = {0};
    for (int seed = 0; seed < (more ? atoi(more) : SEEDS); seed++) one((uint64_t)seed, &t);
    print_message("%d models, %d refused; of %d results %d are others\n", t.models, t.refused, t.results, t.others);
    assert_true(t.models > 8 * t.refused);
    assert_true(100 * t.others <= OTHERS * t.results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {NEVER_TEST(graphs_go_round)};
    return cmocka_run_group_tests_name("onnx_save_random", tests, NULL, close_folder);
}
