/* bench: `kiln bench`: runs each workload eagerly and traced, first checks that results are equal bit for bit, then times both in
 * turn, so that they meet the same conditions, and takes medians of several rounds. Results go to stdout, all else to stderr. */
#include "bench.h"

#include <limits.h>
#include <string.h>

#include "../../runtime/base.h"
#include "../function/function.h"
#include "bench_model.h"
#include "options.h"

const char bench_help[] =
    "usage: kiln bench [OPTION]...\n"
    "       kiln bench MODEL.onnx [OPTION]...\n\n"
    "  kiln bench                  all workloads, a few seconds each\n"
    "  kiln bench --filter mlp     those whose name contains mlp\n"
    "  kiln bench --json > b.json  for machines: times in seconds\n\n"
    "Times are medians of interleaved rounds, beside them the 10th and 90th percentile. Exit status 1 if the "
    "two modes differ in a bit.\n\n"
    "  --json         one JSON object instead of a table\n"
    "  --filter NAME  only workloads whose name contains NAME\n"
    "  --device NAME  where to run, one that kiln info lists (KILN_DEVICE, else cpu); an emulated one gets\n"
    "                 small sizes, a few rounds, and figures that say nothing\n"
    "  --threads N    in all, 1 to 1024 (one per core)\n"
    "  --seconds S    whole seconds of measuring per workload or model, 1 to 600 (1)\n\n"
    "An ONNX model is run eagerly, compiled, and as an object that the C compiler ($CC, else cc) links. First\n"
    "results and memory are those of processes of their own, from their start on; then calls are timed in turn:\n"
    "the 50th, 90th and 99th percentile of single ones. The object, of one thread, is for the CPU alone.\n\n"
    "  kiln bench net.onnx --dim N=8 --input x=x.npy\n\n"
    "  --input [NAME=]X  an input's value, as kiln run takes it; inputs without one are drawn, whole numbers\n"
    "                    as 0 or 1\n"
    "  --dim NAME=SIZE   a size that the model leaves open (1), or how many tensors the list of an\n"
    "                    input NAME has\n"
    "  --fix NAME=VALUE  an input from which sizes follow, or any that is to be a constant of the object\n"
    "  --fast            batch normalisations go into weights: results may differ in rounding\n"
    "  --seed N          of what is drawn (1)\n";

typedef struct BenchOptions {
    bool json;
    const char *filter, *device;
    long threads, seconds;
} BenchOptions;

typedef struct Result {
    double eager[3], graph[3]; /* seconds per call: the 10th, 50th and 90th percentile of the rounds */
    double first_call;         /* seconds */
    uint32_t kernels, ops;
    int64_t bytes_moved;
    bool equal;
} Result;

#define ROUNDS 21
enum { EAGER, GRAPH };

/* ---- one call ------------------------------------------------------------------------------------ */
static bool call(Job *j, kiln_tensor **out)
{
    kiln_operand in[INPUTS_MAX];
    for (int i = 0; i < j->inputs; i++) in[i] = kiln_of_tensor(j->in[i]);
    if (!j->taped) return kiln_call_all(j->f, in, j->inputs, out, j->outputs);
    KILN_TAPE(j->k, tape);
    for (int i = 0; i < j->inputs; i++) kiln_watch(tape, j->in[i]);
    return kiln_call_all(j->f, in, j->inputs, out, 1) && kiln_gradients(tape, out[0], kiln_operand_list(in, j->inputs), out + 1);
}

/* Makes `calls` calls and returns the seconds that one takes. */
static double timed(Job *j, int mode, long calls)
{
    kiln_tensor *out[OUTPUTS_MAX];
    kiln_eager(j->k, mode == EAGER);
    kiln_sync(j->k, j->device);
    double start = clock_seconds();
    for (long i = 0; i < calls; i++) {
        KILN_SCOPE(j->k);
        if (j->f)
            call(j, out);
        else
            kiln_add(j->in[0], j->in[1]);
    }
    kiln_sync(j->k, j->device);
    double spent = clock_seconds() - start;
    kiln_eager(j->k, false);
    return spent / (double)calls;
}

/* Of results, wherever they lie. False: they differ, or cannot be read. */
static bool same_bits(kiln_tensor *x, kiln_tensor *y)
{
    const size_t bytes = kiln_bytes(x);
    char *at = bytes == kiln_bytes(y) ? mem_alloc(2 * bytes + 1) : NULL;
    if (!at) return false;
    const bool same = kiln_read(x, at, bytes) && kiln_read(y, at + bytes, bytes) && !memcmp(at, at + bytes, bytes);
    mem_free(at, 2 * bytes + 1);
    return same;
}

