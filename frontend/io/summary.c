/* summary: TensorBoard's event files: TFRecord frames (length, masked CRC-32C, bytes, masked CRC-32C) around Event messages in the
 * protobuf wire format. TensorBoard reads them while they grow, so they are appended to under their final, new name: by whole
 * frames, or, after a failure, not at all. Relies on file.h. Never reads such a file. */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "../ops/ops.h"
#include "safetensors.h"

#define WHAT "summary"
#define FLUSH_AT 65536
#define HELD_MAX ((size_t)1 << 20) /* most bytes of scalars kept while the disk is full */

struct kiln_summary {
    Object o;
    char *path;
    int fd;
    off_t size; /* bytes of whole frames in the file */
    Text held;
};

/* ---- frames ------------------------------------------------------------------------------------------- */
/* CRC-32C (Castagnoli), four bits at a time: the remainders of the 16 values. */
static uint32_t crc32c(const char *p, size_t n)
{
    static const uint32_t step[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362,
        0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)p[i];
        crc = crc >> 4 ^ step[crc & 15];
        crc = crc >> 4 ^ step[crc & 15];
    }
    return ~crc;
}

static void put_little(Text *to, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) text_add(to, (char[]){(char)(v >> 8 * i)}, 1);
}

/* Masks a CRC, as TensorFlow's record_writer does, because the CRC of bytes that contain their CRC is a weak one. */
static uint32_t masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }

static void put_frame(Text *to, const Text *event)
{
    Text length = {0};
    put_little(&length, event->len, 8);
    if (length.failed || event->failed) {
        to->failed = true;
    } else {
        text_add(to, length.at, 8);
        put_little(to, masked(crc32c(length.at, 8)), 4);
        text_add(to, event->at, event->len);
        put_little(to, masked(crc32c(event->at, event->len)), 4);
    }
    text_free(&length);
}

/* ---- messages ----------------------------------------------------------------------------------------- */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void put_varint(Text *to, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) text_add(to, (char[]){(char)(v | 0x80)}, 1);
    text_add(to, (char[]){(char)v}, 1);
}

static void put_key(Text *to, uint32_t field, uint32_t wire) { put_varint(to, field << 3 | wire); }

static void put_bytes(Text *to, uint32_t field, const char *bytes, size_t n)
{
    put_key(to, field, BYTES);
    put_varint(to, n);
    text_add(to, bytes, n);
}

static void put_time(Text *event)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    uint64_t bits;
    memcpy(&bits, &seconds, sizeof bits);
    put_key(event, 1, FIXED64);
    put_little(event, bits, 8);
}

/* Event {wall_time = 1, step = 2, file_version = 3, summary = 5}; Summary {value = 1};
 * Value {tag = 1, simple_value = 2}. */
static void put_version(Text *to)
{
    Text event = {0};
    static const char version[] = "brain.Event:2";
    put_time(&event);
    put_bytes(&event, 3, version, sizeof version - 1);
    put_frame(to, &event);
    text_free(&event);
}

static void put_scalar(Text *to, const char *tag, int64_t step, float value)
{
    Text item = {0}, list = {0}, event = {0};
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_bytes(&item, 1, tag, strlen(tag));
    put_key(&item, 2, FIXED32);
    put_little(&item, bits, 4);
    put_bytes(&list, 1, item.at, item.len);
    put_time(&event);
    put_key(&event, 2, VARINT);
    put_varint(&event, (uint64_t)step);
    put_bytes(&event, 5, list.at, list.len);
    if (item.failed || list.failed) event.failed = true;
    put_frame(to, &event);
    text_free(&item);
    text_free(&list);
    text_free(&event);
}

/* ---- the file ----------------------------------------------------------------------------------------- */
static Thread *begin(kiln_site at, const kiln_summary *s)
{
    Thread *t = s ? thread_of(s->o.k) : thread_last();
    if (s) return file_allowed(t, at, WHAT, s->path) ? t : NULL;
    fail(t, at, KILN_ESTATE, WHAT ": the writer is NULL");
    return NULL;
}

/* Writes whole frames or none: a part that a full disk took is cut off again. */
static bool flush(Thread *t, kiln_site at, kiln_summary *s)
{
    FileOut f = {.t = t, .at = at, .what = WHAT, .path = s->path, .fd = s->fd};
    if (s->held.len == 0) return true;
    if (!file_write(&f, s->held.at, s->held.len)) {
        if (ftruncate(s->fd, s->size) != 0 || lseek(s->fd, s->size, SEEK_SET) < 0)
            file_failed(t, at, WHAT, s->path, "remove an incomplete record");
        return false;
    }
    s->size += (off_t)s->held.len;
    s->held.len = 0;
    return true;
}

