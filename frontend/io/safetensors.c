/* safetensors: opens a file of named tensors, tells what it holds and reads it; safetensors_header.c parses the header,
 * safetensors_write.c writes files. Checksums that Kiln wrote are verified wherever a file has them. Relies on file.h. Never maps
 * memory. */
#include "safetensors.h"

#include <stdio.h>

/* ---- opening ------------------------------------------------------------------------------------------ */
static void clean(Object *o)
{
    kiln_safetensors *f = (kiln_safetensors *)o;
    file_close(&f->file);
    arena_free(&f->arena);
    if (f->path) mem_free(f->path, strlen(f->path) + 1);
}

typedef struct Parsing {
    kiln_safetensors *f;
    size_t bytes;
    Status *st;
    bool ok;
} Parsing;

/* A header that Kiln wrote begins with its own checksum. */
static bool intact(kiln_safetensors *f, char *json, size_t n, Status *st)
{
    size_t at = strlen(SAFE_BEGIN);
    char want[9] = {0}, have[9];
    if (n < at + 8 || memcmp(json, SAFE_BEGIN, at) != 0) return true;
    memcpy(want, json + at, 8);
    memcpy(json + at, "00000000", 8);
    snprintf(have, sizeof have, "%08x", safe_crc(json, n));
    memcpy(json + at, want, 8);
    f->guarded = strcmp(have, want) == 0;
    return f->guarded || status_fail(st, ST_FORMAT, "the header is damaged: its checksum is %s, not the one stored in it", have);
}

static void parse(void *arg)
{
    Parsing *p = arg;
    char *json = arena_alloc(&p->f->arena, p->bytes + 1);
    p->ok = file_read(&p->f->file, 8, json, p->bytes) && intact(p->f, json, p->bytes, p->st) &&
            safe_header_parse(&p->f->arena, json, p->bytes, p->f->file.size - p->f->data, &p->f->header, p->st);
}

static bool open_header(kiln_safetensors *f)
{
    FileIn *in = &f->file;
    unsigned char b[8];
    uint64_t n = 0;
    if (in->size < 8) {
        fail(in->t, in->at, KILN_EFORMAT, "%s: %s: not a safetensors file: %llu bytes are too short", in->what, in->path,
            (unsigned long long)in->size);
        return false;
    }
    if (!file_read(in, 0, b, 8)) return false;
    for (int i = 8; i-- > 0;) n = n << 8 | b[i];
    if (n > in->size - 8 || n > SAFE_HEADER_MAX) {
        fail(in->t, in->at, KILN_EFORMAT,
            "%s: %s: not a safetensors file: its header would have %llu bytes, the file has %llu; at most %u are allowed", in->what,
            in->path, (unsigned long long)n, (unsigned long long)in->size, SAFE_HEADER_MAX);
        return false;
    }
    f->data = 8 + n;
    Status st = {0};
    Parsing p = {f, (size_t)n, &st, false};
    if (arena_try(&f->arena, &st, parse, &p) && p.ok) return true;
    if (st.code) fail(in->t, in->at, (kiln_code)st.code, "%s: %s: %s", in->what, in->path, st.text);
    return false;
}

kiln_safetensors *safe_open(Thread *t, kiln_site at, const char *what, const char *path)
{
    kiln_safetensors *f = object_new(at, t->k, sizeof *f, clean);
    if (!f) return NULL;
    arena_init(&f->arena);
    f->file.fd = -1;
    f->path = mem_strdup(path);
    if (!f->path)
        fail(t, at, KILN_EMEMORY, "%s: %s: no memory", what, path);
    else if (file_open(&f->file, t, at, what, f->path) && open_header(f))
        return f;
    object_free(&f->o);
    return NULL;
}

kiln_safetensors *kiln_safetensors_open_at(kiln_site at, kiln *k, const char *path)
{
    Thread *t = thread_of(k);
    return file_allowed(t, at, "safetensors", path) ? safe_open(t, at, "safetensors", path) : NULL;
}

void kiln_safetensors_close(kiln_safetensors *f)
{
    if (f) object_free(&f->o);
}

/* ---- looking ------------------------------------------------------------------------------------------ */
static const SafeTensor *tensor_at(const kiln_safetensors *f, int i)
{
    return f && i >= 0 && (uint32_t)i < f->header.tensor.len ? &f->header.tensor.at[i] : NULL;
}

int kiln_safetensors_count(const kiln_safetensors *f) { return f ? (int)f->header.tensor.len : 0; }

