/* demo: `kiln demo`: trains an MLP and a convnet on images of digits, eagerly and traced, says how
 * the two modes compare and draws the loss. The table goes to stdout, all else to stderr. */
#include "demo.h"

#include <string.h>

#include "../engine/file.h"
#include "options.h"
#include "svg.h"

const char demo_help[] = "usage: kiln demo [OPTION]...\n\n"
                         "  kiln demo                on digits that it draws itself, less than a minute\n"
                         "  kiln demo --data mnist   on the IDX files (MNIST's format) in the folder mnist\n"
                         "  kiln demo --quick        a few seconds\n\n"
                         "Trains two networks with Adam, each twice, eagerly and traced, from one C function and one\n"
                         "seed: an MLP 784-100-10, and a convnet (3x3x16, max-pool, 3x3x32, max-pool, dense 10). Says\n"
                         "how long both modes take and how well the networks read digits they have not seen. Exit\n"
                         "status 1 if the losses differ in a bit.\n\n"
                         "  --data DIR     train-images-idx3-ubyte and train-labels-idx1-ubyte to train with, those of\n"
                         "                 t10k to test with, .gz or not; where one pair alone is there, its last tenth\n"
                         "                 is the test\n"
                         "  --epochs N     passes over the training images, 1 to 1000 (6)\n"
                         "  --batch N      images per step, 2 to 1024 (32)\n"
                         "  --quick        at most 1,200 images, once\n"
                         "  --out FILE     the loss chart (loss.svg)\n"
                         "  --device NAME  where to train, one that kiln info lists (KILN_DEVICE, else cpu)\n"
                         "  --images N     train with at most so many images, 64 to 1000000 (all; 64 on an emulated device,\n"
                         "                 which runs thread after thread: in one pass, 8 a step)\n"
                         "  --threads N    in all, 1 to 1024 (one per core)\n";

/* ---- call overhead ------------------------------------------------------------------------------- */
static void add_one(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], 1.0);
}

/* Seconds per call of x + 1 on [2,2], eager and traced. */
static bool call_overhead(kiln *k, const DemoOptions *o, double out[2])
{
    enum { ROUNDS = 15 };
    const int calls = o->emulated ? 10 : 2000;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
    kiln_function *f = kiln_function_new(k, add_one, NULL, &(kiln_function_options){.name = "add_one"});
    double spent[2][ROUNDS];
    for (int i = -1; i < ROUNDS; i++)
        for (int mode = 0; mode < 2; mode++) {
            double start = clock_seconds();
            for (int call = 0; call < calls; call++) {
                KILN_SCOPE(k);
                if (mode)
                    kiln_call(f, x);
                else
                    kiln_add(x, 1.0);
            }
            kiln_sync(k, o->device);
            spent[mode][i < 0 ? 0 : i] = (clock_seconds() - start) / calls;
        }
    out[0] = median(spent[0], ROUNDS);
    out[1] = median(spent[1], ROUNDS);
    kiln_function_free(f);
    return !kiln_failed(k);
}

/* ---- report -------------------------------------------------------------------------------------- */
static void row(const char *what, const double v[2])
{
    char a[32], b[32];
    printf("  %-30s %12s %12s %8.2fx\n", what, duration(v[0], a), duration(v[1], b), v[0] / v[1]);
}

static void report_pair(const char *name, const Pair *p, long batch)
{
    char text[64], a[32];
    printf("%s, batch %ld\n", name, batch);
    row("forward", p->forward);
    row("training step", p->step);
    snprintf(text, sizeof text, "%u ops traced, kernels run", p->ops);
    printf("  %-30s %12s %12u\n", text, "", p->kernels);
    printf("  %-30s %12s %12s\n", "trace + compile", "-", duration(p->first_call, a));
    if (p->equal == p->steps)
        printf("  losses                         equal bit for bit in all %ld steps\n", p->steps);
    else
        printf("  losses                         DIFFER from step %ld on: %.9g eager, %.9g graph\n", p->equal, p->loss[0][p->equal],
            p->loss[1][p->equal]);
    printf("  test accuracy                  %10.1f %% %10.1f %%\n", 100 * p->accuracy[0], 100 * p->accuracy[1]);
}

static bool unwritable(kiln *k)
{
    say("kiln demo: %s", kiln_error(k)->text);
    kiln_clear(k);
    return false;
}

/* Opens the file before the training, which would otherwise be in vain. A pipe stays open; a file is not left behind without a
 * chart. */
static bool chart_begin(FileOut *out, kiln *k, const char *path)
{
    if (!file_begin(out, thread_of(k), (kiln_site){0}, "chart", path, NULL)) return unwritable(k);
    if (out->temporary) file_abandon(out);
    return true;
}

static bool chart(const Pair *mlp, const Pair *conv, kiln *k, FileOut *out)
{
    const Curve curve[2] = {
        {"MLP 784-100-10", "#1f77b4", mlp->loss[1], mlp->steps}, {"convnet 3x3x16, 3x3x32", "#d62728", conv->loss[1], conv->steps}};
    Text svg = {0};
    svg_print(&svg, "Training loss (eager and traced coincide)", "step", "cross-entropy", curve, 2);
    bool ok = !svg.failed;
    if (!ok)
        fprintf(stderr, "kiln demo: no memory for the chart\n");
    else if (out->fd < 0)
        ok = file_put(out->t, out->at, out->what, out->path, svg.at, svg.len) || unwritable(k);
    else
        ok = (file_write(out, svg.at, svg.len) && file_commit(out)) || unwritable(k);
    text_free(&svg);
    return ok;
}

