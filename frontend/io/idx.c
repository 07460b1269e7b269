/* idx: reads IDX files, the format of MNIST, plain or gzip-compressed, as tensors. The bytes may be hostile: nothing is allocated
 * because a header says so; every size is first compared with what the file holds. Relies on zlib and on tensor headers. Never maps
 * memory, never writes, and reads only regular files. */
#include <kiln/data.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "../ops/ops.h"

#define CHUNK (64 * 1024)

typedef struct Reader {
    Thread *t;
    kiln_site at;
    const char *path;
    int fd;
    bool gz, open, ended; /* ended: the decompressed bytes are at their end */
    uint64_t size;        /* of the file */
    uint64_t taken;       /* how many bytes of the file were read */
    uint64_t offset;      /* how many bytes of the content were handed out */
    z_stream z;
    unsigned char in[CHUNK], scrap[CHUNK];
} Reader;

/* ---- failures ------------------------------------------------------------------------------------ */
static bool corrupt(Reader *r, const char *what)
{
    fail(r->t, r->at, KILN_EFORMAT, "idx: %s: %s (byte %llu%s)", r->path, what, (unsigned long long)r->offset,
        r->gz ? " of the decompressed data" : "");
    return false;
}

static bool system_failed(Reader *r, const char *doing)
{
    fail(
        r->t, r->at, KILN_EIO, "idx: %s: cannot %s: %s (byte %llu)", r->path, doing, strerror(errno), (unsigned long long)r->taken);
    return false;
}

/* ---- bytes --------------------------------------------------------------------------------------- */
/* zlib's memory is counted like all other memory. Its free does not tell the size, so a header in front does. */
#define HEAD 16
static void *z_alloc(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    size_t bytes = 0;
    if (!size_mul(items, size, &bytes) || !size_add(bytes, HEAD, &bytes)) return NULL;
    char *p = mem_alloc(bytes);
    if (!p) return NULL;
    memcpy(p, &bytes, sizeof bytes);
    return p + HEAD;
}

static void z_free(void *opaque, void *address)
{
    (void)opaque;
    if (!address) return;
    char *p = (char *)address - HEAD;
    size_t bytes = 0;
    memcpy(&bytes, p, sizeof bytes);
    mem_free(p, bytes);
}

/* Reads at most n bytes of the file as it is on disk; *got is 0 at its end. */
static bool fill(Reader *r, void *to, size_t n, size_t *got)
{
    ssize_t k;
    do k = read(r->fd, to, n);
    while (k < 0 && errno == EINTR);
    if (k < 0) return system_failed(r, "read");
    *got = (size_t)k;
    r->taken += *got;
    return true;
}

/* Reads more compressed bytes, if there are any. */
static bool refill(Reader *r)
{
    size_t got = 0;
    if (r->z.avail_in) return true;
    if (!fill(r, r->in, CHUNK, &got)) return false;
    r->z.next_in = r->in;
    r->z.avail_in = (uInt)got;
    return true;
}

/* One member of a gzip file has ended; others may follow it. */
static bool next_member(Reader *r)
{
    if (!refill(r)) return false;
    if (!r->z.avail_in) {
        r->ended = true;
        return true;
    }
    return inflateReset(&r->z) == Z_OK || corrupt(r, "the gzip stream is damaged");
}

static bool inflate_some(Reader *r, unsigned char *to, size_t n, size_t *got)
{
    r->z.next_out = to;
    r->z.avail_out = (uInt)MIN_OF(n, (size_t)1 << 30);
    uInt want = r->z.avail_out;
    while (r->z.avail_out == want && !r->ended) {
        if (!refill(r)) return false;
        if (!r->z.avail_in) return corrupt(r, "the gzip stream is cut off");
        int rc = inflate(&r->z, Z_NO_FLUSH);
        if (rc == Z_MEM_ERROR) return fail(r->t, r->at, KILN_EMEMORY, "idx: %s: no memory to decompress", r->path), false;
        if (rc != Z_OK && rc != Z_STREAM_END) return corrupt(r, "the gzip stream is damaged");
        if (rc == Z_STREAM_END && !next_member(r)) return false;
    }
    *got = want - r->z.avail_out;
    return true;
}

/* Reads at most n bytes of content; fewer only at the end. */
static bool take(Reader *r, void *to, size_t n, size_t *got)
{
    size_t done = 0, k = 1;
    while (done < n && k) {
        bool ok =
            r->gz ? inflate_some(r, (unsigned char *)to + done, n - done, &k) : fill(r, (unsigned char *)to + done, n - done, &k);
        if (!ok) return false;
        done += k;
        r->offset += k;
    }
    *got = done;
    return true;
}

static bool rewind_reader(Reader *r)
{
    if (lseek(r->fd, 0, SEEK_SET) != 0) return system_failed(r, "seek");
    r->taken = r->offset = 0;
    r->ended = false;
    r->z.avail_in = 0;
    return !r->gz || inflateReset(&r->z) == Z_OK || corrupt(r, "the gzip stream is damaged");
}

static bool reader_open(Reader *r)
{
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* NONBLOCK: a pipe without a writer must not hang us */
    if (r->fd < 0) return system_failed(r, "open");
    struct stat s;
    if (fstat(r->fd, &s)) return system_failed(r, "stat");
    if (!S_ISREG(s.st_mode)) {
        fail(r->t, r->at, KILN_EIO, "idx: %s: not a regular file", r->path);
        return false;
    }
    r->size = (uint64_t)s.st_size;
    unsigned char magic[2] = {0, 0};
    size_t got;
    if (!fill(r, magic, 2, &got)) return false;
    r->gz = got == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    if (r->gz) {
        r->z = (z_stream){.zalloc = z_alloc, .zfree = z_free};
        if (inflateInit2(&r->z, 16 + MAX_WBITS) != Z_OK)
            return fail(r->t, r->at, KILN_EMEMORY, "idx: %s: no memory to decompress", r->path), false;
        r->open = true;
    }
    return rewind_reader(r);
}