int kiln_safetensors_find(const kiln_safetensors *f, const char *name)
{
    uint32_t lo = 0, hi = f && name ? f->header.tensor.len : 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = strcmp(f->header.tensor.at[mid].name, name);
        if (c == 0) return (int)mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

const char *kiln_safetensors_metadata(const kiln_safetensors *f, const char *key)
{
    uint32_t lo = 0, hi = f && key ? f->header.meta.len : 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = strcmp(f->header.meta.at[mid].key, key);
        if (c == 0) return f->header.meta.at[mid].value;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const char *kiln_safetensors_name(const kiln_safetensors *f, int i)
{
    const SafeTensor *x = tensor_at(f, i);
    return x ? x->name : NULL;
}

kiln_dtype kiln_safetensors_dtype(const kiln_safetensors *f, int i)
{
    const SafeTensor *x = tensor_at(f, i);
    return x ? (kiln_dtype)x->type.dtype : KILN_NONE;
}

kiln_shape kiln_safetensors_shape(const kiln_safetensors *f, int i)
{
    const SafeTensor *x = tensor_at(f, i);
    kiln_shape s = {.rank = x ? x->type.rank : 0};
    for (int d = 0; d < s.rank; d++) s.size[d + 1] = x->type.dim[d];
    return s;
}

/* ---- reading ------------------------------------------------------------------------------------------ */
/* True if the file has no checksum for the tensor, or the right one. */
static bool verified(
    const kiln_safetensors *f, Thread *t, kiln_site at, const char *what, const SafeTensor *s, const kiln_tensor *x)
{
    char buf[72], have[16];
    Text key = {0};
    text_printf(&key, SAFE_CRC "%s", s->name);
    if (key.failed) {
        text_free(&key);
        fail(t, at, KILN_EMEMORY, "%s: %s: no memory", what, f->path);
        return false;
    }
    const char *want = kiln_safetensors_metadata(f, key.at);
    text_free(&key);
    if (!want) return true;
    snprintf(have, sizeof have, "%08x", safe_checksum(s->name, &x->type, x->data));
    if (strcmp(have, want) == 0) return true;
    fail(t, at, KILN_EFORMAT, "%s: %s: tensor \"%s\" is damaged: its checksum is %s, not %.16s", what, f->path,
        safe_shown(s->name, buf), have, want);
    return false;
}

static bool true_or_false(Thread *t, kiln_site at, const char *what, const char *path, const SafeTensor *s, const kiln_tensor *x)
{
    char buf[72];
    const unsigned char *p = (const unsigned char *)x->data;
    for (int64_t i = 0, n = type_count(&x->type); x->type.dtype == DT_bool && i < n; i++)
        if (p[i] > 1) {
            fail(t, at, KILN_EFORMAT, "%s: %s: tensor \"%s\": element %lld is %d, not 0 or 1", what, path, safe_shown(s->name, buf),
                (long long)i, p[i]);
            return false;
        }
    return true;
}

kiln_tensor *safe_read(kiln_safetensors *f, Thread *t, kiln_site at, const char *what, int i)
{
    char buf[72];
    const SafeTensor *s = tensor_at(f, i);
    if (s->type.dtype == DT_NONE) {
        fail(t, at, KILN_EUNSUPPORTED, "%s: %s: tensor \"%s\" is %s, a dtype that Kiln does not support", what, f->path,
            safe_shown(s->name, buf), s->format->name);
        return NULL;
    }
    FileIn in = f->file;
    in.t = t;
    in.at = at;
    in.what = what;
    kiln_tensor *x = tensor_empty(t, at, &s->type);
    size_t bytes = (size_t)(s->end - s->begin);
    if (!x || !file_read(&in, f->data + s->begin, x->data, bytes)) return NULL;
    safe_little((unsigned char *)x->data, bytes, dtype_bytes((DType)s->type.dtype));
    return verified(f, t, at, what, s, x) && true_or_false(t, at, what, f->path, s, x) ? x : NULL;
}

kiln_tensor *kiln_safetensors_read_at(kiln_site at, kiln_safetensors *f, int i)
{
    Thread *t = f ? thread_of(f->o.k) : thread_last();
    if (!t) return NULL;
    if (!f || !tensor_at(f, i))
        return fail(t, at, f ? KILN_EVALUE : KILN_ESTATE,
            f ? "safetensors: %s has no tensor %d; it has %u" : "safetensors: the file is NULL", f ? f->path : NULL, i,
            f ? f->header.tensor.len : 0);
    if (!file_allowed(t, at, "safetensors", f->path)) return &t->k->poison;
    kiln_tensor *x = safe_read(f, t, at, "safetensors", i);
    return x ? tensor_place(t, at, x) : &t->k->poison;
}
