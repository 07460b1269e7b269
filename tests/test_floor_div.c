/* test_floor_div: floor_div and mod of floats, in every mode: f64 has CPython's bits (asked of python3 itself, and of its algorithm written out
 * again here), f32 those of the same algorithm in f32, the 16-bit floats f32's rounded once; a zero divisor gives what NumPy gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <math.h>

#include "all_modes.h"
#include "graph_run.h"
#include "ir/fold.h"
#include "random_graph.h"

enum { PAIRS = 10500, FLOATS = 4 }; /* of which more than 10,000 are not by zero, where CPython raises */
static const DType floats[FLOATS] = {DT_f64, DT_f32, DT_f16, DT_bf16};

/* ---- Objects/floatobject.c of CPython, float_divmod; NumPy's floor_divide and remainder by zero ----- */

#define DIVMOD(T, name, suffix)                                                    \
    static void name(T vx, T wx, T *floordiv, T *mod)                              \
    {                                                                              \
        T div;                                                                     \
        *mod = fmod##suffix(vx, wx);                                               \
        if (wx == 0) {                                                             \
            *floordiv = vx / wx;                                                   \
            return;                                                                \
        }                                                                          \
        div = (vx - *mod) / wx;                                                    \
        if (*mod != 0) { /* true of NaN, as C's if (*mod) is */                    \
            if ((wx < 0) != (*mod < 0)) {                                          \
                *mod += wx;                                                        \
                div -= 1;                                                          \
            }                                                                      \
        } else {                                                                   \
            *mod = copysign##suffix(0, wx);                                        \
        }                                                                          \
        if (div != 0) {                                                            \
            *floordiv = floor##suffix(div);                                        \
            if (div - *floordiv > (T)0.5) *floordiv += 1;                          \
        } else {                                                                   \
            *floordiv = copysign##suffix(0, vx / wx);                              \
        }                                                                          \
    }
DIVMOD(double, divmod_f64, )
DIVMOD(float, divmod_f32, f)

static void model(DType t, const void *x, const void *y, uint64_t *quotient, uint64_t *rest)
{
    *quotient = *rest = 0;
    if (t == DT_f64) {
        double a, b, q, r;
        memcpy(&a, x, 8), memcpy(&b, y, 8);
        divmod_f64(a, b, &q, &r);
        memcpy(quotient, &q, 8), memcpy(rest, &r, 8);
    } else {
        float q, r;
        divmod_f32((float)dtype_load_f64(t, x), (float)dtype_load_f64(t, y), &q, &r);
        dtype_store_f64(t, quotient, (double)q);
        dtype_store_f64(t, rest, (double)r);
    }
}

/* ---- pairs ------------------------------------------------------------------------------------- */

static double draw(Random *r)
{
    static const double edge[] = {0.0, -0.0, 1, -1, HUGE_VAL, -HUGE_VAL, (double)NAN, 5e-324, -5e-324, 0x1p-149, 0x1p-126, -0x1p-133, 0x1p-24, 3, -3, 0.1,
                                  -0.1, 0.3, 2e38, -3.4e38, 65504, -65504, 1e308, -1e308, 0x1p53, 0x1.fffffp23, 10, 0.5, 2.5, 7};
    uint64_t u = random_next(r);
    double v;
    switch (random_below(r, 4)) {
    case 0: return edge[u % COUNT_OF(edge)];
    case 1: memcpy(&v, &u, 8); return v;
    case 2: return (double)((int64_t)(u % 2001) - 1000) / (double)(1 + (u >> 32) % 16);
    default: return (random_unit(r) * 2 - 1) * ldexp(1, (int)(u % 40) - 20);
    }
}

typedef struct Divisions {
    Arena arena;
    Status st;
    void *x[FLOATS], *y[FLOATS];
    uint64_t compared;
} Divisions;

static void draw_pairs(Divisions *d)
{
    for (int f = 0; f < FLOATS; f++) {
        Random r = {3};
        const size_t bytes = dtype_bytes(floats[f]);
        d->x[f] = arena_zeros(&d->arena, PAIRS, bytes);
        d->y[f] = arena_zeros(&d->arena, PAIRS, bytes);
        for (size_t i = 0; i < PAIRS; i++) {
            double y = draw(&r), x = i % 5 == 0 ? y * (double)random_below(&r, 1000) : draw(&r);
            dtype_store_f64(floats[f], (char *)d->x[f] + i * bytes, x);
            dtype_store_f64(floats[f], (char *)d->y[f] + i * bytes, y);
        }
    }
}

/* ---- the modes ----------------------------------------------------------------------------------- */

static Module *make_module(Arena *a)
{
    Status st = {0};
    Module *m = module_new(a);
    Graph *g = graph_new(m, "main");
    Value in[2 * FLOATS];
    for (int i = 0; i < 2 * FLOATS; i++) in[i] = graph_param(g, &(Type){.dtype = (uint8_t)floats[i / 2], .rank = 1, .dim = {PAIRS}}, (Loc){0});
    for (int f = 0; f < FLOATS; f++) {
        graph_result(g, graph_append(g, OP_floor_div, &in[2 * f], 2, NULL, 0, (Loc){0}, &st));
        graph_result(g, graph_append(g, OP_mod, &in[2 * f], 2, NULL, 0, (Loc){0}, &st));
    }
    return m;
}

