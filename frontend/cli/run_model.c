/* run_model: an ONNX model on tensors from files, for `kiln run`, and held against results that are known, for `kiln check`. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "run_model.h"

static const kiln_site nowhere = {0};

/* ---- kiln run -------------------------------------------------------------------------------------------- */

static bool is_file_name(const char *path) { return ends_in(path, ".npy") || ends_in(path, ".raw") || ends_in(path, ".bin"); }

static bool write_outputs(kiln *k, const Model *model, kiln_tensor **out, const char *const *output, int outputs)
{
    const char *folder = outputs == 1 && !is_file_name(output[0]) ? output[0] : NULL;
    char path[1200];
    if (folder && mkdir(folder, 0777) != 0 && errno != EEXIST) {
        say("kiln run: %s: cannot make the folder: %s", folder, strerror(errno));
        return false;
    }
    for (int i = 0; i < model->nout; i++) {
        if (folder) value_path(path, sizeof path, folder, model->out[i].name, ".npy");
        if (!folder && i >= outputs)
            kiln_print(stdout, out[i]);
        else if (!value_write(k, out[i], folder ? path : output[i]))
            return false;
    }
    return !kiln_failed(k);
}

int run_model(kiln *k, const ModelOptions *o, const char *const *output, int outputs)
{
    Model model;
    kiln_tensor *out[VALUES];
    const int status = model_open(k, o, &model);
    if (status) return status;
    for (int i = 0; i < model.nin; i++)
        if (!model.value[i])
            return usage_error(o->command, "input %s has no value: --input %s=FILE", model.in[i].name, model.in[i].name);
    if (outputs > model.nout)
        return usage_error(o->command, "%s has %d results, but --output is given %d times", o->file, model.nout, outputs);
    if (!kiln_onnx_call_at(nowhere, model.m, kiln_tensors(model.value, model.nin), out, model.nout)) {
        const bool unfit = kiln_error(k)->code == KILN_ESHAPE;
        const int code = engine_error(o->command, k);
        return unfit ? BAD_INPUT : code;
    }
    if (write_outputs(k, &model, out, output, outputs)) return FINE;
    return kiln_failed(k) ? (engine_error(o->command, k), NO_RESOURCE) : NO_RESOURCE;
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

static int read_all(kiln *k, const char *folder, const char *what, kiln_tensor **to)
{
    char path[1200];
    int n = 0;
    for (; n < VALUES; n++) {
        snprintf(path, sizeof path, "%s/%s_%d.pb", folder, what, n);
        if (access(path, F_OK) != 0) break;
        to[n] = kiln_onnx_tensor_at(nowhere, k, path);
    }
    return n;
}

/* Where the ways of computing part: as kiln_check says it. */
static void say_where(kiln *k, const Model *model, kiln_tensor **in, int nin)
{
    kiln_onnx_fixed fixed[VALUES];
    int n = 0;
    for (int i = 0; i < nin && i < model->nin; i++)
        if (model->in[i].fixed) fixed[n++] = (kiln_onnx_fixed){model->in[i].name, in[i]};
    const kiln_onnx_declaration d = {.fixed = fixed, .fixed_count = n, .as_called = true};
    kiln_function *f = kiln_onnx_declared_sized(nowhere, model->m, &d, sizeof d);
    if (f && kiln_check_of_at(nowhere, stdout, f, kiln_tensors(in, nin)) == KILN_AGREE)
        puts("eager code, compiled code and the reference agree in every value: the model computes something else");
    kiln_clear(k);
}

static int check_set(kiln *k, const char *folder, const Model *model)
{
    KILN_SCOPE(k);
    kiln_tensor *in[VALUES], *want[VALUES], *got[VALUES];
    const int nin = read_all(k, folder, "input", in), nout = read_all(k, folder, "output", want);
    bool good = true;
    if (kiln_failed(k)) return engine_error("check", k);
    if (nout == 0) {
        say("kiln check: %s: there is no output_0.pb", folder);
        return BAD_INPUT;
    }
    for (int eager = 1; eager >= 0; eager--) {
        kiln_eager(k, eager);
        const bool ran = kiln_onnx_call_at(nowhere, model->m, kiln_tensors(in, nin), got, nout);
        kiln_eager(k, false);
        if (!ran) return engine_error("check", k);
        for (int i = 0; i < nout; i++) {
            const Far f = compare(k, got[i], want[i]);
            if (kiln_failed(k)) return engine_error("check", k);
            good &= f.typed && f.at < 0;
            printf("%-9s %-20s ", eager ? "eager" : "compiled", i < model->nout ? model->out[i].name : "?");
            if (!f.typed)
                puts("another dtype, or other sizes");
            else if (f.at >= 0)
                printf("differs by %.3g, %.3g last places, first at element %lld\n", f.off, f.ulps, (long long)f.at);
            else
                printf("ok, at most %.3g off, %.3g last places\n", f.off, f.ulps);
        }
    }
    if (!good) say_where(k, model, in, nin);
    return good ? FINE : CHECK_FAILED;
}

static int check_sets(kiln *k, const ModelOptions *o, const char *against)
{
    Model model;
    char own[1024], path[1200];
    int status = model_open(k, o, &model), worst = FINE;
    if (status) return status;
    snprintf(own, sizeof own, "%s", o->file);
    char *slash = strrchr(own, '/');
    snprintf(slash ? slash : own, slash ? 1 : sizeof own, "%s", slash ? "" : ".");
    if (!against) against = own;
    snprintf(path, sizeof path, "%s/output_0.pb", against);
    if (access(path, F_OK) == 0) return check_set(k, against, &model);
    for (int set = 0; set < 1000; set++) {
        snprintf(path, sizeof path, "%s/test_data_set_%d", against, set);
        if (access(path, F_OK) != 0) {
            if (set > 0) return worst;
            say("kiln check: %s: there is neither output_0.pb nor test_data_set_0", against);
            return BAD_INPUT;
        }
        status = check_set(k, path, &model);
        if (status > worst) worst = status;
    }
    return worst;
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
