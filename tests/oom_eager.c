/* oom_eager: what test_oom.c starves of eager code: values, movement, scopes, tapes, layers, optimisers, data. */
#include "oom_programs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- eager -------------------------------------------------------------------------------------------------------- */
static void take_text(OomDigest *d, void (*write)(FILE *to, void *what), void *what)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    write(to, what);
    fclose(to);
    oom_take_bytes(d, text, bytes);
    free(text);
}

static void print_to(FILE *to, void *t)
{
    kiln_print(to, (kiln_tensor *)t);
}

static void eager_values(kiln *k, OomDigest *d)
{
    kiln_tensor *a = kiln_iota(k, KILN_F32, KILN_SHAPE(4, 6), 1), *b = kiln_f32(k, KILN_SHAPE(6), 1, -2, 3, 0.5, 2, 7);
    kiln_tensor *c = kiln_add(kiln_mul(a, b), 1.5);
    oom_take(d, c);
    oom_take(d, kiln_where(kiln_gt(a, 2), kiln_tanh(c), kiln_pow(a, 2)));
    oom_take(d, kiln_cast(kiln_floor_div(kiln_cast(a, KILN_I32), 2), KILN_F64));
    oom_take(d, kiln_sum(c, KILN_AXES(0)));
    oom_take(d, kiln_reduce_max(kiln_transpose(c, KILN_ALL), KILN_KEEP(1)));
    oom_take(d, kiln_variance(c, KILN_AXES(1)));
    oom_take(d, kiln_argmax(c, -1));
    oom_take(d, kiln_any(kiln_lt(c, 0), KILN_ALL));
    oom_take(d, kiln_matmul(a, kiln_transpose(c, KILN_AXES(1, 0))));
    oom_take(d, kiln_matmul(kiln_broadcast(b, KILN_SHAPE(3, 1, 6)), kiln_reshape(c, KILN_SHAPE(6, 4))));
    oom_take(d, kiln_matmul_to(kiln_cast(a, KILN_U8), kiln_cast(kiln_transpose(c, KILN_ALL), KILN_I8), KILN_I32));
    oom_take(d, kiln_softmax(c, 1));
    oom_take(d, kiln_layernorm(c, b, b, 0));
    oom_take(d, kiln_cross_entropy(c, kiln_i64(k, KILN_SHAPE(4), 0, 5, 2, 3)));
    take_text(d, print_to, c);
    take_text(d, print_to, kiln_iota(k, KILN_F64, KILN_SHAPE(2000), 0));
}

