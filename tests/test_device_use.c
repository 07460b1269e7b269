/* device_use: a whole program's work with tensors on a device (late.h) while the rest of it stays on the CPU: layers and
 * optimisers, loops, draws, printing, files, batches, metrics, callbacks, functions and what their bodies may do. Every result is
 * that of the CPU, bit for bit. */
#include "remove_all.h"

#include <kiln/aot.h>
#include <kiln/data.h>
#include <kiln/io.h>
#include <kiln/nn.h>
#include <stdlib.h>

#include "front.h"

#define A late_name(0)
#define B late_name(1)
#define assert_on(x, name) assert_string_equal(kiln_device_of(x), (name))
#define STEPS 6

static kiln_tensor *three(kiln *k) { return kiln_f32(k, KILN_SHAPE(3), 1, 2, 3); }
static double total(kiln_tensor *x) { return kiln_item(kiln_sum(x, KILN_ALL)); }

/* ---- training ----------------------------------------------------------------------------------------------------- */
typedef struct Net {
    kiln_recurrent *lstm;
    kiln_dense *out;
    kiln_optimizer *adam;
    kiln_metric *right;
} Net;

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *n = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_recurrent_apply(n->lstm, in[0], NULL);
    kiln_tensor *logits = kiln_dense_apply(n->out, kiln_mean(h, KILN_AXES(1)));
    out[0] = kiln_cross_entropy(logits, in[1]);
    kiln_optimizer_minimize(n->adam, tape, out[0]);
    kiln_metric_update_labels(n->right, logits, in[1]);
}

/* The losses of some steps of a net made on `made`, fed from `fed`, by a thread on `thread`; in the end the accuracy. */
static void losses(kiln *k, const char *made, const char *thread, bool own_draws, bool traced, float *out)
{
    KILN_SCOPE(k);
    Net n;
    kiln_dataset *data;
    {
        KILN_DEVICE(k, "cpu");
        float x[8 * 4 * 3];
        for (int i = 0; i < 96; i++) x[i] = (float)((i * 7) % 19 - 9) / 8;
        data = kiln_dataset_new(
            k, kiln_from(k, KILN_F32, KILN_SHAPE(8, 4, 3), x, 96), kiln_i64(k, KILN_SHAPE(8), 0, 1, 2, 1, 0, 2, 2, 1));
    }
    {
        KILN_DEVICE(k, made);
        kiln_variable *chance = own_draws ? kiln_generator(k, 5) : NULL;
        n.lstm = kiln_lstm_new(k, 3, 5, chance ? chance : KILN_ZEROS);
        n.out = kiln_dense_new(k, 5, 3, chance ? chance : KILN_ZEROS);
        kiln_variable_free(chance);
    }
    {
        KILN_DEVICE(k, thread);
        n.adam = kiln_adam(k, 0.05);
        kiln_optimizer_schedule(n.adam, &(kiln_schedule){.kind = KILN_RATE_COSINE, .rate = 0.05, .steps = 20});
        kiln_optimizer_clip(n.adam, &(kiln_clipping){.norm = 1});
        n.right = kiln_accuracy_metric(k);
        kiln_function *f =
            kiln_function_new(k, step, &n, &(kiln_function_options){.name = "step", .inputs_count = 2, .compile = late_keeps() ? KILN_WAIT : KILN_NEVER});
        kiln_eager(k, !traced);
        int i = 0;
        for (kiln_batch b = kiln_batches(data, 8, 0); i < STEPS && kiln_next(&b); b.at = 0) {
            KILN_SCOPE(k);
            out[i++] = (float)kiln_item(kiln_call(f, kiln_to(b.x, made), kiln_to(b.y, made)));
            if (i == STEPS) kiln_batch_stop(&b);
        }
        out[STEPS] = (float)kiln_metric_result(n.right);
        kiln_eager(k, false);
        kiln_variable *v[16];
        const int state = kiln_optimizer_variables(n.adam, v, 16);
        for (int j = 0; j < state; j++)
            if (kiln_elements(kiln_value(v[j])) > 1) assert_on(kiln_value(v[j]), made);
        kiln_function_free(f);
    }
    assert_ok(k);
    kiln_recurrent_free(n.lstm);
    kiln_dense_free(n.out);
    kiln_optimizer_free(n.adam);
    kiln_metric_free(n.right);
    kiln_dataset_free(data);
}

