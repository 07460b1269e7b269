/* Ops that run as what they are lowered to: calls of one class share a program, a call that finds its program allocates nothing, what is kept
 * has a bound, and neither the layout nor what was kept before changes a bit. Values are tested by test_eager_move.c, test_eager_reduce.c and,
 * for the interpreter alone, test_lower.c. */
#include "eager_test.h"

enum { ROOM = 1 << 16 };
static float x[ROOM], got[ROOM], want[ROOM];
static int64_t index_[ROOM];

static uint64_t allocations(void) { return memory_count().allocations; }

static void gather(Kept *kept, const View *from, int64_t axis, int64_t n, float *to)
{
    const View in[2] = {*from, view_of(DT_i64, index_, 1, DIMS(n))};
    int64_t dim[MAX_RANK];
    memcpy(dim, from->dim, sizeof dim);
    dim[axis] = n;
    View out = view_of(DT_f32, to, from->rank, dim);
    Status st = {0};
    if (!eager_run(&(EagerCtx){.kept = kept}, OP_gather, in, 2, &axis, 1, &out, 1, &st)) fail_msg("%s", st.text);
}

static void sizes_of_one_class_share(void **state)
{
    (void)state;
    Kept *kept = kept_new();
    for (int64_t i = 0; i < ROOM; i++) x[i] = (float)i, index_[i] = i * 7 % 40 - 3;
    View a = view_of(DT_f32, x, 2, DIMS(9, 14));
    gather(kept, &a, 0, 5, got);
    uint64_t before = allocations();
    for (int64_t rows = 2; rows <= 16; rows++)
        for (int64_t n = 2; n <= 16; n++) {
            if (rows == n || rows == 13 || n == 13) continue; /* equal sizes are another class */
            View b = view_of(DT_f32, x, 2, DIMS(rows, 13));
            gather(kept, &b, 0, n, got);
            for (int64_t r = 0; r < n; r++) {
                int64_t at = index_[r] < 0 ? 0 : index_[r] >= rows ? rows - 1 : index_[r];
                assert_memory_equal(got + 13 * r, x + 13 * at, 13 * sizeof *x);
            }
        }
    assert_int_equal(allocations(), before);
    View wide = view_of(DT_f32, x, 2, DIMS(9, 17)); /* the next class */
    gather(kept, &wide, 0, 5, got);
    assert_true(allocations() > before);
    kept_free(kept);
}

/* Rows and columns that are far apart, read backwards, repeated, transposed. */
static void layouts_share_no_more_than_they_may(void **state)
{
    (void)state;
    Kept *kept = kept_new();
    static const int64_t stride[][2] = {{14, 1}, {100, 1}, {1, 100}, {-100, 1}, {100, -1}, {0, 1}, {1, 0}, {0, 0}, {3, 2}, {200, 5}, {1, 1}, {-7, -3}};
    for (int64_t i = 0; i < ROOM; i++) x[i] = (float)i, index_[i] = i * 7 % 40 - 3;
    for (int round = 0; round < 2; round++)
        for (size_t s = 0; s < COUNT_OF(stride); s++)
            for (int64_t axis = 0; axis < 2; axis++) {
                View a = view_of(DT_f32, x + ROOM / 2, 2, DIMS(9, 14));
                memcpy(a.stride, stride[s], sizeof stride[s]);
                gather(kept, &a, axis, 5, got);
                for (int64_t i = 0; i < (axis == 0 ? 5 : 9); i++)
                    for (int64_t j = 0; j < (axis == 0 ? 14 : 5); j++) {
                        int64_t at[2] = {i, j}, size = a.dim[axis], k = index_[at[axis]];
                        at[axis] = k < 0 ? 0 : k >= size ? size - 1 : k;
                        assert_true(got[i * (axis == 0 ? 14 : 5) + j] == x[ROOM / 2 + at[0] * a.stride[0] + at[1] * a.stride[1]]);
                    }
            }
    kept_free(kept);
}

/* Rows that take many blocks, on one thread and on three. */
static void long_ones(void **state)
{
    (void)state;
    ThreadPool *threads = threads_new(3);
    for (int64_t i = 0; i < ROOM; i++) x[i] = (float)i, index_[i] = i * 7 % 41 - 3;
    for (int64_t width = 1; width <= 1300; width = width * 3 + 1)
        for (int t = 0; t < 2; t++) {
            int64_t n = MIN_OF(ROOM / width, 3000), axis = 0;
            const View in[2] = {view_of(DT_f32, x, 2, DIMS(37, width)), view_of(DT_i64, index_, 1, DIMS(n))};
            View out = view_of(DT_f32, got, 2, DIMS(n, width));
            must_run(t == 0 ? NULL : threads, OP_gather, in, 2, &axis, 1, &out);
            for (int64_t r = 0; r < n; r++) {
                int64_t at = index_[r] < 0 ? 0 : index_[r] > 36 ? 36 : index_[r];
                assert_memory_equal(got + r * width, x + at * width, (size_t)width * sizeof *x);
            }
        }
    threads_free(threads);
}

