/* run: `kiln run` compiles a module in text form and runs it on tensors from .npy files. */
#include <kiln/aot.h>
#include <kiln/io.h>

#include "module.h"
#include "run_model.h"
#include "options.h"

#include <stdlib.h>
#include <string.h>

const char run_help[] = "usage: kiln run FILE [--input X.npy]... [--output Y.npy]... [OPTION]...\n"
                        "       kiln run MODEL.onnx [--input [NAME=]X]... [--output FOLDER] [OPTION]...\n\n"
                        "  kiln run net.kiln --input x.npy                  prints the results as text\n"
                        "  kiln run net.kiln --input x.npy --output y.npy   writes the first one as a .npy file\n\n"
                        "FILE holds a module in text form (docs/ir.md), such as KILN_DUMP=ir writes; `-` is standard\n"
                        "input. Its first graph is compiled and run once. Results without an --output are printed.\n\n"
                        "  --input X.npy    the next parameter's value; as many as the graph has, in order\n"
                        "  --output Y.npy   where the next result goes\n"
                        "  --dim N=4        the value of a size that no input has\n"
                        "  --device NAME    where to run, one that kiln info lists (KILN_DEVICE, else cpu)\n"
                        "  --threads N      in all, 1 to 1024 (one per core)\n\n"
                        "An ONNX model takes .npy files, tensors of ONNX (.pb) and files of bare elements, in the order of its "
                        "inputs or by their names.\n"
                        "A .npz file has tensors by the names of inputs; --output Y.npz takes all results.\n"
                        "A sequence is a .pb of ONNX, or several files of its name, one for each tensor. An optional that is not "
                        "given has nothing in it.\n"
                        "--output FOLDER writes each result as NAME.npy, and of a sequence NAME.0.npy, NAME.1.npy ...; files are "
                        ".npy, or bare\nelements as .raw or .bin.\n"
                        "--fast puts batch normalisations into weights: results may differ in rounding.\n";

enum { RESULTS = 64 }; /* a graph with more results is run a second time, with room for the number that the first run returned */

typedef struct RunOptions {
    const char *file, *device, **input, **output, **dim;
    int inputs, outputs, dims;
    long threads;
    bool fast;
    kiln_run_dim *value; /* the values of the --dim options; their names are stored in `name` */
    char *name;
} RunOptions;

static bool write_results(kiln *k, const RunOptions *o, kiln_tensor *const *out, int n)
{
    bool ok = true;
    for (int i = 0; i < n && ok; i++)
        if (i < o->outputs)
            ok = kiln_npy_write_at((kiln_site){0}, kiln_of_tensor(out[i]), o->output[i]);
        else
            kiln_print(stdout, out[i]);
    return ok && !kiln_failed(k);
}

static int no_memory(void)
{
    fprintf(stderr, "kiln run: no memory\n");
    return NO_RESOURCE;
}

static int run_graph(kiln *k, const RunOptions *o, const Text *text, kiln_tensor *const *in, int cap)
{
    kiln_tensor **out = mem_alloc((size_t)cap * sizeof(kiln_tensor *));
    if (!out) return no_memory();
    const kiln_run_options dims = {.dims = o->value, .dims_count = o->dims};
    int status = FINE, n = kiln_run_text_sized((kiln_site){0}, k, text->at ? text->at : "", text->len, kiln_tensors(in, o->inputs),
                           out, cap, &dims, sizeof dims);
    if (n < 0) {
        bool unfit = kiln_error(k)->code == KILN_ESHAPE; /* the sizes of the inputs do not fit the graph */
        status = module_error("run", o->file, k);
        if (unfit) status = BAD_INPUT;
    } else if (o->outputs > n) {
        status = usage_error("run", "%s has %d results, but --output is given %d times", o->file, n, o->outputs);
    } else if (n > cap) {
        status = run_graph(k, o, text, in, n);
    } else if (!write_results(k, o, out, n)) {
        engine_error("run", k);
        status = NO_RESOURCE;
    }
    mem_free(out, (size_t)cap * sizeof(kiln_tensor *));
    return status;
}

static int run_onnx(kiln *k, const RunOptions *o)
{
    KILN_SCOPE(k);
    KILN_DEVICE(k, o->device);
    ModelOptions m = {.command = "run", .file = o->file, .fast = o->fast};
    if (o->inputs > VALUES) return usage_error("run", "--input: given more than %d times", VALUES);
    if (o->dims) return usage_error("run", "--dim: an ONNX model's sizes are those of its inputs");
    for (; m.inputs < o->inputs; m.inputs++) m.input[m.inputs] = o->input[m.inputs];
    return run_model(k, &m, o->output, o->outputs);
}

static int run_module(kiln *k, const RunOptions *o, const Text *text)
{
    KILN_SCOPE(k);
    KILN_DEVICE(k, o->device);
    const size_t bytes = (size_t)(o->inputs + 1) * sizeof(kiln_tensor *);
    kiln_tensor **in = mem_alloc(bytes);
    if (!in) return no_memory();
    /* no site: a line of this file would mean nothing to whoever typed the command */
    for (int i = 0; i < o->inputs; i++) in[i] = kiln_npy_read_at((kiln_site){0}, k, o->input[i]);
    int status = kiln_failed(k) ? engine_error("run", k) : run_graph(k, o, text, in, RESULTS);
    mem_free(in, bytes);
    return status;
}

static int run_options(RunOptions *o, int argc, char **argv)
{
    const Option options[] = {{"--input", .list = o->input, .listed = &o->inputs, .hi = argc},
        {"--output", .list = o->output, .listed = &o->outputs, .hi = argc},
        {"--dim", .list = o->dim, .listed = &o->dims, .hi = argc}, {"--device", .text = &o->device},
        {"--threads", .count = &o->threads, .lo = 1, .hi = 1024}, {"--fast", .flag = &o->fast}, {0}};
    int status = options_parse("run", argc, argv, options, &o->file, 1);
    if (status) return status;
    if (!o->file) return usage_error("run", "no FILE given");
    if ((status = module_dims("run", o->dim, o->dims, o->value, o->name))) return status;
    Text text = {0};
    const bool onnx = ends_in(o->file, ".onnx");
    if (o->fast && !onnx) return usage_error("run", "--fast is for ONNX models, and '%s' does not end in .onnx", o->file);
    if (!onnx && !module_read("run", o->file, &text)) {
        text_free(&text);
        return BAD_INPUT;
    }
    kiln *k = kiln_open(&(kiln_options){.threads = (int)o->threads, .device = "cpu"});
    status = k ? device_check("run", k, o->device) : NO_RESOURCE;
    if (k && status == FINE) status = onnx ? run_onnx(k, o) : run_module(k, o, &text);
    if (!k) fprintf(stderr, "kiln run: no memory for an engine\n");
    kiln_close(k);
    text_free(&text);
    return status;
}

int run_command(int argc, char **argv)
{
    const size_t most = (size_t)argc;
    size_t bytes = most * (3 * sizeof(const char *) + sizeof(kiln_run_dim));
    for (int i = 0; i < argc; i++) bytes += strlen(argv[i]) + 1;
    const char **names = mem_alloc(bytes);
    if (!names) return no_memory();
    RunOptions o = {.device = device_own(),
        .input = names,
        .output = names + most,
        .dim = names + 2 * most,
        .value = (kiln_run_dim *)(names + 3 * most)};
    o.name = (char *)(o.value + most);
    int status = run_options(&o, argc, argv);
    mem_free(names, bytes);
    return status;
}
