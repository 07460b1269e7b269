/* mapped: functions that kiln_vmap runs on many examples at once, against loops that call the function for each example: values, eagerly,
 * compiled and by the reference, and gradients. Relies on values.h. */
#ifndef KILN_TESTS_MAPPED_H
#define KILN_TESTS_MAPPED_H

#include <stdlib.h>

#include "values.h"

#define S KILN_SHAPE
#define MOST 6

typedef void Body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user);

/* Along these axes of the inputs lie 5 examples; a row's shapes are those of an example. */
typedef struct Row {
    const char *name;
    Body *body;
    int nin, nout;
    kiln_vmap_options axes;
    kiln_shape shape[3];
    const char *dtype; /* a letter per input: f f32, d f64, i i32 in 0..3, b bool; capitals: the same for all */
    const char *loops; /* what kiln_vmap_why says */
} Row;

static uint64_t drawn = 1;
static inline double draw(void)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return (double)(drawn >> 40) / (1 << 24);
}

#define EXAMPLES 5

static inline kiln_tensor *filled(char t, kiln_shape s)
{
    int64_t n = 1;
    for (int i = 1; i <= s.rank; i++) n *= s.size[i];
    double *v = malloc((size_t)(n + 1) * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = t == 'f' || t == 'd' ? 2 * draw() - 1 : t == 'i' ? (int)(4 * draw()) : draw() < 0.5;
    kiln_tensor *x = kiln_from_doubles(k, t == 'd' ? KILN_F64 : t == 'f' ? KILN_F32 : t == 'i' ? KILN_I32 : KILN_BOOL, s, v, n);
    if (t == 'f') x = kiln_cast(x, KILN_F32);
    free(v);
    return x;
}

static inline bool shared(char t) { return t >= 'A' && t <= 'Z'; }

static inline kiln_shape widened(kiln_shape s, int axis)
{
    kiln_shape to = S();
    const int at = axis < 0 ? axis + (int)s.rank + 1 : axis;
    to.rank = s.rank + 1;
    for (int i = 0, from = 1; i <= s.rank; i++) to.size[1 + i] = i == at ? EXAMPLES : s.size[from++];
    return to;
}

/* Example number e of x, whose examples lie along the axis. */
static inline kiln_tensor *one_of(kiln_tensor *x, int axis, int e) { return kiln_squeeze(kiln_slice(x, axis, e, e + 1, 1), axis); }

static inline void same_bits(const char *name, kiln_tensor *a, kiln_tensor *b, double near)
{
    if (!a || !b || kiln_failed(k)) fail_msg("%s: %s", name, kiln_error(k)->text);
    assert_int_equal(kiln_dtype_of(a), kiln_dtype_of(b));
    if (kiln_elements(a) != kiln_elements(b) || kiln_rank(a) != kiln_rank(b)) {
        kiln_print(stderr, a);
        kiln_print(stderr, b);
        fail_msg("%s: another shape", name);
    }
    for (int i = 0; i < kiln_rank(a); i++)
        if (kiln_dim(a, i) != kiln_dim(b, i)) fail_msg("%s: axis %d", name, i);
    const int64_t n = kiln_elements(a);
    double *v = malloc((size_t)(n + 1) * sizeof *v), *w = malloc((size_t)(n + 1) * sizeof *w);
    assert_true(kiln_read_doubles(a, v, n) && kiln_read_doubles(b, w, n));
    for (int64_t i = 0; i < n; i++)
        if (v[i] != w[i] && !(isnan(v[i]) && isnan(w[i])) && !(fabs(v[i] - w[i]) <= near * fmax(1, fabs(w[i]))))
            fail_msg("%s: element %lld is %.9g, in the loop %.9g", name, (long long)i, v[i], w[i]);
    free(v);
    free(w);
}

static inline void arguments(const Row *r, kiln_tensor **x)
{
    for (int i = 0; i < r->nin; i++) {
        const char t = r->dtype[i], own = (char)(shared(t) ? t + 32 : t);
        x[i] = filled(own, shared(t) ? r->shape[i] : widened(r->shape[i], r->axes.in[i]));
    }
}

/* whole: outputs lie where the row says, else first */
static inline kiln_function *mapped(const Row *r, kiln_function *f, bool whole)
{
    kiln_vmap_options o = r->axes;
    for (int i = 0; i < KILN_MAX_ARGS && !whole; i++) o.out[i] = 0;
    for (int i = 0; i < r->nin; i++)
        if (shared(r->dtype[i])) o.in[i] = KILN_SHARED;
    return kiln_vmap(f, &o);
}

/* Of f as it is, or its gradient. */
static inline void like_a_loop(const Row *r, kiln_function *f, int nout, double near, bool whole)
{
    kiln_tensor *x[MOST], *out[MOST], *each[EXAMPLES][MOST], *one[MOST];
    kiln_function *all = mapped(r, f, whole);
    arguments(r, x);
    for (int e = 0; e < EXAMPLES; e++) {
        for (int i = 0; i < r->nin; i++) one[i] = shared(r->dtype[i]) ? x[i] : one_of(x[i], r->axes.in[i], e);
        if (!kiln_call_all(f, kiln_tensors(one, r->nin), each[e], nout)) fail_msg("%s: %s", r->name, kiln_error(k)->text);
    }
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        if (!all || !kiln_call_all(all, kiln_tensors(x, r->nin), out, nout)) fail_msg("%s: %s", r->name, kiln_error(k)->text);
        for (int i = 0; i < nout; i++) {
            kiln_tensor *want[EXAMPLES];
            for (int e = 0; e < EXAMPLES; e++) want[e] = each[e][i];
            const int axis = whole ? r->axes.out[i] : 0;
            kiln_tensor *stacked = kiln_stack(want, EXAMPLES, axis < 0 ? kiln_rank(want[0]) + 1 + axis : axis);
            same_bits(r->name, out[i], stacked, near);
        }
    }
    kiln_eager(k, false);
    if (whole && r->loops && strcmp(kiln_vmap_why(all), r->loops) != 0) fail_msg("%s: in a loop: %s", r->name, kiln_vmap_why(all));
    if (!late_keeps() && kiln_check(NULL, all, kiln_tensors(x, r->nin)) != KILN_AGREE)
        fail_msg("%s: %s", r->name, kiln_failed(k) ? kiln_error(k)->text : "kiln_check");
    kiln_function_free(all);
}

