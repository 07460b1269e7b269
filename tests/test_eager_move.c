/* Eager ops that move elements or make them, against index arithmetic; views against copies; Philox
 * against the published vectors; matmul of views. */
#include "eager_test.h"

#include "ir/infer.h"
#include "pool.h"

enum { ROOM = 1 << 16 };
static _Alignas(64) char x[ROOM * 8], y[ROOM * 8], got[ROOM * 8];

static const DType some_types[] = {DT_u8, DT_i16, DT_f16, DT_f32, DT_i64};

static View result_of(Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    Type type[4];
    const Type *types[4];
    for (uint32_t i = 0; i < nin; i++) {
        type[i] = (Type){.dtype = in[i].dtype, .rank = in[i].rank};
        memcpy(type[i].dim, in[i].dim, sizeof type[i].dim);
        types[i] = &type[i];
    }
    Status st = {0};
    Infer inf = {
        .op = op, .in = types, .nin = nin, .attr = attr, .nattr = nattr, .st = &st};
    if (!infer_types(&inf)) fail_msg("%s", st.text);
    memset(got, 0x5a, sizeof got);
    return view_of((DType)inf.out[0].dtype, got, inf.out[0].rank, inf.out[0].dim);
}

/* Runs op on threads and alone: the same bytes. */
static View run(Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    View out = result_of(op, in, nin, attr, nattr);
    must_run(threads, op, in, nin, attr, nattr, &out);
    int64_t n = 1;
    for (int i = 0; i < out.rank; i++) n *= out.dim[i];
    size_t bytes = (size_t)n * dtype_bytes((DType)out.dtype);
    char *first = malloc(bytes + 1);
    memcpy(first, got, bytes);
    must_run(NULL, op, in, nin, attr, nattr, &out);
    assert_memory_equal(first, got, bytes);
    free(first);
    return out;
}

static int64_t offset(const View *v, const int64_t *at)
{
    int64_t o = 0;
    for (int i = 0; i < v->rank; i++) o += at[i] * v->stride[i];
    return o;
}

/* The next index in row-major order; false after the last. */
static bool next(const View *v, int64_t *at)
{
    for (int i = v->rank; i-- > 0; at[i] = 0)
        if (++at[i] < v->dim[i]) return true;
    return false;
}

static void same(const View *a, const int64_t *at, const View *b, const int64_t *bt)
{
    assert_true(same_element((DType)a->dtype, a->data, offset(a, at), b->data, offset(b, bt)));
}

/* ---- views -------------------------------------------------------------------------------- */

/* Where the result's element `at` comes from. */
static void source(
    Op op, const View *in, const int64_t *attr, const View *out, const int64_t *at, int64_t *from)
{
    for (int i = 0; i < in->rank; i++) {
        int more = out->rank - in->rank;
        if (op == OP_transpose) from[attr[i]] = at[i];
        if (op == OP_broadcast) from[i] = in->dim[i] == 1 ? 0 : at[i + more];
        if (op == OP_slice) from[i] = attr[3 * i] + at[i] * attr[3 * i + 2];
        if (op == OP_leaf) from[i] = at[i];
        if (op == OP_flip) from[i] = at[i];
    }
    if (op == OP_flip)
        for (int k = 0; k < 2; k++) from[attr[k]] = in->dim[attr[k]] - 1 - at[attr[k]];
    if (op == OP_window) {
        const int64_t f[4] = {
            at[0], at[1] * attr[2] + at[3] * attr[4], at[2] * attr[3] + at[4] * attr[5], at[5]};
        memcpy(from, f, sizeof f);
    }
    if (op == OP_reshape) {
        int64_t n = 0;
        for (int i = 0; i < out->rank; i++) n = n * out->dim[i] + at[i];
        for (int i = in->rank; i-- > 0; n /= in->dim[i]) from[i] = n % in->dim[i];
    }
}

static void check_view(Op op, const View *in, const int64_t *attr, uint32_t nattr, bool is_view)
{
    View out = run(op, in, 1, attr, nattr), v;
    Type type = {.dtype = out.dtype, .rank = out.rank};
    memcpy(type.dim, out.dim, sizeof type.dim);
    assert_int_equal(eager_view(op, in, attr, nattr, &type, &v), is_view);
    int64_t at[MAX_RANK] = {0}, from[MAX_RANK] = {0};
    do {
        source(op, in, attr, &out, at, from);
        same(&out, at, in, from);
        if (is_view) same(&v, at, in, from);
    } while (next(&out, at));
}

