/* compile: `kiln compile`: a module in text form to an object file and its header. */
#include <kiln/aot.h>
#include <limits.h>
#include <string.h>

#include "module.h"
#include "options.h"

const char compile_help[] = "usage: kiln compile FILE [-o PATH] [OPTION]...\n\n"
                            "  kiln compile step.kiln -o build/step        writes build/step.o and build/step.h for this "
                            "machine\n"
                            "  kiln compile net.kiln --cpu x86-64-v3       for any CPU with AVX2 and FMA\n"
                            "  KILN_DUMP=ir ./program                      writes the functions that a program traces, as "
                            "text to compile\n\n"
                            "FILE holds a module in text form (docs/ir.md); `-` is standard input. Its first graph becomes "
                            "one C function; every parameter is an argument.\n\n"
                            "  -o PATH                 where to write, without .o and .h (FILE without its extension)\n"
                            "  --symbol NAME           prefix of every name in the object (the last part of PATH; where that "
                            "is no\n"
                            "                          C identifier, the graph's name)\n"
                            "  --triple T --cpu C --features F   the machine to compile for (this one)\n"
                            "  --device D              code for a device: an architecture of NVIDIA cards (sm_90, sm_90a), or emu\n"
                            "  --workspace-limit N     fail if more than N bytes of workspace are needed\n";

static void default_path(const char *file, char *path, size_t cap)
{
    snprintf(path, cap, "%s", strcmp(file, "-") ? file : "module");
    char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    if (dot) *dot = 0;
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
    kiln_aot_options o = {0};
    const char *file = NULL, *out = NULL;
    long limit = 0;
    const Option options[] = {{"-o", .text = &out}, {"--symbol", .text = &o.symbol}, {"--triple", .text = &o.triple},
        {"--cpu", .text = &o.cpu}, {"--features", .text = &o.features}, {"--device", .text = &o.device},
        {"--workspace-limit", .count = &limit, .lo = 1, .hi = LONG_MAX}, {0}};
    int status = options_parse("compile", argc, argv, options, &file, 1);
    if (status) return status;
    if (!file) return usage_error("compile", "no FILE given");
    char path[1024];
    default_path(file, path, sizeof path);
    o.workspace_limit = limit;
    return write_artifact(file, out ? out : path, &o);
}
