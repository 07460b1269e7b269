/* compile_model: `kiln compile` of an ONNX model: an object, its header, weights, a manifest, and on request a program around it.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "../aot/aot.h"
#include "../engine/file.h"
#include "compile_model.h"
#include "entry.h"

enum {
    PARTS = 4 * VALUES,
    PATH = 4352
}; /* arguments of the entry that are inputs, or outputs; bytes of a path with what is put behind it */
static const kiln_site nowhere = {0};

typedef struct Making {
    kiln *k;
    const CompileModel *o;
    Model model;
    char symbol[120], path[PATH]; /* path: without .o */
    bool made;                    /* the folder */
    kiln_function *f;
    kiln_onnx_value in[PARTS], out[PARTS]; /* what goes into it and comes out */
    int nin, nout;
    kiln_onnx_fixed fixed[PARTS], example[PARTS]; /* what the command line says of them */
    kiln_onnx_size size[2 * VALUES];
    int fixes, examples, sizes;
    char name[PARTS][160];
    const char *text[PARTS]; /* per input: its only value as C; NULL: any */
    Text values[PARTS];
    Text about;
} Making;

/* What the object and all its names are called: the symbol, or else the model's file without its extension, as a C identifier that
 * nothing else is called by. An Exit. */
static int name_it(Making *g)
{
    const char *slash = strrchr(g->o->model.file, '/'), *name = slash ? slash + 1 : g->o->model.file, *dot = strrchr(name, '.');
    const char *told = g->o->aot.symbol;
    kiln_aot_options as = {.symbol = g->symbol};
    char found[128], plain[100];
    Status st = {0};
    snprintf(plain, sizeof plain, "%.*s", (int)MIN_OF(dot - name, (ptrdiff_t)sizeof plain - 1), name); /* it ends in .onnx */
    for (char *c = plain; *c; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9')) *c = '_';
    snprintf(g->symbol, sizeof g->symbol, "%s", told ? told : plain);
    const bool fits = artifact_symbol("", &as, found, sizeof found, &st);
    if (!fits && told) return usage_error("compile", "--symbol: %s", st.text);
    if (!fits) snprintf(g->symbol, sizeof g->symbol, "model_%s", plain);
    if (!fits && !artifact_symbol("", &as, found, sizeof found, &st)) snprintf(g->symbol, sizeof g->symbol, "model");
    if ((size_t)snprintf(g->path, sizeof g->path, "%s/%s", g->o->folder, g->symbol) < sizeof g->path) return FINE;
    return usage_error("compile", "-o: the folder's name is too long");
}

/* ---- what is declared ------------------------------------------------------------------------------------ */

/* What --input gives is an example of what goes in, and where sizes follow from it its only value. */
static int take_inputs(Making *g)
{
    int n = 0;
    for (int i = 0; i < g->model.sizes; i++) g->size[g->sizes++] = g->model.size[i];
    for (int i = 0; i < g->model.fixes; i++) g->fixed[g->fixes++] = g->model.fixed[i];
    for (int i = 0; i < g->model.nin; i++) {
        const kiln_onnx_value *v = &g->model.in[i];
        const Parts *x = &g->model.value[i];
        bool only = v->fixed;
        for (int j = 0; j < g->model.fixes; j++) only |= g->model.fixed[j].name == v->name;
        if (!x->given || (only && !is_list(v))) continue;
        if (is_list(v)) g->size[g->sizes++] = (kiln_onnx_size){v->name, x->list.count, x->list.count};
        for (int j = 0; j < x->list.count; j++, n++) {
            if (n == PARTS) return usage_error("compile", "the inputs are more than %d tensors", PARTS);
            snprintf(g->name[n], sizeof g->name[n], is_list(v) ? "%s.%d" : "%s", v->name, j);
            const kiln_onnx_fixed one = {g->name[n], x->list.at[j]};
            if (only)
                g->fixed[g->fixes++] = one;
            else
                g->example[g->examples++] = one;
        }
    }
    return FINE;
}

static int declare(Making *g)
{
    const kiln_onnx_declaration d = {.sizes = g->size,
        .sizes_count = g->sizes,
        .fixed = g->fixed,
        .fixed_count = g->fixes,
        .examples = g->example,
        .examples_count = g->examples};
    g->f = kiln_onnx_declared_sized(nowhere, g->model.m, &d, sizeof d);
    if (!g->f) {
        const bool open = kiln_error(g->k)->code == KILN_EVALUE;
        const int status = model_error("compile", g->k);
        if (open)
            say("kiln compile: give open sizes as --dim NAME=SIZE or NAME=LOWEST..HIGHEST, values as --fix NAME=VALUE, and how "
                "many "
                "tensors a list has as --dim NAME=NUMBER, or all of it by --input NAME=FILE");
        return open ? BAD_USAGE : status;
    }
    g->nin = kiln_onnx_declared_inputs_at(nowhere, g->model.m, g->f, g->in, PARTS);
    g->nout = kiln_onnx_declared_outputs_at(nowhere, g->model.m, g->f, g->out, PARTS);
    if (g->nin <= PARTS && g->nout <= PARTS) return FINE;
    say("kiln compile: %s: its inputs, or outputs, are more than %d tensors", g->o->model.file, PARTS);
    return NO_RESOURCE;
}

/* The values of fixed inputs, for the header, the manifest and the example. */
static bool write_values(Making *g)
{
    double v[4096];
    for (int i = 0; i < g->fixes; i++) {
        int at = 0;
        while (strcmp(g->in[at].name, g->fixed[i].name) != 0) at++;
        const int64_t n = kiln_elements(g->fixed[i].value);
        if (n > (int64_t)COUNT_OF(v)) continue;
        if (!kiln_read_doubles_at(nowhere, kiln_of_tensor(g->fixed[i].value), v, n)) return false;
        for (int64_t j = 0; j < n; j++) text_printf(&g->values[at], "%s%.17g", j ? ", " : "", v[j]);
        if (n == 0) text_printf(&g->values[at], "0");
        g->text[at] = g->values[at].at;
    }
    return true;
}

static void write_about(Making *g)
{
    text_printf(&g->about, "Made of the ONNX model %s:\n", g->o->model.file);
    for (int i = 0; i < g->nin; i++) {
        text_printf(&g->about, "  in%d is %s", i, g->in[i].name);
        if (g->text[i]) text_printf(&g->about, ", which must be [%.200s], or the call returns an error", g->text[i]);
        text_printf(&g->about, "\n");
    }
    for (int i = 0; i < g->nout; i++) text_printf(&g->about, "  out%d is %s\n", i, g->out[i].name);
}

/* ---- files ----------------------------------------------------------------------------------------------- */

static bool put(const Making *g, const char *name, const Text *text)
{
    char path[PATH + 32];
    Thread *t = thread_of(g->k);
    snprintf(path, sizeof path, "%s/%s", g->o->folder, name);
    if (text->failed)
        fail(t, nowhere, KILN_EMEMORY, "%s: no memory", path);
    else if (file_put(t, nowhere, "compile", path, text->at, text->len))
        return true;
    engine_error("compile", g->k);
    return false;
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
        if (kind == ARGUMENT_IN && g->text[n]) fprintf(f, ", \"fixed\": [%s]", g->text[n]);
        fputs("}", f);
        between = ",";
        n++;
    }
}