static void views(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(some_types); t++) {
        fill_random(some_types[t], x, ROOM, t);
        View a = view_of(some_types[t], x, 3, DIMS(4, 6, 10)),
             one = view_of(some_types[t], x, 3, DIMS(4, 1, 10)), turned = a, apart = a;
        turned.stride[0] = 1;
        turned.stride[2] = 24;
        turned.stride[1] = 4;
        apart.stride[0] = 100;
        View image = view_of(some_types[t], x, 4, DIMS(2, 9, 11, 3)),
             scalar = view_of(some_types[t], x, 0, NULL);
        check_view(OP_leaf, &turned, DIMS(0), 1, true);
        check_view(OP_transpose, &a, DIMS(2, 0, 1), 3, true);
        check_view(OP_transpose, &turned, DIMS(1, 0, 2), 3, true);
        check_view(OP_broadcast, &one, DIMS(3, 4, 5, 10), 4, true);
        check_view(OP_broadcast, &scalar, DIMS(3, 4), 2, true);
        check_view(OP_slice, &turned, DIMS(1, 2, 2, 0, 6, 1, 3, 3, 3), 9, true);
        check_view(OP_flip, &turned, DIMS(0, 2), 2, true);
        check_view(OP_window, &image, DIMS(3, 2, 2, 1, 1, 3), 6, true);
        check_view(OP_reshape, &a, DIMS(2, 2, 60), 3, true);
        check_view(OP_reshape, &apart, DIMS(2, 2, 15, 4), 4, true);
        check_view(OP_reshape, &apart, DIMS(8, 30), 2, false);
        check_view(OP_reshape, &apart, DIMS(240), 1, false);
        check_view(OP_reshape, &turned, DIMS(4, 1, 6, 10), 4, true);
        check_view(OP_reshape, &turned, DIMS(24, 10), 2, false);
        check_view(OP_reshape, &scalar, DIMS(1, 1), 2, true);
    }
}

static void transposes(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {
        {1, 33, 65}, {3, 100, 37}, {1, 200, 200}, {5, 4, 4}, {2, 1, 300}};
    for (size_t t = 0; t < COUNT_OF(some_types); t++) {
        fill_random(some_types[t], x, ROOM, 9);
        for (size_t s = 0; s < COUNT_OF(shapes); s++) {
            View a = view_of(some_types[t], x, 3, shapes[s]);
            check_view(OP_transpose, &a, DIMS(0, 2, 1), 3, true);
            check_view(OP_transpose, &a, DIMS(2, 1, 0), 3, true);
            check_view(OP_transpose, &a, DIMS(2, 0, 1), 3, true);
        }
    }
}

static void empty_views(void **state)
{
    (void)state;
    View none = view_of(DT_f32, x, 2, DIMS(0, 4));
    Type type = {.dtype = DT_f32, .rank = 2, .dim = {4, 0}};
    View v;
    assert_true(eager_view(OP_reshape, &none, DIMS(4, 0), 2, &type, &v));
    assert_true(eager_view(
        OP_flip, &none, DIMS(0), 1, &(Type){.dtype = DT_f32, .rank = 2, .dim = {0, 4}}, &v));
    run(OP_reshape, &none, 1, DIMS(4, 0), 2);
    run(OP_transpose, &none, 1, DIMS(1, 0), 2);
    run(OP_concat, (View[]){none, none}, 2, DIMS(0), 1);
    run(OP_add, (View[]){none, none}, 2, NULL, 0);
}

/* ---- pad, concat -------------------------------------------------------------------------- */

