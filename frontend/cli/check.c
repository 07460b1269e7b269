/* check: `kiln check`: an ONNX model held against results that are known, and where it parts from them, which is sought only if it
 * does. */
#include <kiln/io.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "../check/check.h"
#include "../engine/escape.h"
#include "draw.h"
#include "options.h"
#include "run_model.h"

static const kiln_site nowhere = {0};

enum { PATH = 4352 }; /* bytes of a path, and of a name behind it */

const char check_help[] =
    "usage: kiln check MODEL.onnx [--against FOLDER] [--nodes FOLDER] [OPTION]...\n\n"
    "Runs the model on input_0.pb, input_1.pb and so on, eagerly and compiled, and holds the results against output_0.pb and so "
    "on,\n"
    "as ONNX's own tests have them. If something differs it looks for the first node that does: with --nodes the first whose "
    "values\n"
    "are not those of the files, else the first in which compiled code parts from eager code, if they gave different results, and\n"
    "the first in which eager code parts from the reference interpreter, which takes a second for 10^9 multiplications or so.\n"
    "Exit status 1 if something differs.\n\n"
    "  kiln check net/model.onnx --against net/test_data_set_0\n\n"
    "  --against FOLDER   that has the files, or folders test_data_set_0, test_data_set_1 ... (the model's own)\n"
    "  --nodes FOLDER     that has files VALUE.npy or VALUE.pb with what nodes give, for as many values as there are; in the "
    "names\n"
    "                     what is no letter, digit, . - or _ is _\n"
    "  --rtol X, --atol X an element may be off by rtol times itself and atol more (1e-3 and 1e-7, as ONNX's own tests allow)\n"
    "  --fast             batch normalisations go into weights: results may differ in rounding\n"
    "  --device NAME      where to run, one that kiln info lists (KILN_DEVICE, else cpu)\n"
    "  --threads N        in all, 1 to 1024 (one per core)\n";

typedef struct Tolerance { /* an element v may be off by rel |v| + abs */
    double rel, abs;
} Tolerance;

typedef struct Far {
    double off, ulps, largest; /* and of what must be there the largest magnitude */
    int64_t at;                /* the first element that is too far off; -1: none */
    bool typed;                /* dtypes and sizes are the same */
} Far;

static double last_place(kiln_dtype t, double v)
{
    const int digits = t == KILN_F64 ? 52 : t == KILN_F32 ? 23 : t == KILN_F16 ? 10 : t == KILN_BF16 ? 7 : 0;
    return digits == 0 ? 1 : ldexp(1, (v == 0 ? -24 : ilogb(v)) - digits);
}

static Far compare(kiln *k, const Tolerance *allowed, kiln_tensor *got, kiln_tensor *want)
{
    Far f = {.at = -1, .typed = kiln_dtype_of(got) == kiln_dtype_of(want) && kiln_rank(got) == kiln_rank(want)};
    for (int i = 0; f.typed && i < kiln_rank(got); i++) f.typed = kiln_dim(got, i) == kiln_dim(want, i);
    if (!f.typed) return f;
    const int64_t n = kiln_elements(got);
    double *a = mem_zeros(2 * (size_t)n + 1, sizeof *a), *b = a ? a + n : NULL;
    const bool read = a && kiln_read_doubles_at(nowhere, kiln_of_tensor(kiln_cast(got, KILN_F64)), a, n) &&
                      kiln_read_doubles_at(nowhere, kiln_of_tensor(kiln_cast(want, KILN_F64)), b, n);
    for (int64_t i = n - 1; read && !kiln_failed(k) && i >= 0; i--) {
        if (fabs(b[i]) > f.largest) f.largest = fabs(b[i]);
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) continue;
        const double off = fabs(a[i] - b[i]), ulps = off / last_place(kiln_dtype_of(want), b[i]);
        if (!(off <= allowed->abs + allowed->rel * fabs(b[i]))) f.at = i;
        if (off > f.off) f.off = off;
        if (off > 1e-7 && ulps > f.ulps) f.ulps = ulps;
    }
    if (a) mem_free(a, (2 * (size_t)n + 1) * sizeof *a);
    return f;
}

