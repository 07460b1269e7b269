/* One SGD step of an MLP 784-128-10, batch 64, three ways in one process and in turn: written by
 * hand in C with OpenBLAS where it is there, Kiln eager, Kiln traced, all on one thread; and an elementwise
 * chain against a copy, the roof of the memory. Exit status 1 if the ways do not compute the same
 * losses. Relies on the public headers, the thread pool and bench.h. */
#include <kiln/nn.h>

#include <math.h>

#include "bench.h"
#include "runtime/threads.h"

enum { B = 64, IN = 784, H = 128, OUT = 10, ROUNDS = 41, STEPS = 8 };
#define RATE 0.01f

static const Openblas *blas; /* NULL: not there, and nothing by hand */

/* ---- by hand ------------------------------------------------------------------------------------------------ */
typedef struct Hand {
    float w1[IN * H], b1[H], w2[H * OUT], b2[OUT];
    float h[B * H], z[B * OUT], dh[B * H], dw1[IN * H], dw2[H * OUT], db1[H], db2[OUT];
} Hand;

/* c [m, n] = a [m, k] b [k, n], either transposed in memory */
static void product(bool ta, bool tb, int m, int n, int k, const float *a, const float *b, float *c)
{
    blas->sgemm(ROW_MAJOR, ta ? TRANSPOSED : PLAIN, tb ? TRANSPOSED : PLAIN, m, n, k, 1, a, ta ? m : k, b, tb ? k : n, 0, c, n);
}

/* z becomes (softmax(z) - one hot) / B; the mean cross-entropy. */
static float loss_and_slope(float *z, const int64_t *y)
{
    float loss = 0;
    for (int i = 0; i < B; i++) {
        float *row = z + i * OUT, top = row[0], sum = 0;
        for (int j = 1; j < OUT; j++) top = fmaxf(top, row[j]);
        for (int j = 0; j < OUT; j++) sum += expf(row[j] - top);
        loss += logf(sum) - (row[y[i]] - top);
        for (int j = 0; j < OUT; j++) row[j] = (expf(row[j] - top) / sum - (j == y[i])) / B;
    }
    return loss / B;
}

static void column_sums(const float *restrict x, int n, float *restrict out)
{
    memset(out, 0, (size_t)n * sizeof *out);
    for (int i = 0; i < B; i++)
        for (int j = 0; j < n; j++) out[j] += x[i * n + j];
}

static void descend(float *restrict w, const float *restrict g, int n)
{
    for (int i = 0; i < n; i++) w[i] -= RATE * g[i];
}

static float hand_step(Hand *n, const float *restrict x, const int64_t *y)
{
    product(false, false, B, H, IN, x, n->w1, n->h);
    for (int i = 0; i < B; i++)
        for (int j = 0; j < H; j++) {
            float v = n->h[i * H + j] + n->b1[j];
            n->h[i * H + j] = v > 0 ? v : 0;
        }
    product(false, false, B, OUT, H, n->h, n->w2, n->z);
    for (int i = 0; i < B; i++)
        for (int j = 0; j < OUT; j++) n->z[i * OUT + j] += n->b2[j];
    float loss = loss_and_slope(n->z, y);
    product(true, false, H, OUT, B, n->h, n->z, n->dw2);
    column_sums(n->z, OUT, n->db2);
    product(false, true, B, H, OUT, n->z, n->w2, n->dh);
    for (int i = 0; i < B * H; i++) n->dh[i] = n->h[i] > 0 ? n->dh[i] : 0;
    product(true, false, IN, H, B, x, n->dh, n->dw1);
    column_sums(n->dh, H, n->db1);
    descend(n->w1, n->dw1, IN * H);
    descend(n->b1, n->db1, H);
    descend(n->w2, n->dw2, H * OUT);
    descend(n->b2, n->db2, OUT);
    return loss;
}

/* ---- with Kiln ------------------------------------------------------------------------------------------------ */
typedef struct Net {
    kiln_dense *hidden, *out;
    kiln_optimizer *sgd;
    kiln_function *f;
} Net;

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *n = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(n->hidden, in[0]));
    out[0] = kiln_cross_entropy(kiln_dense_apply(n->out, h), in[1]);
    kiln_optimizer_minimize(n->sgd, tape, out[0]);
}

static void open_net(kiln *k, Net *n)
{
    KILN_SCOPE(k);
    kiln_variable *chance = kiln_generator(k, 7);
    *n = (Net){kiln_dense_new(k, IN, H, chance), kiln_dense_new(k, H, OUT, chance),
        kiln_sgd(k, RATE, 0), NULL};
    n->f = kiln_function_new(k, step, n, &(kiln_function_options){.name = "mlp_step"});
}

static float kiln_step(kiln *k, Net *n, bool traced, kiln_tensor *x, kiln_tensor *y)
{
    KILN_SCOPE(k);
    float loss = NAN;
    kiln_eager(k, !traced);
    kiln_read(kiln_call(n->f, x, y), &loss, sizeof loss);
    kiln_eager(k, false);
    return loss;
}