static void pads(void **state)
{
    (void)state;
    static const int64_t pads[][6] = {{0, 0, 0, 0, 0, 0}, {1, 2, 0, 0, 0, 0}, {0, 0, 0, 0, 2, 1},
        {1, 0, 0, 3, 2, 2}, {0, 1, 2, 0, 0, 0}};
    for (size_t t = 0; t < COUNT_OF(some_types); t++)
        for (size_t p = 0; p < COUNT_OF(pads); p++) {
            DType type = some_types[t];
            fill_random(type, x, ROOM, 5);
            View a = view_of(type, x, 3, DIMS(3, 5, 7));
            if (p % 2 == 1) a.stride[0] = 1, a.stride[2] = 15, a.stride[1] = 3;
            int64_t attr[7] = {dtype_is_float(type) ? attr_of_f64(1.5) : 3};
            memcpy(attr + 1, pads[p], sizeof pads[p]);
            View out = run(OP_pad, &a, 1, attr, 7);
            uint64_t fill = 0;
            scalar_store(type, &fill, 0, (Scalar){.i = attr[0]});
            int64_t at[MAX_RANK] = {0}, from[MAX_RANK] = {0};
            do {
                bool inside = true;
                for (int i = 0; i < 3; i++) {
                    from[i] = at[i] - pads[p][2 * i];
                    inside = inside && from[i] >= 0 && from[i] < a.dim[i];
                }
                if (inside)
                    same(&out, at, &a, from);
                else
                    assert_true(same_element(type, got, offset(&out, at), &fill, 0));
            } while (next(&out, at));
        }
}

static void concats(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(some_types); t++)
        for (int axis = 0; axis < 3; axis++) {
            fill_random(some_types[t], x, ROOM, 5);
            int64_t dim[3] = {2, 3, 4};
            View in[3];
            for (int k = 0; k < 3; k++) {
                dim[axis] = k == 1 ? 0 : 2 + k;
                in[k] = view_of(
                    some_types[t], x + 80 * k * (int64_t)dtype_bytes(some_types[t]), 3, dim);
            }
            View out = run(OP_concat, in, 3, DIMS(axis), 1);
            int64_t at[MAX_RANK] = {0}, from[MAX_RANK];
            do {
                memcpy(from, at, sizeof at);
                int k = 0;
                for (; from[axis] >= in[k].dim[axis]; k++) from[axis] -= in[k].dim[axis];
                same(&out, at, &in[k], from);
            } while (next(&out, at));
        }
}

/* ---- gather, scatter, window_add ------------------------------------------------------ */

static int64_t clamped(DType t, int64_t i, int64_t size)
{
    Scalar v = scalar_load(t, y, i);
    if (t == DT_u64) return v.u >= (uint64_t)size ? size - 1 : v.i;
    return v.i < 0 ? 0 : v.i >= size ? size - 1 : v.i;
}

static void gathers(void **state)
{
    (void)state;
    static const DType index_types[] = {DT_u8, DT_i32, DT_i64, DT_u64};
    for (size_t t = 0; t < COUNT_OF(some_types); t++)
        for (int axis = 0; axis < 3; axis++)
            for (size_t q = 0; q < COUNT_OF(index_types); q++) {
                fill_random(some_types[t], x, ROOM, 5);
                /* 4, 5 and 6 are the sizes of the axes: the first indices beyond them */
                const int64_t few[8] = {0, 3, 200, -1, 4, 5, INT64_MIN, 6};
                for (int i = 0; i < 8; i++)
                    dtype_store_i64(
                        index_types[q], y + (size_t)i * dtype_bytes(index_types[q]), few[i]);
                View in[2] = {view_of(some_types[t], x, 3, DIMS(4, 5, 6)),
                    view_of(index_types[q], y, 2, DIMS(2, 4))};
                if (q % 2 == 1) in[0].stride[0] = 1, in[0].stride[2] = 20, in[0].stride[1] = 4;
                View out = run(OP_gather, in, 2, DIMS(axis), 1);
                int64_t at[MAX_RANK] = {0}, from[3];
                do {
                    for (int i = 0; i < 3; i++) from[i] = i < axis ? at[i] : at[i + 1];
                    from[axis] =
                        clamped(index_types[q], at[axis] * 4 + at[axis + 1], in[0].dim[axis]);
                    same(&out, at, &in[0], from);
                } while (next(&out, at));
            }
}

static Scalar folded(int fold, DType t, Scalar a, Scalar b)
{
    static const Op op[] = {OP_add, OP_mul, OP_max, OP_min};
    if (fold == 4) return b;
    const DType c = (DType)dtype_info[t].compute;
    const OpDef *d = &op_def[op[fold]];
    return scalar_eval(dtype_is_float(t) ? d->value_f : d->value_i, c, c, (Scalar[]){a, b});
}

