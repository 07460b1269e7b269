/* run_model: an ONNX model on tensors from files, for `kiln run`. */
#include <errno.h>
#include <kiln/io.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "run_model.h"

static const kiln_site nowhere = {0};

enum { PATH = 4352 }; /* bytes of a path, and of a name behind it */

static bool is_file_name(const char *path)
{
    return ends_in(path, ".npy") || ends_in(path, ".raw") || ends_in(path, ".bin") || ends_in(path, ".npz");
}

/* Of lists each tensor goes to a file of its own, NAME.0 and so on. */
static bool write_folder(kiln *k, const kiln_onnx_value *v, const kiln_onnx_list *out, const char *folder)
{
    char path[PATH], end[32] = ".npy";
    if (out->count < 0) say("kiln run: %s: there is nothing in it", v->name);
    for (int j = 0; j < out->count; j++) {
        if (is_list(v)) snprintf(end, sizeof end, ".%d.npy", j);
        if (!value_path(path, sizeof path, folder, v->name, end) || !value_write(k, out->at[j], path)) return false;
    }
    return true;
}

/* Whether two results would be one file: names that differ in characters alone that no file name should have, or NAME.0 of a list.
 */
static bool names_meet(const kiln_onnx_value *a, const kiln_onnx_value *b)
{
    char path[2][PATH];
    if (strcmp(a->name, b->name) == 0) return false; /* one value, twice */
    if (!value_path(path[0], PATH, ".", a->name, "") || !value_path(path[1], PATH, ".", b->name, "")) return false;
    const size_t n = strlen(path[0]);
    if (!is_list(a)) return !is_list(b) && strcmp(path[0], path[1]) == 0;
    if (strncmp(path[0], path[1], n) != 0) return false;
    const char *rest = path[1] + n;
    return is_list(b) ? !*rest : *rest == '.' && rest[1] && strspn(rest + 1, "0123456789") == strlen(rest + 1);
}

/* An Exit. */
static int names_differ(const Model *model, const char *folder)
{
    for (int i = 0; i < model->nout; i++)
        for (int j = 0; j < model->nout; j++)
            if (i != j && names_meet(&model->out[i], &model->out[j]))
                return usage_error("run", "results '%s' and '%s' would be one file in %s: give each an --output FILE",
                    model->out[i].name, model->out[j].name, folder);
    return FINE;
}

static void print_output(const kiln_onnx_value *v, const kiln_onnx_list *out)
{
    char name[100];
    if (is_list(v))
        printf(out->count < 0    ? "%s: nothing\n"
               : out->count == 1 ? "%s: %d tensor\n"
                                 : "%s: %d tensors\n",
            value_name(v, name), out->count);
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
    const bool made = folder && mkdir(folder, 0777) == 0;
    if (folder && !made && errno != EEXIST) {
        say("kiln run: %s: cannot make the folder: %s", folder, strerror(errno));
        return false;
    }
    for (int i = 0; i < model->nout; i++) {
        if (folder ? !write_folder(k, &model->out[i], &out[i].list, folder)
                   : i < outputs && !value_write(k, out[i].list.at[0], output[i])) {
            if (made) rmdir(folder); /* if nothing is in it yet */
            return false;
        }
        if (!folder && i >= outputs) print_output(&model->out[i], &out[i].list);
    }
    return !kiln_failed(k);
}

bool call_model(const Model *model, int nin, const Parts *in, Parts *out)
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
    if (outputs == 1 && !is_file_name(output[0]) && (status = names_differ(model, output[0]))) return status;
    if (!call_model(model, model->nin, model->value, out)) return kiln_failed(k) ? model_error(o->command, k) : NO_RESOURCE;
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
