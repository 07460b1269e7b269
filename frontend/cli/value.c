/* value: tensors from files and from text, and models with the inputs that a command line gives them. Relies on the public
 * interface. */
#include "value.h"

#include <ctype.h>
#include <errno.h>
#include <kiln/io.h>
#include <stdlib.h>
#include <string.h>

#include "../../runtime/base.h"

static const kiln_site nowhere = {0}; /* a line of this file would mean nothing to whoever typed the command */

bool ends_in(const char *path, const char *end)
{
    const size_t n = strlen(path), e = strlen(end);
    return n > e && strcmp(path + n - e, end) == 0;
}

/* ---- one tensor ------------------------------------------------------------------------------------------ */

/* The shape of so many bytes of it; false: they fit none. */
static bool raw_shape(const kiln_onnx_value *like, size_t bytes, kiln_shape *s)
{
    const size_t element = kiln_dtype_bytes(like->dtype ? like->dtype : KILN_F32);
    size_t known = element;
    int open = -1;
    if (bytes % element) return false;
    *s = (kiln_shape){.rank = like->rank < 0 ? 1 : like->rank};
    if (like->rank < 0) s->size[1] = (int64_t)(bytes / element);
    for (int i = 0; i < like->rank; i++) {
        s->size[1 + i] = like->size[i];
        if (like->size[i] >= 0)
            known *= (size_t)like->size[i];
        else if (open >= 0)
            return false;
        else
            open = i;
    }
    if (open >= 0 && known && bytes % known == 0)
        s->size[1 + open] = (int64_t)(bytes / known);
    else if (like->rank >= 0 && bytes != known)
        return false;
    return true;
}

static kiln_tensor *read_raw(kiln *k, const char *path, const kiln_onnx_value *like)
{
    FILE *f = fopen(path, "rb");
    kiln_shape s;
    Text text = {0};
    char part[65536];
    for (size_t n = 1; f && n && !text.failed;) {
        n = fread(part, 1, sizeof part, f);
        text_add(&text, part, n);
    }
    kiln_tensor *x = NULL;
    const char *why = !f                               ? strerror(errno)
                      : ferror(f)                      ? "cannot be read"
                      : text.failed                    ? "no memory"
                      : !raw_shape(like, text.len, &s) ? "its bytes fit no size of the input"
                                                       : NULL;
    const kiln_dtype t = like->dtype ? like->dtype : KILN_F32;
    if (!why) x = kiln_from_at(nowhere, k, t, s, text.at ? text.at : "", (int64_t)(text.len / kiln_dtype_bytes(t)));
    if (why) say("%s: %s", path, why);
    if (f) fclose(f);
    text_free(&text);
    return x;
}

/* `like` says dtype and sizes of a tensor of bare elements; of these, one may be open, and is found by the file's size. NULL or
 * poison after an error, which the engine has, or which was said. */
static kiln_tensor *value_read(kiln *k, const char *path, const kiln_onnx_value *like)
{
    if (ends_in(path, ".npy")) return kiln_npy_read_at(nowhere, k, path);
    if (ends_in(path, ".pb")) return kiln_onnx_tensor_at(nowhere, k, path);
    return read_raw(k, path, like);
}

/* Numbers with commas between them, in brackets or not, of like's dtype (none: i64); one number is a scalar where like has no axis.
 * NULL, and no error: they are not numbers. */
static kiln_tensor *value_parse(kiln *k, const char *text, const kiln_onnx_value *like)
{
    double v[256];
    int n = 0;
    const bool row = *text == '[';
    for (text += row; n < (int)COUNT_OF(v);) {
        char *end;
        v[n] = strtod(text, &end);
        if (end == text) break;
        n++;
        text = end + strspn(end, " ");
        if (*text != ',') break;
        text++;
    }
    if (row && *text == ']') text++;
    if (*text || (n == 0 && !row)) return NULL;
    const bool scalar = n == 1 && !row && like->rank <= 0;
    return kiln_from_doubles_at(nowhere, k, like->dtype ? like->dtype : KILN_I64, scalar ? KILN_SHAPE() : KILN_SHAPE(n), v, n);
}