static void networks_train_where_they_were_made(void **state)
{
    kiln *k = *state;
    float want[STEPS + 1], got[STEPS + 1];
    for (int own = 0; own < 2; own++) {
        losses(k, "cpu", "cpu", own, false, want);
        assert_true(!own || want[STEPS - 1] < want[0]);
        for (int i = 0; i < 8; i++) {
            losses(k, i & 1 ? A : "cpu", (const char *[]){"cpu", A, B, A}[i / 2 % 4], own, i & 1, got);
            losses(k, A, (const char *[]){"cpu", A, B, "cpu"}[i / 2 % 4], own, i & 1, got);
            assert_memory_equal(want, got, sizeof want);
        }
    }
}

/* ---- what lies where ---------------------------------------------------------------------------------------------- */
static void things_made_in_a_block_lie_there(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_to(three(k), "cpu"), *far = kiln_to(x, B);
    kiln_variable *before = kiln_variable_new(k, "before", far), *chance = kiln_generator(k, 3), *v, *w, *u, *g;
    assert_on(kiln_value(before), B); /* outside of blocks a variable lies where its first value does */
    kiln_dense *layer;
    {
        KILN_DEVICE(k, A);
        v = kiln_variable_new(k, "v", x);
        w = kiln_variable_new(k, "w", KILN_F32, 0.5);
        u = kiln_variable_new(k, "u", kiln_zeros(k, KILN_F32, KILN_SHAPE(2)));
        g = kiln_generator(k, 1);
        layer = kiln_dense_new(k, 3, 2, chance); /* drawn where the generator is, and kept here */
    }
    assert_on(kiln_value(v), A);
    assert_on(kiln_value(w), A);
    assert_on(kiln_value(u), A);
    assert_on(kiln_value(g), A);
    assert_on(kiln_uniform(g, KILN_F32, KILN_SHAPE(4), 0, 1), A);
    assert_on(kiln_normal(g, KILN_F64, KILN_SHAPE(5), 0, 1), A);
    assert_on(kiln_dropout(v, 0.5, g), A);
    assert_on(kiln_dense_apply(layer, kiln_reshape(v, KILN_SHAPE(1, 3))), A);
    kiln_assign(v, kiln_add(v, 1));
    kiln_assign_add(v, kiln_to(x, A));
    kiln_assign_slice(v, KILN_STARTS(1), 7);
    kiln_assign_add_slice(v, KILN_STARTS(kiln_scalar(k, KILN_I64, 0)), kiln_to(kiln_slice(x, 0, 0, 2, 1), A));
    assert_float_equal(total(kiln_value(v)), 4 + 9 + 7, 0);
    kiln_assign(v, x);
    assert_error(k, KILN_EDEVICE, "assign: variable v is on late:0, the value on cpu");
    kiln_dropout(x, 0.5, g);
    assert_error(k, KILN_EDEVICE, "on late:0");
    kiln_dense_free(layer);
}

/* One element in the CPU's memory goes where its value comes from, eagerly and compiled. */
static void counts(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *v = user;
    (void)k;
    kiln_assign_add(v, kiln_sum(in[0], KILN_ALL));
    out[0] = kiln_value(v);
}

