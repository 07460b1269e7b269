/* A small transformer learns a text character by character: two blocks of attention with rotary position embeddings and of a gated
 * layer, normalised by their roots of mean squares; Adam. Then it says the text by heart, one character at a time: attention sees the
 * characters before through a cache of keys and values, so that each step is one call of a function that was traced once. `characters 3`
 * takes three steps, and prints their losses. */
#include <kiln/kiln.h>
#include <kiln/nn.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS = 30, WIDTH = 32, HEADS = 2, SIZE = WIDTH / HEADS, GATED = 64, BLOCKS = 2, LENGTH = 40, BATCH = 8, STEPS = 150, PROMPT = 6 };

static const char text[] = "what is fired once in a kiln is clay no more: it holds water. what is traced once runs by itself, as fast as it can. ";
static const char letters[LETTERS + 1] = "abcdefghijklmnopqrstuvwxyz ,.:";

typedef struct Layer {
    kiln_variable *before_attention, *before_gate;
    kiln_dense *queries, *keys, *values, *together, *gate, *up, *down;
    kiln_kv_cache *cache;
} Layer;

typedef struct Model {
    kiln_variable *embedding, *last;
    kiln_dense *out;
    Layer layer[BLOCKS];
    kiln_tensor *cosines, *sines;
    kiln_optimizer *adam;
} Model;

static void build(kiln *k, Model *m)
{
    kiln_variable *chance = kiln_generator(k, 5);
    kiln_tensor *ones = kiln_ones(k, KILN_F32, KILN_SHAPE(WIDTH));
    m->embedding = kiln_variable_new(k, "embedding", kiln_normal(chance, KILN_F32, KILN_SHAPE(LETTERS, WIDTH), 0, 0.5));
    for (int i = 0; i < BLOCKS; i++)
        m->layer[i] = (Layer){kiln_variable_new(k, "scale", ones), kiln_variable_new(k, "scale", ones), kiln_dense_new(k, WIDTH, WIDTH, chance),
            kiln_dense_new(k, WIDTH, WIDTH, chance), kiln_dense_new(k, WIDTH, WIDTH, chance), kiln_dense_new(k, WIDTH, WIDTH, chance),
            kiln_dense_new(k, WIDTH, GATED, chance), kiln_dense_new(k, WIDTH, GATED, chance), kiln_dense_new(k, GATED, WIDTH, chance),
            kiln_kv_cache_new(k, KILN_F32, 1, HEADS, LENGTH, SIZE, SIZE)};
    m->last = kiln_variable_new(k, "scale", ones);
    m->out = kiln_dense_new(k, WIDTH, LETTERS, chance);
    kiln_rotary_tables(k, KILN_F32, LENGTH, SIZE / 2, 0, &m->cosines, &m->sines);
    m->adam = kiln_adam(k, 0.01);
}

static kiln_tensor *normal(kiln_tensor *x, kiln_variable *scale) { return kiln_rmsnorm(x, KILN_AXES(-1), scale, 0); }

/* [batch, length, WIDTH] as [batch, HEADS, length, SIZE], and back. */
static kiln_tensor *apart(kiln_tensor *x, int64_t batch) { return kiln_swapaxes(kiln_reshape(x, KILN_SHAPE(batch, -1, HEADS, SIZE)), 1, 2); }
static kiln_tensor *joined(kiln_tensor *x, int64_t batch) { return kiln_reshape(kiln_swapaxes(x, 1, 2), KILN_SHAPE(batch, -1, WIDTH)); }