/* Runs both copies a few times; every output must have the same bits. */
static bool agree(Job job[2])
{
    kiln *k = job[0].k;
    for (int i = 0; i < 3; i++) {
        KILN_SCOPE(k);
        kiln_tensor *out[2][OUTPUTS_MAX];
        for (int mode = 0; mode < 2; mode++) {
            kiln_eager(k, mode == EAGER);
            bool ok = call(&job[mode], out[mode]);
            kiln_eager(k, false);
            if (!ok) return false;
        }
        for (int o = 0; o < job[0].outputs; o++)
            if (!same_bits(out[0][o], out[1][o])) return false;
    }
    return true;
}

/* ---- one workload -------------------------------------------------------------------------------- */
static void job_close(Job *j)
{
    if (j->has_net)
        net_close(&j->net);
    else
        kiln_function_free(j->f);
}

static double calls_for(double seconds, double each)
{
    double n = seconds / (each > 1e-9 ? each : 1e-9);
    return n < 1 ? 1 : n > 1e6 ? 1e6 : n;
}

static void measure(Job job[2], int modes, double seconds, Result *r)
{
    const int rounds = job[0].small ? 3 : ROUNDS;
    double spent[2][ROUNDS];
    long calls[2] = {1, 1};
    for (int mode = 0; mode < modes; mode++) {
        timed(&job[mode], mode, 2);
        double each = job[mode].small ? seconds : timed(&job[mode], mode, 3);
        calls[mode] = (long)calls_for(seconds / rounds / modes, each);
    }
    for (int i = 0; i < rounds; i++)
        for (int mode = 0; mode < modes; mode++) {
            timed(&job[mode], mode, 1); /* not counted: it only warms the caches after the other mode */
            spent[mode][i] = timed(&job[mode], mode, calls[mode]);
        }
    for (int mode = 0; mode < modes; mode++) {
        double *to = mode == EAGER ? r->eager : r->graph;
        median(spent[mode], rounds);
        for (int i = 0; i < 3; i++) to[i] = percentile(spent[mode], rounds, 10 + 40 * i);
    }
}

static bool run_workload(kiln *k, const Workload *w, const BenchOptions *o, Result *r)
{
    KILN_SCOPE(k);
    const Job one = {.k = k, .device = o->device, .small = device_slow(o->device)};
    Job job[2] = {one, one};
    int modes = w->eager_only ? 1 : 2;
    for (int mode = 0; mode < modes; mode++) w->make(&job[mode]);
    *r = (Result){.equal = true};
    if (!kiln_failed(k) && modes == 2) r->equal = agree(job);
    if (!kiln_failed(k)) measure(job, modes, (double)o->seconds, r);
    kiln_function_statistics s = {0};
    kiln_function_stats(job[GRAPH].f, &s);
    r->first_call = s.trace_seconds + s.compile_seconds;
    r->kernels = s.kernels;
    r->ops = s.ops;
    r->bytes_moved = s.bytes_moved;
    for (int mode = 0; mode < modes; mode++) job_close(&job[mode]);
    return !kiln_failed(k);
}

/* ---- report -------------------------------------------------------------------------------------- */
/* "1.21-1.30 ms" */
static const char *range(const double v[3], char buf[64])
{
    char lo[32], hi[32];
    duration(v[0], lo);
    duration(v[2], hi);
    char *unit = strchr(lo, ' ');
    if (unit && strchr(hi, ' ') && !strcmp(unit, strchr(hi, ' '))) *unit = 0;
    snprintf(buf, 64, "%s-%s", lo, hi);
    return buf;
}

static void print_text(const Workload *w, const Result *r, bool small)
{
    const char *less = small ? ", smaller here" : "";
    char a[32], b[32], c[32], ra[64], rb[64];
    printf("%-14s %9s %15s ", w->name, duration(r->eager[1], a), range(r->eager, ra));
    if (w->eager_only)
        printf("%9s %15s %8s %9s %9s  %s%s\n", "", "", "", "", "", w->what, less);
    else
        printf("%9s %15s %7.2fx %4u/%-4u %9s  %s%s%s\n", duration(r->graph[1], b), range(r->graph, rb), r->eager[1] / r->graph[1],
            r->kernels, r->ops, duration(r->first_call, c), w->what, less, r->equal ? "" : "  RESULTS DIFFER");
}

