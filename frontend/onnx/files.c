/* files: values in files of their own, as ONNX's test data have them: a tensor, a sequence, an optional. Anybody may have written
 * them. Relies on import.h. */
#include "import.h"

typedef struct ValueFile {
    Thread *t;
    kiln_site at;
    FileIn file;
    Arena arena;
    kiln_onnx_kind kind;
    kiln_onnx_list *to;
    bool ok;
} ValueFile;

static const kiln_onnx nowhere = {.folder = -1}; /* files have no other files */

static bool bad_value(ValueFile *f, const Status *st)
{
    fail(f->t, f->at, (kiln_code)st->code, "onnx: %s: %s", f->file.path, st->text);
    return false;
}

/* ---- what is in it ------------------------------------------------------------------------------------ */

static bool add_tensor(ValueFile *f, const OnnxTensor *x, Status *st)
{
    kiln_onnx_list *to = f->to;
    const int i = to->count;
    if (i < to->cap && !tensor_check(&nowhere, x, st)) return bad_value(f, st);
    to->count++;
    if (i >= to->cap) return true;
    if (onnx_dtype(x->type)->dtype == DT_NONE)
        return status_fail(st, ST_UNSUPPORTED, "tensor '%s' has the dtype %s, which Kiln has not", shown(x->name).text,
                   onnx_dtype(x->type)->name),
               bad_value(f, st);
    to->at[i] = tensor_value(f->t, f->at, &nowhere, x);
    return tensor_ok(to->at[i]);
}

static bool add_sequence(ValueFile *f, const OnnxSequence *x, Status *st)
{
    const char *other = x->sparse.n      ? "sparse tensors"
                        : x->sequences.n ? "sequences"
                        : x->maps.n      ? "maps"
                        : x->optionals.n ? "optionals"
                                         : NULL;
    if (other)
        return status_fail(st, ST_UNSUPPORTED, "a sequence of %s is not supported, only one of tensors", other), bad_value(f, st);
    if (x->type < 0 || x->type > 1)
        return status_fail(st, ST_UNSUPPORTED, "a sequence of values of type %lld is not supported, only one of tensors",
                   (long long)x->type),
               bad_value(f, st);
    for (uint32_t i = 0; i < x->tensors.n; i++) {
        const OnnxTensor *one = &x->tensors.at[i];
        Status why = {0};
        if (one->type != x->tensors.at[0].type)
            return status_fail(st, ST_FORMAT, "tensor %u of the sequence has another dtype than tensor 0", i), bad_value(f, st);
        if (f->to->count < f->to->cap && !tensor_check(&nowhere, one, &why))
            return status_fail(st, why.code, "tensor %u of the sequence: %s", i, why.text), bad_value(f, st);
        if (!add_tensor(f, one, st)) return false;
    }
    return true;
}

static bool add_optional(ValueFile *f, const OnnxOptional *x, Status *st)
{
    const bool many = f->kind == KILN_ONNX_OPTIONAL_SEQUENCE, other = x->sparse.at || x->map.at || x->optional.at;
    if (other || x->type < 0 || (x->type > 1 && x->type != 3))
        return status_fail(st, ST_UNSUPPORTED, "an optional of type %lld is not supported, only of a tensor or a sequence",
                   (long long)x->type),
               bad_value(f, st);
    if (x->tensor ? many || x->sequence : x->sequence && !many)
        return status_fail(st, ST_FORMAT, "it holds %s, but %s is wanted", x->tensor ? "a tensor" : "a sequence",
                   many ? "a sequence" : "a tensor"),
               bad_value(f, st);
    if (x->tensor) return add_tensor(f, x->tensor, st);
    if (x->sequence) return add_sequence(f, x->sequence, st);
    f->to->count = KILN_ONNX_NONE;
    return true;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static void read_value(void *arg)
{
    ValueFile *f = arg;
    Status st = {0};
    uint8_t *bytes = arena_alloc(&f->arena, (size_t)f->file.size + 1);
    const Bytes all = {bytes, (size_t)f->file.size};
    if (!file_read(&f->file, 0, bytes, all.n)) return;
    if (f->kind == KILN_ONNX_TENSOR) {
        const OnnxTensor *x = proto_tensor(&f->arena, all, &st);
        f->ok = x ? add_tensor(f, x, &st) : bad_value(f, &st);
    } else if (f->kind == KILN_ONNX_SEQUENCE) {
        const OnnxSequence *x = proto_sequence(&f->arena, all, &st);
        f->ok = x ? add_sequence(f, x, &st) : bad_value(f, &st);
    } else {
        const OnnxOptional *x = proto_optional(&f->arena, all, &st);
        f->ok = x ? add_optional(f, x, &st) : bad_value(f, &st);
    }
}

bool kiln_onnx_read_at(kiln_site at, kiln *k, kiln_onnx_kind kind, const char *path, kiln_onnx_list *to)
{
    ValueFile f = {.t = thread_of(k), .at = at, .kind = kind, .to = to};
    Status st = {0};
    if (!f.t) return false;
    if (!to || to->cap < 0 || (to->cap != 0 && !to->at) || kind < KILN_ONNX_TENSOR || kind >= KILN_ONNX_OTHER) {
        fail(f.t, at, KILN_EVALUE, "onnx: there is no list to read into, or the kind is none that is read");
        return false;
    }
    to->count = 0;
    if (!file_allowed(f.t, at, "onnx", path) || !file_open(&f.file, f.t, at, "onnx", path)) return false;
    arena_init(&f.arena);
    if (!arena_try(&f.arena, &st, read_value, &f)) f.ok = bad_value(&f, &st);
    arena_free(&f.arena);
    file_close(&f.file);
    if (!f.ok) to->count = 0;
    return f.ok;
}

kiln_tensor *kiln_onnx_tensor_at(kiln_site at, kiln *k, const char *path)
{
    kiln_tensor *x = NULL;
    kiln_onnx_list one = {.at = &x, .cap = 1};
    if (kiln_onnx_read_at(at, k, KILN_ONNX_TENSOR, path, &one)) return x;
    return k ? &k->poison : NULL;
}
