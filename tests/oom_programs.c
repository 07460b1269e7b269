/* oom_programs: see the header. Sizes are small: what matters is that every kind of allocation of ours is met. */
#include "oom_programs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- digests -------------------------------------------------------------------------------------------------- */
static void take_bytes(OomDigest *d, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++)
        d->hash = (d->hash ^ p[i]) * 0x100000001b3u; /* FNV-1a */
}

static void take(OomDigest *d, kiln_tensor *t)
{
    unsigned char buffer[1 << 15];
    size_t bytes = kiln_bytes(t);
    if (bytes && bytes <= sizeof buffer && kiln_read(t, buffer, bytes))
        take_bytes(d, buffer, bytes);
}

static void take_variable(OomDigest *d, kiln_variable *v)
{
    KILN_SCOPE(d->k);
    take(d, kiln_value(v));
}

static void take_text(OomDigest *d, void (*write)(FILE *to, void *what), void *what)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    write(to, what);
    fclose(to);
    take_bytes(d, text, bytes);
    free(text);
}

uint64_t oom_run(const OomProgram *p, kiln *k)
{
    OomDigest d = {k, 0xcbf29ce484222325u};
    KILN_SCOPE(k);
    p->body(k, &d);
    return d.hash;
}

/* ---- eager -------------------------------------------------------------------------------------------------------- */
static void print_to(FILE *to, void *t)
{
    kiln_print(to, (kiln_tensor *)t);
}

static void eager_values(kiln *k, OomDigest *d)
{
    kiln_tensor *a = kiln_iota(k, KILN_F32, KILN_SHAPE(4, 6), 1), *b = kiln_f32(k, KILN_SHAPE(6), 1, -2, 3, 0.5, 2, 7);
    kiln_tensor *c = kiln_add(kiln_mul(a, b), 1.5);
    take(d, c);
    take(d, kiln_where(kiln_gt(a, 2), kiln_tanh(c), kiln_pow(a, 2)));
    take(d, kiln_cast(kiln_floor_div(kiln_cast(a, KILN_I32), 2), KILN_F64));
    take(d, kiln_sum(c, KILN_AXES(0)));
    take(d, kiln_reduce_max(kiln_transpose(c, KILN_ALL), KILN_KEEP(1)));
    take(d, kiln_variance(c, KILN_AXES(1)));
    take(d, kiln_argmax(c, -1));
    take(d, kiln_any(kiln_lt(c, 0), KILN_ALL));
    take(d, kiln_matmul(a, kiln_transpose(c, KILN_AXES(1, 0))));
    take(d, kiln_matmul(kiln_broadcast(b, KILN_SHAPE(3, 1, 6)), kiln_reshape(c, KILN_SHAPE(6, 4))));
    take(d, kiln_softmax(c, 1));
    take(d, kiln_layernorm(c, b, b, 0));
    take(d, kiln_cross_entropy(c, kiln_i64(k, KILN_SHAPE(4), 0, 5, 2, 3)));
    take_text(d, print_to, c);
    take_text(d, print_to, kiln_iota(k, KILN_F64, KILN_SHAPE(2000), 0));
}

