/* run_model: an ONNX model on tensors from files, for `kiln run`, and held against results that are known, for `kiln check`. */
#include <errno.h>
#include <kiln/io.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "run_model.h"

static const kiln_site nowhere = {0};

/* ---- kiln run -------------------------------------------------------------------------------------------- */

static bool is_file_name(const char *path)
{
    return ends_in(path, ".npy") || ends_in(path, ".raw") || ends_in(path, ".bin") || ends_in(path, ".npz");
}

/* Of lists each tensor goes to a file of its own, NAME.0 and so on. */
static bool write_folder(kiln *k, const kiln_onnx_value *v, const kiln_onnx_list *out, const char *folder)
{
    char path[1200], end[32] = ".npy";
    if (out->count < 0) say("kiln run: %s: there is nothing in it", v->name);
    for (int j = 0; j < out->count; j++) {
        if (is_list(v)) snprintf(end, sizeof end, ".%d.npy", j);
        value_path(path, sizeof path, folder, v->name, end);
        if (!value_write(k, out->at[j], path)) return false;
    }
    return true;
}

static void print_output(const kiln_onnx_value *v, const kiln_onnx_list *out)
{
    if (is_list(v))
        printf(out->count < 0 ? "%s: nothing\n" : out->count == 1 ? "%s: %d tensor\n" : "%s: %d tensors\n", v->name, out->count);
    for (int j = 0; j < out->count; j++) kiln_print(stdout, out->at[j]);
}

/* All results, by their names. */
static bool write_archive(kiln *k, const Model *model, const Parts *out, const char *path)
{
    const char *name[VALUES];
    kiln_tensor *x[VALUES];
    for (int i = 0; i < model->nout; i++) name[i] = model->out[i].name, x[i] = out[i].list.at[0];
    return kiln_npz_write_at(nowhere, k, path, name, x, model->nout);
}

static bool write_outputs(kiln *k, const Model *model, const Parts *out, const char *const *output, int outputs)
{
    if (outputs == 1 && ends_in(output[0], ".npz")) return write_archive(k, model, out, output[0]);
    const char *folder = outputs == 1 && !is_file_name(output[0]) ? output[0] : NULL;
    if (folder && mkdir(folder, 0777) != 0 && errno != EEXIST) {
        say("kiln run: %s: cannot make the folder: %s", folder, strerror(errno));
        return false;
    }
    for (int i = 0; i < model->nout; i++) {
        if (folder ? !write_folder(k, &model->out[i], &out[i].list, folder)
                   : i < outputs && !value_write(k, out[i].list.at[0], output[i]))
            return false;
        if (!folder && i >= outputs) print_output(&model->out[i], &out[i].list);
    }
    return !kiln_failed(k);
}

static bool call_model(const Model *model, int nin, const Parts *in, Parts *out)
{
    kiln_onnx_list given[VALUES], got[VALUES];
    for (int i = 0; i < nin; i++) given[i] = in[i].list;
    for (int i = 0; i < model->nout; i++) got[i] = (kiln_onnx_list){.at = out[i].at, .cap = VALUES};
    const bool ok = kiln_onnx_call_lists_at(nowhere, model->m, given, nin, got, model->nout);
    for (int i = 0; i < model->nout; i++) out[i].list = got[i];
    for (int i = 0; ok && i < model->nout; i++) {
        if (got[i].count <= VALUES) continue;
        say("%s: it has %d tensors, more than %d", model->out[i].name, got[i].count, VALUES);
        return false;
    }
    return ok;
}

/* Whether all inputs have values: what is not given of optionals is nothing. An Exit. */
static int all_given(const ModelOptions *o, Model *model)
{
    for (int i = 0; i < model->nin; i++) {
        const kiln_onnx_value *v = &model->in[i];
        if (model->value[i].given) continue;
        if (v->kind != KILN_ONNX_OPTIONAL && v->kind != KILN_ONNX_OPTIONAL_SEQUENCE)
            return usage_error(o->command, "input %s has no value: --input %s=FILE", v->name, v->name);
        model->value[i].list.count = KILN_ONNX_NONE;
    }
    return FINE;
}

