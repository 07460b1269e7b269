/* concurrent: eight threads that call, trace, compile, differentiate, evict and free, with tensors of their own and functions and variables
 * in common. What it shows in numbers: one compile per signature. What it shows under the thread sanitizer: no data race. Skipped without
 * the LLVM module. */
#include "front.h"

#include <kiln/aot.h>
#include <kiln/io.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 8

typedef struct Crew Crew;
typedef struct Member {
    Crew *crew;
    int number;
    int wrong; /* results that were not as expected, and errors */
    pthread_t thread;
} Member;

struct Crew {
    kiln *k;
    kiln_function *f, *g;
    kiln_variable *v;
    int round; /* of a work that is done several times, all threads waiting for each other between */
    void (*work)(Member *m);
    pthread_barrier_t start;
    Member member[THREADS];
};

static void *run_member(void *arg)
{
    Member *m = arg;
    pthread_barrier_wait(&m->crew->start);
    {
        KILN_SCOPE(m->crew->k);
        m->crew->work(m);
    }
    if (kiln_failed(m->crew->k)) {
        printf("# thread %d: %s\n", m->number, kiln_error(m->crew->k)->text);
        m->wrong++;
        kiln_clear(m->crew->k);
    }
    return NULL;
}

/* All at once; how many results were wrong. */
static int run(Crew *c, void (*work)(Member *m))
{
    int wrong = 0;
    c->work = work;
    pthread_barrier_init(&c->start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        c->member[i] = (Member){.crew = c, .number = i};
        assert_int_equal(pthread_create(&c->member[i].thread, NULL, run_member, &c->member[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(c->member[i].thread, NULL);
        wrong += c->member[i].wrong;
    }
    pthread_barrier_destroy(&c->start);
    return wrong;
}

static kiln_function_statistics stats_of(kiln_function *f)
{
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    return s;
}

static void scaled(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_sum(kiln_mul(kiln_mul(in[0], in[0]), (kiln_variable *)user), KILN_ALL);
}

static kiln_function *scaled_by(kiln *k, kiln_variable *v, bool fixed, size_t bytes)
{
    return kiln_function_new(k, scaled, v,
        &(kiln_function_options){.name = "scaled", .inputs_count = 1, .fixed_sizes = fixed, .cache_bytes = bytes});
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */
static void expect_call(Member *m, kiln_function *f, int64_t n)
{
    KILN_SCOPE(m->crew->k);
    kiln_tensor *x = kiln_full(m->crew->k, KILN_F32, KILN_SHAPE(n), 2);
    m->wrong += kiln_item(kiln_call(f, x)) != 4.0 * (double)n * 3;
}

static void the_same_call(Member *m)
{
    for (int i = 0; i < 20; i++) expect_call(m, m->crew->f, 5);
}

static void one_compile_per_signature(void **state)
{
    kiln *k = *state;
    Crew c = {.k = k, .v = kiln_variable_new(k, "v", KILN_F32, 3.0)};
    c.f = scaled_by(k, c.v, false, 0);
    assert_int_equal(run(&c, the_same_call), 0);
    kiln_function_statistics s = stats_of(c.f);
    assert_int_equal(s.traces, 1);
    assert_int_equal(s.compiles, 1);
    assert_int_equal(s.misses, 1);
    assert_int_equal(s.calls, THREADS * 20);
}

static void many_sizes(Member *m)
{
    kiln_function_statistics s;
    kiln_function *own = scaled_by(m->crew->k, m->crew->v, false, 0);
    for (int i = 0; i < 24; i++) {
        expect_call(m, m->crew->f, 1 + (i * 5 + m->number * 3) % 6);
        expect_call(m, m->crew->g, 1 + (i * 7 + m->number) % 12);
        if (i < 3) expect_call(m, own, i + 1);
        kiln_function_stats(m->crew->f, &s);
        m->wrong += s.hits > s.calls;
    }
    kiln_function_free(own);
}

static void sizes_and_symbols(void **state)
{
    kiln *k = *state;
    Crew c = {.k = k, .v = kiln_variable_new(k, "v", KILN_F32, 3.0)};
    c.f = scaled_by(k, c.v, true, 0);
    c.g = scaled_by(k, c.v, false, 0);
    assert_int_equal(run(&c, many_sizes), 0);
    assert_int_equal(stats_of(c.f).compiles, 6);
    assert_true(stats_of(c.g).generalisations >= 1);
    assert_true(stats_of(c.g).compiles <= 8);
}

static void shared_tensors(Member *m)
{
    for (int i = 0; i < 50; i++) { /* one tensor of the main thread's, called with by all */
        KILN_SCOPE(m->crew->k);
        m->wrong += kiln_item(kiln_call(m->crew->f, m->crew->v)) != 27;
    }
}

static void variables_as_arguments(void **state)
{
    kiln *k = *state;
    Crew c = {.k = k, .v = kiln_variable_new(k, "v", KILN_F32, 3.0)};
    c.f = scaled_by(k, c.v, false, 0);
    assert_int_equal(run(&c, shared_tensors), 0);
    assert_int_equal(stats_of(c.f).compiles, 1);
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */
static void differentiates(Member *m)
{
    kiln *k = m->crew->k;
    for (int i = 0; i < 6; i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(1 + i % 2), 2);
        kiln_tensor *dx = kiln_call(kiln_grad(m->crew->f), x);
        m->wrong += kiln_item(kiln_sum(dx, KILN_ALL)) != 12.0 * (1 + i % 2);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_call(m->crew->f, x);
        m->wrong += kiln_item(kiln_sum(kiln_gradient(tape, y, x), KILN_ALL)) != 12.0 * (1 + i % 2);
    }
}

static void gradients_are_derived_once(void **state)
{
    kiln *k = *state;
    Crew c = {.k = k, .v = kiln_variable_new(k, "v", KILN_F32, 3.0)};
    c.f = scaled_by(k, c.v, true, 0);
    assert_int_equal(run(&c, differentiates), 0);
    assert_int_equal(stats_of(c.f).compiles, 2);
    assert_int_equal(stats_of(kiln_grad(c.f)).compiles, 2);
}

/* ---- rows and functions that go -------------------------------------------------------------------------------------- */
static void evicts(Member *m)
{
    kiln *k = m->crew->k;
    for (int i = 0; i < 8; i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(1 + (i + m->number) % 5), 2);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_call(m->crew->f, x);
        expect_call(m, m->crew->f, 1 + i % 5);
        m->wrong += kiln_item(kiln_sum(kiln_gradient(tape, y, x), KILN_ALL)) != 12.0 * (1 + (i + m->number) % 5);
    }
}

static void evicted_under_calls_and_tapes(void **state)
{
    kiln *k = *state;
    Crew c = {.k = k, .v = kiln_variable_new(k, "v", KILN_F32, 3.0)};
    c.f = scaled_by(k, c.v, true, 1); /* room for the newest alone */
    assert_int_equal(run(&c, evicts), 0);
    for (int i = 0; i < 2; i++) { /* now nobody holds a row, however slow the threads were */
        KILN_SCOPE(k);
        kiln_call(c.f, kiln_full(k, KILN_F32, KILN_SHAPE(7 + i), 2));
    }
    kiln_function_statistics s = stats_of(c.f);
    assert_true(s.evictions > 0);
    assert_int_equal(s.evictions + s.signatures, s.compiles);
}

typedef struct Gate { pthread_barrier_t entered, freed; } Gate;
static void waits(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    Gate *gate = user;
    if (gate) {
        pthread_barrier_wait(&gate->entered);
        pthread_barrier_wait(&gate->freed);
    }
    out[0] = kiln_add(in[0], 1);
}

static void *calls_waiting(void *arg)
{
    Member *m = arg;
    KILN_SCOPE(m->crew->k);
    m->wrong = kiln_item(kiln_call(m->crew->f, 1.0)) != 2;
    return NULL;
}

static void freed_while_another_thread_calls(void **state)
{
    kiln *k = *state;
    for (int mode = 0; mode < 2; mode++) {
        Gate gate;
        kiln_eager(k, mode == 1);
        pthread_barrier_init(&gate.entered, NULL, 2);
        pthread_barrier_init(&gate.freed, NULL, 2);
        Crew c = {.k = k, .f = kiln_function_new(k, waits, &gate, NULL)};
        Member m = {.crew = &c};
        assert_int_equal(pthread_create(&m.thread, NULL, calls_waiting, &m), 0);
        pthread_barrier_wait(&gate.entered);
        kiln_function_free(c.f); /* its body is running */
        pthread_barrier_wait(&gate.freed);
        pthread_join(m.thread, NULL);
        assert_int_equal(m.wrong, 0);
        pthread_barrier_destroy(&gate.entered);
        pthread_barrier_destroy(&gate.freed);
    }
    kiln_eager(k, false);
}

/* ---- the whole life of a function ------------------------------------------------------------------------------------ */
static void makes_and_frees(Member *m)
{
    for (int i = 0; i < 2000; i++) kiln_function_free(scaled_by(m->crew->k, m->crew->v, false, 0));
}

static void functions_of_their_own_come_and_go(void **state)
{
    kiln *k = *state;
    Crew c = {.k = k, .v = kiln_variable_new(k, "v", KILN_F32, 3.0)};
    assert_int_equal(run(&c, makes_and_frees), 0);
}

static void calls_another(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_call((kiln_function *)user, in[0]);
}

/* A tape is asked when both functions of its call are freed, while others make theirs. A freed function is remembered until 64 others
 * were freed after it (FREED_KEPT), however long this thread was not given a processor; so all threads together free 64 in a round. */
enum { PAIRS = 64 / THREADS / 2 };

static void asks_of_freed_ones(Member *m)
{
    kiln *k = m->crew->k;
    for (int pair = 0; pair < PAIRS; pair++) {
        KILN_SCOPE(k);
        const int i = m->crew->round * PAIRS + pair, n = 1 + (i + m->number) % 5;
        kiln_function *inner = scaled_by(k, m->crew->v, false, 0);
        kiln_function *outer = kiln_function_new(k, calls_another, inner, &(kiln_function_options){.name = "outer", .inputs_count = 1});
        kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(n), 2);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_call(outer, x);
        kiln_function_free(i % 2 ? inner : outer);
        if (i % 3) kiln_function_free(i % 2 ? outer : inner);
        m->wrong += kiln_item(kiln_sum(kiln_gradient(tape, y, x), KILN_ALL)) != 12.0 * n;
        if (i % 3 == 0) kiln_function_free(i % 2 ? outer : inner);
        kiln_call(i % 2 ? outer : inner, x);
        m->wrong += kiln_error(k)->code != KILN_ESTATE || !strstr(kiln_error(k)->text, "was freed");
        kiln_clear(k);
    }
}

static void freed_under_tapes(void **state)
{
    kiln *k = *state;
    Crew c = {.k = k, .v = kiln_variable_new(k, "v", KILN_F32, 3.0)};
    for (; c.round < 4; c.round++) assert_int_equal(run(&c, asks_of_freed_ones), 0);
}

static char folder[64];

/* What a program may do with a function and a variable of its own, beside seven others that do the same. */
static void whole_life(Member *m)
{
    kiln *k = m->crew->k;
    for (int i = 0; i < 4; i++) {
        KILN_SCOPE(k);
        char path[128];
        kiln_variable *v = kiln_variable_new(k, "own", KILN_F32, 3.0);
        kiln_function *own = scaled_by(k, v, false, 0);
        kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(3), 2);
        KILN_TAPE(k, tape);
        m->wrong += kiln_item(kiln_call(own, x)) != 36;
        m->wrong += kiln_item(kiln_sum(kiln_call(kiln_grad(own), x), KILN_ALL)) != 36;
        kiln_tensor *y = kiln_call(own, x);
        m->wrong += kiln_item(kiln_gradient(tape, y, v)) != 12;
        snprintf(path, sizeof path, "%s/own%d", folder, m->number);
        m->wrong += !kiln_aot(own, path, NULL);
        snprintf(path, sizeof path, "%s/saved%d", folder, m->number);
        kiln_checkpoint *saved = kiln_checkpoint_new(k, path, 2);
        m->wrong += !kiln_checkpoint_add(saved, v) || !kiln_checkpoint_save(saved, i);
        kiln_assign(v, 1.0);
        m->wrong += kiln_checkpoint_restore_latest(saved) != i;
        kiln_checkpoint_free(saved);
        m->wrong += kiln_item(kiln_value(v)) != 3;
        kiln_function_free(own);
        kiln_variable_free(v);
    }
}

static void every_thread_does_everything(void **state)
{
    kiln *k = *state;
    Crew c = {.k = k};
    char command[128];
    snprintf(folder, sizeof folder, "/tmp/kiln-concurrent-%d", (int)getpid());
    snprintf(command, sizeof command, "mkdir -p '%s'", folder);
    assert_int_equal(system(command), 0);
    int wrong = run(&c, whole_life);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(one_compile_per_signature),
        WAIT_TEST(sizes_and_symbols),
        WAIT_TEST(variables_as_arguments),
        WAIT_TEST(gradients_are_derived_once),
        WAIT_TEST(evicted_under_calls_and_tapes),
        FRONT_TEST(freed_while_another_thread_calls),
        FRONT_TEST(functions_of_their_own_come_and_go),
        FRONT_TEST(freed_under_tapes),
        FRONT_TEST(every_thread_does_everything),
    };
    return cmocka_run_group_tests_name("concurrent", tests, front_needs_llvm, NULL);
}
