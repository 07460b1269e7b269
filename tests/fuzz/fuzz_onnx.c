/* fuzz onnx: any bytes as a model, and models with a part of them changed: an error, or a model that can be described, inspected
 * and called, eagerly and traced, which gives an error or tensors. Reading and inspecting take at most a second, and 16 times the
 * input and 64 MiB. */
#define _GNU_SOURCE /* memmem */
#include "fuzz.h"

#include <kiln/onnx.h>
#include <time.h>

#define MUTATE_ROOTS MODEL
#include "onnx_mutate.h"

enum { VALUES = 8, PER_LIST = 3 };

/* ---- limits ------------------------------------------------------------------------------------------- */
typedef struct Watch {
    clock_t since;
    int64_t live, most;
} Watch;

static Watch watch(size_t size)
{
    fuzz_memory.peak = fuzz_memory.live;
    return (Watch){clock(), fuzz_memory.live, (int64_t)(16 * size + ((size_t)64 << 20))};
}

static void within(const Watch *w, const char *what)
{
    const double s = (double)(clock() - w->since) / CLOCKS_PER_SEC;
    const int64_t peak = fuzz_memory.peak - w->live;
    if (s <= 1 && peak <= w->most) return;
    fprintf(stderr, "%s: %.2f s, %lld bytes of at most %lld\n", what, s, (long long)peak, (long long)w->most);
    abort();
}

/* ---- calling ------------------------------------------------------------------------------------------ */
typedef struct Called {
    kiln *k;
    kiln_onnx *m;
    kiln_onnx_value in[VALUES], out[VALUES];
    kiln_onnx_list given[VALUES], got[VALUES];
    kiln_tensor *at[2][VALUES][PER_LIST];
    int nin, nout;
} Called;

/* Small whole numbers, which are sizes and indices, too. */
static kiln_tensor *value_of(kiln *k, const kiln_onnx_value *v, int i)
{
    kiln_shape s = {.rank = v->rank < 0 ? i % 3 : v->rank};
    int64_t n = 1;
    for (int j = 0; j < s.rank; j++) {
        s.size[1 + j] = v->rank < 0 || v->size[j] < 0 ? 2 + (i + j) % 2 : v->size[j];
        if (s.size[1 + j] != 0 && n > 4096 / s.size[1 + j]) return NULL;
        n *= s.size[1 + j];
    }
    double at[4096];
    for (int64_t j = 0; j < n; j++) at[j] = (double)((j + i) % 4);
    return kiln_from_doubles(k, v->dtype ? v->dtype : KILN_F32, s, at, n);
}

/* False: an input is large, or a map. */
static bool make_inputs(Called *c)
{
    for (int i = 0; i < c->nin; i++) {
        const kiln_onnx_value *v = &c->in[i];
        const bool optional = v->kind == KILN_ONNX_OPTIONAL || v->kind == KILN_ONNX_OPTIONAL_SEQUENCE;
        const int count = v->kind == KILN_ONNX_SEQUENCE || v->kind == KILN_ONNX_OPTIONAL_SEQUENCE ? PER_LIST - 1 : 1;
        c->given[i] = (kiln_onnx_list){.at = c->at[0][i], .count = optional && i % 2 ? KILN_ONNX_NONE : count};
        for (int j = 0; j < c->given[i].count; j++)
            if (v->kind == KILN_ONNX_OTHER || !(c->at[0][i][j] = value_of(c->k, v, i + j))) return false;
    }
    return true;
}

static void call(Called *c, bool eager)
{
    KILN_SCOPE(c->k);
    kiln_eager(c->k, eager);
    for (int i = 0; i < c->nout; i++) c->got[i] = (kiln_onnx_list){.at = c->at[1][i], .cap = PER_LIST};
    fuzz_memory.left = (int64_t)256 << 20;
    if (make_inputs(c)) {
        if (!kiln_onnx_call_lists(c->m, c->given, c->nin, c->got, c->nout)) {
            if (!kiln_failed(c->k)) abort();
        } else {
            for (int i = 0; i < c->nout; i++)
                for (int j = 0; j < c->got[i].count && j < PER_LIST; j++) fuzz_touch(c->got[i].at[j]);
        }
    }
    fuzz_memory.left = INT64_MAX;
    kiln_clear(c->k);
}

/* How many multiplications the text of inspect says; what it says of a model that loops is that of one step. */
static double multiplications(const char *text)
{
    const char *at = strstr(text, "\nmultiplies ");
    return at ? strtod(at + strlen("\nmultiplies "), NULL) : 0;
}

static void describe(kiln *k, kiln_onnx *m, char **text)
{
    size_t n;
    FILE *to = open_memstream(text, &n);
    if (!to) abort();
    kiln_onnx_describe(to, m);
    for (int json = 0; json < 2; json++) {
        kiln_onnx_inspect(to, m, json, &(kiln_onnx_declaration){0});
        kiln_clear(k);
    }
    fclose(to);
}

static void use(kiln *k, kiln_onnx *m, size_t size)
{
    Called *c = calloc(1, sizeof *c);
    char *text = NULL;
    const Watch w = watch(size);
    describe(k, m, &text);
    within(&w, "inspecting");
    *c = (Called){.k = k, .m = m, .nin = kiln_onnx_inputs(m, c->in, VALUES), .nout = kiln_onnx_outputs(m, c->out, VALUES)};
    kiln_onnx_inputs(m, c->in, VALUES);
    kiln_onnx_outputs(m, c->out, VALUES);
    kiln_clear(k);
    if (c->nin >= 0 && c->nin <= VALUES && c->nout >= 0 && c->nout <= VALUES && multiplications(text) < 1e7) {
        call(c, true);
        /* Loops that do not end are what the model asks for: eager ones end for want of memory. */
        if (!strstr(text, "Loop ")) call(c, false);
    }
    free(text);
    free(c);
}

static void load(const uint8_t *data, size_t size, const char *path)
{
    kiln *k = fuzz_open();
    const Watch w = watch(size);
    kiln_onnx *m = path ? kiln_onnx_load(k, path) : kiln_onnx_load_memory(k, data, size);
    within(&w, "loading");
    if (!m && !kiln_failed(k)) abort();
    kiln_clear(k);
    if (m) use(k, m, size);
    kiln_onnx_free(m);
    if (kiln_close(k) != 0) abort();
}

/* Files beside the model: a plain one, one in a folder, a link. */
static const char *beside(void)
{
    static char path[96];
    if (path[0]) return path;
    char other[128];
    uint8_t bytes[256] = {0};
    snprintf(other, sizeof other, "%s/data", fuzz_folder());
    fuzz_write(other, bytes, sizeof bytes);
    snprintf(other, sizeof other, "%s/link", fuzz_folder());
    if (symlink("/etc/passwd", other) != 0) abort();
    snprintf(other, sizeof other, "%s/sub", fuzz_folder());
    if (mkdir(other, 0777) != 0) abort();
    snprintf(other, sizeof other, "%s/sub/data", fuzz_folder());
    fuzz_write(other, bytes, sizeof bytes);
    snprintf(path, sizeof path, "%s/model.onnx", fuzz_folder());
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    setenv("KILN_COMPILE", "never", 1); /* traced functions are walked: what compiles is fuzzed by others, and is slow */
    load(data, size, NULL);
    if (size && memmem(data, size, "location", 8)) {
        fuzz_write(beside(), data, size);
        load(data, size, beside());
    }
    return 0;
}