static int run_opened(kiln *k, const ModelOptions *o, Model *model, Parts *out, const char *const *output, int outputs)
{
    int status = model_open(k, o, model);
    if (status == FINE) status = all_given(o, model);
    if (status) return status;
    if (outputs > model->nout)
        return usage_error(o->command, "%s has %d results, but --output is given %d times", o->file, model->nout, outputs);
    const bool archive = outputs == 1 && ends_in(output[0], ".npz");
    if (outputs > 1)
        for (int i = 0; i < outputs; i++)
            if (ends_in(output[i], ".npz"))
                return usage_error(o->command, "%s takes all results: it is to be the only --output", output[i]);
    for (int i = 0; i < (archive ? model->nout : outputs); i++)
        if (is_list(&model->out[i]) && (outputs > 1 || is_file_name(output[0])))
            return usage_error(o->command, "%s is a list of tensors: --output FOLDER takes them", model->out[i].name);
    if (!call_model(model, model->nin, model->value, out)) {
        const bool unfit = kiln_failed(k) && kiln_error(k)->code == KILN_ESHAPE;
        const int code = kiln_failed(k) ? engine_error(o->command, k) : NO_RESOURCE;
        return unfit ? BAD_INPUT : code;
    }
    if (write_outputs(k, model, out, output, outputs)) return FINE;
    return kiln_failed(k) ? (engine_error(o->command, k), NO_RESOURCE) : NO_RESOURCE;
}

int run_model(kiln *k, const ModelOptions *o, const char *const *output, int outputs)
{
    Model *model = mem_zeros(1, sizeof *model);
    Parts *out = mem_zeros(VALUES, sizeof *out);
    int status = NO_RESOURCE;
    if (model && out)
        status = run_opened(k, o, model, out, output, outputs);
    else
        say("kiln run: no memory");
    if (model) mem_free(model, sizeof *model);
    if (out) mem_free(out, VALUES * sizeof *out);
    return status;
}

/* ---- kiln check ------------------------------------------------------------------------------------------ */

const char check_help[] =
    "usage: kiln check MODEL.onnx [--against FOLDER] [OPTION]...\n\n"
    "Runs the model on input_0.pb, input_1.pb and so on, eagerly and compiled, and holds the results against "
    "output_0.pb and so on,\n"
    "as ONNX's own tests have them. Where something differs it says in which value of the traced graph eager "
    "code, compiled code and\n"
    "the reference interpreter first do. Exit status 1 if something does.\n\n"
    "  kiln check net/model.onnx --against net/test_data_set_0\n\n"
    "  --against FOLDER   that has the files, or folders test_data_set_0, test_data_set_1 ... (the model's own)\n"
    "  --device NAME      where to run, one that kiln info lists (KILN_DEVICE, else cpu)\n"
    "  --threads N        in all, 1 to 1024 (one per core)\n";

typedef struct Far {
    double off, ulps;
    int64_t at; /* the first element that is too far off; -1: none */
    bool typed; /* dtypes and sizes are the same */
} Far;

static double last_place(kiln_dtype t, double v)
{
    const int digits = t == KILN_F64 ? 52 : t == KILN_F32 ? 23 : t == KILN_F16 ? 10 : t == KILN_BF16 ? 7 : 0;
    return digits == 0 ? 1 : ldexp(1, (v == 0 ? -24 : ilogb(v)) - digits);
}