static void eager_movement(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_reshape(kiln_iota(k, KILN_F32, KILN_SHAPE(72), 0), KILN_SHAPE(2, 6, 6, 1));
    kiln_tensor *f = kiln_full(k, KILN_F32, KILN_SHAPE(3, 3, 1, 2), 0.25);
    kiln_tensor *y = kiln_conv2d(x, f, &(kiln_window){.same = true});
    oom_take(d, y);
    oom_take(d, kiln_convolve_transposed(kiln_transpose(y, KILN_AXES(0, 2, 1, 3)), kiln_full(k, KILN_F32, KILN_SHAPE(2, 2, 3, 2), 0.5), (&(kiln_convolution){.stride = {2, 3}})));
    oom_take(d, kiln_convolve(kiln_cast(y, KILN_BF16), kiln_full(k, KILN_BF16, KILN_SHAPE(3, 1, 1, 2), 0.5), (&(kiln_convolution){.groups = 2, .pad = {{1, 1}}})));
    oom_take(d, kiln_max_pool(y, &(kiln_window){.size = {2, 2}}));
    oom_take(d, kiln_avg_pool(y, &(kiln_window){.size = {3, 3}, .stride = {1, 2}, .same = true}));
    oom_take(d, kiln_slice(kiln_flatten(x), 1, KILN_END, 0, -3));
    oom_take(d, kiln_pad(kiln_squeeze(x, 3), KILN_SHAPE(0, 1, 2), KILN_SHAPE(1, 0, 0), -1));
    kiln_tensor *pair[] = {y, kiln_neg(y), y};
    oom_take(d, kiln_concat(pair, 3, 2));
    oom_take(d, kiln_stack(pair, 2, 0));
    kiln_tensor *index = kiln_i64(k, KILN_SHAPE(2, 2), 1, 0, 5, 3);
    oom_take(d, kiln_gather(kiln_squeeze(x, 3), index, 1));
    oom_take(d, kiln_one_hot(index, 6, KILN_F32));
    kiln_tensor *flat = kiln_squeeze(x, 3), *part[3] = {NULL, NULL, NULL};
    oom_take(d, kiln_index(flat, KILN_AT(1), KILN_AT(index), KILN_NEW, KILN_FROM(kiln_index(index, KILN_AT(1), KILN_AT(0)), 2)));
    oom_take(d, kiln_index_update(flat, kiln_cast(index, KILN_F32), KILN_SCATTER_ADD, KILN_AT(0), KILN_RANGE(0, 4, 2), KILN_RANGE(-1, 3, -1)));
    oom_take(d, kiln_index_update(flat, 2, KILN_SCATTER_SET, KILN_ALL_OF, KILN_AT(index)));
    oom_take(d, kiln_roll(kiln_pad_with(flat, KILN_SHAPE(0, 8, -1), KILN_SHAPE(1, 0, 2), KILN_PAD_SYMMETRIC), KILN_SHAPE(3), KILN_ALL));
    oom_take(d, kiln_repeat(kiln_tile(index, KILN_SHAPE(2, 1, 2)), kiln_i64(k, KILN_SHAPE(4), 0, 2, 1, 1), -1));
    oom_take(d, kiln_split(flat, 1, NULL, 3, part) ? kiln_sliding_windows(part[2], KILN_AXES(2), KILN_SHAPE(3), KILN_SHAPE(2)) : flat);
    oom_take(d, kiln_add(kiln_diag(kiln_diagonal(flat, 1, 1, 2), 0), kiln_linspace(k, KILN_F32, 0, 1, 5, true)));
    oom_take(d, kiln_scatter_nd(flat, index, 1, KILN_SCATTER_MUL));
    kiln_variable *g = kiln_generator(k, 9);
    oom_take(d, kiln_dropout(kiln_normal(g, KILN_F32, KILN_SHAPE(5, 3), 0, 1), 0.5, g));
    oom_take(d, kiln_uniform(g, KILN_F64, KILN_SHAPE(7), -1, 1));
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
        oom_take(d, kiln_value(local));
    }
    oom_take(d, kept ? kept : kiln_value(v));
    oom_take(d, slot);
    for (int i = 0; i < 40; i++) { /* many of each, so that lists grow */
        KILN_SCOPE(k);
        kiln_variable *w = kiln_variable_new(k, NULL, i);
        kiln_assign(w, kiln_add(w, i));
        oom_take(d, kiln_value(w));
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
            oom_take(d, dw = kiln_gradient(inner, y, w));
        }
        oom_take(d, kiln_gradient(outer, kiln_sum(kiln_square(dw), KILN_ALL), w));
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
            oom_take(d, dx[0]);
            oom_take(d, dx[1]);
        }
    }
    const char *why = kiln_grad_why(tape, KILN_OPERAND(w));
    oom_take_bytes(d, why ? why : "", why ? strlen(why) : 0);
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
    oom_take_bytes(d, results, sizeof results);
    oom_take_variable(d, kiln_dense_weight(dense));
    oom_take_variable(d, kiln_conv_filters(conv));
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
    if (kiln_recurrent_variables(lstm, v, 4)) oom_take(d, kiln_gradient(tape, loss, v[1]));
    oom_take(d, y);
    kiln_recurrent_free(lstm); /* the other stays for kiln_close */
}