static void single_elements_go_along(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    KILN_DEVICE(k, "cpu");
    kiln_tensor *x = kiln_to(three(k), A);
    for (int traced = 0; traced < 2; traced++) {
        kiln_variable *sum = kiln_variable_new(k, "sum", KILN_F32, 0);
        kiln_function *f =
            kiln_function_new(k, counts, sum, &(kiln_function_options){.name = "counts", .inputs_count = 1, .compile = KILN_NEVER});
        assert_on(kiln_value(sum), "cpu");
        kiln_eager(k, !traced);
        for (int i = 0; i < 3; i++) kiln_call(f, x);
        kiln_eager(k, false);
        assert_float_equal(kiln_item(sum), 18, 0);
        assert_on(kiln_value(sum), A);
    }
    kiln_variable *row = kiln_variable_new(k, "row", kiln_f32(k, KILN_SHAPE(3), 0, 0, 0));
    kiln_function *f =
        kiln_function_new(k, counts, row, &(kiln_function_options){.name = "counts", .inputs_count = 1, .compile = KILN_NEVER});
    for (int traced = 0; traced < 2; traced++) {
        kiln_eager(k, !traced);
        kiln_call(f, x);
        assert_error(k, KILN_EDEVICE, "late:0");
    }
    kiln_eager(k, false);
    assert_float_equal(total(kiln_value(row)), 0, 0);
}

/* ---- bodies ------------------------------------------------------------------------------------------------------- */
typedef struct Bodied {
    kiln_tensor *used;
    const char *block, *to;
    char seen[32];
    kiln_variable *made;
} Bodied;

static void bodied(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Bodied *b = user;
    KILN_DEVICE(k, b->block ? b->block : b->to);
    snprintf(b->seen, sizeof b->seen, "%s", kiln_device_of(in[0]));
    if (!b->made) {
        KILN_EAGERLY(k);
        KILN_DEVICE(k, A); /* outside of the trace any device will do */
        b->made = kiln_variable_new(k, "made", kiln_to(kiln_iota(k, KILN_F32, KILN_SHAPE(3), 0), B));
    }
    kiln_tensor *x = kiln_add(kiln_mul(in[0], kiln_iota(k, KILN_F32, KILN_SHAPE(3), 0)), three(k));
    out[0] = kiln_to(b->used ? kiln_add(x, kiln_to(b->used, b->to)) : kiln_add(x, b->made), b->to);
}

static void bodies_run_on_one_device(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_to(three(k), "cpu"), *a = kiln_to(x, A);
    for (int traced = 0; traced < 2; traced++) {
        kiln_eager(k, !traced);
        Bodied b = {.to = A};
        kiln_function *f =
            kiln_function_new(k, bodied, &b, &(kiln_function_options){.name = "bodied", .inputs_count = 1, .compile = KILN_NEVER});
        kiln_tensor *y = kiln_call(f, a);
        assert_ok(k);
        assert_string_equal(b.seen, A);
        assert_on(y, A);
        assert_on(kiln_value(b.made), A);
        assert_float_equal(total(y), 8 + 6 + 3, 0);
        kiln_call(f, x);
        assert_error(k, KILN_EDEVICE, "device: the body of bodied runs on cpu, where its arguments lie, and cannot use late:0");
        b.block = "cpu", b.used = x;
        kiln_call(f, x);
        assert_error(k, KILN_EDEVICE, "to: the body of bodied runs on cpu");
        b = (Bodied){.used = kiln_to(x, B), .to = A, .made = b.made};
        kiln_function *g =
            kiln_function_new(k, bodied, &b, &(kiln_function_options){.name = "uses", .inputs_count = 1, .compile = KILN_NEVER});
        kiln_call(g, a);
        assert_error(k, KILN_EDEVICE, "to: the body of uses runs on late:0, but f32[3], which it uses, is on late:1");
        b.used = a;
        assert_float_equal(total(kiln_call(g, a)), 8 + 6 + 6, 0);
        assert_ok(k);
    }
    kiln_eager(k, false);
}

static void left_open(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_device_open_at(KILN_HERE, k, user);
    out[0] = in[0];
}