static Far compare(kiln *k, kiln_tensor *got, kiln_tensor *want)
{
    Far f = {.at = -1, .typed = kiln_dtype_of(got) == kiln_dtype_of(want) && kiln_rank(got) == kiln_rank(want)};
    for (int i = 0; f.typed && i < kiln_rank(got); i++) f.typed = kiln_dim(got, i) == kiln_dim(want, i);
    if (!f.typed) return f;
    const int64_t n = kiln_elements(got);
    double *a = mem_zeros(2 * (size_t)n + 1, sizeof *a), *b = a ? a + n : NULL;
    const bool read = a && kiln_read_doubles_at(nowhere, kiln_of_tensor(kiln_cast(got, KILN_F64)), a, n) &&
                      kiln_read_doubles_at(nowhere, kiln_of_tensor(kiln_cast(want, KILN_F64)), b, n);
    for (int64_t i = n - 1; read && !kiln_failed(k) && i >= 0; i--) {
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) continue;
        const double off = fabs(a[i] - b[i]), ulps = off / last_place(kiln_dtype_of(want), b[i]);
        if (!(off <= 1e-7 + 1e-3 * fabs(b[i]))) f.at = i;
        if (off > f.off) f.off = off;
        if (off > 1e-7 && ulps > f.ulps) f.ulps = ulps;
    }
    if (a) mem_free(a, (2 * (size_t)n + 1) * sizeof *a);
    return f;
}

typedef struct Checked { /* a model and one set of values */
    Model model;
    Parts in[VALUES], want[VALUES], got[VALUES];
    int nin, nwant;
    kiln_tensor *flat[VALUES];
    kiln_onnx_fixed fixed[VALUES], example[VALUES];
    kiln_onnx_size count[VALUES];
    char name[VALUES][160];
} Checked;

static int read_all(kiln *k, const char *folder, const char *what, const kiln_onnx_value *value, int have, Parts *to)
{
    char path[1200];
    int n = 0;
    for (; n < have; n++) {
        snprintf(path, sizeof path, "%s/%s_%d.pb", folder, what, n);
        if (access(path, F_OK) != 0 || !parts_read(k, &value[n], path, &to[n])) break;
    }
    return n;
}

/* Where the ways of computing part: as kiln_check says it, of a function for just these inputs. */
static void say_where(kiln *k, Checked *c)
{
    kiln_onnx_declaration d = {.fixed = c->fixed, .sizes = c->count, .examples = c->example};
    int n = 0;
    for (int i = 0; i < c->nin; i++) {
        const kiln_onnx_value *v = &c->model.in[i];
        const kiln_onnx_list *l = &c->in[i].list;
        if (is_list(v)) c->count[d.sizes_count++] = (kiln_onnx_size){v->name, l->count, l->count};
        for (int j = 0; j < l->count && n < VALUES; j++, n++) {
            snprintf(c->name[n], sizeof c->name[n], is_list(v) ? "%s.%d" : "%s", v->name, j);
            c->flat[n] = l->at[j];
            const kiln_onnx_fixed one = {c->name[n], l->at[j]};
            if (v->fixed)
                c->fixed[d.fixed_count++] = one;
            else
                c->example[d.examples_count++] = one;
        }
    }
    kiln_function *f = kiln_onnx_declared_sized(nowhere, c->model.m, &d, sizeof d);
    if (f && kiln_check_of_at(nowhere, stdout, f, kiln_tensors(c->flat, n)) == KILN_AGREE)
        puts("eager code, compiled code and the reference agree in every value: the model computes something else");
    kiln_clear(k);
}

/* Prints a line, and whether it is as it must be. */
static bool say_output(kiln *k, const char *way, const char *name, kiln_tensor *got, kiln_tensor *want)
{
    const Far f = compare(k, got, want);
    if (kiln_failed(k)) return false;
    printf("%-9s %-20s ", way, name);
    if (!f.typed)
        puts("another dtype, or other sizes");
    else if (f.at >= 0)
        printf("differs by %.3g, %.3g last places, first at element %lld\n", f.off, f.ulps, (long long)f.at);
    else
        printf("ok, at most %.3g off, %.3g last places\n", f.off, f.ulps);
    return f.typed && f.at < 0;
}

