/* safetensors_write: writes named tensors to a file. Every file carries a CRC-32 of its header and one per tensor in its metadata,
 * which other readers of the format ignore. Relies on file.h and zlib's crc32. */
#include "safetensors.h"

#include <stdio.h>
#include <zlib.h>

/* ---- elements: little-endian in the file ------------------------------------------------------------ */
static void swap_bytes(unsigned char *p, size_t n, size_t each)
{
    for (size_t i = 0; each > 1 && i + each <= n; i += each)
        for (size_t a = i, b = i + each - 1; a < b; a++, b--) {
            unsigned char x = p[a];
            p[a] = p[b];
            p[b] = x;
        }
}

#define FOREIGN (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
#define CHUNK 65536

void safe_little(unsigned char *p, size_t n, size_t each)
{
    if (FOREIGN) swap_bytes(p, n, each);
}

uint32_t safe_crc(const void *bytes, size_t n) { return (uint32_t)crc32_z(0, bytes, n); }

typedef bool Sink(void *to, const void *bytes, size_t n);

/* The bytes as they stand in a file. */
static bool elements(const void *data, size_t n, size_t each, Sink *sink, void *to)
{
    if (!FOREIGN || each == 1) return sink(to, data, n);
    unsigned char chunk[CHUNK];
    for (size_t at = 0, k; at < n; at += k) {
        k = MIN_OF(n - at, CHUNK);
        memcpy(chunk, (const char *)data + at, k);
        swap_bytes(chunk, k, each);
        if (!sink(to, chunk, k)) return false;
    }
    return true;
}

static bool into_crc(void *to, const void *bytes, size_t n)
{
    *(uLong *)to = crc32_z(*(uLong *)to, bytes, n);
    return true;
}

static bool into_file(void *to, const void *bytes, size_t n) { return file_write(to, bytes, n); }

static size_t type_bytes(const Type *t) { return (size_t)type_count(t) * dtype_bytes((DType)t->dtype); }

/* Covers "F32 2 3 name" and then the elements, so that swapped or renamed tensors are noticed, too. */
uint32_t safe_checksum(const char *name, const Type *type, const void *data)
{
    char text[256];
    int n = snprintf(text, sizeof text, "%s", dtype_info[type->dtype].tag);
    for (int i = 0; i < type->rank; i++) n += snprintf(text + n, sizeof text - (size_t)n, " %lld", (long long)type->dim[i]);
    uLong crc = crc32_z(0, (const Bytef *)text, (size_t)n);
    crc = crc32_z(crc, (const Bytef *)" ", 1);
    crc = crc32_z(crc, (const Bytef *)name, strlen(name));
    elements(data, type_bytes(type), dtype_bytes((DType)type->dtype), into_crc, &crc);
    return (uint32_t)crc;
}

/* ---- writing ------------------------------------------------------------------------------------------ */
static void metadata(Text *j, const SafeWrite *w)
{
    text_printf(j, SAFE_BEGIN "00000000\"");
    if (w->step >= 0) text_printf(j, ",\"" SAFE_STEP "\":\"%lld\"", (long long)w->step);
    for (const char *const *m = w->meta; m && m[0] && m[1]; m += 2) {
        text_add(j, ",", 1);
        text_json(j, m[0]);
        text_add(j, ":", 1);
        text_json(j, m[1]);
    }
    for (int i = 0; i < w->count; i++) {
        const SafeOut *x = &w->tensor[i];
        Text key = {0};
        text_printf(&key, SAFE_CRC "%s", x->name);
        text_add(j, ",", 1);
        text_json(j, key.failed ? "" : key.at);
        j->failed |= key.failed;
        text_free(&key);
        text_printf(j, ":\"%08x\"", safe_checksum(x->name, x->type, x->data));
    }
    text_add(j, "}", 1);
}

/* Wide elements stand first, so that all are aligned in the file. */
static const size_t width[] = {8, 4, 2, 1};

static void header(Text *j, const SafeWrite *w)
{
    uint64_t at = 0;
    text_add(j, "\0\0\0\0\0\0\0\0", 8);
    metadata(j, w);
    for (size_t p = 0; p < COUNT_OF(width); p++)
        for (int i = 0; i < w->count; i++) {
            const Type *type = w->tensor[i].type;
            if (dtype_bytes((DType)type->dtype) != width[p]) continue;
            text_add(j, ",", 1);
            text_json(j, w->tensor[i].name);
            text_printf(j, ":{\"dtype\":\"%s\",\"shape\":[", dtype_info[type->dtype].tag);
            for (int d = 0; d < type->rank; d++) text_printf(j, "%s%lld", d ? "," : "", (long long)type->dim[d]);
            uint64_t end = at + type_bytes(type);
            text_printf(j, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)end);
            at = end;
        }
    text_add(j, "}", 1);
    while (!j->failed && j->len % 8) text_add(j, " ", 1);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

bool safe_names(Thread *t, kiln_site at, const char *what, const char **name, int n)
{
    char buf[72];
    const char *bad = NULL, *why = NULL;
    for (int i = 0; i < n && !why; i++) {
        bad = name[i] ? name[i] : "";
        why = !*bad                              ? "a name is empty or NULL"
              : strcmp(bad, "__metadata__") == 0 ? "the format keeps this name for itself"
              : !safe_utf8(bad, strlen(bad))     ? "the name is not UTF-8"
                                                 : NULL;
    }
    if (!why && n > 1) qsort(name, (size_t)n, sizeof *name, by_text);
    for (int i = 1; i < n && !why; i++)
        if (strcmp(name[i - 1], bad = name[i]) == 0) why = "two tensors have this name";
    if (!why) return true;
    fail(t, at, KILN_EVALUE, "%s: \"%s\": %s", what, safe_shown(bad, buf), why);
    return false;
}

