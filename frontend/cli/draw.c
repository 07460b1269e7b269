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

/* How many tensors the input has. An Exit. */
static int tensors_of(const ModelOptions *o, const Model *model, const kiln_onnx_value *v, bool *used, int *n)
{
    const bool optional = v->kind == KILN_ONNX_OPTIONAL || v->kind == KILN_ONNX_OPTIONAL_SEQUENCE;
    const int most = v->kind == KILN_ONNX_OPTIONAL ? 1 : VALUES;
    int at = 0;
    *n = is_list(v) ? KILN_ONNX_NONE : 1;
    while (is_list(v) && at < model->sizes && strcmp(model->size[at].name, v->name) != 0) at++;
    if (is_list(v) && at < model->sizes) {
        used[at] = true;
        if (model->size[at].hi > most)
            return usage_error(
                o->command, "--dim: %s has %lld tensors (allowed: %d)", v->name, (long long)model->size[at].hi, most);
        *n = (int)model->size[at].hi;
    }
    if (*n >= 0 || optional) return FINE;
    return usage_error(o->command,
        "input %s is a list of tensors without a value: --input %s=FILE, or --dim %s=NUMBER draws as many", v->name, v->name,
        v->name);
}

static int draw_input(kiln *k, const ModelOptions *o, Model *model, int at, uint64_t seed, bool *used)
{
    const kiln_onnx_value *v = &model->in[at];
    int n;
    const int status = tensors_of(o, model, v, used, &n);
    if (status) return status;
    kiln_shape s = {.rank = v->rank < 0 ? 0 : v->rank};
    for (int i = 0; i < v->rank; i++) s.size[1 + i] = v->size[i] >= 0 ? v->size[i] : open_size(model, v, i, used);
    const char *why = v->fixed                ? "sizes follow from its numbers, so none are drawn: give them as --fix"
                      : v->dtype == KILN_NONE ? "the model states no dtype of it that could be drawn: give it as --input"
                      : v->rank < 0           ? "the model states no rank of it: give it as --input"
                                              : NULL;
    if (why && n > 0) return usage_error(o->command, "input %s: %s", v->name, why);
    Parts *to = &model->value[at];
    for (int j = 0; j < n; j++) to->at[j] = draw(k, v->dtype, s, seed + (uint64_t)at + (uint64_t)j * VALUES);
    to->list = (kiln_onnx_list){.at = to->at, .count = n};
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
        if (is_list(v)) { /* how many it has */
            if (x->given && x->list.count >= 0 && n < cap) to[n++] = (kiln_onnx_size){v->name, x->list.count, x->list.count};
            continue;
        }
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

bool model_just_these(const Model *model, const Parts *in, int nin, JustThese *to)
{
    *to = (JustThese){.d = {.fixed = to->fixed, .sizes = to->count, .examples = to->example}};
    for (int i = 0; i < nin; i++) {
        const kiln_onnx_value *v = &model->in[i];
        const kiln_onnx_list *l = &in[i].list;
        if (is_list(v)) to->count[to->d.sizes_count++] = (kiln_onnx_size){v->name, l->count, l->count};
        for (int j = 0; j < l->count; j++, to->n++) {
            if (to->n == VALUES) return false;
            snprintf(to->name[to->n], sizeof to->name[0], is_list(v) ? "%s.%d" : "%s", v->name, j);
            to->flat[to->n] = l->at[j];
            const kiln_onnx_fixed one = {to->name[to->n], l->at[j]};
            if (v->fixed)
                to->fixed[to->d.fixed_count++] = one;
            else
                to->example[to->d.examples_count++] = one;
        }
    }
    return true;
}