void value_path(char *path, size_t cap, const char *folder, const char *name, const char *end)
{
    const size_t n = (size_t)snprintf(path, cap, "%s/", folder);
    if (n < cap) snprintf(path + n, cap - n, "%s%s", *name == '.' ? "_" : "", name);
    for (char *c = path + MIN_OF(n, cap - 1); *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c)) *c = '_';
    const size_t all = strlen(path);
    snprintf(path + all, cap - all, "%s", end);
}

static bool write_raw(kiln *k, kiln_tensor *x, const char *path)
{
    const size_t bytes = kiln_bytes(x);
    char *at = mem_alloc(bytes + 1);
    FILE *f = at && kiln_read_at(nowhere, kiln_of_tensor(x), at, bytes) ? fopen(path, "wb") : NULL;
    bool ok = f && fwrite(at, 1, bytes, f) == bytes;
    if (f) ok = fclose(f) == 0 && ok;
    if (!ok && !kiln_failed(k)) say("%s: cannot be written: %s", path, strerror(errno));
    if (at) mem_free(at, bytes + 1);
    return ok;
}

bool value_write(kiln *k, kiln_tensor *x, const char *path)
{
    return ends_in(path, ".npy") ? kiln_npy_write_at(nowhere, kiln_of_tensor(x), path) : write_raw(k, x, path);
}

/* ---- a model's inputs ------------------------------------------------------------------------------------ */

int model_sizes_read(const ModelOptions *o, Model *model)
{
    for (int i = 0; i < o->dims; i++) {
        const char *equals = strchr(o->dim[i], '=');
        const size_t len = equals ? (size_t)(equals - o->dim[i]) : 0;
        char *end = NULL;
        errno = 0;
        long long lo = equals ? strtoll(equals + 1, &end, 10) : -1, hi = lo;
        const bool first = equals && end != equals + 1, none = equals && strcmp(equals + 1, "none") == 0;
        if (first && strncmp(end, "..", 2) == 0) {
            const char *second = end + 2;
            hi = strtoll(second, &end, 10);
            if (end == second) hi = -1;
        }
        if (none) lo = hi = KILN_ONNX_NONE;
        if (!len || len >= sizeof model->name[i] || (!none && (!first || *end || lo < 0 || hi < lo || errno == ERANGE)))
            return usage_error(o->command, "--dim: '%s' is not NAME=SIZE or NAME=LOWEST..HIGHEST", o->dim[i]);
        snprintf(model->name[i], sizeof model->name[i], "%.*s", (int)len, o->dim[i]);
        model->size[model->sizes++] = (kiln_onnx_size){model->name[i], lo, hi};
    }
    return FINE;
}

/* The input that the text names before its '=', or -1; *rest: what follows. */
static int named_input(const Model *model, const char *text, const char **rest)
{
    for (int i = 0; i < model->nin; i++) {
        const size_t n = strlen(model->in[i].name);
        if (strncmp(text, model->in[i].name, n) == 0 && text[n] == '=') return *rest = text + n + 1, i;
    }
    return -1;
}

bool is_list(const kiln_onnx_value *v) { return v->kind != KILN_ONNX_TENSOR; }

bool parts_read(kiln *k, const kiln_onnx_value *like, const char *path, Parts *to)
{
    to->list = (kiln_onnx_list){.at = to->at, .cap = VALUES};
    to->given = true;
    if (!kiln_onnx_read_at(nowhere, k, like->kind, path, &to->list)) return false;
    if (to->list.count > VALUES) say("%s: it has %d tensors, more than %d", path, to->list.count, VALUES);
    return to->list.count <= VALUES;
}

/* A tensor for the input. Of a list it is one more. */
static int take(kiln *k, const ModelOptions *o, Model *model, int at, kiln_tensor *x)
{
    Parts *to = &model->value[at];
    if (!x || kiln_failed(k)) return kiln_failed(k) ? engine_error(o->command, k) : BAD_INPUT;
    const int most = is_list(&model->in[at]) && model->in[at].kind != KILN_ONNX_OPTIONAL ? VALUES : 1;
    if (to->given && (to->list.count < 0 || to->list.count >= most))
        return usage_error(o->command, most == 1 ? "input %s is given twice" : "input %s is given too often", model->in[at].name);
    to->at[to->list.count++] = x;
    to->list.at = to->at;
    to->given = true;
    return FINE;
}

