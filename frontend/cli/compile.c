/* compile: `kiln compile`: a module in text form to an object file and its header. */
#include <errno.h>
#include <kiln/aot.h>
#include <limits.h>
#include <string.h>

#include "../../runtime/base.h"
#include "options.h"

const char compile_help[] =
    "usage: kiln compile FILE [-o PATH] [OPTION]...\n\n"
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
    "  --workspace-limit N     fail if more than N bytes of workspace are needed\n";

#define TEXT_MAX ((size_t)1 << 28)

/* The file's bytes; false after saying why. */
static bool slurp(const char *path, Text *text)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    char part[65536];
    size_t got = 1;
    while (f && got && text->len < TEXT_MAX && !text->failed) {
        got = fread(part, 1, sizeof part, f);
        text_add(text, part, got);
    }
    bool ok = f && !ferror(f) && !got && !text->failed;
    if (!ok)
        fprintf(stderr, "kiln compile: %s: %s\n", path,
            text->len >= TEXT_MAX ? "larger than 256 MiB"
            : text->failed        ? "no memory"
                                  : strerror(errno));
    if (f && f != stdin) fclose(f);
    return ok;
}

static void default_path(const char *file, char *path, size_t cap)
{
    snprintf(path, cap, "%s", strcmp(file, "-") ? file : "module");
    char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    if (dot) *dot = 0;
}

/* What is wrong with the text stands as compilers say it, FILE:LINE:COL: error: ...; the rest is not the text's. */
static int failed(const char *file, kiln *k)
{
    const kiln_failure *e = kiln_error(k);
    size_t line = strspn(e->text, "0123456789"), place = line + 1;
    if (line && e->text[line] == ':') place += strspn(e->text + place, "0123456789");
    if (place <= line + 1 || e->text[place] != ':') place = 0;
    if (!place && e->code != KILN_EFORMAT) return engine_error("compile", k);
    if (!strcmp(file, "-")) file = "<stdin>";
    if (place)
        fprintf(stderr, "%s:%.*s: error:%s\n", file, (int)place, e->text, e->text + place + 1);
    else
        fprintf(stderr, "%s: error: %s\n", file, e->text);
    kiln_clear(k);
    return BAD_INPUT;
}

static int write_artifact(const char *file, const char *path, const kiln_aot_options *o)
{
    Text text = {0};
    if (!slurp(file, &text)) {
        text_free(&text);
        return BAD_INPUT;
    }
    kiln *k = kiln_open(NULL);
    int status = NO_RESOURCE;
    if (!k)
        fprintf(stderr, "kiln compile: no memory\n");
    else if (kiln_aot_text_sized((kiln_site){0}, k, text.at ? text.at : "", text.len, path, o, sizeof *o))
        status = FINE;
    else
        status = failed(file, k);
    kiln_close(k);
    text_free(&text);
    return status;
}

int compile(int argc, char **argv)
{
    kiln_aot_options o = {0};
    const char *file = NULL, *out = NULL;
    long limit = 0;
    const Option options[] = {{"-o", .text = &out}, {"--symbol", .text = &o.symbol},
        {"--triple", .text = &o.triple}, {"--cpu", .text = &o.cpu},
        {"--features", .text = &o.features},
        {"--workspace-limit", .count = &limit, .lo = 1, .hi = LONG_MAX}, {0}};
    int status = options_parse("compile", argc, argv, options, &file, 1);
    if (status) return status;
    if (!file) return usage_error("compile", "which file?");
    char path[1024];
    default_path(file, path, sizeof path);
    o.workspace_limit = limit;
    return write_artifact(file, out ? out : path, &o);
}