/* The number that the header defines as SYMBOL_NAME; 0: none. */
static long long defined(const Making *g, const Entry *e, const char *name)
{
    char path[PATH + 32], line[4096], begin[300];
    long long v = 0;
    snprintf(path, sizeof path, "%s.h", g->path);
    snprintf(begin, sizeof begin, "#define %s_%s ", e->upper, name);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, begin, strlen(begin)) == 0) sscanf(line + strlen(begin), "%lld", &v);
    if (f) fclose(f);
    return v;
}

typedef struct FileFacts {
    long long bytes;
    uint32_t crc; /* CRC-32, as zip, gzip and cksum -a crc32b have it */
} FileFacts;

/* Of PATH and the end; false: it was said. */
static bool file_facts(const Making *g, const char *end, FileFacts *to)
{
    char path[PATH + 32], part[65536];
    *to = (FileFacts){0};
    snprintf(path, sizeof path, "%s%s", g->path, end);
    FILE *f = fopen(path, "rb");
    for (size_t n = 1; f && n != 0; to->bytes += (long long)n) {
        n = fread(part, 1, sizeof part, f);
        to->crc = (uint32_t)crc32(to->crc, (const Bytef *)part, (uInt)n);
    }
    const bool ok = f && !ferror(f);
    if (!ok) say("kiln compile: %s: cannot be read again: %s", path, strerror(errno));
    if (f) fclose(f);
    return ok;
}

static void manifest_files(FILE *f, const Making *g, const Entry *e, FileFacts object, FileFacts weights)
{
    fprintf(f, "  \"object\": \"%s.o\", \"object_bytes\": %lld, \"object_crc32\": \"%08x\", \"header\": \"%s.h\",\n  \"weights\": ",
        g->symbol, object.bytes, object.crc, g->symbol);
    if (!g->o->aot.weights_file)
        fputs("null,\n", f);
    else
        fprintf(
            f, "\"%s.weights\", \"weights_bytes\": %lld, \"weights_crc32\": \"%08x\",\n", g->symbol, weights.bytes, weights.crc);
    fprintf(f, "  \"state_bytes\": %lld, \"workspace_bytes\": %lld, \"align\": %lld,\n", defined(g, e, "STATE_BYTES"),
        defined(g, e, "WORKSPACE_BYTES"), defined(g, e, "ALIGN"));
}

