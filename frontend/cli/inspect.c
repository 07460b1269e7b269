/* inspect: `kiln inspect`: what an ONNX model holds, after it was checked, and what of it Kiln does not run. */
#include <string.h>

#include "../../runtime/base.h"
#include "options.h"
#include "value.h"

const char inspect_help[] =
    "usage: kiln inspect MODEL.onnx [--dim NAME=SIZE]... [--json]\n\n"
    "Reads and checks the model, and prints its format and producer, the versions of its operators, its inputs and outputs, how "
    "many\n"
    "parameters it has in how many bytes, how often it has which operator, how many multiplications its products and convolutions\n"
    "make, and a table of all nodes that Kiln does not run, with the reason. Nothing is computed.\n\n"
    "  kiln inspect resnet50.onnx --dim N=8\n\n"
    "  --dim NAME=SIZE   a size that the model leaves open (1)\n"
    "  --fix NAME=VALUE  an input from which sizes follow, as numbers (2,-1) or a file\n"
    "  --json            one JSON object\n";

static bool leaves_open(const kiln_onnx_value *v, const char *name)
{
    const size_t n = strlen(v->name);
    if (v->kind != KILN_ONNX_TENSOR && strcmp(v->name, name) == 0) return true; /* how many tensors it has */
    for (int i = 0; i < v->rank; i++) {
        char own[16];
        snprintf(own, sizeof own, ".%d", i);
        if (v->size[i] < 0 &&
            (v->size_name[i] ? strcmp(v->size_name[i], name) == 0 : strncmp(v->name, name, n) == 0 && strcmp(name + n, own) == 0))
            return true;
    }
    return false;
}

/* Whether inputs leave all sizes open that are given. */
static int sizes_are_open(kiln *k, const Model *model)
{
    const int n = kiln_onnx_inputs_at((kiln_site){0}, model->m, NULL, 0);
    kiln_onnx_value *in = n >= 0 ? mem_zeros((size_t)n + 1, sizeof *in) : NULL;
    int status = FINE;
    if (in) kiln_onnx_inputs_at((kiln_site){0}, model->m, in, n);
    for (int i = 0; in && i < model->sizes && status == FINE; i++) {
        int at = 0;
        while (at < n && !leaves_open(&in[at], model->size[i].name)) at++;
        if (at == n) status = usage_error("inspect", "--dim: no input leaves a size open that is called %s", model->size[i].name);
    }
    if (in) mem_free(in, ((size_t)n + 1) * sizeof *in);
    kiln_clear(k); /* what is wrong with the model is told by inspect itself */
    return status;
}

static int inspect(kiln *k, const ModelOptions *o, bool json)
{
    KILN_SCOPE(k);
    Model model = {.m = kiln_onnx_load_at((kiln_site){0}, k, o->file)};
    int status = model.m ? model_sizes_read(o, &model) : model_error("inspect", k);
    for (int i = 0; i < model.sizes && status == FINE; i++)
        if (model.size[i].lo != model.size[i].hi)
            status = usage_error("inspect", "--dim: %s has more than one size", model.size[i].name);
    if (status == FINE && model.sizes) status = sizes_are_open(k, &model);
    if (status == FINE && o->fixes) status = model_values_read(k, o, &model);
    if (status) return status;
    const kiln_onnx_declaration d = {
        .sizes = model.size, .sizes_count = model.sizes, .fixed = model.fixed, .fixed_count = model.fixes};
    if (kiln_onnx_inspect_sized((kiln_site){0}, stdout, model.m, json, &d, sizeof d)) return FINE;
    if (!kiln_failed(k)) return NO_RESOURCE;
    if (!json) kiln_onnx_describe(stdout, model.m);
    return model_error("inspect", k);
}

int inspect_command(int argc, char **argv)
{
    bool json = false;
    ModelOptions o = {.command = "inspect"};
    const Option options[] = {{"--json", .flag = &json}, {"--dim", .list = o.dim, .listed = &o.dims, .hi = VALUES},
        {"--fix", .list = o.fix, .listed = &o.fixes, .hi = VALUES}, {0}};
    int status = options_parse("inspect", argc, argv, options, &o.file, 1);
    if (status) return status;
    if (!o.file) return usage_error("inspect", "no model is named");
    kiln *k = kiln_open(&(kiln_options){.device = "cpu", .no_log = true});
    if (!k) {
        say("kiln inspect: no memory for an engine");
        return NO_RESOURCE;
    }
    status = inspect(k, &o, json);
    kiln_clear(k);
    kiln_close(k);
    return status;
}
