/* bench_model: `kiln bench MODEL.onnx`: an ONNX model eagerly, compiled, and as an object of its own. First results and memory are
 * those of processes that do nothing else; calls are then timed in turn in one process, so that all meet the same conditions.
 * Results must be equal bit for bit. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kiln/aot.h>

#include "bench_model.h"
#include "draw.h"
#include "linked.h"
#include "run_model.h"

#include "../../runtime/base.h"

static const kiln_site nowhere = {0};

enum { SAMPLES = 1 << 16, ROUNDS = 10 };

typedef struct Bench { /* of one process */
    const BenchModel *o;
    kiln *k;
    Model model;
    Linked object;
    JustThese these; /* the inputs, with their tensors one after the other */
    Parts got[VALUES];
    kiln_tensor *out[VALUES]; /* the tensors of all results, one after the other */
    int nout;
} Bench;

/* ---- a folder for the object, which goes however this ends ------------------------------------------------------------ */
static const char *const parts[] = {"model.o", "model.h", "model.weights", "linked.c", "linked.log", "model.so"};
static char folder[600], part_path[COUNT_OF(parts)][640];

static void remove_folder(void)
{
    for (size_t i = 0; i < COUNT_OF(parts); i++) unlink(part_path[i]);
    rmdir(folder);
}

static volatile sig_atomic_t child_now; /* 0: none */

static void interrupted(int number)
{
    if (child_now > 0) kill((pid_t)child_now, SIGTERM);
    remove_folder();
    signal(number, SIG_DFL);
    raise(number);
}

static bool make_folder(void)
{
    const char *where = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.500s/kiln-bench-XXXXXX", where && *where ? where : "/tmp");
    if (!mkdtemp(folder)) {
        say("kiln bench: %s: cannot make a folder: %s", folder, strerror(errno));
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(parts); i++) snprintf(part_path[i], sizeof part_path[i], "%s/%s", folder, parts[i]);
    const int all[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < COUNT_OF(all); i++) signal(all[i], interrupted);
    return true;
}

/* ---- calls --------------------------------------------------------------------------------------------------------------- */
static int open_engine(Bench *b)
{
    b->k = kiln_open(&(kiln_options){.threads = (int)b->o->threads, .no_log = true, .compile = KILN_WAIT, .device = "cpu"});
    if (!b->k) {
        say("kiln bench: no memory for an engine");
        return NO_RESOURCE;
    }
    return device_check("bench", b->k, b->o->device);
}

/* On the device of the scope around it. */
static int open_model(Bench *b)
{
    int status = model_open(b->k, &b->o->model, &b->model);
    if (status == FINE) status = model_draw(b->k, &b->o->model, &b->model, (uint64_t)b->o->seed);
    if (status == FINE && !model_just_these(&b->model, b->model.value, b->model.nin, &b->these)) {
        say("kiln bench: %s: its inputs have more than %d tensors", b->o->model.file, VALUES);
        status = NO_RESOURCE;
    }
    return status;
}

/* False: the engine has the error, or it was said. */
static bool call_lists(Bench *b)
{
    b->nout = 0;
    if (!call_model(&b->model, b->model.nin, b->model.value, b->got)) return false;
    for (int i = 0; i < b->model.nout; i++)
        for (int j = 0; j < b->got[i].list.count; j++) {
            if (b->nout == VALUES) return say("kiln bench: its results have more than %d tensors", VALUES), false;
            b->out[b->nout++] = b->got[i].list.at[j];
        }
    return true;
}

static bool call_tensors(Bench *b)
{
    b->nout = b->model.nout;
    return kiln_onnx_call_at(nowhere, b->model.m, kiln_tensors(b->these.flat, b->these.n), b->out, b->nout);
}

/* One call; false: the engine has the error, or of an object `why`. */
static bool call(Bench *b, Way way, char *why, size_t cap)
{
    if (way == WAY_OBJECT) {
        const void *in[VALUES];
        for (int i = 0; i < b->these.n; i++) in[i] = kiln_data(b->these.flat[i]);
        const int rc = b->object.call(b->object.state, b->object.weights, in, b->object.out, b->object.workspace);
        if (rc) snprintf(why, cap, "it returned %d", rc);
        return rc == 0;
    }
    kiln_eager(b->k, way == WAY_EAGER);
    bool ok = model_has_lists(&b->model) ? call_lists(b) : call_tensors(b);
    kiln_eager(b->k, false);
    ok = ok && kiln_sync(b->k, b->o->device);
    if (!ok) snprintf(why, cap, "%s", kiln_failed(b->k) ? kiln_error(b->k)->text : "too many tensors");
    return ok;
}

/* ---- processes of their own ---------------------------------------------------------------------------------------------- */
static int64_t file_bytes(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 ? (int64_t)s.st_size : 0;
}