typedef struct Nodes { /* what nodes give, held against files */
    kiln *k;
    const Tolerance *allowed;
    const char *folder; /* NULL: nobody asked */
    int64_t held;       /* values that have a file, up to the first that differs */
    bool differs;       /* it was said */
} Nodes;

typedef struct Checked { /* a model and one set of values */
    Model model;
    Nodes nodes;
    Parts in[VALUES], want[VALUES], got[2][VALUES]; /* got: compiled, eagerly */
    int nin, nwant;
    bool good[2];  /* results are as they must be */
    bool searched; /* a node that differs was sought, of a set before this one */
    JustThese just;
} Checked;

static int read_all(kiln *k, const char *folder, const char *what, const kiln_onnx_value *value, int have, Parts *to)
{
    char path[PATH];
    int n = 0;
    for (; n < have; n++) {
        snprintf(path, sizeof path, "%s/%s_%d.pb", folder, what, n);
        if (access(path, F_OK) != 0 || !parts_read(k, &value[n], path, &to[n])) break;
    }
    return n;
}

/* ---- what nodes give --------------------------------------------------------------------------------------- */

static void say_node(const Nodes *n, const kiln_onnx_seen *seen, Far f)
{
    char line[600], name[200] = "";
    if (*seen->name) snprintf(name, sizeof name, " '%.180s'", seen->name);
    snprintf(line, sizeof line, "node %lld, %.80s%s, is the first that differs: %.255s ", (long long)seen->node, seen->op, name,
        seen->output);
    text_line(line);
    fputs(line, stdout);
    if (f.typed)
        printf("is off by %.3g, %.3g last places, first at element %lld", f.off, f.ulps, (long long)f.at);
    else
        printf("has another dtype, or other sizes");
    printf(n->held == 1 ? "; %lld value of a node before it is as it must be\n"
                        : "; %lld values of nodes before it are as they must be\n",
        (long long)n->held);
}

static void see_node(const kiln_onnx_seen *seen, void *user)
{
    static const char *const ends[] = {".npy", ".pb"};
    Nodes *n = user;
    char path[PATH];
    if (strlen(seen->output) > 255) return; /* no file is called that */
    for (int i = 0; i < 2 && !n->differs; i++) {
        if (!value_path(path, sizeof path, n->folder, seen->output, ends[i]) || access(path, F_OK) != 0) continue;
        kiln_tensor *want = i ? kiln_onnx_tensor_at(nowhere, n->k, path) : kiln_npy_read_at(nowhere, n->k, path);
        const Far f = compare(n->k, n->allowed, seen->x, want);
        if (kiln_failed(n->k)) return;
        n->differs = !f.typed || f.at >= 0;
        if (n->differs) say_node(n, seen, f);
        if (!n->differs) n->held++;
        return;
    }
}

/* After the eager call. An Exit. */
static int say_nodes(const Nodes *n)
{
    if (!n->folder || n->differs) return FINE;
    if (n->held > 0) {
        printf("%lld values of nodes are as they must be\n", (long long)n->held);
        return FINE;
    }
    say("kiln check: %s: no file there is called VALUE.npy or VALUE.pb after a value that a node gives", n->folder);
    return BAD_INPUT;
}

/* ---- where the ways of computing part ----------------------------------------------------------------------- */

typedef struct Search {
    const char *what;
    double start;
    bool said;
} Search;

/* Whoever waits for seconds is told for what. */
static void tell_search(void *user, uint32_t done, uint32_t all)
{
    Search *s = user;
    if (clock_seconds() - s->start < 1) return;
    if (!s->said && !isatty(STDERR_FILENO))
        say("kiln check: looking for the first node in which %s part: %u of %u values agree so far", s->what, done, all);
    s->said = true;
    progress("nodes", done, all, s->what);
}

static kiln_verdict search(kiln_function *f, kiln_operands in, bool reference)
{
    Search s = {reference ? "eager code and the reference" : "compiled and eager code", clock_seconds(), false};
    const CheckParts parts = {.reference = reference, .compiled = !reference, .progress = tell_search, .user = &s};
    const kiln_verdict verdict = check_parts_of(nowhere, stdout, f, in, &parts);
    if (s.said) progress_end();
    return verdict;
}