static void eager_movement(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_reshape(kiln_iota(k, KILN_F32, KILN_SHAPE(72), 0), KILN_SHAPE(2, 6, 6, 1));
    kiln_tensor *f = kiln_full(k, KILN_F32, KILN_SHAPE(3, 3, 1, 2), 0.25);
    kiln_tensor *y = kiln_conv2d(x, f, &(kiln_window){.same = true});
    take(d, y);
    take(d, kiln_max_pool(y, &(kiln_window){.size = {2, 2}}));
    take(d, kiln_avg_pool(y, &(kiln_window){.size = {3, 3}, .stride = {1, 2}, .same = true}));
    take(d, kiln_slice(kiln_flatten(x), 1, KILN_END, 0, -3));
    take(d, kiln_pad(kiln_squeeze(x, 3), KILN_SHAPE(0, 1, 2), KILN_SHAPE(1, 0, 0), -1));
    kiln_tensor *pair[] = {y, kiln_neg(y), y};
    take(d, kiln_concat(pair, 3, 2));
    take(d, kiln_stack(pair, 2, 0));
    kiln_tensor *index = kiln_i64(k, KILN_SHAPE(2, 2), 1, 0, 5, 3);
    take(d, kiln_gather(kiln_squeeze(x, 3), index, 1));
    take(d, kiln_one_hot(index, 6, KILN_F32));
    kiln_variable *g = kiln_generator(k, 9);
    take(d, kiln_dropout(kiln_normal(g, KILN_F32, KILN_SHAPE(5, 3), 0, 1), 0.5, g));
    take(d, kiln_uniform(g, KILN_F64, KILN_SHAPE(7), -1, 1));
}

static void released(void *data, void *user)
{
    (void)data;
    ++*(int *)user;
}

static void scopes_and_variables(kiln *k, OomDigest *d)
{
    static const float borrowed[4] = {1, 2, 3, 4};
    int releases = 0;
    kiln_tensor *slot = NULL;
    kiln_variable *v = kiln_variable_new(k, "v", kiln_ones(k, KILN_F32, KILN_SHAPE(2, 2)));
    kiln_tensor *kept = NULL;
    for (int i = 0; i < 5; i++) {
        KILN_SCOPE(k);
        kiln_tensor *b = kiln_borrow(k, KILN_F32, KILN_SHAPE(2, 2), borrowed, released, &releases);
        kiln_assign_add(v, kiln_mul(b, i));
        kiln_set(&slot, kiln_exp(v));
        if (i == 3)
            kept = kiln_keep(kiln_add(v, b));
        kiln_variable *local = kiln_local(k, b);
        kiln_assign(local, kiln_transpose(slot, KILN_ALL));
        kiln_assign_sub(local, 1);
        take(d, kiln_value(local));
    }
    take(d, kept ? kept : kiln_value(v));
    take(d, slot);
    for (int i = 0; i < 40; i++) { /* many of each, so that lists grow */
        KILN_SCOPE(k);
        kiln_variable *w = kiln_variable_new(k, NULL, i);
        kiln_assign(w, kiln_add(w, i));
        take(d, kiln_value(w));
        kiln_variable_free(w);
    }
    kiln_set(&slot, NULL);
    kiln_variable_free(v);
}

/* ---- gradients -------------------------------------------------------------------------------------------------------- */
static void clipped(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k;
    (void)x;
    (void)user;
    dx[0] = kiln_clip(g, -1, 1);
}

static void tapes(kiln *k, OomDigest *d)
{
    kiln_variable *w = kiln_variable_new(k, "w", kiln_f32(k, KILN_SHAPE(3, 2), 1, 2, 3, -1, -2, 0.5));
    kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(4, 3), 0), *dw, *dx[2];
    {
        KILN_TAPE(k, outer);
        {
            KILN_TAPE(k, inner);
            kiln_tensor *y = kiln_sum(kiln_square(kiln_tanh(kiln_matmul(x, w))), KILN_ALL);
            take(d, dw = kiln_gradient(inner, y, w));
        }
        take(d, kiln_gradient(outer, kiln_sum(kiln_square(dw), KILN_ALL), w));
    }
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *z = kiln_log_softmax(kiln_mul(x, kiln_slice(kiln_reshape(w, KILN_SHAPE(2, 3)), 0, 0, 1, 1)), 1);
    kiln_tensor *image = kiln_reshape(kiln_exp(x), KILN_SHAPE(1, 4, 3, 1));
    kiln_tensor *conv = kiln_max_pool(kiln_conv2d(image, kiln_ones(k, KILN_F32, KILN_SHAPE(2, 2, 1, 1)), NULL), &(kiln_window){.size = {2, 2}});
    kiln_tensor *through = kiln_custom_gradient(kiln_mul(x, 1), &x, 1, clipped, NULL);
    kiln_tensor *all = kiln_add(kiln_sum(kiln_mul(z, z), KILN_ALL), kiln_add(kiln_mean(conv, KILN_ALL), kiln_sum(kiln_mul(through, 3), KILN_ALL)));
    kiln_operand to[2] = {KILN_OPERAND(x), KILN_OPERAND(w)};
    for (int i = 0; i < 2; i++) {
        KILN_SCOPE(k);
        if (kiln_gradients(tape, all, to, 2, dx)) {
            take(d, dx[0]);
            take(d, dx[1]);
        }
    }
    const char *why = kiln_grad_why(tape, KILN_OPERAND(w));
    take_bytes(d, why ? why : "", why ? strlen(why) : 0);
    kiln_variable_free(w);
}

