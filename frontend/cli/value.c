/* value: tensors from files and from text, and models with the inputs that a command line gives them. Relies on the public
 * interface. */
#include "value.h"

#include <ctype.h>
#include <errno.h>
#include <kiln/io.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../engine/escape.h"
#include "../engine/file.h"

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
        if (like->size[i] >= 0 ? __builtin_mul_overflow(known, (size_t)like->size[i], &known) : open >= 0) return false;
        if (like->size[i] < 0) open = i;
    }
    if (open >= 0 && known && bytes % known == 0)
        s->size[1 + open] = (int64_t)(bytes / known);
    else if (like->rank >= 0 && bytes != known)
        return false;
    return true;
}

static kiln_tensor *read_raw(kiln *k, const char *path, const kiln_onnx_value *like)
{
    Thread *t = thread_of(k);
    const kiln_dtype type = like->dtype ? like->dtype : KILN_F32;
    FileIn f;
    kiln_shape s;
    kiln_tensor *x = NULL;
    if (!file_allowed(t, nowhere, "raw", path) || !file_open(&f, t, nowhere, "raw", path)) return NULL;
    const size_t bytes = (size_t)f.size;
    char *at = raw_shape(like, bytes, &s) ? mem_alloc(bytes + 1) : NULL;
    if (!raw_shape(like, bytes, &s))
        fail(t, nowhere, KILN_EFORMAT, "raw: %s: its bytes fit no size of the input", path);
    else if (!at)
        fail(t, nowhere, KILN_EMEMORY, "raw: %s: no memory for %zu bytes", path, bytes);
    else if (file_read(&f, 0, at, bytes))
        x = kiln_from_at(nowhere, k, type, s, at, (int64_t)(bytes / kiln_dtype_bytes(type)));
    if (at) mem_free(at, bytes + 1);
    file_close(&f);
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
 * NULL, and no error: they are not numbers, or whole ones so large that they are not exact here. */
static kiln_tensor *value_parse(kiln *k, const char *text, const kiln_onnx_value *like)
{
    double v[1024];
    int n = 0;
    const bool row = *text == '[', floats = like->dtype >= KILN_F16;
    for (text += row; !row || n || *text != ']';) {
        char *end;
        if (n == (int)COUNT_OF(v)) return NULL;
        v[n] = strtod(text, &end);
        if (end == text || (!floats && fabs(v[n]) > 0x1p53)) return NULL;
        n++;
        text = end + strspn(end, " ");
        if (*text != ',') break;
        text++;
    }
    if (row && *text++ != ']') return NULL;
    if (*text) return NULL;
    const bool scalar = n == 1 && !row && like->rank <= 0;
    return kiln_from_doubles_at(nowhere, k, like->dtype ? like->dtype : KILN_I64, scalar ? KILN_SHAPE() : KILN_SHAPE(n), v, n);
}

bool value_path(char *path, size_t cap, const char *folder, const char *name, const char *end)
{
    const size_t n = (size_t)snprintf(path, cap, "%s/", folder);
    const size_t all = n < cap ? n + (size_t)snprintf(path + n, cap - n, "%s%s%s", *name == '.' ? "_" : "", name, end) : n;
    for (char *c = path + MIN_OF(n, cap - 1); *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c)) *c = '_';
    if (all < cap) return true;
    say("%s: its path would be longer than %zu bytes", folder, cap - 1);
    return false;
}

const char *value_name(const kiln_onnx_value *v, char to[100])
{
    snprintf(to, 100, "%s", v->name);
    text_line(to);
    return to;
}