/* Draws with loops of tries, under a tape that does not record them; a layer that writes two variables at once. */
static void draws_and_statistics(kiln *k, OomDigest *d)
{
    kiln_variable *g = kiln_generator(k, 8), *more = kiln_generator_fold(g, 1), *v[4] = {0};
    kiln_batchnorm *norm = kiln_batchnorm_new(k, 3, NULL);
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_gamma(g, KILN_F32, KILN_SHAPE(4, 3), 0.5), *label = kiln_randint(more, KILN_I32, KILN_SHAPE(4), 0, 3);
    kiln_tensor *y = kiln_batchnorm_apply(norm, kiln_dropout_if(x, 0.25, true, g), true);
    kiln_tensor *loss = kiln_softmax_cross_entropy(y, label, &(kiln_class_loss){.smoothing = 0.1});
    if (kiln_batchnorm_variables(norm, v, 4)) oom_take(d, kiln_gradient(tape, loss, v[0]));
    oom_take(d, kiln_choice(g, y, 3, 0, NULL, KILN_DISTINCT));
    oom_take_variable(d, v[3]);
    oom_take_variable(d, g);
}

static void data_sets(kiln *k, OomDigest *d)
{
    kiln_tensor *images = NULL, *labels = NULL;
    if (!kiln_digits(k, 7, 3, &images, &labels))
        return;
    kiln_dataset *data = kiln_dataset_new(k, images, labels);
    for (uint64_t seed = 0; seed < 2; seed++)
        for (kiln_batch b = kiln_batches(data, 3, seed); kiln_next(&b);) {
            oom_take(d, b.x);
            oom_take(d, b.y);
        }
    for (kiln_batch b = kiln_batches(data, 2, 5); kiln_next(&b);) {
        oom_take(d, b.y);
        kiln_batch_stop(&b);
        break;
    }
    kiln_dataset_free(data);
    static const unsigned char idx[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 9, 8, 7, 6, 5, 4};
    char path[] = "/tmp/kiln-oom-XXXXXX";
    int file = mkstemp(path);
    if (file >= 0 && write(file, idx, sizeof idx) == (ssize_t)sizeof idx)
        oom_take(d, kiln_idx_read(k, path));
    if (file >= 0)
        close(file), unlink(path);
}

/* Weights that serve again, so that products keep them packed, are written in between. */
static void weights_again(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_sin(kiln_reshape(kiln_iota(k, KILN_F32, KILN_SHAPE(20 * 96), 0), KILN_SHAPE(20, 96))), *step = kiln_ones(k, KILN_F32, KILN_SHAPE(96, 72));
    kiln_tensor *image = kiln_reshape(x, KILN_SHAPE(1, 10, 32, 6)), *filters = kiln_cos(kiln_reshape(kiln_iota(k, KILN_F32, KILN_SHAPE(3 * 3 * 6 * 40), 0), KILN_SHAPE(3, 3, 6, 40)));
    kiln_variable *w = kiln_variable_new(k, "w", kiln_sin(kiln_reshape(kiln_iota(k, KILN_F32, KILN_SHAPE(96 * 72), 0), KILN_SHAPE(96, 72))));
    kiln_optimizer *o = kiln_sgd(k, 0.1, 0);
    for (int i = 0; i < 6; i++) {
        KILN_SCOPE(k);
        kiln_tensor *y = kiln_matmul(x, w);
        oom_take(d, y);
        oom_take(d, kiln_matmul(y, kiln_transpose(w, KILN_ALL)));
        oom_take(d, kiln_conv2d(image, filters, &(kiln_window){.same = true}));
        if (i == 2) kiln_optimizer_apply(o, &w, &step, 1);
    }
}

OomProgram oom_eager[] = {
    {"eager_values", eager_values, false, 0}, {"eager_movement", eager_movement, false, 0},
    {"scopes_and_variables", scopes_and_variables, false, 0}, {"tapes", tapes, false, 0}, {"training_by_hand", training_by_hand, false, 0},
    {"recurrent_layers", recurrent_layers, false, 0}, {"draws_and_statistics", draws_and_statistics, false, 0}, {"data_sets", data_sets, false, 0}, {"weights_again", weights_again, false, 0}, {0},
};