/* ---- layers, optimisers, metrics, data --------------------------------------------------------------------------------------- */
static void training_by_hand(kiln *k, OomDigest *d)
{
    kiln_variable *g = kiln_generator(k, 4);
    kiln_conv *conv = kiln_conv_new(k, 1, 2, (&(kiln_window){.size = {3, 3}}), g);
    kiln_dense *dense = kiln_dense_new(k, 2, 3, g);
    kiln_optimizer *with[2] = {kiln_adam(k, 0.1), kiln_sgd(k, 0.1, 0.9)};
    kiln_metric *mean = kiln_mean_metric(k), *accuracy = kiln_accuracy_metric(k);
    kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(3, 5, 5, 1), 0, 1), *label = kiln_i64(k, KILN_SHAPE(3), 2, 0, 1);
    for (int i = 0; i < 4; i++) {
        KILN_SCOPE(k);
        KILN_TAPE(k, tape);
        kiln_tensor *logits = kiln_dense_apply(dense, kiln_global_avg_pool(kiln_relu(kiln_conv_apply(conv, x))));
        kiln_tensor *loss = kiln_cross_entropy(logits, label);
        kiln_optimizer_minimize(with[i % 2], tape, loss);
        kiln_metric_update(mean, loss);
        kiln_metric_update_labels(accuracy, logits, label);
    }
    double results[2] = {kiln_metric_result(mean), kiln_metric_result(accuracy)};
    take_bytes(d, results, sizeof results);
    take_variable(d, kiln_dense_weight(dense));
    take_variable(d, kiln_conv_filters(conv));
    kiln_metric_free(mean);
    kiln_optimizer_free(with[0]);
    kiln_dense_free(dense); /* the others stay for kiln_close */
}

static void recurrent_layers(kiln *k, OomDigest *d)
{
    kiln_variable *g = kiln_generator(k, 6), *v[4];
    kiln_recurrent *lstm = kiln_lstm_new(k, 2, 3, g), *gru = kiln_gru_new(k, 3, 2, g);
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(3, 2, 2), 0, 1), *h = NULL, *c = NULL;
    kiln_tensor *y = kiln_recurrent_apply(lstm, x, &(kiln_recurrent_options){.last_h = &h, .last_c = &c});
    y = kiln_recurrent_apply(gru, y, &(kiln_recurrent_options){.reverse = true});
    kiln_tensor *loss = kiln_add(kiln_sum(y, KILN_ALL), kiln_sum(kiln_mul(h, c), KILN_ALL));
    if (kiln_recurrent_variables(lstm, v, 4)) take(d, kiln_gradient(tape, loss, v[1]));
    take(d, y);
    kiln_recurrent_free(lstm); /* the other stays for kiln_close */
}