static void blocks_do_not_outlast_bodies(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    const char *own = kiln_device_of(three(k));
    kiln_function *f = kiln_function_new(k, left_open, (void *)(uintptr_t)A, &(kiln_function_options){.name = "left_open", .inputs_count = 1});
    for (int traced = 0; traced < 2; traced++) {
        kiln_eager(k, !traced);
        kiln_call(f, kiln_to(three(k), A));
        assert_error(
            k, KILN_ESTATE, "left_open: the body ended inside a KILN_DEVICE block: a kiln_device_open has no kiln_device_close");
        assert_on(three(k), own);
    }
    kiln_eager(k, false);
}

/* ---- loops and callbacks ------------------------------------------------------------------------------------------ */
static int doubles(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    kiln *k = user;
    KILN_SCOPE(k);
    (void)nin, (void)nout;
    kiln_tensor *x = kiln_from(k, KILN_F32, KILN_SHAPE(3), in[0].data, 3); /* the program's own code, where the program is */
    KILN_DEVICE(k, B);
    return !kiln_read(kiln_add(x, kiln_to(x, kiln_device_of(x))), out[0].data, 3 * sizeof(float));
}

static void loops(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *sum = kiln_local(k, kiln_zeros_like(in[0])), *n = kiln_local(k, KILN_F32, 0.0);
    KILN_FOR (k, i, 4) {
        KILN_IF(kiln_gt(kiln_sum(sum, KILN_ALL), 10)) kiln_assign_add(n, 1);
        KILN_ELSE(k) kiln_assign_add(sum, kiln_mul(in[0], kiln_cast(i, KILN_F32)));
    }
    KILN_WHILE (k, kiln_lt(n, 5)) kiln_assign_add(n, kiln_reduce_max(in[0], KILN_ALL));
    kiln_tensor *called;
    kiln_callback(k, doubles, k, KILN_IN(sum), ((const kiln_spec[]){KILN_SPEC(KILN_F32, 3)}), &called, 1);
    out[0] = kiln_add(called, n);
    kiln_assert(kiln_gt(out[0], 0), "all above 0");
}

static void loops_and_callbacks(void **state)
{
    kiln *k = *state;
    double want = 0;
    for (int i = 0; i < 6; i++) {
        KILN_SCOPE(k);
        KILN_DEVICE(k, i == 0 || i % 2 ? "cpu" : A);
        kiln_function *f =
            kiln_function_new(k, loops, NULL, &(kiln_function_options){.name = "loops", .inputs_count = 1, .compile = KILN_NEVER});
        kiln_eager(k, i / 2 == 1);
        kiln_tensor *y = kiln_call(f, kiln_to(three(k), i ? A : "cpu"));
        kiln_eager(k, false);
        assert_ok(k);
        if (i == 0) want = total(y);
        assert_float_equal(total(y), want, 0);
        assert_on(y, i ? A : "cpu");
    }
}