/* Whether eager and compiled code gave other bits. */
static bool parted(kiln *k, const Checked *c)
{
    bool other = false;
    double largest = 0;
    for (int i = 0; i < c->nwant && i < c->model.nout; i++) {
        const kiln_onnx_list *a = &c->got[0][i].list, *b = &c->got[1][i].list;
        other |= a->count != b->count;
        for (int j = 0; !other && j < a->count; j++)
            other = tensors_differ(thread_of(k), nowhere, a->at[j], b->at[j], &largest) != 0;
    }
    return other;
}

/* Compiled code against eager code costs little, and is at fault only if its results are others; the reference judges eager code
 * only if that is wrong. */
static void say_where(kiln *k, Checked *c)
{
    const bool fit = model_just_these(&c->model, c->in, c->nin, &c->just);
    kiln_function *f = fit ? kiln_onnx_declared_sized(nowhere, c->model.m, &c->just.d, sizeof c->just.d) : NULL;
    const kiln_operands in = kiln_tensors(c->just.flat, c->just.n);
    const bool other = parted(k, c);
    kiln_verdict verdict = KILN_AGREE;
    fflush(stdout);
    if (f && other) verdict = search(f, in, false);
    if (f && !c->good[true]) verdict = MIN_OF(verdict, search(f, in, true));
    if (f && verdict == KILN_AGREE)
        puts("eager code, of which compiled code has the results, and the reference agree in what every node gives: the results "
             "that "
             "are\nknown are of another model, of other inputs, or wrong (--nodes FOLDER, with values of nodes, tells where they "
             "part)");
    if (kiln_failed(k)) engine_error("check", k);
    c->searched = true;
}

/* ---- results ------------------------------------------------------------------------------------------------- */

/* Prints a line, and whether it is as it must be. */
static bool say_output(kiln *k, const Tolerance *allowed, const char *way, const char *name, kiln_tensor *got, kiln_tensor *want)
{
    const Far f = compare(k, allowed, got, want);
    char plain[200];
    if (kiln_failed(k)) return false;
    snprintf(plain, sizeof plain, "%s", name);
    text_line(plain);
    printf("%-9s %-20s ", way, plain);
    if (!f.typed)
        puts("another dtype, or other sizes");
    else if (f.at >= 0)
        printf("differs by %.3g, %.3g last places, first at element %lld; the largest is %.3g\n", f.off, f.ulps, (long long)f.at,
            f.largest);
    else
        printf("ok, at most %.3g off, %.3g last places\n", f.off, f.ulps);
    return f.typed && f.at < 0;
}

static bool say_list(
    const Nodes *n, const char *way, const kiln_onnx_value *v, const kiln_onnx_list *got, const kiln_onnx_list *want)
{
    char name[200];
    bool good = got->count == want->count;
    if (!good || got->count <= 0)
        printf("%-9s %-20s %d tensors, %s\n", way, value_name(v, name), got->count, good ? "ok" : "another number");
    for (int j = 0; good && j < got->count; j++) {
        snprintf(name, sizeof name, is_list(v) ? "%s.%d" : "%s", v->name, j);
        good &= say_output(n->k, n->allowed, way, name, got->at[j], want->at[j]);
    }
    return good;
}

static int check_set(kiln *k, const char *folder, Checked *c)
{
    KILN_SCOPE(k);
    c->nodes.held = 0, c->nodes.differs = false;
    c->nin = read_all(k, folder, "input", c->model.in, c->model.nin, c->in);
    c->nwant = read_all(k, folder, "output", c->model.out, c->model.nout, c->want);
    if (kiln_failed(k)) return engine_error("check", k);
    if (c->nwant == 0) {
        say("kiln check: %s: there is no output_0.pb", folder);
        return BAD_INPUT;
    }
    for (int eager = 1; eager >= 0; eager--) {
        kiln_eager(k, eager);
        kiln_onnx_watch(c->model.m, eager && c->nodes.folder ? see_node : NULL, &c->nodes);
        const bool ran = call_model(&c->model, c->nin, c->in, c->got[eager]);
        kiln_eager(k, false);
        if (!ran) return kiln_failed(k) ? model_error("check", k) : NO_RESOURCE;
        const int status = eager ? say_nodes(&c->nodes) : FINE;
        if (status) return status;
        c->good[eager] = true;
        for (int i = 0; i < c->nwant && i < c->model.nout; i++) {
            c->good[eager] &=
                say_list(&c->nodes, eager ? "eager" : "compiled", &c->model.out[i], &c->got[eager][i].list, &c->want[i].list);
            if (kiln_failed(k)) return engine_error("check", k);
        }
    }
    const bool good = c->good[false] && c->good[true];
    if (!good && !c->nodes.differs && !c->searched) say_where(k, c);
    return good && !c->nodes.differs ? FINE : CHECK_FAILED;
}

