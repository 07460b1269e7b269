/* draw: values for a model's inputs of which a command line says nothing, and the sizes that inputs with values have. Relies on the
 * public interface. */
#include "draw.h"

#include <string.h>

/* The size of an open axis as --dim has it, by its name or as INPUT.AXIS; 1: it has none. */
static int64_t open_size(Model *model, const kiln_onnx_value *v, int axis, bool *used)
{
    char own[300];
    snprintf(own, sizeof own, "%.250s.%d", v->name, axis);
    for (int i = 0; i < model->sizes; i++) {
        const char *name = model->size[i].name;
        if (strcmp(name, own) != 0 && !(v->size_name[axis] && strcmp(name, v->size_name[axis]) == 0)) continue;
        used[i] = true;
        return model->size[i].hi;
    }
    return 1;
}

static kiln_tensor *draw(kiln *k, kiln_dtype t, kiln_shape s, uint64_t seed)
{
    const bool real = t == KILN_F32 || t == KILN_F64 || t == KILN_F16 || t == KILN_BF16 || t == KILN_F8_E4M3 || t == KILN_F8_E5M2;
    kiln_variable *g = kiln_generator(k, seed);
    kiln_tensor *x = real ? kiln_normal(g, KILN_F32, s, 0, 1) : kiln_less(kiln_uniform(g, KILN_F32, s, 0, 1), 0.5);
    kiln_variable_free(g);
    return kiln_cast(x, t);
}

static int draw_input(kiln *k, const ModelOptions *o, Model *model, int at, uint64_t seed, bool *used)
{
    const kiln_onnx_value *v = &model->in[at];
    kiln_shape s = {.rank = v->rank < 0 ? 0 : v->rank};
    for (int i = 0; i < v->rank; i++) s.size[1 + i] = v->size[i] >= 0 ? v->size[i] : open_size(model, v, i, used);
    const char *why = v->fixed                ? "sizes follow from its numbers, so none are drawn: give them as --fix"
                      : v->dtype == KILN_NONE ? "the model states no dtype of it that could be drawn: give it as --input"
                      : v->rank < 0           ? "the model states no rank of it: give it as --input"
                                              : NULL;
    if (why) return usage_error(o->command, "input %s: %s", v->name, why);
    Parts *to = &model->value[at];
    to->at[0] = draw(k, v->dtype, s, seed + (uint64_t)at);
    to->list = (kiln_onnx_list){.at = to->at, .count = 1};
    to->given = true;
    return kiln_failed(k) ? engine_error(o->command, k) : FINE;
}

int model_draw(kiln *k, const ModelOptions *o, Model *model, uint64_t seed)
{
    bool used[VALUES] = {false};
    int status = FINE;
    for (int i = 0; i < model->sizes; i++)
        if (model->size[i].lo != model->size[i].hi)
            return usage_error(o->command, "--dim: %s has more than one size", model->size[i].name);
    for (int i = 0; i < model->nin && status == FINE; i++)
        if (!model->value[i].given) status = draw_input(k, o, model, i, seed, used);
    for (int i = 0; i < model->sizes && status == FINE; i++)
        if (!used[i])
            status =
                usage_error(o->command, "--dim: no input that is drawn leaves a size open that is called %s", model->size[i].name);
    return status;
}

int model_sizes(const Model *model, kiln_onnx_size *to, int cap, char *name, size_t bytes)
{
    int n = 0;
    for (int i = 0; i < model->nin; i++) {
        const kiln_onnx_value *v = &model->in[i];
        const Parts *x = &model->value[i];
        for (int j = 0; x->given && !v->fixed && j < v->rank && j < kiln_rank(x->at[0]); j++) {
            if (v->size[j] >= 0) continue;
            const size_t used = (size_t)(v->size_name[j] ? snprintf(name, bytes, "%s", v->size_name[j])
                                                         : snprintf(name, bytes, "%s.%d", v->name, j)) +
                                1;
            bool known = false;
            for (int k = 0; k < n; k++) known |= strcmp(to[k].name, name) == 0;
            if (known || n == cap || used >= bytes) continue;
            const int64_t size = kiln_dim(x->at[0], j);
            to[n++] = (kiln_onnx_size){name, size, size};
            name += used, bytes -= used;
        }
    }
    return n;
}

void model_sizes_text(const Model *model, char *to, size_t cap)
{
    kiln_onnx_size size[VALUES];
    char name[8192];
    const int n = model_sizes(model, size, VALUES, name, sizeof name);
    size_t at = 0;
    *to = 0;
    for (int i = 0; i < n && at < cap; i++)
        at += (size_t)snprintf(to + at, cap - at, "%s%s=%lld", i ? ", " : "", size[i].name, (long long)size[i].lo);
}