/* vmap of grad, and grad of vmap: of a sum over examples each has its own gradient, and what they share the sum of theirs. */
static inline void gradients_like_a_loop(const Row *r, kiln_function *f)
{
    like_a_loop(r, kiln_grad(f), r->nin, 1e-6, false);
    kiln_tensor *x[MOST], *dx[MOST], *one[MOST], *each[MOST], *sum[MOST] = {0};
    kiln_function *slope = kiln_grad(mapped(r, f, true));
    arguments(r, x);
    if (!slope || !kiln_call_all(slope, kiln_tensors(x, r->nin), dx, r->nin)) fail_msg("grad of vmap of %s: %s", r->name, kiln_error(k)->text);
    for (int e = 0; e < EXAMPLES; e++) {
        for (int n = 0; n < r->nin; n++) one[n] = shared(r->dtype[n]) ? x[n] : one_of(x[n], r->axes.in[n], e);
        assert_true(kiln_call_all(kiln_grad(f), kiln_tensors(one, r->nin), each, r->nin));
        for (int n = 0; n < r->nin; n++) {
            if (!shared(r->dtype[n]))
                same_bits(r->name, one_of(dx[n], r->axes.in[n], e), each[n], 1e-6);
            else
                sum[n] = sum[n] ? kiln_add(sum[n], each[n]) : each[n];
        }
    }
    for (int n = 0; n < r->nin; n++)
        if (sum[n]) same_bits(r->name, dx[n], sum[n], 1e-5);
}

#define BODY(name, ...)                                                                     \
    static void name(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)        \
    {                                                                                       \
        (void)e, (void)user;                                                                \
        __VA_ARGS__;                                                                        \
    }

#endif