/* What is scattered, and where to, may be one element over and over: it counts as often. */
static void repeated_operands_scatter(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 300; n = n * 4 + 1)
        for (int64_t width = 1; width <= 50; width = width * 3 + 2)
            for (int which = 0; which < 4; which++) {
                static float zero;
                View in[3] = {view_of(DT_f32, &zero, 2, DIMS(4, width)), view_of(DT_i64, index_, 1, DIMS(n)), view_of(DT_f32, x, 2, DIMS(n, width))};
                View out = view_of(DT_f32, got, 2, DIMS(4, width));
                in[0].stride[0] = in[0].stride[1] = 0;
                for (int64_t i = 0; i < n; i++) index_[i] = which & 1 ? 2 : i % 4;
                for (int64_t i = 0; i < n * width; i++) x[i] = which & 2 ? 3 : (float)(i % 7);
                if (which & 1) in[1].stride[0] = 0;
                if (which & 2) in[2].stride[0] = in[2].stride[1] = 0;
                memset(want, 0, 4 * (size_t)width * sizeof *want);
                for (int64_t i = 0; i < n; i++)
                    for (int64_t c = 0; c < width; c++) want[index_[i] * width + c] += x[i * width + c];
                must_run(NULL, OP_scatter, in, 3, DIMS(0, 0), 2, &out);
                assert_memory_equal(got, want, 4 * (size_t)width * sizeof *want);
            }
}

/* Many classes: ranks, sizes of 1, equal sizes, attributes. Each is right whether kept, evicted or never kept; memory stays within bounds. */
static void many_classes(void **state)
{
    (void)state;
    uint64_t seed = 5;
    int64_t start = memory_count().live_bytes;
    Kept *kept = kept_new();
    for (int64_t i = 0; i < ROOM; i++) x[i] = (float)i, index_[i] = i * 5 % 9 - 1;
    for (int i = 0; i < 4000; i++) {
        int64_t dim[5], n = 1;
        int rank = 1 + (int)(next_random(&seed) % 5);
        for (int a = 0; a < rank; a++) n *= dim[a] = (int64_t)(1 + next_random(&seed) % (a == 0 ? 40 : 6));
        View a = view_of(DT_f32, x, rank, dim);
        int64_t axis = (int64_t)(next_random(&seed) % (uint64_t)rank), many = (int64_t)(next_random(&seed) % 5), size = n / dim[axis] * many;
        gather(kept, &a, axis, many, got);
        gather(NULL, &a, axis, many, want);
        assert_memory_equal(got, want, (size_t)size * sizeof *got);
        assert_true(memory_count().live_bytes - start < 16 << 20);
    }
    kept_free(kept);
    assert_int_equal(memory_count().live_bytes, start);
}

static void as_if_not_kept(Kept *kept, Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr, View out)
{
    View other = out;
    Status st = {0};
    size_t bytes = dtype_bytes((DType)out.dtype);
    other.data = want;
    for (uint32_t a = 0; a < out.rank; a++) bytes *= (size_t)out.dim[a];
    assert_true(eager_run(&(EagerCtx){.kept = kept}, op, in, nin, attr, nattr, &out, 1, &st));
    assert_true(eager_run(&(EagerCtx){.kept = NULL}, op, in, nin, attr, nattr, &other, 1, &st));
    assert_memory_equal(got, want, bytes);
}

/* A call that repeats the last one, over other memory, goes by what lies there now; so does one of another size in between, whether it
 * is small, large or empty. */