static void clean(Object *o)
{
    kiln_summary *s = (kiln_summary *)o;
    if (s->fd >= 0) {
        flush(NULL, (kiln_site){NULL, 0}, s); /* NULL: nobody can be told any more */
        close(s->fd);
    }
    text_free(&s->held);
    if (s->path) mem_free(s->path, strlen(s->path) + 1);
}

/* Gives each writer a file name of its own, however many there are. */
static bool create(kiln_summary *s, Thread *t, kiln_site at, const char *folder)
{
    char host[256] = "localhost";
    if (gethostname(host, sizeof host) != 0 || !*host) snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    for (int i = 0;; i++) {
        Text path = {0};
        text_printf(&path, "%s/events.out.tfevents.%010lld.%s.%ld.%d", folder, (long long)time(NULL), host, (long)getpid(), i);
        s->path = path.failed ? NULL : mem_strdup(path.at);
        text_free(&path);
        if (!s->path) return fail(t, at, KILN_EMEMORY, WHAT ": %s: no memory", folder), false;
        FileOut f;
        bool made = file_create(&f, t, at, WHAT, s->path);
        s->fd = f.fd;
        if (made) return true;
        if (errno != EEXIST) return file_failed(t, at, WHAT, s->path, "create");
        mem_free(s->path, strlen(s->path) + 1);
    }
}

static bool out_of_memory(Thread *t, kiln_site at, kiln_summary *s, size_t whole)
{
    s->held.len = whole;
    s->held.failed = false;
    fail(t, at, KILN_EMEMORY, WHAT ": %s: no memory", s->path);
    return false;
}

kiln_summary *kiln_summary_open_at(kiln_site at, kiln *k, const char *folder)
{
    Thread *t = thread_of(k);
    if (!file_allowed(t, at, WHAT, folder) || !file_folder(t, at, WHAT, folder)) return NULL;
    kiln_summary *s = object_new(at, k, sizeof *s, clean);
    if (!s) return NULL;
    s->fd = -1;
    bool ok = create(s, t, at, folder);
    if (ok) put_version(&s->held);
    if (ok && s->held.failed) ok = out_of_memory(t, at, s, 0);
    if (ok && flush(t, at, s)) return s;
    object_free(&s->o);
    return NULL;
}

static bool number(Thread *t, kiln_site at, kiln_operand o, double *out)
{
    if (operand_is_number(o)) {
        *out = o.kind == 3 ? o.as.f : o.kind == 5 ? (double)o.as.u : (double)o.as.i;
        return true;
    }
    kiln_scope scope = kiln_scope_open(t->k);
    uint64_t failures = t->failures;
    *out = kiln_item_at(at, o);
    kiln_scope_close(&scope);
    return t->failures == failures && (o.kind != 1 || tensor_ok(o.as.tensor));
}

bool kiln_summary_scalar_at(kiln_site at, kiln_summary *s, const char *tag, int64_t step, kiln_operand value)
{
    Thread *t = begin(at, s);
    if (!t) return false;
    if (!tag || !*tag || !safe_utf8(tag, strlen(tag)) || step < 0) {
        fail(t, at, KILN_EVALUE, WHAT ": step %lld of tag \"%s\": %s", (long long)step, tag ? tag : "NULL",
            step < 0 ? "a step must be 0 or more" : "a tag must be a text in UTF-8");
        return false;
    }
    double v = 0;
    if (!number(t, at, value, &v)) return false;
    size_t whole = s->held.len;
    if (whole > HELD_MAX && !flush(t, at, s)) return false;
    whole = s->held.len;
    put_scalar(&s->held, tag, step, (float)v);
    if (s->held.failed) return out_of_memory(t, at, s, whole);
    return s->held.len < FLUSH_AT || flush(t, at, s);
}

bool kiln_summary_flush_at(kiln_site at, kiln_summary *s)
{
    Thread *t = begin(at, s);
    return t && flush(t, at, s);
}

bool kiln_summary_close_at(kiln_site at, kiln_summary *s)
{
    Thread *t = begin(at, s);
    if (!t) return false;
    bool ok = flush(t, at, s);
    close(s->fd);
    s->fd = -1;
    object_free(&s->o);
    return ok;
}