/* The logits of what follows each of the characters [batch, length] at these positions; with the caches, behind what is in them. */
static kiln_tensor *logits(const Model *m, kiln_tensor *in, kiln_tensor *positions, int64_t batch, bool cached)
{
    kiln_tensor *x = kiln_gather(m->embedding, in, 0);
    for (int i = 0; i < BLOCKS; i++) {
        const Layer *l = &m->layer[i];
        kiln_tensor *h = normal(x, l->before_attention);
        kiln_tensor *q = kiln_rotary(apart(kiln_dense_apply(l->queries, h), batch), m->cosines, m->sines, positions, NULL);
        kiln_tensor *key = kiln_rotary(apart(kiln_dense_apply(l->keys, h), batch), m->cosines, m->sines, positions, NULL);
        kiln_tensor *value = apart(kiln_dense_apply(l->values, h), batch);
        kiln_tensor *y = cached ? kiln_kv_cache_attend(l->cache, q, key, value, NULL) : kiln_attention(q, key, value, &(kiln_attention_options){.causal = true});
        x = kiln_add(x, kiln_dense_apply(l->together, joined(y, batch)));
        h = normal(x, l->before_gate);
        x = kiln_add(x, kiln_dense_apply(l->down, kiln_mul(kiln_silu(kiln_dense_apply(l->gate, h)), kiln_dense_apply(l->up, h))));
    }
    return kiln_dense_apply(m->out, normal(x, m->last));
}

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Model *m = user;
    KILN_TAPE(k, tape);
    kiln_tensor *now = kiln_slice(in[0], 1, 0, LENGTH, 1), *next = kiln_slice(in[0], 1, 1, LENGTH + 1, 1);
    kiln_tensor *said = logits(m, now, kiln_iota(k, KILN_I64, KILN_SHAPE(LENGTH), 0), BATCH, false);
    out[0] = kiln_cross_entropy(kiln_reshape(said, KILN_SHAPE(-1, LETTERS)), kiln_reshape(next, KILN_SHAPE(-1)));
    kiln_optimizer_minimize(m->adam, tape, out[0]);
}

/* The likeliest character behind these [1, n]. */
static void say(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Model *m = user;
    kiln_variable *cache[3];
    kiln_kv_cache_variables(m->layer[0].cache, cache, 3);
    kiln_tensor *positions = kiln_add(kiln_iota(k, KILN_I64, KILN_SHAPE(kiln_dim(in[0], 1)), 0), cache[2]);
    kiln_tensor *said = logits(m, in[0], positions, 1, true);
    out[0] = kiln_argmax(kiln_index(said, KILN_AT(0), KILN_AT(-1)), 0);
}

static int64_t number_of(char c) { return strchr(letters, c) - letters; }

/* Pieces of the text, [BATCH, LENGTH + 1], other ones at each step. */
static kiln_tensor *pieces(kiln *k, int at)
{
    int64_t v[BATCH * (LENGTH + 1)];
    const int n = (int)sizeof text - 1;
    for (int b = 0; b < BATCH; b++)
        for (int i = 0; i <= LENGTH; i++)
            v[b * (LENGTH + 1) + i] = number_of(text[(at * 7 + b * 15 + i) % n]);
    return kiln_from(k, KILN_I64, KILN_SHAPE(BATCH, LENGTH + 1), v, BATCH * (LENGTH + 1));
}

int main(int argc, char **argv)
{
    const int steps = argc > 1 ? atoi(argv[1]) : STEPS;
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        Model m;
        build(k, &m);
        kiln_function *train = kiln_function_new(k, step, &m, &(kiln_function_options){.name = "train"});
        kiln_function *speak = kiln_function_new(k, say, &m, &(kiln_function_options){.name = "say", .fixed_sizes = true});
        double first = 0, last = 0;
        for (int i = 0; i < steps && !kiln_failed(k); i++) {
            KILN_SCOPE(k);
            last = kiln_item(kiln_call(train, pieces(k, i)));
            if (i == 0) first = last;
            if (argc > 1) printf("step %d: loss %.4f\n", i, last);
        }
        printf("the loss falls from %.0f to %s\n", first, last < 0.2 ? "less than 0.2" : "more than 0.2");
        char said[LENGTH + 2] = {0};
        int64_t given[PROMPT];
        for (int i = 0; i < PROMPT; i++)
            given[i] = number_of(said[i] = text[i]);
        kiln_tensor *in = kiln_from(k, KILN_I64, KILN_SHAPE(1, PROMPT), given, PROMPT);
        for (int i = PROMPT; i <= LENGTH && !kiln_failed(k); i++) {
            kiln_tensor *next = kiln_call(speak, in);
            said[i] = letters[kiln_item_i64(next) % LETTERS];
            in = kiln_reshape(next, KILN_SHAPE(1, 1));
        }
        kiln_function_statistics s;
        kiln_function_stats(speak, &s);
        printf("%s\n", said);
        printf("%llu calls, %llu traces\n", (unsigned long long)s.calls, (unsigned long long)s.traces);
    }
    return kiln_close(k);
}