static bool write_raw(kiln *k, kiln_tensor *x, const char *path)
{
    const size_t bytes = kiln_bytes(x);
    Thread *t = thread_of(k);
    char *at = mem_alloc(bytes + 1);
    if (!at) fail(t, nowhere, KILN_EMEMORY, "raw: %s: no memory for %zu bytes", path, bytes);
    const bool ok = at && kiln_read_at(nowhere, kiln_of_tensor(x), at, bytes) && file_allowed(t, nowhere, "raw", path) &&
                    file_put(t, nowhere, "raw", path, at, bytes);
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
        const bool first = equals && isdigit((unsigned char)equals[1]), none = equals && strcmp(equals + 1, "none") == 0;
        if (first && strncmp(end, "..", 2) == 0) hi = isdigit((unsigned char)end[2]) ? strtoll(end + 2, &end, 10) : -1;
        if (none) lo = hi = KILN_ONNX_NONE;
        if (first && !*end && errno == 0 && hi >= 0 && hi < lo)
            return usage_error(o->command, "--dim: '%s': the lowest size is above the highest", o->dim[i]);
        if (!len || len >= sizeof model->name[i] || (!none && (!first || *end || lo < 0 || hi < lo || errno == ERANGE)))
            return usage_error(o->command, "--dim: '%s' is not NAME=SIZE or NAME=LOWEST..HIGHEST", o->dim[i]);
        snprintf(model->name[i], sizeof model->name[i], "%.*s", (int)len, o->dim[i]);
        for (int j = 0; j < i; j++)
            if (strcmp(model->name[i], model->name[j]) == 0)
                return usage_error(o->command, "--dim: %s is given twice", model->name[i]);
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

/* Whether it is what the model states. */
static bool as_stated(const kiln_onnx_value *v, const kiln_tensor *x)
{
    bool same = (!v->dtype || v->dtype == kiln_dtype_of(x)) && (v->rank < 0 || v->rank == kiln_rank(x));
    for (int i = 0; same && i < v->rank; i++) same = v->size[i] < 0 || v->size[i] == kiln_dim(x, i);
    return same;
}

static int not_as_stated(const ModelOptions *o, const kiln_onnx_value *v, const kiln_tensor *x)
{
    Text text = {0};
    text_printf(&text, "kiln %s: the value for input %s is %s[", o->command, v->name, kiln_dtype_name(kiln_dtype_of(x)));
    for (int i = 0; i < kiln_rank(x); i++) text_printf(&text, "%s%lld", i ? "," : "", (long long)kiln_dim(x, i));
    text_printf(&text, "], but %s states %s", o->file, v->dtype ? kiln_dtype_name(v->dtype) : "");
    for (int i = 0; i < v->rank; i++)
        if (v->size[i] < 0)
            text_printf(&text, "%c%s", i ? ',' : '[', v->size_name[i] ? v->size_name[i] : "?");
        else
            text_printf(&text, "%c%lld", i ? ',' : '[', (long long)v->size[i]);
    if (v->rank >= 0) text_printf(&text, v->rank ? "]" : "[]");
    say("%s", text.failed ? "no memory" : text.at);
    text_free(&text);
    return BAD_INPUT;
}

/* A tensor for the input. Of a list it is one more. */
static int take(kiln *k, const ModelOptions *o, Model *model, int at, kiln_tensor *x)
{
    Parts *to = &model->value[at];
    if (!x || kiln_failed(k)) return kiln_failed(k) ? engine_error(o->command, k) : BAD_INPUT;
    const int most = is_list(&model->in[at]) && model->in[at].kind != KILN_ONNX_OPTIONAL ? VALUES : 1;
    if (to->given && (to->list.count < 0 || to->list.count >= most))
        return usage_error(o->command, most == 1 ? "input %s is given twice" : "input %s is given too often", model->in[at].name);
    if (!o->examples && !as_stated(&model->in[at], x)) return not_as_stated(o, &model->in[at], x);
    to->at[to->list.count++] = x;
    to->list.at = to->at;
    to->given = true;
    return FINE;
}

static int take_file(kiln *k, const ModelOptions *o, Model *model, int at, const char *path)
{
    const kiln_onnx_value *like = &model->in[at];
    if (!*path) return usage_error(o->command, "input %s has an empty name in place of a file's", like->name);
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

static int read_fixed(kiln *k, const ModelOptions *o, Model *model, const char *text)
{
    const char *rest;
    const int at = named_input(model, text, &rest);
    if (at < 0) return usage_error(o->command, "--fix: '%s' is not NAME=VALUE with the name of an input", text);
    if (is_list(&model->in[at]))
        return usage_error(o->command, "--fix: %s is a list: --input gives its tensors", model->in[at].name);
    if (!*rest) return usage_error(o->command, "--fix: %s has neither numbers nor a file", model->in[at].name);
    ModelOptions stated = *o;
    stated.examples = false; /* it is not one, but the only value */
    kiln_tensor *x = value_parse(k, rest, &model->in[at]);
    if (kiln_failed(k)) return engine_error(o->command, k), BAD_USAGE;
    const int status = take(k, &stated, model, at, x ? x : value_read(k, rest, &model->in[at]));
    if (status == FINE) model->fixed[model->fixes++] = (kiln_onnx_fixed){model->in[at].name, model->value[at].at[0]};
    return status;
}

static int read_inputs(kiln *k, const ModelOptions *o, Model *model)
{
    int status = FINE;
    for (int i = 0; i < o->fixes && status == FINE; i++) status = read_fixed(k, o, model, o->fix[i]);
    for (int i = 0, next = 0; i < o->inputs && status == FINE; i++) {
        const char *rest = o->input[i];
        int at = named_input(model, o->input[i], &rest);
        if (at < 0 && ends_in(rest, ".npz")) {
            status = read_archive(k, o, model, rest);
            continue;
        }
        const char *equals = at < 0 ? strchr(rest, '=') : NULL;
        if (equals && access(rest, F_OK) != 0)
            return usage_error(o->command, "--input: %s has no input that is called '%.*s'", o->file, (int)(equals - rest), rest);
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
    if (kiln_failed(k)) return model_error(o->command, k);
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

int model_error(const char *command, kiln *k)
{
    const int status = engine_error(command, k);
    return status == CHECK_FAILED ? BAD_INPUT : status;
}

int model_open(kiln *k, const ModelOptions *o, Model *model)
{
    memset(model, 0, sizeof *model);
    model->m = kiln_onnx_load_at(nowhere, k, o->file);
    const bool ready = model->m && (!o->fast || kiln_onnx_fast_at(nowhere, model->m));
    int status = ready ? read_signature(k, o, model) : model_error(o->command, k);
    if (status == FINE && !model_has_lists(model) && !kiln_onnx_function_at(nowhere, model->m))
        status = model_error(o->command, k); /* all that is missing */
    if (status == FINE) status = model_sizes_read(o, model);
    return status ? status : model_values_read(k, o, model);
}