static void data_sets(kiln *k, OomDigest *d)
{
    kiln_tensor *images = NULL, *labels = NULL;
    if (!kiln_digits(k, 7, 3, &images, &labels))
        return;
    kiln_dataset *data = kiln_dataset_new(k, images, labels);
    for (uint64_t seed = 0; seed < 2; seed++)
        for (kiln_batch b = kiln_batches(data, 3, seed); kiln_next(&b);) {
            take(d, b.x);
            take(d, b.y);
        }
    for (kiln_batch b = kiln_batches(data, 2, 5); kiln_next(&b);) {
        take(d, b.y);
        kiln_batch_stop(&b);
        break;
    }
    kiln_dataset_free(data);
    static const unsigned char idx[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 9, 8, 7, 6, 5, 4};
    char path[] = "/tmp/kiln-oom-XXXXXX";
    int file = mkstemp(path);
    if (file >= 0 && write(file, idx, sizeof idx) == (ssize_t)sizeof idx)
        take(d, kiln_idx_read(k, path));
    if (file >= 0)
        close(file), unlink(path);
}

/* ---- traced ---------------------------------------------------------------------------------------------------------------------- */
KILN_FUNCTION(wave, k, x)
{
    return kiln_mul(kiln_sin(x), kiln_sum(kiln_exp(x), KILN_KEEP(-1)));
}

KILN_FUNCTION(nested, k, x, y)
{
    return kiln_matmul(wave(k, x), kiln_transpose(y, KILN_AXES(1, 0)));
}

static kiln_tensor *captured;
static void several(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_variable *count = user;
    kiln_assign_add(count, 1);
    out[0] = kiln_softmax(kiln_mul(in[0], captured), 1);
    out[1] = kiln_mul(kiln_sum(in[0], KILN_AXES(0)), count);
}

static void traced_functions(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 5), 1), *out[2];
    for (int i = 0; i < 3; i++)
        take(d, nested(k, x, kiln_add(x, i)));
    kiln_variable *count = kiln_variable_new(k, "count", KILN_F32, 0.0);
    captured = kiln_full(k, KILN_F32, KILN_SHAPE(5), 0.5);
    kiln_function *f = kiln_function_new(k, several, count, &(kiln_function_options){.name = "several", .outputs = 2,
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 8), 5)}});
    for (int n = 1; n <= 5; n += 2) {
        KILN_SCOPE(k);
        kiln_operand in = KILN_OPERAND(kiln_ones(k, KILN_F32, KILN_SHAPE(n, 5)));
        if (kiln_call_all(f, &in, 1, out, 2))
            take(d, out[0]), take(d, out[1]);
    }
    kiln_function_free(f);
    kiln_variable_free(count);
}

static void traced_gradients(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_iota(k, KILN_F64, KILN_SHAPE(5), 0), *both[2], *g;
    take(d, kiln_call(kiln_grad(KILN_FN(k, wave)), x));
    kiln_operand in = KILN_OPERAND(x);
    if (kiln_call_all(kiln_value_and_grad(KILN_FN(k, wave)), &in, 1, both, 2))
        take(d, both[0]), take(d, both[1]);
    KILN_TAPE(k, outer);
    kiln_watch(outer, x);
    {
        KILN_TAPE(k, inner);
        kiln_watch(inner, x);
        g = kiln_gradient(inner, wave(k, x), x);
    }
    take(d, kiln_gradient(outer, g, x));
}

KILN_FUNCTION(series, k, x)
{
    kiln_variable *term = kiln_local(k, kiln_ones_like(x)), *sum = kiln_local(k, kiln_zeros_like(x));
    KILN_FOR(k, i, 4) {
        kiln_assign(term, kiln_mul(term, x));
        kiln_assign_add(sum, kiln_mul(term, kiln_cast(i, kiln_dtype_of(x))));
    }
    return kiln_value(sum);
}

static void loops(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 0.5, -1, 2);
    kiln_eager(k, true);
    take(d, series(k, x));
    kiln_eager(k, false);
    take(d, series(k, x));
    take(d, kiln_call(kiln_grad(KILN_FN(k, series)), x));
}

static void squares_slice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[1], in[2]);
    out[1] = kiln_square(out[0]);
}