/* want[...] meets each update in order, each step rounded to the type. */
static void scatters(void **state)
{
    (void)state;
    static char base[4 * 3 * 5 * 8], want[4 * 3 * 5 * 8];
    for (size_t t = 0; t < COUNT_OF(some_types); t++)
        for (int axis = 0; axis < 2; axis++)
            for (int fold = 0; fold < 5; fold++) {
                DType type = some_types[t];
                if (fold == 1 && dtype_info[type].compute != type) continue;
                fill_random(type, x, ROOM, 5);
                fill_random(type, base, 60, 5);
                memcpy(want, base, 60 * dtype_bytes(type));
                const int32_t few[6] = {1, 0, 1, 7, -3, 1};
                memcpy(y, few, sizeof few);
                View in[3] = {view_of(type, base, 3, axis ? DIMS(3, 4, 5) : DIMS(4, 3, 5)), view_of(DT_i32, y, 1, DIMS(6)),
                    view_of(type, x, 3, axis ? DIMS(3, 6, 5) : DIMS(6, 3, 5))};
                View out = run(OP_scatter, in, 3, DIMS(axis, fold), 2);
                int64_t at[MAX_RANK] = {0};
                do {
                    int64_t to[3] = {at[0], at[1], at[2]};
                    to[axis] = clamped(DT_i32, at[axis], 4);
                    int64_t o = offset(&out, to);
                    scalar_store(type, want, o, folded(fold, type, scalar_load(type, want, o), scalar_load(type, x, offset(&in[2], at))));
                } while (next(&in[2], at));
                for (int64_t i = 0; i < 60; i++) assert_true(same_element(type, got, i, want, i));
            }
}

static void window_adds(void **state)
{
    (void)state;
    static const int64_t cases[][10] = {/* kh kw sh sw dh dw h w, n c */
        {3, 3, 1, 1, 1, 1, 8, 9, 2, 1}, {2, 3, 2, 2, 1, 1, 9, 10, 1, 5},
        {3, 2, 1, 2, 2, 3, 9, 11, 2, 3}, {1, 1, 3, 3, 1, 1, 7, 7, 1, 4}};
    for (size_t t = 0; t < COUNT_OF(some_types); t++)
        for (size_t k = 0; k < COUNT_OF(cases); k++) {
            const int64_t *c = cases[k];
            DType type = some_types[t], wide = (DType)dtype_info[type].compute;
            int64_t oh = (c[6] - (c[0] - 1) * c[4] - 1) / c[2] + 1,
                    ow = (c[7] - (c[1] - 1) * c[5] - 1) / c[3] + 1;
            fill_random(type, x, ROOM, 5);
            View in = view_of(type, x, 6, DIMS(c[8], oh, ow, c[0], c[1], c[9]));
            View out = run(OP_window_add, &in, 1, c, 8);
            int64_t at[MAX_RANK] = {0};
            do {
                Scalar acc = {0};
                for (int64_t tap = c[0] * c[1]; tap-- > 0;) { /* in order of the source's index */
                    int64_t row = at[1] - tap / c[1] * c[4], column = at[2] - tap % c[1] * c[5];
                    if (row < 0 || column < 0 || row % c[2] || column % c[3] || row / c[2] >= oh ||
                        column / c[3] >= ow)
                        continue;
                    const int64_t from[6] = {
                        at[0], row / c[2], column / c[3], tap / c[1], tap % c[1], at[3]};
                    acc = folded(0, wide, acc, scalar_load(type, x, offset(&in, from)));
                }
                uint64_t want = 0;
                scalar_store(type, &want, 0, acc);
                assert_true(same_element(type, got, offset(&out, at), &want, 0));
            } while (next(&out, at));
        }
}

/* ---- sources ------------------------------------------------------------------------------ */