static void compare(Divisions *d, const char *mode, int f, size_t i, bool mod, const void *have)
{
    const DType t = floats[f];
    const char *x = (char *)d->x[f] + i * dtype_bytes(t), *y = (char *)d->y[f] + i * dtype_bytes(t);
    uint64_t want[2];
    model(t, x, y, &want[0], &want[1]);
    d->compared++;
    if (bytes_differ(t, &want[mod], have, 1) < 0) return;
    fail_msg("%s: %a %s %a in %s is %a, not %a", mode, dtype_load_f64(t, x), mod ? "mod" : "floor_div", dtype_load_f64(t, y), dtype_info[t].name,
             dtype_load_f64(t, have), dtype_load_f64(t, &want[mod]));
}

static void compare_all(void *user, const char *mode, void *const *result)
{
    for (int r = 0; r < 2 * FLOATS; r++)
        for (size_t i = 0; i < PAIRS; i++)
            compare(user, mode, r / 2, i, r % 2, (const char *)result[r] + i * dtype_bytes(floats[r / 2]));
}

static void by_folding(Divisions *d)
{
    Graph *g = graph_new(module_new(&d->arena), "main");
    enum { FEW = 1000 };
    for (int f = 0; f < FLOATS; f++)
        for (size_t i = 0; i < FEW; i++) {
            Value in[2];
            for (int k = 0; k < 2; k++) {
                const char *at = (char *)(k == 0 ? d->x[f] : d->y[f]) + i * dtype_bytes(floats[f]);
                in[k] = graph_append(g, OP_constant, NULL, 0, (int64_t[]){floats[f], attr_of_f64(dtype_load_f64(floats[f], at))}, 2, (Loc){0}, &d->st);
            }
            for (int k = 0; k < 2; k++) graph_result(g, graph_append(g, k == 0 ? OP_floor_div : OP_mod, in, 2, NULL, 0, (Loc){0}, &d->st));
        }
    Rebuild rb;
    rebuild_begin(&rb, g, &d->arena, &d->st);
    for (uint32_t i = 0; i < g->node.len; i++) rebuild_copy(&rb, i);
    Graph *out = rebuild_end(&rb);
    for (uint32_t r = 0; r < g->result.len; r++) {
        Scalar v;
        uint64_t room = 0;
        const int f = (int)(r / (2 * FEW));
        if (!value_is_constant(out, out->result.at[r], &v)) fail_msg("a division of constants was not folded");
        dtype_store_f64(floats[f], &room, v.f);
        compare(d, "folding", f, r / 2 % FEW, r % 2, &room);
    }
}

static void divide(void *arg)
{
    Divisions *d = arg;
    const void *in[2 * FLOATS];
    draw_pairs(d);
    for (int i = 0; i < 2 * FLOATS; i++) in[i] = i % 2 == 0 ? d->x[i / 2] : d->y[i / 2];
    all_modes(&d->arena, make_module, in, compare_all, d);
    by_folding(d);
}

static void every_mode_divides_as_cpython(void **state)
{
    (void)state;
    static Divisions d;
    arena_init(&d.arena);
    if (!arena_try(&d.arena, &d.st, divide, &d)) fail_msg("%s", d.st.text);
    arena_free(&d.arena);
    print_message("    %llu results compared\n", (unsigned long long)d.compared);
}

/* ---- CPython itself -------------------------------------------------------------------------------- */

static void ask_python(void *arg)
{
    Divisions *d = arg;
    char name[] = "/tmp/kiln-floor-div-XXXXXX", command[400];
    int fd = mkstemp(name);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    size_t compared = 0;
    if (f == NULL) fail_msg("no temporary file");
    draw_pairs(d);
    const double *x = d->x[0], *y = d->y[0];
    for (size_t i = 0; i < PAIRS; i++) fprintf(f, "%a %a\n", x[i], y[i]);
    fclose(f);
    snprintf(command, sizeof command,
             "python3 -c \"import sys\nfor line in open('%s'):\n"
             "  x, y = [float.fromhex(t.replace('-nan', 'nan')) for t in line.split()]\n  print('by zero by zero' if y == 0 else (x // y).hex() + ' ' + (x %% y).hex())\"", name);
    FILE *p = popen(command, "r");
    for (size_t i = 0; p != NULL && i < PAIRS; i++) {
        char q[80], r[80];
        uint64_t want[2];
        model(DT_f64, &x[i], &y[i], &want[0], &want[1]);
        if (fscanf(p, "%79s %79s", q, r) != 2) fail_msg("python3 says nothing about pair %zu", i);
        if (y[i] == 0) {
            if (fscanf(p, "%*s %*s") != 0) fail_msg("python3 says too little");
            continue;
        }
        double theirs[2] = {strtod(q, NULL), strtod(r, NULL)};
        if (bytes_differ(DT_f64, want, theirs, 2) >= 0)
            fail_msg("%a by %a: CPython has %s and %s, the algorithm %a and %a", x[i], y[i], q, r, dtype_load_f64(DT_f64, &want[0]), dtype_load_f64(DT_f64, &want[1]));
        compared++;
    }
    if (p == NULL || pclose(p) != 0) fail_msg("python3 failed");
    unlink(name);
    print_message("    %zu pairs compared with CPython's, floor_div and mod\n", compared);
    assert_true(compared >= 10000);
}

static void cpython_agrees_with_its_algorithm(void **state)
{
    (void)state;
    static Divisions d;
    if (system("python3 -c pass 2>/dev/null >&2") != 0) {
        printf("skip: no python3 to compare floor_div with\n");
        skip();
    }
    arena_init(&d.arena);
    if (!arena_try(&d.arena, &d.st, ask_python, &d)) fail_msg("%s", d.st.text);
    arena_free(&d.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_divides_as_cpython),
        cmocka_unit_test(cpython_agrees_with_its_algorithm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