static void reader_close(Reader *r)
{
    if (r->open) inflateEnd(&r->z);
    if (r->fd >= 0) close(r->fd);
}

/* ---- the format ---------------------------------------------------------------------------------- */
static const struct {
    uint8_t code, dtype;
} element[] = {
    {0x08, DT_u8},
    {0x09, DT_i8},
    {0x0b, DT_i16},
    {0x0c, DT_i32},
    {0x0d, DT_f32},
    {0x0e, DT_f64},
};

static bool take_all(Reader *r, void *to, size_t n, const char *what)
{
    size_t got;
    if (!take(r, to, n, &got)) return false;
    if (got == n) return true;
    char text[96];
    snprintf(text, sizeof text, "the file ends inside the %s (%llu of %zu bytes)", what, (unsigned long long)got, n);
    return corrupt(r, text);
}

/* Two zeros, an element code, a rank; then that many big-endian 32-bit sizes. */
static bool read_header(Reader *r, Type *type)
{
    unsigned char b[4];
    char text[96];
    if (!take_all(r, b, 4, "magic number")) return false;
    r->offset = 0; /* what is wrong with it stands there */
    if (b[0] || b[1]) return corrupt(r, "not an IDX file: the first two bytes are not zero");
    size_t i = 0;
    while (i < COUNT_OF(element) && element[i].code != b[2]) i++;
    if (i == COUNT_OF(element)) {
        snprintf(text, sizeof text, "0x%02x is not an IDX element type", b[2]);
        r->offset = 2;
        return corrupt(r, text);
    }
    r->offset = 3;
    if (b[3] > MAX_RANK) {
        snprintf(text, sizeof text, "%d axes (allowed: 0 to %d)", b[3], MAX_RANK);
        return corrupt(r, text);
    }
    r->offset = 4;
    *type = (Type){.dtype = element[i].dtype, .rank = b[3]};
    for (int d = 0; d < type->rank; d++) {
        if (!take_all(r, b, 4, "sizes")) return false;
        type->dim[d] = (Dim)((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]);
    }
    return true;
}

/* The number of bytes that the header promises; false if it overflows. */
static bool content_bytes(Reader *r, const Type *type, size_t *out)
{
    size_t n = dtype_bytes(type->dtype);
    bool empty = false, fits = true;
    for (int d = 0; d < type->rank; d++) {
        empty |= type->dim[d] == 0;
        fits = fits && (type->dim[d] == 0 || size_mul(n, (size_t)type->dim[d], &n));
    }
    if (!fits || n > (size_t)INT64_MAX) return corrupt(r, "the shape has more bytes than can be addressed");
    *out = empty ? 0 : n;
    return true;
}

static bool wrong_length(Reader *r, size_t want, uint64_t have)
{
    char text[160];
    snprintf(text, sizeof text, "the header promises %zu bytes of elements, the file holds %llu", want, (unsigned long long)have);
    return corrupt(r, text);
}

/* The size of a gzip file's content is known only by unpacking it. Deflate never shrinks data more than 1032 times, which exposes
 * most false headers at once; otherwise the content is unpacked into a small buffer and counted before anything is allocated. */
static bool check_length(Reader *r, size_t want)
{
    uint64_t head = r->offset;
    if (!r->gz) return r->size - head == want || wrong_length(r, want, r->size - head);
    if (want / 1032 > r->size) {
        char text[160];
        snprintf(text, sizeof text, "the header promises %zu bytes of elements, more than %llu compressed bytes can hold", want,
            (unsigned long long)r->size);
        return corrupt(r, text);
    }
    size_t got = 1;
    while (got && r->offset - head <= want)
        if (!take(r, r->scrap, CHUNK, &got)) return false;
    uint64_t have = r->offset - head;
    r->offset = head;
    if (have != want) return wrong_length(r, want, have);
    return rewind_reader(r) && take_all(r, r->scrap, (size_t)head, "sizes");
}

static void swap_bytes(unsigned char *p, int64_t n, size_t each)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (int64_t i = 0; each > 1 && i < n; i++, p += each)
        for (size_t a = 0, b = each - 1; a < b; a++, b--) {
            unsigned char x = p[a];
            p[a] = p[b];
            p[b] = x;
        }
#else
    (void)p, (void)n, (void)each;
#endif
}

static kiln_tensor *read_tensor(Reader *r)
{
    Type type;
    size_t bytes = 0;
    if (!reader_open(r) || !read_header(r, &type) || !content_bytes(r, &type, &bytes) || !check_length(r, bytes)) return NULL;
    kiln_tensor *x = tensor_empty(r->t, r->at, &type);
    if (!x || !take_all(r, x->data, bytes, "elements")) return NULL;
    swap_bytes((unsigned char *)x->data, type_count(&type), dtype_bytes(type.dtype));
    return tensor_place(r->t, r->at, x);
}

kiln_tensor *kiln_idx_read_at(kiln_site at, kiln *k, const char *path)
{
    Thread *t = thread_of(k);
    if (!t) return NULL;
    if (!path) return fail(t, at, KILN_EVALUE, "idx: the path is NULL");
    Reader *r = mem_zeros(1, sizeof *r);
    if (!r) return fail(t, at, KILN_EMEMORY, "idx: %s: no memory", path);
    r->t = t;
    r->at = at;
    r->path = path;
    r->fd = -1;
    kiln_tensor *x = read_tensor(r);
    reader_close(r);
    mem_free(r, sizeof *r);
    return x ? x : &k->poison;
}