static int check_opened(kiln *k, const ModelOptions *o, const char *against, Checked *c)
{
    char own[PATH - 256], path[PATH];
    int status = model_open(k, o, &c->model), worst = FINE;
    if (status) return status;
    const char *slash = strrchr(o->file, '/'); /* what was opened is no longer than paths may be */
    snprintf(own, sizeof own, "%.*s", slash ? MAX_OF((int)(slash - o->file), 1) : 1, slash ? o->file : ".");
    if (!against) against = own;
    if (strlen(against) >= sizeof own) return usage_error("check", "--against: the folder's name is too long");
    if (c->nodes.folder && strlen(c->nodes.folder) >= sizeof own - 16)
        return usage_error("check", "--nodes: the folder's name is too long");
    snprintf(path, sizeof path, "%s/output_0.pb", against);
    if (access(path, F_OK) == 0) return check_set(k, against, c);
    for (int set = 0; set < 1000; set++) {
        snprintf(path, sizeof path, "%s/test_data_set_%d", against, set);
        if (access(path, F_OK) != 0) {
            if (set > 0) return worst;
            say("kiln check: %s: there is neither output_0.pb nor test_data_set_0", against);
            return BAD_INPUT;
        }
        status = check_set(k, path, c);
        if (status > worst) worst = status;
    }
    return worst;
}

static int check_sets(kiln *k, const ModelOptions *o, const char *against, const char *nodes, const Tolerance *allowed)
{
    Checked *c = mem_zeros(1, sizeof *c);
    if (!c) return say("kiln check: no memory"), NO_RESOURCE;
    c->nodes = (Nodes){.k = k, .allowed = allowed, .folder = nodes};
    const int status = check_opened(k, o, against, c);
    mem_free(c, sizeof *c);
    return status;
}

/* A number of 0 or more; NULL: it stays. */
static bool read_tolerance(const char *option, const char *text, double *to)
{
    char *end;
    const double v = text ? strtod(text, &end) : *to;
    if (text && (end == text || *end || !(v >= 0))) {
        usage_error("check", "%s: '%s' is no number of 0 or more", option, text);
        return false;
    }
    *to = v;
    return true;
}

int check_command(int argc, char **argv)
{
    ModelOptions o = {.command = "check"};
    const char *against = NULL, *nodes = NULL, *device = device_own(), *rel = NULL, *abs = NULL;
    Tolerance allowed = {1e-3, 1e-7};
    long threads = 0;
    const Option options[] = {{"--against", .text = &against}, {"--nodes", .text = &nodes}, {"--rtol", .text = &rel},
        {"--atol", .text = &abs}, {"--fast", .flag = &o.fast}, {"--device", .text = &device},
        {"--threads", .count = &threads, .lo = 1, .hi = 1024}, {0}};
    int status = options_parse("check", argc, argv, options, &o.file, 1);
    if (status) return status;
    if (!o.file) return usage_error("check", "no model is named");
    if (!read_tolerance("--rtol", rel, &allowed.rel) || !read_tolerance("--atol", abs, &allowed.abs)) return BAD_USAGE;
    kiln *k = kiln_open(&(kiln_options){.threads = (int)threads, .device = "cpu", .compile = KILN_WAIT});
    if (!k) {
        say("kiln check: no memory for an engine");
        return NO_RESOURCE;
    }
    status = device_check("check", k, device);
    if (status == FINE) {
        KILN_SCOPE(k);
        KILN_DEVICE(k, device);
        status = check_sets(k, &o, against, nodes, &allowed);
    }
    kiln_clear(k);
    kiln_close(k);
    return status;
}