static bool metadata_allowed(Thread *t, kiln_site at, const char *what, const char *const *meta)
{
    char buf[72];
    for (const char *const *m = meta; m && m[0]; m += 2) {
        const char *why = !m[1]                                                              ? "has no value"
                          : strncmp(m[0], "kiln.", 5) == 0                                   ? "is Kiln's own"
                          : strcmp(m[0], "format") == 0                                      ? "is Kiln's own"
                          : !safe_utf8(m[0], strlen(m[0])) || !safe_utf8(m[1], strlen(m[1])) ? "is not UTF-8"
                                                                                             : NULL;
        for (const char *const *o = meta; !why && o != m; o += 2)
            if (strcmp(o[0], m[0]) == 0) why = "occurs twice";
        if (!why) continue;
        fail(t, at, KILN_EVALUE, "%s: metadata key \"%s\" %s", what, safe_shown(m[0], buf), why);
        return false;
    }
    return true;
}

static bool write_all(FileOut *f, const Text *j, const SafeWrite *w)
{
    bool ok = file_write(f, j->at, j->len);
    for (size_t p = 0; p < COUNT_OF(width); p++)
        for (int i = 0; i < w->count && ok; i++) {
            const Type *type = w->tensor[i].type;
            size_t each = dtype_bytes((DType)type->dtype);
            if (each == width[p]) ok = elements(w->tensor[i].data, type_bytes(type), each, into_file, f);
        }
    return ok;
}

/* The header's length, and its checksum with zeros in that place. */
static void seal(Text *j)
{
    char digits[9];
    for (int i = 0; i < 8; i++) j->at[i] = (char)((uint64_t)(j->len - 8) >> 8 * i);
    snprintf(digits, sizeof digits, "%08x", safe_crc(j->at + 8, j->len - 8));
    memcpy(j->at + 8 + strlen(SAFE_BEGIN), digits, 8);
}

bool safe_write(Thread *t, kiln_site at, const char *what, const char *path, const SafeWrite *w)
{
    if (!metadata_allowed(t, at, what, w->meta)) return false;
    Text j = {0};
    FileOut f;
    bool ok = false;
    header(&j, w);
    if (j.failed) {
        fail(t, at, KILN_EMEMORY, "%s: %s: no memory for the header", what, path);
    } else if (j.len - 8 > SAFE_HEADER_MAX) {
        fail(t, at, KILN_EUNSUPPORTED, "%s: %s: the names need a header of %zu bytes; at most %u are allowed", what, path,
            j.len - 8, SAFE_HEADER_MAX);
    } else if (file_begin(&f, t, at, what, path, w->stem)) {
        seal(&j);
        ok = write_all(&f, &j, w);
        if (ok)
            ok = file_commit(&f);
        else
            file_abandon(&f);
    }
    text_free(&j);
    return ok;
}

/* Runs in a scope of the caller's, which holds packed copies of views. */
static bool collect(Thread *t, kiln_site at, const char *const *name, kiln_tensor *const *x, int count, SafeOut *out)
{
    char text[160];
    for (int i = 0; i < count; i++) {
        if (!tensor_ok(x[i]) || x[i]->state != TENSOR_EAGER) {
            fail(t, at, KILN_ESTATE, "safetensors: tensor %d is %s", i, tensor_text(x[i], text, sizeof text));
            return false;
        }
        const kiln_tensor *packed = tensor_host(t, at, x[i]);
        if (!tensor_ok(packed)) return false;
        out[i] = (SafeOut){name[i], &packed->type, packed->data};
    }
    return true;
}

bool kiln_safetensors_write_at(
    kiln_site at, kiln *k, const char *path, const char *const *name, kiln_tensor *const *x, int count, const char *const *meta)
{
    Thread *t = thread_of(k);
    if (!file_allowed(t, at, "safetensors", path)) return false;
    if (count < 0 || (count && (!name || !x))) {
        fail(t, at, KILN_EVALUE, "safetensors: the count is %d, or a list is NULL", count);
        return false;
    }
    size_t n = (size_t)count + 1;
    SafeOut *out = mem_zeros(n, sizeof *out);
    const char **sorted = mem_zeros(n, sizeof *sorted);
    bool ok = out && sorted;
    if (!ok) fail(t, at, KILN_EMEMORY, "safetensors: %s: no memory", path);
    if (ok && count) memcpy(sorted, name, (size_t)count * sizeof *sorted);
    kiln_scope s = kiln_scope_open(k);
    ok = ok && safe_names(t, at, "safetensors", sorted, count) && collect(t, at, name, x, count, out) &&
         safe_write(t, at, "safetensors", path, &(SafeWrite){.tensor = out, .count = count, .meta = meta, .step = -1});
    kiln_scope_close(&s);
    mem_free(sorted, sorted ? n * sizeof *sorted : 0);
    mem_free(out, out ? n * sizeof *out : 0);
    return ok;
}