static void constants(void **state)
{
    (void)state;
    for (int t = DT_NONE + 1; t < DT_COUNT; t++) {
        int64_t v = dtype_is_float((DType)t) ? attr_of_f64(-2.5)
                    : t == DT_bool           ? 1
                    : t == DT_u64            ? -2
                                             : 77;
        run(OP_constant, NULL, 0, DIMS(t, v, 3, 50), 4);
        uint64_t want = 0;
        scalar_store((DType)t, &want, 0, (Scalar){.i = v});
        for (int64_t i = 0; i < 150; i++) assert_true(same_element((DType)t, got, i, &want, 0));
        for (int axis = 0; axis < 3 && t != DT_bool; axis++) {
            View out = run(OP_iota, NULL, 0, DIMS(t, axis, 3, 70, 5), 5);
            int64_t at[MAX_RANK] = {0};
            do {
                uint64_t index = 0; /* 8-bit floats have few of them */
                dtype_store_i64((DType)t, &index, at[axis]);
                assert_true(same_element((DType)t, got, offset(&out, at), &index, 0));
            } while (next(&out, at));
        }
    }
    run(OP_constant, NULL, 0, DIMS(DT_f32, 0), 2);
}

static void philox_block(uint64_t seed, uint64_t counter, uint64_t block, uint32_t *word)
{
    uint32_t many[PHILOX_BLOCKS * 4];
    eager_kernels()->philox(many, seed, counter, block);
    memcpy(word, many, 4 * sizeof *word);
}

/* Known answers of Random123 1.09 (kat_vectors, philox4x32 10): counter words 0..3, key words 0, 1,
 * answers. */
static void philox_known_answers(void **state)
{
    (void)state;
    static const uint32_t kat[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
            0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
            0x94fdcceb, 0x5001e420, 0x24126ea1}};
    int tiers;
    const Kernels *const *tier = eager_tiers(&tiers);
    for (size_t i = 0; i < COUNT_OF(kat); i++)
        for (int t = 0; t < tiers; t++) {
            uint32_t word[4];
            eager_use_tier(tier[t]);
            philox_block(kat[i][4] | (uint64_t)kat[i][5] << 32,
                kat[i][2] | (uint64_t)kat[i][3] << 32, kat[i][0] | (uint64_t)kat[i][1] << 32, word);
            assert_memory_equal(word, &kat[i][6], sizeof word);
        }
    eager_use_tier(NULL);
}

static void random_bits(void **state)
{
    (void)state;
    uint64_t key[2] = {0x123456789abcdef, 77};
    View in = view_of(DT_u64, key, 1, DIMS(2));
    for (int64_t n = 0; n < 70; n += 7) {
        run(OP_random_bits, &in, 1, DIMS(n), 1);
        for (int64_t i = 0; i < n; i++) {
            uint32_t word[4];
            philox_block(key[0], key[1], (uint64_t)(i / 4), word);
            assert_int_equal(((uint32_t *)(void *)got)[i], word[i % 4]);
        }
        assert_int_equal((unsigned char)got[4 * n], 0x5a);
    }
    run(OP_random_bits, &in, 1, DIMS(200, 300), 2);
    uint32_t word[4];
    philox_block(key[0], key[1], 14999, word);
    assert_memory_equal(word, got + 4 * 59996, sizeof word);
}

/* ---- matmul ------------------------------------------------------------------------------- */

static void matmul_of_views(void **state)
{
    (void)state;
    float *a = (float *)(void *)x, *b = (float *)(void *)y, *c = (float *)(void *)got;
    for (int i = 0; i < ROOM; i++) a[i] = (float)(i % 13) - 6, b[i] = (float)(i % 7) - 3;
    View in[2] = {view_of(DT_f32, x, 3, DIMS(3, 4, 5)), view_of(DT_f32, y, 3, DIMS(3, 5, 6))};
    in[0].stride[1] = 1, in[0].stride[2] = 4; /* transposed */
    in[1].stride[0] = 0;                      /* the same for each of the batch */
    View out = run(OP_matmul, in, 2, NULL, 0);
    int64_t at[MAX_RANK] = {0};
    do {
        float want = 0;
        for (int k = 0; k < 5; k++) want += a[at[0] * 20 + at[1] + k * 4] * b[k * 6 + at[2]];
        assert_true(c[offset(&out, at)] == want);
    } while (next(&out, at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views),
        cmocka_unit_test(transposes),
        cmocka_unit_test(empty_views),
        cmocka_unit_test(pads),
        cmocka_unit_test(concats),
        cmocka_unit_test(gathers),
        cmocka_unit_test(scatters),
        cmocka_unit_test(window_adds),
        cmocka_unit_test(constants),
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(random_bits),
        cmocka_unit_test(matmul_of_views),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