static bool say_list(kiln *k, const char *way, const kiln_onnx_value *v, const kiln_onnx_list *got, const kiln_onnx_list *want)
{
    char name[200];
    bool good = got->count == want->count;
    if (!good || got->count <= 0) printf("%-9s %-20s %d tensors, %s\n", way, v->name, got->count, good ? "ok" : "another number");
    for (int j = 0; good && j < got->count; j++) {
        snprintf(name, sizeof name, is_list(v) ? "%s.%d" : "%s", v->name, j);
        good &= say_output(k, way, name, got->at[j], want->at[j]);
    }
    return good;
}

static int check_set(kiln *k, const char *folder, Checked *c)
{
    KILN_SCOPE(k);
    bool good = true;
    c->nin = read_all(k, folder, "input", c->model.in, c->model.nin, c->in);
    c->nwant = read_all(k, folder, "output", c->model.out, c->model.nout, c->want);
    if (kiln_failed(k)) return engine_error("check", k);
    if (c->nwant == 0) {
        say("kiln check: %s: there is no output_0.pb", folder);
        return BAD_INPUT;
    }
    for (int eager = 1; eager >= 0; eager--) {
        kiln_eager(k, eager);
        const bool ran = call_model(&c->model, c->nin, c->in, c->got);
        kiln_eager(k, false);
        if (!ran) return kiln_failed(k) ? engine_error("check", k) : NO_RESOURCE;
        for (int i = 0; i < c->nwant && i < c->model.nout; i++) {
            good &= say_list(k, eager ? "eager" : "compiled", &c->model.out[i], &c->got[i].list, &c->want[i].list);
            if (kiln_failed(k)) return engine_error("check", k);
        }
    }
    if (!good) say_where(k, c);
    return good ? FINE : CHECK_FAILED;
}

static int check_opened(kiln *k, const ModelOptions *o, const char *against, Checked *c)
{
    char own[1024], path[1200];
    int status = model_open(k, o, &c->model), worst = FINE;
    if (status) return status;
    snprintf(own, sizeof own, "%s", o->file);
    char *slash = strrchr(own, '/');
    snprintf(slash ? slash : own, slash ? 1 : sizeof own, "%s", slash ? "" : ".");
    if (!against) against = own;
    snprintf(path, sizeof path, "%s/output_0.pb", against);
    if (access(path, F_OK) == 0) return check_set(k, against, c);
    for (int set = 0; set < 1000; set++) {
        snprintf(path, sizeof path, "%s/test_data_set_%d", against, set);
        if (access(path, F_OK) != 0) {
            if (set > 0) return worst;
            say("kiln check: %s: there is neither output_0.pb nor test_data_set_0", against);
            return BAD_INPUT;
        }
        status = check_set(k, path, c);
        if (status > worst) worst = status;
    }
    return worst;
}

static int check_sets(kiln *k, const ModelOptions *o, const char *against)
{
    Checked *c = mem_zeros(1, sizeof *c);
    if (!c) return say("kiln check: no memory"), NO_RESOURCE;
    const int status = check_opened(k, o, against, c);
    mem_free(c, sizeof *c);
    return status;
}

int check_command(int argc, char **argv)
{
    ModelOptions o = {.command = "check"};
    const char *against = NULL, *device = device_own();
    long threads = 0;
    const Option options[] = {
        {"--against", .text = &against}, {"--device", .text = &device}, {"--threads", .count = &threads, .lo = 1, .hi = 1024}, {0}};
    int status = options_parse("check", argc, argv, options, &o.file, 1);
    if (status) return status;
    if (!o.file) return usage_error("check", "no model is named");
    kiln *k = kiln_open(&(kiln_options){.threads = (int)threads, .device = "cpu", .compile = KILN_WAIT});
    if (!k) {
        say("kiln check: no memory for an engine");
        return NO_RESOURCE;
    }
    status = device_check("check", k, device);
    if (status == FINE) {
        KILN_SCOPE(k);
        KILN_DEVICE(k, device);
        status = check_sets(k, &o, against);
    }
    kiln_clear(k);
    kiln_close(k);
    return status;
}
