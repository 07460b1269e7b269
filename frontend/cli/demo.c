/* demo: `kiln demo`: trains an MLP and a convnet on images of digits, eagerly and traced, says how
 * the two modes compare and draws the loss. The table goes to stdout, all else to stderr. */
#include "demo.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "svg.h"

const char demo_help[] =
    "usage: kiln demo [OPTION]...\n\n"
    "  kiln demo                           on drawn digits, about a minute\n"
    "  kiln demo --data mnist --epochs 3   on DIR's t10k-images-idx3-ubyte.gz and "
    "t10k-labels-idx1-ubyte.gz\n"
    "  kiln demo --quick                   a few seconds\n\n"
    "Trains a 784-100-10 MLP and a convnet (3x3x16, 3x3x16, global average pool, dense 10) with "
    "Adam, each twice:\n"
    "eagerly and traced, from the same C function and the same seed. Exit status 1 if the losses "
    "differ in a bit.\n\n"
    "  --data DIR     IDX files, compressed or not; 9 images in 10 train, the last one in 10 test\n"
    "  --epochs N     passes over the training images (3)\n"
    "  --batch N      images per step (32)\n"
    "  --quick        1,200 images, one epoch\n"
    "  --out FILE     the loss chart (loss.svg)\n"
    "  --threads N    in all (one per core)\n";

/* ---- call overhead ------------------------------------------------------------------------------- */
static void add_one(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], 1.0);
}

/* Seconds per call of x + 1 on [2,2], eager and traced. */
static bool call_overhead(kiln *k, double out[2])
{
    enum { ROUNDS = 15, CALLS = 2000 };
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2, 2));
    kiln_function *f =
        kiln_function_new(k, add_one, NULL, &(kiln_function_options){.name = "add_one"});
    double spent[2][ROUNDS];
    for (int i = -1; i < ROUNDS; i++)
        for (int mode = 0; mode < 2; mode++) {
            double start = seconds_now();
            for (int call = 0; call < CALLS; call++) {
                KILN_SCOPE(k);
                if (mode)
                    kiln_call(f, x);
                else
                    kiln_add(x, 1.0);
            }
            spent[mode][i < 0 ? 0 : i] = (seconds_now() - start) / CALLS;
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
        printf("  losses                         DIFFER from step %ld on: %.9g eager, %.9g graph\n",
            p->equal, p->loss[0][p->equal], p->loss[1][p->equal]);
    printf("  test accuracy                  %10.1f %% %10.1f %%\n", 100 * p->accuracy[0],
        100 * p->accuracy[1]);
}

static bool chart(const Pair *mlp, const Pair *conv, const char *path)
{
    Curve curve[2] = {{"MLP 784-100-10", "#1f77b4", mlp->loss[1], mlp->steps},
        {"convnet 3x3x16, 3x3x16", "#d62728", conv->loss[1], conv->steps}};
    if (svg_write(
            path, "Training loss (eager and traced coincide)", "step", "cross-entropy", curve, 2))
        return true;
    fprintf(stderr, "kiln demo: cannot write %s: %s\n", path, strerror(errno));
    return false;
}

static double mean_loss(const Pair *p, long from, long n)
{
    double sum = 0;
    for (long i = from; i < from + n; i++) sum += p->loss[1][i];
    return sum / (double)n;
}

/* What must hold: equal losses, fitting shapes, and networks that have learnt something. */
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

static int run(kiln *k, const DemoOptions *o, Pair pair[2])
{
    static const char *const name[2] = {"MLP 784-100-10", "convnet"};
    KILN_SCOPE(k);
    Digits d = {0};
    if (!digits_load(k, o, &d)) return kiln_failed(k) ? engine_error("demo", k) : BAD_INPUT;
    fprintf(stderr, "%lld training and %lld test images%s%s, %ld epoch%s\n", (long long)d.train,
        (long long)d.test, o->data ? " of " : ", drawn", o->data ? o->data : "", o->epochs,
        o->epochs == 1 ? "" : "s");
    long steps = o->epochs * ((d.train + o->batch - 1) / o->batch);
    double overhead[2];
    for (int i = 0; i < 2; i++) {
        NetOptions n = {.kind = i ? CONVNET : MLP,
            .images = true,
            .inputs = 784,
            .hidden = 100,
            .classes = 10,
            .batch = o->batch,
            .rate = i ? 0.01 : 0.003,
            .seed = 7};
        if (!pair_open(&pair[i], k, &n, steps) ||
            !pair_train(&pair[i], &d, o, i ? "convnet" : "MLP") || !pair_measure(&pair[i], &d, o))
            return engine_error("demo", k);
    }
    if (!call_overhead(k, overhead)) return engine_error("demo", k);
    printf("%-32s %12s %12s %9s\n", "", "eager", "graph", "speed-up");
    for (int i = 0; i < 2; i++) report_pair(name[i], &pair[i], o->batch);
    printf("call of x + 1 on [2,2]\n");
    row("per call", overhead);
    bool drawn = chart(&pair[0], &pair[1], o->out);
    if (drawn) fprintf(stderr, "loss chart: %s\n", o->out);
    bool fine = convinced(name[0], &pair[0]);
    fine = convinced(name[1], &pair[1]) && fine;
    return !fine ? CHECK_FAILED : drawn ? FINE : NO_RESOURCE;
}

/* ---- command line -------------------------------------------------------------------------------- */
static int parse(int argc, char **argv, DemoOptions *o)
{
    static const struct option options[] = {{"data", 1, NULL, 'd'}, {"epochs", 1, NULL, 'e'},
        {"batch", 1, NULL, 'b'}, {"quick", 0, NULL, 'q'}, {"out", 1, NULL, 'o'},
        {"threads", 1, NULL, 't'}, {NULL, 0, NULL, 0}};
    bool fine = true;
    opterr = 0;
    for (int c; fine && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (c) {
        case 'd': o->data = optarg; break;
        case 'o': o->out = optarg; break;
        case 'q': o->quick = true; break;
        case 'e': fine = parse_count(optarg, 1, 1000, &o->epochs); break;
        case 'b': fine = parse_count(optarg, 2, 1024, &o->batch); break;
        case 't': fine = parse_count(optarg, 1, 1024, &o->threads); break;
        default: fine = false;
        }
    if (!fine) return usage_error("demo", "option or value not understood: %s", argv[optind - 1]);
    if (optind < argc) return usage_error("demo", "what is '%s'?", argv[optind]);
    if (!o->epochs) o->epochs = o->quick ? 1 : 3;
    return FINE;
}

int demo(int argc, char **argv)
{
    DemoOptions o = {.out = "loss.svg", .batch = 32};
    int status = parse(argc, argv, &o);
    if (status) return status;
    kiln *k = kiln_open(&(kiln_options){.threads = (int)o.threads});
    if (!k) {
        fprintf(stderr, "kiln demo: no memory for an engine\n");
        return NO_RESOURCE;
    }
    print_machine(stderr, k);
    Pair pair[2] = {0};
    status = run(k, &o, pair);
    pair_close(&pair[0]);
    pair_close(&pair[1]);
    kiln_clear(k);
    kiln_close(k);
    return status;
}