static void make_object(Bench *b, Told *told)
{
    kiln_onnx_size size[VALUES];
    char name[8192], path[640];
    const kiln_onnx_declaration tensors = {.sizes = size,
        .sizes_count = model_sizes(&b->model, size, VALUES, name, sizeof name),
        .fixed = b->model.fixed,
        .fixed_count = b->model.fixes};
    const kiln_onnx_declaration d = model_has_lists(&b->model) ? b->these.d : tensors;
    const kiln_aot_options aot = {.symbol = "model", .weights_file = true};
    snprintf(path, sizeof path, "%s/model", folder);
    kiln_function *f = kiln_onnx_declared_sized(nowhere, b->model.m, &d, sizeof d);
    if (!f || !kiln_aot_sized(nowhere, f, path, &aot, sizeof aot)) {
        snprintf(told->why, sizeof told->why, "%s", kiln_error(b->k)->text);
        return;
    }
    const char *why = linked_build(folder, "model", told->why, sizeof told->why);
    if (why && why != told->why) snprintf(told->why, sizeof told->why, "%s", why);
    told->object_bytes = file_bytes(part_path[0]);
    told->weights_bytes = file_bytes(part_path[2]);
}

/* An object's caller needs the model for nothing, but its inputs are drawn as the model has them. */
static void first_result(Bench *b, Way way, Told *told)
{
    const char *why = way == WAY_OBJECT ? linked_open(&b->object, folder, "model") : NULL;
    if (why)
        snprintf(told->why, sizeof told->why, "%s", why);
    else
        call(b, way, told->why, sizeof told->why);
}

static void in_child(const BenchModel *o, int what, Told *told, double start)
{
    Bench b = {.o = o};
    told->status = open_engine(&b);
    if (told->status == FINE) {
        KILN_SCOPE(b.k);
        KILN_DEVICE(b.k, o->device);
        told->status = open_model(&b);
        if (told->status == FINE && what == WAYS) make_object(&b, told);
        if (told->status == FINE && what != WAYS) first_result(&b, (Way)what, told);
        told->seconds = clock_seconds() - start;
    }
    struct rusage r;
    if (getrusage(RUSAGE_SELF, &r) == 0) told->peak = (int64_t)r.ru_maxrss * 1024;
}

/* what: a Way, or WAYS: what makes the object. */
static bool apart(const BenchModel *o, int what, Told *told)
{
    int ends[2];
    const double start = clock_seconds();
    *told = (Told){.status = NO_RESOURCE};
    if (pipe(ends) != 0) return false;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL), signal(SIGTERM, SIG_DFL), signal(SIGHUP, SIG_DFL);
        in_child(o, what, told, start);
        fflush(NULL);
        _exit(write(ends[1], told, sizeof *told) == (ssize_t)sizeof *told ? 0 : 1);
    }
    child_now = child;
    close(ends[1]);
    size_t got = 0;
    for (ssize_t n = 1; child > 0 && got < sizeof *told && n != 0; got += n > 0 ? (size_t)n : 0) {
        n = read(ends[0], (char *)told + got, sizeof *told - got);
        if (n < 0 && errno != EINTR) break;
    }
    close(ends[0]);
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (got == sizeof *told) return true;
    *told = (Told){.status = NO_RESOURCE};
    if (child > 0 && WIFSIGNALED(status))
        snprintf(told->why, sizeof told->why, "its process ended with signal %d (no memory?)", WTERMSIG(status));
    else
        snprintf(told->why, sizeof told->why, "no process for it: %s", strerror(errno));
    return false;
}

/* ---- in turn ------------------------------------------------------------------------------------------------------------- */
/* Whether the results of the calls so far are equal: those of eager code are held against the others. */
static bool equal(Bench *b, Way way, char *const *want, int n)
{
    if ((way == WAY_OBJECT ? b->object.nout : b->nout) != n) return false;
    for (int i = 0; i < n; i++) {
        const size_t bytes = kiln_bytes(b->out[i]);
        char *at = way == WAY_OBJECT ? b->object.out[i] : mem_alloc(bytes + 1);
        bool same = at && (way == WAY_OBJECT ? (size_t)b->object.out_bytes[i] == bytes : kiln_read(b->out[i], at, bytes));
        same = same && memcmp(at, want[i], bytes) == 0;
        if (way != WAY_OBJECT && at) mem_free(at, bytes + 1);
        if (!same) return false;
    }
    return true;
}

