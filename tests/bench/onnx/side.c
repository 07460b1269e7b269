/* side [threads]: Kiln as one side of tests/bench/onnx/beside.py: ONNX models. Reads one line after the other, answers each with one:
 *     open FOLDER     opened LOAD_MS FIRST_MS: model.onnx is read, and called with test_data_set_0; compiling is part of the first call
 *     time S          timed MEDIAN_US LEAST_US of calls, for S seconds
 *     memory          memory NOW_KB MOST_KB of the process
 * or with `failed WHY`. tests/bench/onnx/side.py answers the same by ONNX Runtime. One model for each process. */
#include <kiln/kiln.h>
#include <kiln/onnx.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_OPERANDS = 16, SAMPLES = 100000 };

typedef struct Side {
    kiln *k;
    kiln_onnx *model;
    kiln_operand in[MOST_OPERANDS];
    int inputs, outputs;
} Side;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool call(Side *s)
{
    KILN_SCOPE(s->k);
    kiln_tensor *out[MOST_OPERANDS];
    return kiln_onnx_call(s->model, kiln_operand_list(s->in, s->inputs), out, s->outputs) && kiln_sync(s->k, NULL);
}

static int count(Side *s, const char *folder, const char *kind)
{
    char path[5000];
    int n = 0;
    for (; n < MOST_OPERANDS; n++) {
        snprintf(path, sizeof path, "%s/test_data_set_0/%s_%d.pb", folder, kind, n);
        if (access(path, R_OK) != 0) break;
        if (strcmp(kind, "input") == 0) s->in[n] = kiln_of_tensor(kiln_onnx_tensor(s->k, path));
    }
    return n;
}

static void open_model(Side *s, const char *folder)
{
    char path[5000];
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    s->inputs = count(s, folder, "input"), s->outputs = count(s, folder, "output");
    const double start = now();
    s->model = kiln_onnx_load(s->k, path);
    const double loaded = now();
    if (s->model && call(s)) printf("opened %.3f %.3f\n", 1e3 * (loaded - start), 1e3 * (now() - loaded));
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_calls(Side *s, double seconds)
{
    static double took[SAMPLES];
    int n = 0;
    for (const double start = now(); n < 3 || (n < SAMPLES && now() - start < seconds);) {
        const double begun = now();
        if (!call(s)) return;
        took[n++] = now() - begun;
    }
    qsort(took, (size_t)n, sizeof *took, by_size);
    printf("timed %.2f %.2f\n", 1e6 * took[n / 2], 1e6 * took[0]);
}

static void tell_memory(void)
{
    char line[256];
    long at_most = 0, at_present = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %ld", &at_most), sscanf(line, "VmRSS: %ld", &at_present);
    if (f) fclose(f);
    printf("memory %ld %ld\n", at_present, at_most);
}

int main(int argc, char **argv)
{
    static char line[4200], path[4096];
    Side s = {.k = kiln_open(&(kiln_options){.threads = argc > 1 ? atoi(argv[1]) : 2, .compile = KILN_WAIT, .no_log = true})};
    double seconds;
    if (!s.k) return 1;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "open %4095s", path) == 1)
            open_model(&s, path);
        else if (sscanf(line, "time %lf", &seconds) == 1)
            time_calls(&s, seconds);
        else
            tell_memory();
        if (kiln_failed(s.k)) printf("failed %s\n", kiln_error(s.k)->text), kiln_clear(s.k);
        fflush(stdout);
    }
    kiln_onnx_free(s.model);
    return kiln_close(s.k);
}