static void print_json(const Workload *w, const Result *r, bool first)
{
    printf("%s\n    {\"name\": ", first ? "" : ",");
    print_json_text(stdout, w->name);
    printf(", \"what\": ");
    print_json_text(stdout, w->what);
    printf(", \"eager_s\": %.9g, \"eager_p10_s\": %.9g, \"eager_p90_s\": %.9g", r->eager[1], r->eager[0], r->eager[2]);
    if (!w->eager_only)
        printf(", \"graph_s\": %.9g, \"graph_p10_s\": %.9g, \"graph_p90_s\": %.9g, "
               "\"speed_up\": %.4g, \"kernels\": %u, \"ops\": %u, \"bytes_moved\": %lld, "
               "\"first_call_s\": %.9g, \"equal\": %s",
            r->graph[1], r->graph[0], r->graph[2], r->eager[1] / r->graph[1], r->kernels, r->ops, (long long)r->bytes_moved,
            r->first_call, r->equal ? "true" : "false");
    putchar('}');
}

static void print_head(kiln *k, const BenchOptions *o)
{
    char cpu[256];
    if (!o->json) {
        print_machine(stdout, k);
        if (strcmp(o->device, "cpu"))
            printf("on %s%s\n", o->device, device_slow(o->device) ? ", small sizes: no figure says anything" : "");
        printf("%-14s %9s %15s %9s %15s %8s %9s %9s\n", "workload", "eager", "10-90 %", "graph", "10-90 %", "speed-up", "kern./ops",
            "compile");
        return;
    }
    printf("{\n  \"version\": \"%s\", \"cpu\": ", kiln_version());
    print_json_text(stdout, cpu_name(cpu, sizeof cpu));
    printf(", \"threads\": %d, \"tier\": \"%s\", \"device\": ", threads_count(k->threads), eager_tier());
    print_json_text(stdout, o->device);
    printf(", \"small\": %s,\n  \"results\": [", device_slow(o->device) ? "true" : "false");
}

static int run(kiln *k, const BenchOptions *o)
{
    bool all_equal = true, first = true;
    KILN_DEVICE(k, o->device);
    print_head(k, o);
    for (const Workload *w = workloads; w->name; w++) {
        Result r;
        if (o->filter && !strstr(w->name, o->filter)) continue;
        if (!run_workload(k, w, o, &r)) {
            fprintf(stderr, "kiln bench: %s: ", w->name);
            return engine_error("bench", k);
        }
        if (o->json)
            print_json(w, &r, first);
        else
            print_text(w, &r, device_slow(o->device));
        fflush(stdout);
        first = false;
        all_equal &= r.equal;
        if (!r.equal) fprintf(stderr, "kiln bench: %s: eager and graph results differ\n", w->name);
    }
    if (o->json) puts("\n  ]\n}");
    if (first) return usage_error("bench", "no workload's name contains '%s'", o->filter);
    return all_equal ? FINE : CHECK_FAILED;
}

static int bench_workloads(const BenchOptions *o)
{
    kiln *k = kiln_open(&(kiln_options){.threads = (int)o->threads, .no_log = true, .compile = KILN_WAIT, .device = "cpu"});
    if (!k) {
        fprintf(stderr, "kiln bench: no memory for an engine\n");
        return NO_RESOURCE;
    }
    int status = device_check("bench", k, o->device);
    if (status == FINE) status = run(k, o);
    kiln_clear(k);
    kiln_close(k);
    return status;
}

int bench(int argc, char **argv)
{
    BenchOptions o = {.seconds = 1, .device = device_own()};
    BenchModel m = {.model = {.command = "bench"}, .seed = 1};
    ModelOptions *of = &m.model;
    const Option options[] = {{"--json", .flag = &o.json}, {"--filter", .text = &o.filter}, {"--device", .text = &o.device},
        {"--threads", .count = &o.threads, .lo = 1, .hi = 1024}, {"--seconds", .count = &o.seconds, .lo = 1, .hi = 600},
        {"--input", .list = of->input, .listed = &of->inputs, .hi = VALUES},
        {"--dim", .list = of->dim, .listed = &of->dims, .hi = VALUES}, {"--fast", .flag = &of->fast},
        {"--fix", .list = of->fix, .listed = &of->fixes, .hi = VALUES}, {"--seed", .count = &m.seed, .lo = 0, .hi = LONG_MAX}, {0}};
    const int status = options_parse("bench", argc, argv, options, &of->file, 1);
    if (status) return status;
    if (of->file && !ends_in(of->file, ".onnx"))
        return usage_error("bench", "unexpected argument '%s', which does not end in .onnx (--filter chooses workloads)", of->file);
    if (of->file && o.filter) return usage_error("bench", "--filter is for workloads, not for %s", of->file);
    if (!of->file && (of->inputs || of->dims || of->fixes || of->fast || m.seed != 1))
        return usage_error("bench", "--input, --dim, --fix, --fast and --seed are for a MODEL.onnx, and none is named");
    if (!of->file) return bench_workloads(&o);
    m.device = o.device, m.threads = o.threads, m.seconds = o.seconds, m.json = o.json;
    return bench_model(&m);
}