static bool compare(Bench *b, BenchFound *f, char *why, size_t cap)
{
    char *want[VALUES] = {NULL};
    size_t bytes[VALUES];
    f->equal = true;
    bool ok = call(b, WAY_EAGER, why, cap);
    const int n = ok ? b->nout : 0;
    for (int i = 0; ok && i < n; i++) {
        bytes[i] = kiln_bytes(b->out[i]);
        want[i] = mem_alloc(bytes[i] + 1);
        ok = want[i] && kiln_read(b->out[i], want[i], bytes[i]);
    }
    for (Way way = WAY_COMPILED; ok && way < WAYS; way++) {
        if (!f->has[way]) continue;
        ok = call(b, way, why, cap);
        f->partial = way == WAY_OBJECT && b->object.counts;
        if (ok && !(way == WAY_OBJECT && b->object.counts)) f->equal &= equal(b, way, want, n);
    }
    for (int i = 0; i < n; i++)
        if (want[i]) mem_free(want[i], bytes[i] + 1);
    return ok;
}

static bool timed(Bench *b, Way way, double *to, double seconds, long *n, char *why, size_t cap)
{
    const double until = clock_seconds() + seconds;
    if (!call(b, way, why, cap)) return false; /* not counted: it only warms the caches after the others */
    do {
        KILN_SCOPE(b->k);
        const double start = clock_seconds();
        if (!call(b, way, why, cap)) return false;
        to[(*n)++] = clock_seconds() - start;
    } while (clock_seconds() < until && *n < SAMPLES);
    return true;
}

static bool measure(Bench *b, BenchFound *f, char *why, size_t cap)
{
    double *sample = mem_zeros((size_t)WAYS * SAMPLES, sizeof *sample);
    const int ways = (int)f->has[WAY_EAGER] + f->has[WAY_COMPILED] + f->has[WAY_OBJECT];
    const double until = clock_seconds() + (double)b->o->seconds;
    bool ok = sample || (snprintf(why, cap, "no memory"), false);
    for (int round = 0; ok && round < 1000 && (round == 0 || clock_seconds() < until); round++)
        for (Way way = 0; ok && way < WAYS; way++)
            if (f->has[way] && f->calls[way] < SAMPLES)
                ok = timed(b, way, sample + (size_t)way * SAMPLES, (double)b->o->seconds / ROUNDS / ways, &f->calls[way], why, cap);
    for (Way way = 0; ok && way < WAYS; way++) {
        if (!f->has[way]) continue;
        double *v = sample + (size_t)way * SAMPLES;
        const int n = (int)f->calls[way];
        f->p50[way] = median(v, n); /* sorts them */
        f->p90[way] = percentile(v, n, 90);
        f->p99[way] = percentile(v, n, 99);
    }
    if (sample) mem_free(sample, (size_t)WAYS * SAMPLES * sizeof *sample);
    return ok;
}

static int in_scope(Bench *b, BenchFound *f)
{
    KILN_SCOPE(b->k);
    KILN_DEVICE(b->k, b->o->device);
    char why[400] = "";
    const int status = open_model(b);
    if (status) return status;
    const char *no = f->has[WAY_OBJECT] ? linked_open(&b->object, folder, "model") : NULL;
    if (no) snprintf(f->first[WAY_OBJECT].why, sizeof f->first[WAY_OBJECT].why, "%s", no), f->has[WAY_OBJECT] = false;
    model_sizes_text(&b->model, f->sizes, sizeof f->sizes);
    const bool ok = compare(b, f, why, sizeof why) && measure(b, f, why, sizeof why);
    if (ok)
        bench_report(b->k, b->o, f);
    else
        say("kiln bench: %s", why);
    linked_close(&b->object);
    return !ok ? NO_RESOURCE : f->equal ? FINE : CHECK_FAILED;
}

static int in_turn(const BenchModel *o, BenchFound *f)
{
    Bench b = {.o = o};
    int status = open_engine(&b);
    if (status == FINE) status = in_scope(&b, f);
    if (b.k) kiln_clear(b.k);
    kiln_close(b.k);
    return status;
}

static int bench_all(const BenchModel *o, BenchFound *f)
{
    for (Way way = WAY_EAGER; way <= WAY_COMPILED; way++) {
        const bool told = apart(o, (int)way, &f->first[way]);
        if (!told || f->first[way].why[0]) {
            say("kiln bench: %s", f->first[way].why);
            return told && f->first[way].status ? f->first[way].status : NO_RESOURCE;
        }
        if (f->first[way].status) return f->first[way].status; /* it was said */
        f->has[way] = true;
    }
    Told *object = &f->first[WAY_OBJECT];
    if (strcmp(o->device, "cpu") != 0)
        snprintf(object->why, sizeof object->why, "it would be for the CPU, not for %s", o->device);
    else if (apart(o, WAYS, &f->making) && !f->making.why[0])
        apart(o, WAY_OBJECT, object);
    else
        snprintf(object->why, sizeof object->why, "%s", f->making.why);
    f->has[WAY_OBJECT] = !object->why[0];
    return in_turn(o, f);
}

int bench_model(const BenchModel *o)
{
    BenchFound found = {.equal = true};
    if (!make_folder()) return NO_RESOURCE;
    const int status = bench_all(o, &found);
    remove_folder();
    return status;
}