static void manifest(FILE *f, const Making *g, const Entry *e, FileFacts object, FileFacts weights)
{
    const char *between = "";
    fprintf(f, "{\n  \"kiln\": \"%s\", \"model\": ", kiln_version());
    print_json_text(f, g->o->model.file);
    fprintf(f, ", \"fast\": %s, \"optimize\": \"%s\"", g->o->model.fast ? "true" : "false", g->o->aot.small ? "size" : "speed");
    fprintf(f, ", \"symbol\": \"%s\",\n", g->symbol);
    manifest_files(f, g, e, object, weights);
    fputs("  \"inputs\": [", f);
    manifest_values(f, g, e, ARGUMENT_IN, g->in);
    fputs("],\n  \"outputs\": [", f);
    manifest_values(f, g, e, ARGUMENT_OUT, g->out);
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
}

static bool write_manifest(const Making *g, const Entry *e)
{
    char path[PATH + 32];
    FileOut out;
    FileFacts object, weights = {0};
    if (!file_facts(g, ".o", &object) || (g->o->aot.weights_file && !file_facts(g, ".weights", &weights))) return false;
    snprintf(path, sizeof path, "%s/manifest.json", g->o->folder);
    if (!file_begin(&out, thread_of(g->k), nowhere, "compile", path, NULL)) return engine_error("compile", g->k), false;
    const int fd = dup(out.fd);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (f) manifest(f, g, e, object, weights);
    bool ok = f && !ferror(f);
    if (f) ok = fclose(f) == 0 && ok;
    if (!f && fd >= 0) close(fd);
    if (!ok) {
        file_failed(out.t, nowhere, "compile", path, "write");
        file_abandon(&out);
    }
    return (ok && file_commit(&out)) || (engine_error("compile", g->k), false);
}

static bool write_example(const Making *g, const Entry *e)
{
    Text program = {0}, make = {0};
    entry_example(&program, e, g->text);
    text_printf(&make, "CFLAGS = -O2\n\nall: main\n\t./main\n\nmain: main.c %s.h %s.o\n\t$(CC) $(CFLAGS) -o $@ main.c %s.o -lm\n",
        g->symbol, g->symbol, g->symbol);
    const bool ok = put(g, "main.c", &program) && put(g, "Makefile", &make);
    text_free(&program);
    text_free(&make);
    return ok;
}

/* ---- compiling ------------------------------------------------------------------------------------------- */

/* What belongs together is there whole or not at all: without its manifest an object would be taken for the one of an older
 * manifest. */
static void remove_all(const Making *g)
{
    static const char *const end[] = {".o", ".h", ".weights"};
    char path[PATH + 32];
    for (size_t i = 0; i < COUNT_OF(end); i++) {
        snprintf(path, sizeof path, "%s%s", g->path, end[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/manifest.json", g->o->folder);
    unlink(path);
}

static int write_all(Making *g)
{
    char header[PATH + 32];
    Entry e;
    kiln_aot_options aot = g->o->aot;
    aot.about = g->about.at;
    aot.symbol = g->symbol;
    if (!kiln_aot_sized(nowhere, g->f, g->path, &aot, sizeof aot)) {
        const bool unwritten = kiln_error(g->k)->code == KILN_EIO;
        const int status = engine_error("compile", g->k);
        return unwritten ? NO_RESOURCE : status;
    }
    snprintf(header, sizeof header, "%s.h", g->path);
    if (aot.device) return FINE;
    const bool read = entry_read(header, g->symbol, &e);
    if (!read) say("kiln compile: %s: cannot be read again", header);
    if (read && (!g->o->example || write_example(g, &e)) && write_manifest(g, &e)) return FINE;
    remove_all(g);
    return NO_RESOURCE;
}

/* The folder is made when all that can be wrong with the model is known not to be. */
static int make_folder(Making *g)
{
    g->made = mkdir(g->o->folder, 0777) == 0;
    if (g->made || errno == EEXIST) return FINE;
    say("kiln compile: %s: cannot make the folder: %s", g->o->folder, strerror(errno));
    return NO_RESOURCE;
}

static int make(Making *g)
{
    int status = name_it(g);
    if (status == FINE) status = model_open(g->k, &g->o->model, &g->model);
    if (status == FINE) status = take_inputs(g);
    if (status == FINE) status = declare(g);
    if (status == FINE && !write_values(g)) status = engine_error("compile", g->k);
    if (status == FINE) status = make_folder(g);
    if (status != FINE) return status;
    write_about(g);
    status = write_all(g);
    if (status != FINE && g->made) rmdir(g->o->folder);
    return status;
}

int compile_model(const CompileModel *o)
{
    Making *g = mem_zeros(1, sizeof *g);
    kiln *k = kiln_open(&(kiln_options){.device = "cpu"});
    int status = NO_RESOURCE;
    if (g && k) {
        kiln_scope scope = kiln_scope_open(k);
        g->o = o;
        g->k = k;
        status = make(g);
        kiln_scope_close(&scope);
        kiln_clear(k);
        text_free(&g->about);
        for (int i = 0; i < PARTS; i++) text_free(&g->values[i]);
    } else {
        say("kiln compile: no memory for an engine");
    }
    kiln_close(k);
    if (g) mem_free(g, sizeof *g);
    return status;
}