/* Branches, a loop of unknown length and its gradient, a scan, a part of a local. */
KILN_FUNCTION(wandering, k, x)
{
    kiln_variable *y = kiln_local(k, x), *rows = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3)));
    KILN_WHILE(k, kiln_less(kiln_sum(kiln_abs(y), KILN_ALL), 30.0)) {
        KILN_IF(kiln_less(kiln_sum(y, KILN_ALL), 4.0)) kiln_assign(y, kiln_add(kiln_mul(y, 2.0), 1.0));
        KILN_ELSE(k) kiln_assign(y, kiln_mul(y, 1.5));
    }
    kiln_tensor *first = kiln_zeros_like(x), *xs = kiln_stack((kiln_tensor *[]){x, kiln_value(y)}, 2, 0), *last, *ys;
    kiln_scan(k, squares_slice, &(kiln_scan_options){.carries = &first, .carries_count = 1, .xs = &xs, .xs_count = 1, .ys_count = 1}, &last,
        &ys, NULL);
    KILN_FOR(k, i, 2) kiln_assign_slice(rows, KILN_STARTS(i, 0), kiln_reshape(last, KILN_SHAPE(1, 3)));
    return kiln_add(kiln_sum(kiln_add(ys, rows), KILN_ALL), kiln_value(y));
}

static void control(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 0.5, -1, 2);
    kiln_eager(k, true);
    take(d, wandering(k, x));
    kiln_eager(k, false);
    take(d, wandering(k, x));
    take(d, kiln_call(kiln_grad(KILN_FN(k, wandering)), x));
}

/* ---- a traced training step --------------------------------------------------------------------------------------------------------- */
struct OomTraining { kiln *k; kiln_dense *hidden, *out; kiln_optimizer *adam; kiln_function *f; kiln_tensor *x, *label; double loss; };

static void training_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    OomTraining *t = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(t->hidden, in[0]));
    out[0] = kiln_cross_entropy(kiln_dense_apply(t->out, h), in[1]);
    kiln_optimizer_minimize(t->adam, tape, out[0]);
}

OomTraining *oom_training_new(kiln *k)
{
    OomTraining *t = calloc(1, sizeof *t);
    kiln_variable *g = kiln_generator(k, 7);
    *t = (OomTraining){.k = k, .hidden = kiln_dense_new(k, 6, 9, g), .out = kiln_dense_new(k, 9, 3, g), .adam = kiln_adam(k, 0.05)};
    t->x = kiln_normal(g, KILN_F32, KILN_SHAPE(8, 6), 0, 1);
    t->label = kiln_argmax(kiln_slice(t->x, 1, 0, 3, 1), 1);
    t->f = kiln_function_new(k, training_body, t, &(kiln_function_options){.name = "train", .no_blas = true,
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 8), 6), KILN_SPEC(KILN_I64, KILN_DIM("N", 1, 8))}});
    return t;
}

void oom_training_step(OomTraining *t)
{
    KILN_SCOPE(t->k);
    t->loss = kiln_item(kiln_call(t->f, t->x, t->label));
}

uint64_t oom_training_state(OomTraining *t, bool with_moments)
{
    OomDigest d = {t->k, 0};
    kiln_variable *moments[32];
    int n = with_moments ? kiln_optimizer_variables(t->adam, moments, 32) : 0;
    for (int i = 0; i < n; i++)
        take_variable(&d, moments[i]);
    take_variable(&d, kiln_dense_weight(t->hidden));
    take_variable(&d, kiln_dense_bias(t->hidden));
    take_variable(&d, kiln_dense_weight(t->out));
    take_variable(&d, kiln_dense_bias(t->out));
    return d.hash;
}

void oom_training_free(OomTraining *t)
{
    kiln_function_free(t->f);
    kiln_dense_free(t->hidden); /* their names are free for the next */
    kiln_dense_free(t->out);
    kiln_optimizer_free(t->adam);
    free(t);
}

