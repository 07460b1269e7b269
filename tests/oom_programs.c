/* oom_programs: see the header: digests, and the programs of a traced training step. Sizes are small: what matters is that every kind of allocation of
 * ours is met. */
#include "oom_programs.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- digests -------------------------------------------------------------------------------------------------- */
void oom_take_bytes(OomDigest *d, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++)
        d->hash = (d->hash ^ p[i]) * 0x100000001b3u; /* FNV-1a */
}

void (*oom_between)(kiln *k);

void oom_take(OomDigest *d, kiln_tensor *t)
{
    unsigned char buffer[1 << 15];
    size_t bytes = kiln_bytes(t);
    if (bytes && bytes <= sizeof buffer && kiln_read(t, buffer, bytes))
        oom_take_bytes(d, buffer, bytes);
    if (oom_between) oom_between(d->k);
}

void oom_take_variable(OomDigest *d, kiln_variable *v)
{
    KILN_SCOPE(d->k);
    oom_take(d, kiln_value(v));
}

uint64_t oom_run(const OomProgram *p, kiln *k)
{
    OomDigest d = {k, 0xcbf29ce484222325u};
    KILN_SCOPE(k);
    p->body(k, &d);
    return d.hash;
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
        oom_take_variable(&d, moments[i]);
    oom_take_variable(&d, kiln_dense_weight(t->hidden));
    oom_take_variable(&d, kiln_dense_bias(t->hidden));
    oom_take_variable(&d, kiln_dense_weight(t->out));
    oom_take_variable(&d, kiln_dense_bias(t->out));
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
        oom_take_bytes(d, &t->loss, sizeof t->loss);
    }
    uint64_t state = oom_training_state(t, true);
    oom_take_bytes(d, &state, sizeof state);
    oom_training_free(t);
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------------ */
static void take_file(OomDigest *d, const char *path)
{
    FILE *f = fopen(path, "rb");
    char buffer[4096];
    for (size_t n; f && (n = fread(buffer, 1, sizeof buffer, f)) > 0;)
        oom_take_bytes(d, buffer, n);
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
    oom_take_bytes(d, &written, sizeof written);
    take_file(d, object);
    take_file(d, header);
    if (half)
        d->hash = OOM_HALF_WRITTEN;
    oom_training_free(t);
}

OomProgram oom_training[] = {{"traced_training", traced_training, true, 0}, {"ahead_of_time", ahead_of_time, true, 0}, {0}};
