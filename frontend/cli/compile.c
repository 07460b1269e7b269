/* compile: `kiln compile`: a module in text form to an object file and its header; ONNX models are compile_model.c's. */
#include <limits.h>
#include <string.h>

#include "compile_model.h"
#include "module.h"
#include "options.h"

const char compile_help[] =
    "usage: kiln compile FILE [-o PATH] [OPTION]...\n"
    "       kiln compile MODEL.onnx -o FOLDER [OPTION]...\n\n"
    "  kiln compile step.kiln -o build/step        writes build/step.o and build/step.h for this "
    "machine\n"
    "  kiln compile net.kiln --cpu x86-64-v3       for any CPU with AVX2 and FMA\n"
    "  KILN_DUMP=ir ./program                      writes the functions that a program traces, as "
    "text to compile\n"
    "  kiln compile net.onnx -o out --dim N=1..64 --example && make -C out\n\n"
    "FILE holds a module in text form (docs/ir.md); `-` is standard input. Its first graph becomes "
    "one C function; every parameter is an argument.\n\n"
    "  -o PATH                 where to write, without .o and .h (FILE without its extension)\n"
    "  --symbol NAME           prefix of every name in the object (the last part of PATH; where that "
    "is no\n"
    "                          C identifier, the graph's name)\n"
    "  --triple T --cpu C --features F   the machine to compile for (this one)\n"
    "  --device D              code for a device: an architecture of NVIDIA cards (sm_90, sm_90a), or emu\n"
    "  --optimize size|speed   fast code (speed), or less of it: loops that are not unrolled, one of each\n"
    "  --workspace-limit N     fail if more than N bytes of workspace are needed\n\n"
    "An ONNX model becomes FOLDER/NAME.o, NAME.h and manifest.json; NAME is the model's file without its "
    "extension, or the symbol.\n\n"
    "  --dim NAME=LO..HI       a size that the model leaves open, any from LO to HI (NAME=SIZE: one)\n"
    "                          (of a sequence NAME=NUMBER says how many tensors it has, of an optional NAME=1 or none)\n"
    "  --fix NAME=VALUE        the only value of an input, as numbers (2,-1) or a file; needed where sizes\n"
    "                          follow from it\n"
    "  --input [NAME=]FILE     an example of an input (.npy, .pb): its dtype and sizes, and how many tensors a\n"
    "                          sequence has; of one from which sizes follow its only value\n"
    "  --weights embed|file    in the object (embed), or in NAME.weights, which the caller brings into memory\n"
    "  --fast                  batch normalisations go into weights: results may differ in rounding\n"
    "  --example               main.c and a Makefile, too, which build and run it\n";

static bool default_path(const char *file, char *path, size_t cap)
{
    if ((size_t)snprintf(path, cap, "%s", strcmp(file, "-") ? file : "module") >= cap) return false;
    char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    if (dot) *dot = 0;
    return true;
}

static int write_artifact(const char *file, const char *path, const kiln_aot_options *o)
{
    Text text = {0};
    if (!module_read("compile", file, &text)) {
        text_free(&text);
        return BAD_INPUT;
    }
    kiln *k = kiln_open(&(kiln_options){.device = "cpu"});
    int status = NO_RESOURCE;
    if (!k)
        fprintf(stderr, "kiln compile: no memory\n");
    else if (kiln_aot_text_sized((kiln_site){0}, k, text.at ? text.at : "", text.len, path, o, sizeof *o))
        status = FINE;
    else
        status = module_error("compile", file, k);
    kiln_close(k);
    text_free(&text);
    return status;
}

int compile(int argc, char **argv)
{
    CompileModel m = {.model = {.command = "compile", .examples = true}};
    kiln_aot_options o = {0};
    const char *file = NULL, *out = NULL, *weights = NULL, *optimize = "speed";
    long limit = 0;
    const Option options[] = {{"-o", .text = &out}, {"--symbol", .text = &o.symbol}, {"--triple", .text = &o.triple},
        {"--cpu", .text = &o.cpu}, {"--features", .text = &o.features}, {"--device", .text = &o.device},
        {"--optimize", .text = &optimize}, {"--dim", .list = m.model.dim, .listed = &m.model.dims, .hi = VALUES},
        {"--input", .list = m.model.input, .listed = &m.model.inputs, .hi = VALUES},
        {"--fix", .list = m.model.fix, .listed = &m.model.fixes, .hi = VALUES}, {"--weights", .text = &weights},
        {"--example", .flag = &m.example}, {"--fast", .flag = &m.model.fast},
        {"--workspace-limit", .count = &limit, .lo = 1, .hi = LONG_MAX}, {0}};
    int status = options_parse("compile", argc, argv, options, &file, 1);
    if (status) return status;
    if (!file) return usage_error("compile", "no FILE given");
    o.small = strcmp(optimize, "size") == 0;
    if (!o.small && strcmp(optimize, "speed") != 0)
        return usage_error("compile", "--optimize: '%s' is neither size nor speed", optimize);
    char path[4096];
    if (!default_path(file, path, sizeof path) && !out) return usage_error("compile", "FILE is too long a name");
    o.workspace_limit = limit;
    if (ends_in(file, ".onnx")) {
        if (weights && strcmp(weights, "embed") != 0 && strcmp(weights, "file") != 0)
            return usage_error("compile", "--weights: '%s' is neither embed nor file", weights);
        o.weights_file = weights && strcmp(weights, "file") == 0;
        m.model.file = file, m.folder = out ? out : path, m.aot = o;
        return compile_model(&m);
    }
    if (weights || m.example || m.model.fast || m.model.dims || m.model.fixes || m.model.inputs)
        return usage_error("compile",
            "--dim, --fix, --input, --weights, --fast and --example are for ONNX models, and '%s' does not end in .onnx", file);
    return write_artifact(file, out ? out : path, &o);
}
