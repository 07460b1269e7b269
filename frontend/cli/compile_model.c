/* compile_model: `kiln compile` of an ONNX model: an object, its header, weights, a manifest, and on request a program around it.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "compile_model.h"
#include "entry.h"

typedef struct Making {
    kiln *k;
    const CompileModel *o;
    Model model;
    char symbol[120], path[1100]; /* path: without .o */
    const char *fixed[VALUES];    /* per input: its only value as C; NULL: any */
    Text values[VALUES];
    Text about;
} Making;

/* What the object and all its names are called: the model's file without its extension, as a C identifier. */
static void name_it(Making *g)
{
    const char *slash = strrchr(g->o->model.file, '/'), *name = slash ? slash + 1 : g->o->model.file;
    snprintf(g->symbol, sizeof g->symbol, "%s", name);
    char *dot = strrchr(g->symbol, '.');
    if (dot) *dot = 0;
    for (char *c = g->symbol; *c; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9' && c != g->symbol)) *c = '_';
    if (g->o->aot.symbol) snprintf(g->symbol, sizeof g->symbol, "%s", g->o->aot.symbol);
    snprintf(g->path, sizeof g->path, "%s/%s", g->o->folder, g->symbol);
}

/* The values of fixed inputs, for the header, the manifest and the example. */
static bool write_values(Making *g)
{
    double v[4096];
    for (int i = 0; i < g->model.fixes; i++) {
        int at = 0;
        while (g->model.value[at] != g->model.fixed[i].value) at++;
        const int64_t n = kiln_elements(g->model.value[at]);
        if (n > (int64_t)COUNT_OF(v)) continue;
        if (!kiln_read_doubles_at((kiln_site){0}, kiln_of_tensor(g->model.value[at]), v, n)) return false;
        for (int64_t j = 0; j < n; j++) text_printf(&g->values[at], "%s%.17g", j ? ", " : "", v[j]);
        if (n == 0) text_printf(&g->values[at], "0");
        g->fixed[at] = g->values[at].at;
    }
    return true;
}

static void write_about(Making *g)
{
    text_printf(&g->about, "Made of the ONNX model %s:\n", g->o->model.file);
    for (int i = 0; i < g->model.nin; i++) {
        text_printf(&g->about, "  in%d is %s", i, g->model.in[i].name);
        if (g->fixed[i]) text_printf(&g->about, ", which must be [%.200s], or the call returns an error", g->fixed[i]);
        text_printf(&g->about, "\n");
    }
    for (int i = 0; i < g->model.nout; i++) text_printf(&g->about, "  out%d is %s\n", i, g->model.out[i].name);
}

/* ---- files ----------------------------------------------------------------------------------------------- */

static bool put(const char *folder, const char *name, const Text *text)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = text->failed ? NULL : fopen(path, "w");
    bool ok = f && fwrite(text->at, 1, text->len, f) == text->len;
    if (f) ok = fclose(f) == 0 && ok;
    if (!ok) say("kiln compile: %s: cannot be written: %s", path, text->failed ? "no memory" : strerror(errno));
    return ok;
}

static void manifest_values(FILE *f, const Making *g, const Entry *e, ArgumentKind kind, const kiln_onnx_value *value)
{
    const char *between = "";
    int n = 0;
    for (int i = 0; i < e->n; i++) {
        const Argument *a = &e->at[i];
        if (a->kind != kind) continue;
        fprintf(f, "%s\n    {\"argument\": \"%s\", \"name\": ", between, a->name);
        print_json_text(f, value[n].name);
        fprintf(f, ", \"dtype\": \"%s\", \"c_type\": \"%s\", \"shape\": [", a->dtype, a->type);
        for (int j = 0; j < a->rank; j++) {
            const bool number = a->size[j][0] >= '0' && a->size[j][0] <= '9' && !strpbrk(a->size[j], " *+-/(");
            if (j) fputs(", ", f);
            if (number)
                fputs(a->size[j], f);
            else
                print_json_text(f, a->size[j]);
        }
        fputs("]", f);
        if (kind == ARGUMENT_IN && g->fixed[n]) fprintf(f, ", \"fixed\": [%s]", g->fixed[n]);
        fputs("}", f);
        between = ",";
        n++;
    }
}

/* The number that the header defines as SYMBOL_NAME; 0: none. */
static long long defined(const Making *g, const Entry *e, const char *name)
{
    char path[1200], line[4096], begin[300];
    long long v = 0;
    snprintf(path, sizeof path, "%s.h", g->path);
    snprintf(begin, sizeof begin, "#define %s_%s ", e->upper, name);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, begin, strlen(begin)) == 0) sscanf(line + strlen(begin), "%lld", &v);
    if (f) fclose(f);
    return v;
}