static double mean_loss(const Pair *p, long from, long n)
{
    double sum = 0;
    for (long i = from; i < from + n; i++) sum += p->loss[1][i];
    return sum / (double)n;
}

/* Checks what must hold: equal losses, fitting shapes, and networks that have learnt something. */
static bool convinced(const char *name, const Pair *p)
{
    long part = p->steps / 4 + 1;
    if (!p->net[0].shapes_fit || !p->net[1].shapes_fit)
        fprintf(stderr, "kiln demo: %s: the logits had another shape than [batch, 10]\n", name);
    else if (p->equal != p->steps)
        fprintf(stderr, "kiln demo: %s: eager and traced losses differ\n", name);
    else if (!(mean_loss(p, p->steps - part, part) < mean_loss(p, 0, part)))
        fprintf(stderr, "kiln demo: %s: the loss did not fall\n", name);
    else
        return true;
    return false;
}

/* Trains one network in both modes. */
static bool train(kiln *k, const DemoOptions *o, const Digits *d, NetKind kind, Pair *p)
{
    long steps = o->epochs * ((d->train + o->batch - 1) / o->batch);
    NetOptions n = {.kind = kind,
        .images = true,
        .inputs = 784,
        .hidden = 100,
        .classes = 10,
        .batch = o->batch,
        .rate = 0.005,
        .steps = steps,
        .seed = 7};
    return pair_open(p, k, &n, steps) && pair_train(p, d, o, kind == MLP ? "MLP" : "convnet") && pair_measure(p, d, o);
}

/* Into the host's memory, wherever the thread is. */
static bool load(kiln *k, const DemoOptions *o, Digits *d)
{
    KILN_DEVICE(k, "cpu");
    return digits_load(k, o, d);
}

static int run(kiln *k, const DemoOptions *o, FileOut *out, Pair pair[2])
{
    static const char *const name[2] = {"MLP 784-100-10", "convnet"};
    KILN_SCOPE(k);
    Digits d = {0};
    double overhead[2];
    if (!load(k, o, &d)) return kiln_failed(k) ? engine_error("demo", k) : BAD_INPUT;
    KILN_DEVICE(k, o->device);
    fprintf(stderr, "%lld training and %lld test images%s%s, %ld epoch%s\n", (long long)d.train, (long long)d.test,
        o->data ? " of " : ", drawn", o->data ? o->data : "", o->epochs, o->epochs == 1 ? "" : "s");
    if (!train(k, o, &d, MLP, &pair[0]) || !train(k, o, &d, POOLED, &pair[1]) || !call_overhead(k, o, overhead))
        return engine_error("demo", k);
    printf("%-32s %12s %12s %9s\n", "", "eager", "graph", "speed-up");
    for (int i = 0; i < 2; i++) report_pair(name[i], &pair[i], o->batch);
    printf("call of x + 1 on [2,2]\n");
    row("per call", overhead);
    bool drawn = chart(&pair[0], &pair[1], k, out);
    if (drawn) say("loss chart: %s", o->out);
    bool fine = convinced(name[0], &pair[0]);
    fine = convinced(name[1], &pair[1]) && fine;
    return !fine ? CHECK_FAILED : drawn ? FINE : NO_RESOURCE;
}

int demo(int argc, char **argv)
{
    DemoOptions o = {.out = "loss.svg", .device = device_own()};
    const Option options[] = {{"--data", .text = &o.data}, {"--out", .text = &o.out}, {"--quick", .flag = &o.quick},
        {"--epochs", .count = &o.epochs, .lo = 1, .hi = 1000}, {"--batch", .count = &o.batch, .lo = 2, .hi = 1024},
        {"--threads", .count = &o.threads, .lo = 1, .hi = 1024}, {"--device", .text = &o.device},
        {"--images", .count = &o.images, .lo = 64, .hi = 1000000}, {0}};
    int status = options_parse("demo", argc, argv, options, NULL, 0);
    if (status) return status;
    o.emulated = device_slow(o.device);
    if (!o.epochs) o.epochs = o.quick || o.emulated ? 1 : 6;
    if (!o.batch) o.batch = o.emulated ? 8 : 32;
    if (!o.images) o.images = o.emulated ? 64 : o.quick ? 1200 : 0;
    kiln *k = kiln_open(&(kiln_options){.threads = (int)o.threads, .no_log = true, .compile = KILN_WAIT, .device = "cpu"});
    if (!k) {
        fprintf(stderr, "kiln demo: no memory for an engine\n");
        return NO_RESOURCE;
    }
    Pair pair[2] = {0};
    FileOut out;
    status = device_check("demo", k, o.device);
    if (status == FINE && !chart_begin(&out, k, o.out)) status = NO_RESOURCE;
    if (status == FINE) {
        print_machine(stderr, k);
        if (strcmp(o.device, "cpu") != 0) fprintf(stderr, "training on %s\n", o.device);
        status = run(k, &o, &out, pair);
        file_abandon(&out);
    }
    pair_close(&pair[0]);
    pair_close(&pair[1]);
    kiln_clear(k);
    kiln_close(k);
    return status;
}