static int take_file(kiln *k, const ModelOptions *o, Model *model, int at, const char *path)
{
    const kiln_onnx_value *like = &model->in[at];
    if (!is_list(like) || !ends_in(path, ".pb")) return take(k, o, model, at, value_read(k, path, like));
    if (model->value[at].given) return usage_error(o->command, "input %s is given twice", like->name);
    if (parts_read(k, like, path, &model->value[at])) return FINE;
    return kiln_failed(k) ? engine_error(o->command, k) : BAD_INPUT;
}

/* Each tensor of the archive is the input of its name. */
static int read_archive(kiln *k, const ModelOptions *o, Model *model, const char *path)
{
    kiln_npz *z = kiln_npz_open_at(nowhere, k, path);
    int status = z ? FINE : engine_error(o->command, k);
    for (int i = 0; i < kiln_npz_count(z) && status == FINE; i++) {
        int at = 0;
        while (at < model->nin && strcmp(model->in[at].name, kiln_npz_name(z, i)) != 0) at++;
        if (at == model->nin)
            status = usage_error(o->command, "%s: %s has no input that is called '%s'", path, o->file, kiln_npz_name(z, i));
        else
            status = take(k, o, model, at, kiln_npz_read_at(nowhere, z, i));
    }
    kiln_npz_close(z);
    return status;
}

static int read_inputs(kiln *k, const ModelOptions *o, Model *model)
{
    int status = FINE;
    for (int i = 0; i < o->fixes && status == FINE; i++) {
        const char *rest;
        const int at = named_input(model, o->fix[i], &rest);
        if (at < 0) return usage_error(o->command, "--fix: '%s' is not NAME=VALUE with the name of an input", o->fix[i]);
        if (is_list(&model->in[at]))
            return usage_error(o->command, "--fix: %s is a list: --input gives its tensors", model->in[at].name);
        kiln_tensor *x = value_parse(k, rest, &model->in[at]);
        status = take(k, o, model, at, x ? x : value_read(k, rest, &model->in[at]));
        model->fixed[model->fixes++] = (kiln_onnx_fixed){model->in[at].name, model->value[at].at[0]};
    }
    for (int i = 0, next = 0; i < o->inputs && status == FINE; i++) {
        const char *rest = o->input[i];
        int at = named_input(model, o->input[i], &rest);
        if (at < 0 && ends_in(rest, ".npz")) {
            status = read_archive(k, o, model, rest);
            continue;
        }
        while (at < 0 && next < model->nin && model->value[next].given) next++;
        if (at < 0) at = next;
        if (at >= model->nin) return usage_error(o->command, "%s has %d inputs, fewer than are given", o->file, model->nin);
        status = take_file(k, o, model, at, rest);
    }
    return status;
}

static int read_signature(kiln *k, const ModelOptions *o, Model *model)
{
    model->nin = kiln_onnx_inputs_at(nowhere, model->m, model->in, VALUES);
    if (model->nin >= 0) model->nout = kiln_onnx_outputs_at(nowhere, model->m, model->out, VALUES);
    if (kiln_failed(k)) return engine_error(o->command, k);
    if (model->nin > VALUES || model->nout > VALUES) {
        say("kiln %s: %s: more than %d inputs or outputs", o->command, o->file, VALUES);
        return NO_RESOURCE;
    }
    return FINE;
}

int model_values_read(kiln *k, const ModelOptions *o, Model *model)
{
    const int status = read_signature(k, o, model);
    return status ? status : read_inputs(k, o, model);
}

bool model_has_lists(const Model *model)
{
    for (int i = 0; i < model->nin + model->nout; i++)
        if (is_list(i < model->nin ? &model->in[i] : &model->out[i - model->nin])) return true;
    return false;
}

int model_open(kiln *k, const ModelOptions *o, Model *model)
{
    memset(model, 0, sizeof *model);
    model->m = kiln_onnx_load_at(nowhere, k, o->file);
    const bool ready = model->m && (!o->fast || kiln_onnx_fast_at(nowhere, model->m));
    int status = ready ? read_signature(k, o, model) : engine_error(o->command, k);
    if (status == FINE && !model_has_lists(model) && !kiln_onnx_function_at(nowhere, model->m))
        status = engine_error(o->command, k); /* all that is missing */
    if (status == FINE) status = model_sizes_read(o, model);
    return status ? status : model_values_read(k, o, model);
}