static void traced_training(kiln *k, OomDigest *d)
{
    OomTraining *t = oom_training_new(k);
    for (int i = 0; i < 3; i++) {
        oom_training_step(t);
        take_bytes(d, &t->loss, sizeof t->loss);
    }
    uint64_t state = oom_training_state(t, true);
    take_bytes(d, &state, sizeof state);
    oom_training_free(t);
}

static int doubled(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)nin, (void)nout, (void)user;
    *(float *)out[0].data = 2 * *(const float *)in[0].data;
    return 0;
}

static void watched(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_FOR(k, i, 3) {
        kiln_tensor *now = kiln_value(v), *next = NULL;
        kiln_callback(k, doubled, NULL, &now, 1, (kiln_spec[]){KILN_SPEC(KILN_F32)}, &next, 1);
        kiln_print((FILE *)user, next);
        kiln_assert_finite(next);
        kiln_assert_close(next, kiln_mul(now, 2), 0);
        kiln_assign(v, next);
    }
    kiln_print_text(k, (FILE *)user, "done\n");
    out[0] = kiln_value(v);
}

static void effects(kiln *k, OomDigest *d)
{
    FILE *to = fopen("/dev/null", "w");
    kiln_function *f = kiln_function_new(k, watched, to, NULL);
    for (int i = 0; i < 2; i++) take(d, kiln_call(f, kiln_scalar(k, KILN_F32, 1.5)));
    kiln_function_free(f);
    fclose(to);
}

/* ---- looking inside, files ------------------------------------------------------------------------------------------------------------ */
static void comparing(kiln *k, OomDigest *d)
{
    FILE *to = tmpfile();
    kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 5), 1);
    bool agree = kiln_compare(to, KILN_FN(k, wave), &x, 1, &(kiln_compare_options){.seconds = 1e-6});
    fclose(to);
    take_bytes(d, &agree, sizeof agree);
}

static void checking(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 5), 1);
    bool agree = kiln_check(NULL, KILN_FN(k, wave), &x, 1);
    take_bytes(d, &agree, sizeof agree);
}

static void take_file(OomDigest *d, const char *path)
{
    FILE *f = fopen(path, "rb");
    char buffer[4096];
    for (size_t n; f && (n = fread(buffer, 1, sizeof buffer, f)) > 0;)
        take_bytes(d, buffer, n);
    if (f)
        fclose(f);
    unlink(path);
}

static void ahead_of_time(kiln *k, OomDigest *d)
{
    OomTraining *t = oom_training_new(k);
    char path[64], object[72], header[72];
    snprintf(path, sizeof path, "/tmp/kiln_oom_%d", (int)getpid());
    snprintf(object, sizeof object, "%s.o", path);
    snprintf(header, sizeof header, "%s.h", path);
    bool written = kiln_aot(t->f, path, &(kiln_aot_options){.symbol = "train"});
    bool half = !written && (access(object, F_OK) == 0 || access(header, F_OK) == 0);
    take_bytes(d, &written, sizeof written);
    take_file(d, object);
    take_file(d, header);
    if (half)
        d->hash = OOM_HALF_WRITTEN;
    oom_training_free(t);
}

OomProgram oom_programs[OOM_PROGRAMS] = {
    {"eager_values", eager_values, false, 0}, {"eager_movement", eager_movement, false, 0},
    {"scopes_and_variables", scopes_and_variables, false, 0}, {"tapes", tapes, false, 0}, {"training_by_hand", training_by_hand, false, 0},
    {"recurrent_layers", recurrent_layers, false, 0}, {"data_sets", data_sets, false, 0}, {"traced_functions", traced_functions, true, 0},
    {"traced_gradients", traced_gradients, true, 0}, {"loops", loops, true, 0}, {"control", control, true, 0}, {"effects", effects, true, 0}, {"traced_training", traced_training, true, 0},
    {"comparing", comparing, true, 0}, {"checking", checking, true, 0}, {"ahead_of_time", ahead_of_time, true, 0},
};