/* ---- text and files ----------------------------------------------------------------------------------------------- */
static void printing_and_files(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    char folder[] = "/tmp/kiln-device-use-XXXXXX", path[64], text[64] = "";
    assert_non_null(mkdtemp(folder));
    kiln_tensor *a = kiln_to(three(k), A);
    FILE *f = fmemopen(text, sizeof text, "w");
    kiln_print(f, a);
    fclose(f);
    assert_string_equal(text, "[1. 2. 3.] f32[3]\n");
    assert_float_equal(kiln_item_i64(kiln_sum(a, KILN_ALL)), 6, 0);
    double d[3];
    assert_true(kiln_read_doubles(a, d, 3) && d[2] == 3);

    snprintf(path, sizeof path, "%s/x.npy", folder);
    assert_true(kiln_npy_write(a, path));
    KILN_DEVICE(k, B);
    kiln_tensor *b = kiln_npy_read(k, path);
    assert_on(b, B);
    assert_float_equal(total(b), 6, 0);

    kiln_variable *v = kiln_variable_new(k, "v", b), *s = kiln_variable_new(k, "s", KILN_F32, 2.5);
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    assert_true(kiln_save_weights(k, path, (kiln_variable *[]){v, s}, 2));
    kiln_assign(v, kiln_mul(v, 0));
    assert_true(kiln_load_weights(k, path, (kiln_variable *[]){v, s}, 2));
    assert_on(kiln_value(v), B);
    assert_float_equal(total(kiln_value(v)), 6, 0);
    kiln_safetensors *file = kiln_safetensors_open(k, path);
    assert_on(kiln_safetensors_read(file, 0), B);
    kiln_safetensors_close(file);

    snprintf(path, sizeof path, "%s/c", folder);
    kiln_checkpoint *c = kiln_checkpoint_new(k, path, 2);
    kiln_checkpoint_add(c, v);
    assert_true(kiln_checkpoint_save(c, 3));
    kiln_assign(v, kiln_mul(v, 0));
    assert_int_equal(kiln_checkpoint_restore_latest(c), 3);
    assert_on(kiln_value(v), B);
    assert_float_equal(total(kiln_value(v)), 6, 0);
    snprintf(path, sizeof path, "%s/s", folder);
    kiln_summary *log = kiln_summary_open(k, path);
    assert_true(kiln_summary_scalar(log, "loss", 1, kiln_sum(a, KILN_ALL)));
    assert_true(kiln_summary_close(log));
    remove_all(folder);
    assert_ok(k);
}

static void batches_go_to_the_thread(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_to(kiln_iota(k, KILN_F32, KILN_SHAPE(6, 2), 0), A),
                *y = kiln_to(kiln_iota(k, KILN_I64, KILN_SHAPE(6), 0), A);
    kiln_dataset *d = kiln_dataset_new(k, x, y);
    KILN_DEVICE(k, B);
    double sum = 0;
    for (kiln_batch b = kiln_batches(d, 4, 1); kiln_next(&b);) {
        assert_on(b.x, B);
        assert_on(b.y, B);
        sum += total(b.x);
    }
    assert_float_equal(sum, 30, 0);
    kiln_dataset_free(d);
    assert_ok(k);
}

static void waiting(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *a = kiln_to(three(k), A);
    for (int i = 0; i < 20; i++) a = kiln_mul(a, 1);
    assert_true(kiln_sync(k, A));
    const uint64_t ran = late_ran();
    assert_true(kiln_sync(k, A));
    assert_int_equal(late_ran(), ran); /* all was done */
    late_fail(1, "it was unplugged");
    assert_true(kiln_sync(k, A));
    assert_false(kiln_sync(k, NULL));
    assert_error(k, KILN_EDEVICE, "late:1: it was unplugged");
    assert_true(kiln_sync(k, NULL));
    assert_true(kiln_sync(k, "cpu"));
}

/* ---- compiled, checked, compared, ahead of time ------------------------------------------------------------------- */
static void scaled(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *v = user;
    (void)k;
    out[0] = kiln_softmax(kiln_mul(in[0], v), -1);
    kiln_assign_add(v, 1);
}

