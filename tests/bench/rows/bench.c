/* bench: one row in an engine of its own: opened, called, timed, its results read. Never compares. */
#define _GNU_SOURCE
#include "row.h"

#include <dirent.h>
#include <math.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum { SAMPLES = 20000, LEAST_SAMPLES = 5 };
#define SAMPLE 2e-3 /* seconds: shorter calls are timed several together */
#define LONG 0.05  /* seconds: of longer calls three samples do */

static bool fine(Bench *b)
{
    if (!kiln_failed(b->k)) return true;
    fprintf(stderr, "%s: %s\n", b->row->name, kiln_error(b->k)->text);
    return false;
}

static kiln_compiling compiling(const Row *row) { return row->how & ANSWERED ? KILN_BACKGROUND : KILN_WAIT; }

static void make_function(Bench *b)
{
    if (b->row->how & EAGER) return;
    b->f = kiln_function_new(b->k, b->row->body, b,
        &(kiln_function_options){.name = b->row->name, .outputs = b->outputs, .compile = compiling(b->row)});
}

bool bench_open(Bench *b, const Row *row, int threads)
{
    *b = (Bench){.row = row, .outputs = 1, .steps = 1};
    if (row->how & (KEPT | OBJECT)) {
        snprintf(b->folder, sizeof b->folder, "/tmp/kiln-bench-XXXXXX");
        if (!mkdtemp(b->folder)) return perror(b->folder), b->folder[0] = 0, false;
    }
    b->k = kiln_open(&(kiln_options){.threads = threads, .compile = KILN_WAIT, .cache_dir = row->how & KEPT ? b->folder : ""});
    if (!b->k) return fprintf(stderr, "%s: no engine\n", row->name), false;
    b->scope = kiln_scope_open(b->k);
    row->make(b, row->n);
    for (int i = 0; i < b->inputs; i++) b->operand[i] = KILN_OPERAND(b->in[i]);
    make_function(b);
    return (!(row->how & OBJECT) || object_open(b)) && fine(b);
}

static void inner(Bench *b)
{
    if (b->object)
        b->object(kiln_data(b->in[0]), b->of_object);
    else if (b->f)
        kiln_call_all(b->f, b->operand, b->inputs, b->out, b->outputs);
    else
        b->row->body(b->k, b->in, b->out, b);
    if (b->row->how & COPIED) kiln_data(b->out[0]);
}

void bench_call(Bench *b)
{
    KILN_SCOPE(b->k);
    inner(b);
}

/* What is read afterwards stays in the bench's scope. */
double bench_first(Bench *b)
{
    const double start = now();
    inner(b);
    const double first = now() - start;
    for (int i = 1; i < b->steps; i++) inner(b);
    return fine(b) ? first : -1;
}

/* Seconds of one of so many calls. Rows of first calls have a new function for each; what is left to compile is waited for
 * outside. */
static double sample(Bench *b, int calls)
{
    if (b->row->how & FIRST) {
        kiln_function_wait(b->f);
        kiln_function_free(b->f);
        make_function(b);
    }
    const double start = now();
    for (int i = 0; i < calls; i++) bench_call(b);
    return (now() - start) / calls;
}

bool bench_measure(Bench *b, double warm, double seconds, Timing *t)
{
    static double found[SAMPLES];
    double start = now(), each = 0;
    int n = 0, count = 0;
    for (; n < 2 || (now() - start < warm && now() - start < 1); n++) each += sample(b, 1);
    each /= n;
    const int calls = b->row->how & FIRST || each > SAMPLE ? 1 : (int)(SAMPLE / each);
    const int least = each > LONG ? 3 : LEAST_SAMPLES;
    start = now();
    while (count < SAMPLES && (count < least || now() - start < seconds)) found[count++] = sample(b, calls);
    t->seconds = median(found, count);
    t->least = found[0]; /* median sorts */
    return fine(b);
}

typedef void See(void *user, const double *x, int64_t count);

static void read_tensor(kiln_tensor *x, See *see, void *user)
{
    const int64_t n = kiln_elements(x);
    double *at = malloc((size_t)(n > 0 ? n : 1) * sizeof *at);
    if (!at) abort();
    if (kiln_read_doubles(x, at, n)) see(user, at, n);
    free(at);
}

static void read_object(Bench *b, See *see, void *user)
{
    double x[OBJECT_RESULTS];
    for (int i = 0; i < OBJECT_RESULTS; i++) x[i] = (double)b->of_object[i];
    see(user, x, OBJECT_RESULTS);
}

static void read_moments(Bench *b, See *see, void *user)
{
    kiln_variable *state[2 * MOST + 3];
    const int n = kiln_optimizer_variables(b->optimizer, state, 2 * MOST + 3);
    for (int moment = 0; moment < 2; moment++)
        for (int i = 0; i < n; i++)
            if (strstr(kiln_variable_name(state[i]), moment ? "/second/" : "/first/")) read_tensor(kiln_value(state[i]), see, user);
}

static void read_moved(Bench *b, int i, See *see, void *user)
{
    kiln_tensor *value = kiln_value(b->v[i]);
    const int64_t n = kiln_elements(value);
    const float *x = kiln_data(value);
    double sum = 0;
    for (int64_t j = 0; x && j < n; j++) sum += fabs((double)x[j] - (double)b->start[i][j]);
    sum /= (double)n * b->rate;
    see(user, &sum, 1);
}

bool bench_results(Bench *b, See *see, void *user)
{
    if (b->target)
        read_tensor(kiln_value(b->target), see, user);
    else if (b->object)
        read_object(b, see, user);
    else if (b->moments)
        read_moments(b, see, user);
    else
        for (int i = 0; i < b->outputs; i++) read_tensor(b->out[i], see, user);
    for (int i = 0; b->steps > 1 && i < b->parameters; i++) read_moved(b, i, see, user);
    return fine(b);
}

static void remove_folder(const char *folder)
{
    char path[512];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
    }
    if (d) closedir(d);
    rmdir(folder);
}

bool bench_close(Bench *b)
{
    object_close(b);
    bool closed = !b->k || (kiln_clear(b->k), kiln_close(b->k) == 0);
    for (int i = 0; i < b->parameters; i++) free(b->start[i]);
    if (b->folder[0]) remove_folder(b->folder);
    *b = (Bench){0};
    return closed;
}