static bool write_manifest(const Making *g, const Entry *e)
{
    char path[1200];
    const char *between = "";
    snprintf(path, sizeof path, "%s/manifest.json", g->o->folder);
    FILE *f = fopen(path, "w");
    if (!f) {
        say("kiln compile: %s: cannot be written: %s", path, strerror(errno));
        return false;
    }
    fprintf(f, "{\n  \"kiln\": \"%s\", \"model\": ", kiln_version());
    print_json_text(f, g->o->model.file);
    fprintf(
        f, ", \"symbol\": \"%s\",\n  \"object\": \"%s.o\", \"header\": \"%s.h\", \"weights\": ", g->symbol, g->symbol, g->symbol);
    if (g->o->aot.weights_file)
        fprintf(f, "\"%s.weights\", \"weights_bytes\": %lld", g->symbol, defined(g, e, "WEIGHTS_BYTES"));
    else
        fputs("null", f);
    fprintf(f, ",\n  \"state_bytes\": %lld, \"workspace_bytes\": %lld,\n  \"inputs\": [", defined(g, e, "STATE_BYTES"),
        defined(g, e, "WORKSPACE_BYTES"));
    manifest_values(f, g, e, ARGUMENT_IN, g->model.in);
    fputs("],\n  \"outputs\": [", f);
    manifest_values(f, g, e, ARGUMENT_OUT, g->model.out);
    fputs("],\n  \"sizes\": [", f);
    for (int i = 0; i < e->n; i++) {
        const Argument *a = &e->at[i];
        if (a->kind != ARGUMENT_SYMBOL) continue;
        fprintf(f, "%s{\"argument\": \"%s\", \"lowest\": %lld, \"highest\": %lld}", between, a->name, a->lo, a->hi);
        between = ", ";
    }
    fputs("],\n  \"source\": ", f);
    kiln_onnx_describe_json(f, g->model.m);
    fputs("\n}\n", f);
    return fclose(f) == 0;
}

static bool write_example(const Making *g, const Entry *e)
{
    Text program = {0}, make = {0};
    entry_example(&program, e, g->fixed);
    text_printf(&make, "CFLAGS = -O2\n\nall: main\n\t./main\n\nmain: main.c %s.h %s.o\n\t$(CC) $(CFLAGS) -o $@ main.c %s.o -lm\n",
        g->symbol, g->symbol, g->symbol);
    const bool ok = put(g->o->folder, "main.c", &program) && put(g->o->folder, "Makefile", &make);
    text_free(&program);
    text_free(&make);
    return ok;
}

/* ---- compiling ------------------------------------------------------------------------------------------- */

static int write_all(Making *g)
{
    char header[1200];
    Entry e;
    kiln_aot_options aot = g->o->aot;
    aot.about = g->about.at;
    aot.symbol = g->symbol;
    const kiln_onnx_declaration d = {
        .sizes = g->model.size, .sizes_count = g->model.sizes, .fixed = g->model.fixed, .fixed_count = g->model.fixes};
    kiln_function *f = kiln_onnx_declared_sized((kiln_site){0}, g->model.m, &d, sizeof d);
    if (!f || !kiln_aot_sized((kiln_site){0}, f, g->path, &aot, sizeof aot)) {
        const bool open = kiln_error(g->k)->code == KILN_EVALUE;
        const int status = engine_error("compile", g->k);
        if (open) say("kiln compile: give open sizes as --dim NAME=SIZE or NAME=LOWEST..HIGHEST, and values as --fix NAME=VALUE");
        return open ? BAD_USAGE : status;
    }
    snprintf(header, sizeof header, "%s.h", g->path);
    if (aot.device) return FINE;
    if (!entry_read(header, g->symbol, &e)) {
        say("kiln compile: %s: cannot be read again", header);
        return NO_RESOURCE;
    }
    return write_manifest(g, &e) && (!g->o->example || write_example(g, &e)) ? FINE : NO_RESOURCE;
}

int compile_model(const CompileModel *o)
{
    Making g = {.o = o, .k = kiln_open(&(kiln_options){.device = "cpu"})};
    if (!g.k) {
        say("kiln compile: no memory for an engine");
        return NO_RESOURCE;
    }
    name_it(&g);
    kiln_scope scope = kiln_scope_open(g.k);
    int status = model_open(g.k, &o->model, &g.model);
    if (status == FINE && mkdir(o->folder, 0777) != 0 && errno != EEXIST) {
        say("kiln compile: %s: cannot make the folder: %s", o->folder, strerror(errno));
        status = NO_RESOURCE;
    }
    if (status == FINE && !write_values(&g)) status = engine_error("compile", g.k);
    if (status == FINE) {
        write_about(&g);
        status = write_all(&g);
    }
    kiln_scope_close(&scope);
    kiln_clear(g.k);
    kiln_close(g.k);
    text_free(&g.about);
    for (int i = 0; i < VALUES; i++) text_free(&g.values[i]);
    return status;
}