/* ---- the step, three ways --------------------------------------------------------------------------------------- */
static bool compare_steps(kiln *k)
{
    KILN_SCOPE(k);
    static Hand hand;
    Net net[2];
    open_net(k, &net[0]);
    open_net(k, &net[1]);
    kiln_read(kiln_dense_weight(net[0].hidden), hand.w1, sizeof hand.w1);
    kiln_read(kiln_dense_weight(net[0].out), hand.w2, sizeof hand.w2);
    kiln_tensor *x = kiln_normal(kiln_generator(k, 1), KILN_F32, KILN_SHAPE(B, IN), 0, 1);
    kiln_tensor *y = kiln_mod(kiln_iota(k, KILN_I64, KILN_SHAPE(B), 0), OUT);
    const float *px = kiln_data(x);
    const int64_t *py = kiln_data(y);
    double spent[3][ROUNDS];
    float loss[3] = {0};
    bool same = true;
    int first = blas ? 0 : 1;
    for (int round = -2; round < ROUNDS && !kiln_failed(k); round++)
        for (int way = first; way < 3; way++) {
            double start = now();
            for (int i = 0; i < STEPS; i++)
                loss[way] = way == 0 ? hand_step(&hand, px, py)
                                     : kiln_step(k, &net[way - 1], way == 2, x, y);
            spent[way][round < 0 ? 0 : round] = (now() - start) / STEPS;
            if (way == 2)
                same = same && loss[1] == loss[2] &&
                       (!blas || fabsf(loss[0] - loss[1]) < 1e-4f + 1e-3f * loss[0]);
        }
    if (kiln_failed(k)) return fprintf(stderr, "%s\n", kiln_error(k)->text), kiln_clear(k), false;
    double t[3];
    for (int way = first; way < 3; way++) t[way] = median(spent[way], ROUNDS);
    printf("MLP 784-128-10, batch 64, SGD step, one thread\n");
    if (blas) printf("  by hand, C and OpenBLAS   %8.1f us   its kernels those for %s\n", 1e6 * t[0], blas->core());
    printf("  Kiln eager                %8.1f us", 1e6 * t[1]);
    if (blas) printf("   %.2fx the time by hand (at most 1.3 wanted)", t[1] / t[0]);
    printf("\n  Kiln traced               %8.1f us   %.2fx as fast as eager (at least 1.1 wanted)", 1e6 * t[2],
        t[1] / t[2]);
    if (blas) printf(", %.2fx the time by hand", t[2] / t[0]);
    printf("\n  losses: %s\n",
        !same  ? "DIFFERENT"
        : blas ? "eager and traced equal in every bit, by hand within rounding"
               : "eager and traced equal in every bit");
    return same;
}

/* ---- the chain and its roof ------------------------------------------------------------------------------------- */
enum { MEBI = 1 << 20, GRAIN = 1 << 16 };
typedef struct Copy {
    const float *from;
    float *to;
} Copy;

static void copy_chunk(void *arg, int64_t lo, int64_t hi)
{
    Copy *c = arg;
    memcpy(c->to + lo, c->from + lo, (size_t)(hi - lo) * sizeof *c->to);
}

static void chain(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = in[0], *y = in[1];
    kiln_tensor *above = kiln_sub(kiln_mul(kiln_add(kiln_mul(x, 1.5), y), x), y);
    out[0] = kiln_max(kiln_div(above, kiln_add(kiln_mul(x, x), 1.0)), y);
}

static bool compare_chain(void)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    ThreadPool *pool = threads_new(0);
    if (!k || !pool) return false;
    double spent[2][ROUNDS];
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_normal(kiln_generator(k, 1), KILN_F32, KILN_SHAPE(MEBI), 0, 1);
        kiln_tensor *y = kiln_normal(kiln_generator(k, 2), KILN_F32, KILN_SHAPE(MEBI), 0, 1);
        kiln_tensor *z = kiln_zeros(k, KILN_F32, KILN_SHAPE(MEBI));
        kiln_function *f =
            kiln_function_new(k, chain, NULL, &(kiln_function_options){.name = "chain"});
        Copy copy = {kiln_data(x), (float *)(uintptr_t)kiln_data(z)};
        for (int round = -2; round < ROUNDS && !kiln_failed(k); round++) {
            int at = round < 0 ? 0 : round;
            double start = now();
            for (int i = 0; i < STEPS; i++) threads_run(pool, copy_chunk, &copy, MEBI, GRAIN);
            spent[0][at] = (now() - start) / STEPS;
            start = now();
            for (int i = 0; i < STEPS; i++) {
                KILN_SCOPE(k);
                kiln_call(f, x, y);
            }
            spent[1][at] = (now() - start) / STEPS;
        }
        double t[2] = {median(spent[0], ROUNDS), median(spent[1], ROUNDS)};
        kiln_function_statistics s;
        kiln_function_stats(f, &s);
        double rate[2] = {8.0 * MEBI / t[0], 12.0 * MEBI / t[1]};
        printf("eight elementwise ops over 1 Mi f32, traced, %d threads: %u kernel%s\n",
            threads_count(pool), s.kernels, s.kernels == 1 ? "" : "s");
        printf("  copy 4 MiB to 4 MiB       %8.1f us   %5.1f GB/s\n", 1e6 * t[0], 1e-9 * rate[0]);
        printf("  chain                     %8.1f us   %5.1f GB/s, %.0f %% of the copy's rate (at "
               "least 60 wanted)\n",
            1e6 * t[1], 1e-9 * rate[1], 100 * rate[1] / rate[0]);
    }
    bool fine = !kiln_failed(k);
    if (!fine) fprintf(stderr, "%s\n", kiln_error(k)->text);
    kiln_clear(k);
    kiln_close(k);
    threads_free(pool);
    return fine;
}

int main(void)
{
    blas = openblas();
    if (blas) blas->set_threads(1);
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .compile = KILN_WAIT});
    if (!k) return 1;
    bool same = compare_steps(k);
    kiln_close(k);
    return compare_chain() && same ? 0 : 1;
}
