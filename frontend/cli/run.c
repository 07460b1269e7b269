/* run: `kiln run`: a module in text form, compiled and run on tensors from .npy files. */
#include <kiln/aot.h>
#include <kiln/io.h>

#include "module.h"
#include "options.h"

#include <stdlib.h>
#include <string.h>

const char run_help[] =
    "usage: kiln run FILE [--input X.npy]... [--output Y.npy]... [OPTION]...\n\n"
    "  kiln run net.kiln --input x.npy                  prints the results as text\n"
    "  kiln run net.kiln --input x.npy --output y.npy   writes the first one as a .npy file\n\n"
    "FILE holds a module in text form (docs/ir.md), such as KILN_DUMP=ir writes; `-` is standard\n"
    "input. Its first graph is compiled and run once. Results without an --output are printed.\n\n"
    "  --input X.npy    the next parameter's value; as many as the graph has, in order\n"
    "  --output Y.npy   where the next result goes\n"
    "  --dim N=4        the value of a size that no input has\n"
    "  --threads N      in all, 1 to 1024 (one per core)\n";

enum { INPUTS = 256, OUTPUTS = 512, DIMS = 64 };

typedef struct RunOptions {
    const char *file, *input[INPUTS], *output[OUTPUTS], *dim[DIMS];
    int inputs, outputs, dims;
    long threads;
    kiln_run_dim value[DIMS];
    char name[DIMS][64];
} RunOptions;

/* NAME=VALUE. */
static int take_dims(RunOptions *o)
{
    for (int i = 0; i < o->dims; i++) {
        const char *equals = strchr(o->dim[i], '=');
        const size_t n = equals ? (size_t)(equals - o->dim[i]) : 0;
        char *end = NULL;
        const long long size = equals ? strtoll(equals + 1, &end, 10) : -1;
        if (!n || n >= sizeof o->name[i] || end == equals + 1 || *end || size < 0)
            return usage_error("run", "--dim: '%s' is no NAME=VALUE, a size from 0", o->dim[i]);
        snprintf(o->name[i], sizeof o->name[i], "%.*s", (int)n, o->dim[i]);
        o->value[i] = (kiln_run_dim){o->name[i], size};
    }
    return FINE;
}

static bool write_results(const RunOptions *o, kiln_tensor *const *out, int n)
{
    bool ok = true;
    for (int i = 0; i < n && ok; i++)
        if (i < o->outputs)
            ok = kiln_npy_write_at((kiln_site){0}, kiln_of_tensor(out[i]), o->output[i]);
        else
            kiln_print(stdout, out[i]);
    return ok;
}

static int run_module(kiln *k, const RunOptions *o, const Text *text)
{
    KILN_SCOPE(k);
    const kiln_site nowhere = {0}; /* of no use to whoever typed the command */
    kiln_tensor *in[INPUTS], *out[OUTPUTS];
    for (int i = 0; i < o->inputs; i++) in[i] = kiln_npy_read_at(nowhere, k, o->input[i]);
    if (kiln_failed(k)) return engine_error("run", k);
    const kiln_run_options dims = {.dims = o->value, .dims_count = o->dims};
    int n = kiln_run_text_sized(nowhere, k, text->at ? text->at : "", text->len,
        kiln_tensors(in, o->inputs), out, OUTPUTS, &dims, sizeof dims);
    if (n < 0) {
        bool unfit = kiln_error(k)->code == KILN_ESHAPE; /* the inputs' sizes */
        int status = module_error("run", o->file, k);
        return unfit ? BAD_INPUT : status;
    }
    if (n > OUTPUTS || o->outputs > n)
        return usage_error("run", "%s has %d results, not %d", o->file, n, o->outputs);
    if (write_results(o, out, n)) return FINE;
    engine_error("run", k);
    return NO_RESOURCE;
}

int run_command(int argc, char **argv)
{
    static RunOptions o;
    const Option options[] = {{"--input", .list = o.input, .listed = &o.inputs, .hi = INPUTS},
        {"--output", .list = o.output, .listed = &o.outputs, .hi = OUTPUTS},
        {"--dim", .list = o.dim, .listed = &o.dims, .hi = DIMS},
        {"--threads", .count = &o.threads, .lo = 1, .hi = 1024}, {0}};
    int status = options_parse("run", argc, argv, options, &o.file, 1);
    if (status) return status;
    if (!o.file) return usage_error("run", "which file?");
    if ((status = take_dims(&o))) return status;
    Text text = {0};
    if (!module_read("run", o.file, &text)) {
        text_free(&text);
        return BAD_INPUT;
    }
    kiln *k = kiln_open(&(kiln_options){.threads = (int)o.threads});
    status = k ? run_module(k, &o, &text) : NO_RESOURCE;
    if (!k) fprintf(stderr, "kiln run: no memory for an engine\n");
    kiln_close(k);
    text_free(&text);
    return status;
}