static void ways_of_running_agree(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    char text[4096] = "", path[] = "/tmp/kiln-device-use-XXXXXX", name[64];
    kiln_tensor *a = kiln_to(three(k), A);
    kiln_variable *v = kiln_variable_new(k, "v", kiln_to(three(k), A));
    kiln_function *f = kiln_function_new(k, scaled, v, &(kiln_function_options){.name = "scaled", .inputs_count = 1});
    FILE *to = fmemopen(text, sizeof text, "w");
    assert_int_equal(kiln_check(to, f, KILN_IN(a)), KILN_AGREE);
    const kiln_compare_options quick = {.seconds = 0.001};
    assert_true(kiln_compare(to, f, KILN_IN(a), &quick));
    fclose(to);
    assert_non_null(strstr(text, "none: equal bit for bit"));
    assert_float_equal(total(kiln_value(v)), 6, 0); /* as it was */
    assert_on(kiln_call(f, a), A);
    kiln_call(f, kiln_to(a, "cpu"));
    assert_error(k, KILN_EDEVICE, "scaled: the call runs on cpu, but variable v, which its body assigns, is on late:0");
    kiln_call(f, kiln_to(a, B));
    assert_error(k, KILN_EDEVICE, "is on late:0");
    assert_float_equal(total(kiln_value(v)), 9, 0);
    assert_on(kiln_call(kiln_grad(f), a), A);
    assert_non_null(mkdtemp(path)); /* the object is for the CPU, and the variable's value in it is the device's */
    snprintf(name, sizeof name, "%s/scaled", path);
    assert_true(kiln_aot(f, name, NULL));
    remove_all(path);
    assert_ok(k);
}

/* What only the CPU has is told apart from what goes wrong. */
static void scaled_alone(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *v = user;
    (void)in;
    out[0] = kiln_add(v, kiln_iota(k, KILN_F32, KILN_SHAPE(3), 0)); /* made where the call stands */
}

static void functions_without_arguments(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", kiln_to(three(k), A));
    kiln_function *f = kiln_function_new(k, scaled_alone, v, &(kiln_function_options){.name = "alone", .compile = KILN_NEVER});
    for (int traced = 0; traced < 2; traced++) {
        kiln_eager(k, !traced);
        {
            KILN_DEVICE(k, "cpu");
            kiln_call(f);
            assert_error(k, KILN_EDEVICE, "late:0");
        }
        KILN_DEVICE(k, A);
        assert_float_equal(total(kiln_call(f)), 6 + 3, 0);
    }
    kiln_eager(k, false);
    assert_ok(k);
}

/* What passes leave no kernel of. */
static void nothing_to_compute(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = in[0];
    out[1] = kiln_reshape(in[0], KILN_SHAPE(-1));
}

static void functions_without_a_kernel(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    KILN_DEVICE(k, A);
    kiln_tensor *out[2];
    kiln_function *f = kiln_function_new(k, nothing_to_compute, NULL, &(kiln_function_options){.outputs = 2, .compile = KILN_WAIT});
    for (int i = 0; i < 2; i++) {
        assert_true(kiln_call_all(f, KILN_IN(three(k)), out, 2));
        assert_float_equal(total(out[0]), 6, 0);
        assert_float_equal(total(out[1]), 6, 0);
    }
    kiln_function_free(f);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(networks_train_where_they_were_made),
        FRONT_TEST(things_made_in_a_block_lie_there), FRONT_TEST(single_elements_go_along), FRONT_TEST(bodies_run_on_one_device),
        FRONT_TEST(blocks_do_not_outlast_bodies), FRONT_TEST(loops_and_callbacks), FRONT_TEST(printing_and_files),
        FRONT_TEST(batches_go_to_the_thread), FRONT_TEST(waiting), FRONT_TEST(functions_without_arguments)};
    /* Those that look for the words late:0 are for that device. */
    const struct CMUnitTest emulated[] = {FRONT_TEST(networks_train_where_they_were_made),
        FRONT_TEST(blocks_do_not_outlast_bodies), FRONT_TEST(loops_and_callbacks), FRONT_TEST(printing_and_files), FRONT_TEST(batches_go_to_the_thread),
        FRONT_TEST(functions_without_a_kernel)};
    if (late_keeps()) return cmocka_run_group_tests_name("device_use", emulated, NULL, NULL);
    const struct CMUnitTest compiled[] = {FRONT_TEST(ways_of_running_agree), FRONT_TEST(functions_without_a_kernel)};
    const int failed = cmocka_run_group_tests_name("device_use", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("device_use, compiled", compiled, front_needs_llvm, NULL);
}