static void repeated_calls_read_anew(void **state)
{
    (void)state;
    static const int64_t rows[] = {3, 3, 400, 3, 0, 3, 2, 2, 17, 17};
    static const struct {
        Op op;
        DType in, out;
        uint32_t nin, nattr;
        int64_t attr[5], more[2], times; /* out: as many rows and columns more, rows so many times */
    } call[] = {
        {OP_argmax, DT_f32, DT_i64, 1, 1, {1}, {0, -3}, 1},
        {OP_concat, DT_f32, DT_f32, 2, 1, {0}, {0, 0}, 2},
        {OP_pad, DT_f32, DT_f32, 1, 5, {0, 1, 2, 3, 1}, {3, 4}, 1},
        {OP_cumsum, DT_f32, DT_f32, 1, 3, {1, 0, 0}, {0, 0}, 1},
        {OP_argsort, DT_f32, DT_i64, 1, 2, {1, 0}, {0, 0}, 1},
    };
    Kept *kept = kept_new();
    for (int64_t i = 0; i < ROOM; i++) x[i] = (float)(i * 37 % 101), index_[i] = i * 7 % 20 - 1;
    for (int i = 0; i < 40 * (int)COUNT_OF(rows); i++)
        for (size_t c = 0; c < COUNT_OF(call); c++) {
            const int64_t n = rows[i % (int)COUNT_OF(rows)], to[2] = {n * call[c].times + call[c].more[0], 4 + call[c].more[1]};
            const View in[2] = {view_of(call[c].in, x + i * 53, 2, DIMS(n, 4)), view_of(call[c].in, x + i * 29, 2, DIMS(n, 4))};
            as_if_not_kept(kept, call[c].op, in, call[c].nin, call[c].attr, call[c].nattr,
                view_of(call[c].out, got, call[c].op == OP_argmax ? 1 : 2, to));
            if (n == 0) continue;
            const View rows_of[2] = {in[0], view_of(DT_i64, index_ + i, 1, DIMS(n))};
            as_if_not_kept(kept, OP_gather, rows_of, 2, DIMS(0), 1, view_of(DT_f32, got, 2, DIMS(n, 4)));
        }
    kept_free(kept);
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    View a = view_of(DT_f32, x, 2, DIMS(9, 14)), i = view_of(DT_i64, index_, 1, DIMS(5)), out = view_of(DT_f32, got, 2, DIMS(5, 14));
    for (uint64_t n = 1;; n++) {
        Kept *kept = kept_new();
        Status st = {0};
        int64_t axis = 0;
        memory_fail_at(n, true);
        bool ok = eager_run(&(EagerCtx){.kept = kept}, OP_gather, (View[]){a, i}, 2, &axis, 1, &out, 1, &st);
        memory_fail_at(0, false);
        kept_free(kept);
        if (ok) break;
        assert_int_equal(st.code, ST_MEMORY);
        assert_true(n < 1000);
    }
}

/* A program's own parallel-for may run something else on this thread while it waits: an op of the same class, with other sizes. */
typedef struct Nested { Kept *kept; int depth, met; } Nested;

static void run_nested(void *user, void (*task)(void *arg, int64_t index), void *arg, int64_t tasks)
{
    Nested *n = user;
    if (n->depth++ == 0) {
        static float small[3000 * 150];
        View other = view_of(DT_f32, x, 2, DIMS(251, 150));
        n->met++;
        gather(n->kept, &other, 0, 3000, small);
    }
    n->depth--;
    for (int64_t i = 0; i < tasks; i++) task(arg, i);
}

static void an_op_in_an_op(void **state)
{
    (void)state;
    static float big[4000 * 230];
    Nested n = {.kept = kept_new()};
    ThreadPool *threads = threads_new(2);
    threads_set_hook(threads, run_nested, &n);
    for (int64_t i = 0; i < ROOM; i++) x[i] = (float)i, index_[i] = i * 7 % 250;
    View from = view_of(DT_f32, x, 2, DIMS(250, 230));
    const View in[2] = {from, view_of(DT_i64, index_, 1, DIMS(4000))};
    View out = view_of(DT_f32, big, 2, DIMS(4000, 230));
    Status st = {0};
    for (int round = 0; round < 3; round++) {
        memset(big, 0, sizeof big);
        if (!eager_run(&(EagerCtx){.kept = n.kept, .threads = threads}, OP_gather, in, 2, &(int64_t){0}, 1, &out, 1, &st)) fail_msg("%s", st.text);
        for (int64_t r = 0; r < 4000; r++) assert_memory_equal(big + 230 * r, x + 230 * index_[r], 230 * sizeof *x);
    }
    assert_true(n.met > 0);
    threads_free(threads);
    kept_free(n.kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_one_class_share),
        cmocka_unit_test(layouts_share_no_more_than_they_may),
        cmocka_unit_test(long_ones),
        cmocka_unit_test(repeated_operands_scatter),
        cmocka_unit_test(many_classes),
        cmocka_unit_test(repeated_calls_read_anew),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(an_op_in_an_op),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
