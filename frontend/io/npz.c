/* npz: tensors by name in NumPy's .npz files: archives of ZIP with a .npy file each, stored or deflated. The bytes may be hostile:
 * the directory is compared with the file, each size with what can come out of so many bytes, before anything is allocated;
 * checksums are checked. Archives that are written are stored, and smaller than 4 GiB. Relies on npy.h, zlib. */
#include <kiln/io.h>

#include <zlib.h>

#include "../ops/ops.h"
#include "npy.h"

enum { END = 22, END64 = 56, FIND64 = 20, ENTRY = 46, LOCAL = 30, DIRECTORY_MOST = 1 << 26, RATIO = 1032, PARTS_MOST = 10000 };

typedef struct Part {
    char *name;                /* without .npy */
    uint64_t hash;             /* of the name: long names with one beginning are compared once */
    uint64_t at, packed, size; /* at: of its local head */
    uint32_t sum;
    bool deflated;
} Part;

struct kiln_npz {
    Object o;
    FileIn f;
    char *path;
    Arena arena;
    Part *part;
    int n;
};

static uint64_t little(const uint8_t *at, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | at[i];
    return v;
}

static bool corrupt(const kiln_npz *z, const char *name, const char *why)
{
    fail(z->f.t, z->f.at, KILN_EFORMAT, "npz: %s: %s%s%s", z->path, name ? name : "", name ? ": " : "", why);
    return false;
}

static uint64_t hash_name(const char *name) { return hash_bytes(0, name, strlen(name)); }

/* ---- the directory ---------------------------------------------------------------------------------------------------------- */
typedef struct Directory {
    uint64_t at, bytes, parts;
} Directory;

/* In an archive of more than 4 GiB, or of many parts, the directory is said to be elsewhere. */
static bool find64(kiln_npz *z, uint64_t end, Directory *d)
{
    uint8_t find[FIND64], head[END64];
    if (end < FIND64 || !file_read(&z->f, end - FIND64, find, sizeof find)) return corrupt(z, NULL, "not a ZIP archive");
    const uint64_t at = little(find + 8, 8);
    if (little(find, 4) != 0x07064b50 || z->f.size < END64 || at > z->f.size - END64 || !file_read(&z->f, at, head, sizeof head) ||
        little(head, 4) != 0x06064b50)
        return corrupt(z, NULL, "its directory is not found");
    *d = (Directory){little(head + 48, 8), little(head + 40, 8), little(head + 32, 8)};
    return true;
}

static bool find_directory(kiln_npz *z, Directory *d)
{
    uint8_t tail[END + 65535];
    const size_t n = (size_t)MIN_OF(z->f.size, (uint64_t)sizeof tail);
    if (n < END) return corrupt(z, NULL, "not a ZIP archive: too short");
    if (!file_read(&z->f, z->f.size - n, tail, n)) return false;
    size_t i = n - END + 1;
    while (i-- > 0 && !(little(tail + i, 4) == 0x06054b50 && little(tail + i + 20, 2) == n - END - i)) {
    }
    if (i == SIZE_MAX) return corrupt(z, NULL, "not a ZIP archive");
    const uint64_t end = z->f.size - n + i;
    *d = (Directory){little(tail + i + 16, 4), little(tail + i + 12, 4), little(tail + i + 10, 2)};
    if ((d->at == UINT32_MAX || d->bytes == UINT32_MAX || d->parts == UINT16_MAX) && !find64(z, end, d)) return false;
    if (d->parts > PARTS_MOST)
        return fail(z->f.t, z->f.at, KILN_EUNSUPPORTED, "npz: %s: more than %d tensors", z->path, PARTS_MOST), false;
    return (d->at <= end && d->bytes <= end - d->at && d->bytes <= DIRECTORY_MOST && d->parts <= d->bytes / ENTRY) ||
           corrupt(z, NULL, "its directory does not lie within the file");
}

/* Sizes of 4 GiB and more stand in a field behind the name. */
static bool sizes64(const uint8_t *extra, size_t n, Part *p)
{
    uint64_t *const want[3] = {&p->size, &p->packed, &p->at};
    for (size_t i = 0; i + 4 <= n;) {
        const size_t bytes = (size_t)little(extra + i + 2, 2);
        if (bytes > n - i - 4) return false;
        size_t at = i + 4;
        for (int j = 0; little(extra + i, 2) == 1 && j < 3; j++) {
            if (*want[j] != UINT32_MAX) continue;
            if (at + 8 > i + 4 + bytes) return false;
            *want[j] = little(extra + at, 8);
            at += 8;
        }
        i += 4 + bytes;
    }
    return true;
}

static bool take_part(kiln_npz *z, const uint8_t *e, size_t left, size_t *used, const Directory *d)
{
    const size_t name = (size_t)little(e + 28, 2), extra = (size_t)little(e + 30, 2), note = (size_t)little(e + 32, 2);
    *used = ENTRY + name + extra + note;
    if (little(e, 4) != 0x02014b50 || *used > left) return corrupt(z, NULL, "its directory is broken");
    Part *p = &z->part[z->n];
    *p = (Part){.name = arena_printf(&z->arena, "%.*s", (int)name, (const char *)e + ENTRY),
        .at = little(e + 42, 4),
        .packed = little(e + 20, 4),
        .size = little(e + 24, 4),
        .sum = (uint32_t)little(e + 16, 4),
        .deflated = little(e + 10, 2) == 8};
    if (strlen(p->name) != name) return corrupt(z, NULL, "a name contains a zero byte");
    if (little(e + 8, 2) & 1) return corrupt(z, p->name, "it is encrypted");
    if (little(e + 10, 2) != 0 && !p->deflated) return corrupt(z, p->name, "it is packed in a way that is not supported");
    if (!sizes64(e + ENTRY + name, extra, p)) return corrupt(z, p->name, "its sizes are broken");
    if (p->at > d->at || p->packed > d->at - p->at || p->size / RATIO > p->packed || (!p->deflated && p->size != p->packed))
        return corrupt(z, p->name, "it does not hold the bytes that it is said to");
    if (name < 5 || strcmp(p->name + name - 4, ".npy") != 0) return corrupt(z, p->name, "it is no .npy file");
    p->name[name - 4] = 0;
    p->hash = hash_name(p->name);
    if (kiln_npz_find(z, p->name) >= 0) return corrupt(z, p->name, "there are two of this name");
    z->n++;
    return true;
}

typedef struct Opening {
    kiln_npz *z;
    bool ok;
} Opening;

static void read_directory(void *arg)
{
    Opening *o = arg;
    kiln_npz *z = o->z;
    Directory d;
    if (!find_directory(z, &d)) return;
    uint8_t *at = arena_alloc(&z->arena, (size_t)d.bytes + 1);
    z->part = ARENA_ARRAY(&z->arena, Part, d.parts + 1);
    if (!file_read(&z->f, d.at, at, (size_t)d.bytes)) return;
    size_t done = 0, used = 0;
    for (uint64_t i = 0; i < d.parts; i++, done += used) {
        if (d.bytes - done < ENTRY) {
            corrupt(z, NULL, "its directory is cut off");
            return;
        }
        if (!take_part(z, at + done, (size_t)d.bytes - done, &used, &d)) return;
    }
    o->ok = true;
}

/* ---- opened ---------------------------------------------------------------------------------------------------------------- */
static void clean(Object *o)
{
    kiln_npz *z = (kiln_npz *)o;
    if (z->f.fd >= 0) file_close(&z->f);
    if (z->path) mem_free(z->path, strlen(z->path) + 1);
    arena_free(&z->arena);
}

kiln_npz *kiln_npz_open_at(kiln_site at, kiln *k, const char *path)
{
    Thread *t = thread_of(k);
    Status st = {0};
    if (!t || !file_allowed(t, at, "npz", path)) return NULL;
    kiln_npz *z = object_new(at, k, sizeof *z, clean);
    if (!z) return NULL;
    z->f.fd = -1;
    arena_init(&z->arena);
    Opening o = {z, false};
    z->path = mem_strdup(path);
    if (!z->path)
        fail(t, at, KILN_EMEMORY, "npz: %s: no memory", path);
    else if (file_open(&z->f, t, at, "npz", z->path) && !arena_try(&z->arena, &st, read_directory, &o))
        fail_status(t, at, &st);
    if (o.ok) return z;
    object_free(&z->o);
    return NULL;
}

void kiln_npz_close(kiln_npz *z)
{
    if (z) object_free(&z->o);
}

int kiln_npz_count(const kiln_npz *z) { return z ? z->n : 0; }
const char *kiln_npz_name(const kiln_npz *z, int i) { return z && i >= 0 && i < z->n ? z->part[i].name : NULL; }

int kiln_npz_find(const kiln_npz *z, const char *name)
{
    const uint64_t hash = name ? hash_name(name) : 0;
    for (int i = 0; z && name && i < z->n; i++)
        if (z->part[i].hash == hash && strcmp(z->part[i].name, name) == 0) return i;
    return -1;
}

/* ---- one part -------------------------------------------------------------------------------------------------------------- */
typedef struct PartIn {
    NpyIn in;
    const Part *part;
    uint64_t from, taken; /* of what is packed: where it begins, how much was read */
    uint32_t sum;
    z_stream stream;
    uint8_t room[1 << 14];
} PartIn;

static bool unpack(PartIn *p, void *to, size_t bytes)
{
    p->stream.next_out = to;
    for (size_t done = 0; done < bytes;) {
        const uInt most = (uInt)MIN_OF(bytes - done, (size_t)1 << 30);
        p->stream.avail_out = most;
        if (p->stream.avail_in == 0) {
            const size_t n = (size_t)MIN_OF(p->part->packed - p->taken, (uint64_t)sizeof p->room);
            if (n != 0 && !file_read(p->in.f, p->from + p->taken, p->room, n)) return false;
            p->taken += n;
            p->stream.next_in = p->room;
            p->stream.avail_in = (uInt)n;
        }
        const int rc = inflate(&p->stream, Z_NO_FLUSH);
        done += most - p->stream.avail_out;
        if ((rc != Z_OK && rc != Z_STREAM_END) || (rc == Z_STREAM_END && done < bytes))
            return fail(p->in.f->t, p->in.f->at, KILN_EFORMAT, "npz: %s: %s: it does not unpack", p->in.f->path, p->in.where),
                   false;
    }
    return true;
}

static bool next_bytes(NpyIn *in, void *to, size_t bytes)
{
    PartIn *p = (PartIn *)in;
    if (!(p->part->deflated ? unpack(p, to, bytes) : file_read(in->f, p->from + in->at, to, bytes))) return false;
    for (size_t done = 0, n; done < bytes; done += n) {
        n = MIN_OF(bytes - done, (size_t)1 << 30);
        p->sum = (uint32_t)crc32(p->sum, (const Bytef *)to + done, (uInt)n);
    }
    in->at += bytes;
    return true;
}

kiln_tensor *kiln_npz_read_at(kiln_site at, kiln_npz *z, int i)
{
    Thread *t = z ? thread_of(z->o.k) : NULL;
    uint8_t head[LOCAL];
    if (!t) return NULL;
    if (!file_allowed(t, at, "npz", z->path)) return &t->k->poison;
    if (i < 0 || i >= z->n) return fail(t, at, KILN_EVALUE, "npz: %s: there is no tensor %d of %d", z->path, i, z->n);
    FileIn f = z->f;
    f.t = t, f.at = at;
    const Part *p = &z->part[i];
    PartIn x = {.in = {.f = &f, .where = p->name, .size = p->size, .read = next_bytes}, .part = p};
    if (z->f.size < LOCAL || p->at > z->f.size - LOCAL || !file_read(&f, p->at, head, sizeof head)) return &t->k->poison;
    x.from = p->at + LOCAL + little(head + 26, 2) + little(head + 28, 2);
    if (little(head, 4) != 0x04034b50 || x.from > z->f.size || p->packed > z->f.size - x.from)
        return fail(t, at, KILN_EFORMAT, "npz: %s: %s: it does not lie within the file", z->path, p->name);
    if (p->deflated && inflateInit2(&x.stream, -15) != Z_OK) return fail(t, at, KILN_EMEMORY, "npz: %s: no memory", z->path);
    kiln_tensor *y = npy_read(&x.in);
    if (p->deflated) inflateEnd(&x.stream);
    if (tensor_ok(y) && x.sum != p->sum) return fail(t, at, KILN_EFORMAT, "npz: %s: %s: its checksum is wrong", z->path, p->name);
    return y;
}

/* ---- writing --------------------------------------------------------------------------------------------------------------- */
static void number(Text *to, uint64_t v, int bytes)
{
    char at[8];
    for (int i = 0; i < bytes; i++) at[i] = (char)(v >> 8 * i & 255);
    text_add(to, at, (size_t)bytes);
}

typedef struct PartOut {
    FileOut *f;
    Text head, directory; /* of the part that is written; of all so far */
    uint64_t at;
    uint64_t parts;
} PartOut;

/* What a local head and an entry of the directory have in common. */
static void put_facts(Text *to, uint32_t sum, uint64_t bytes, size_t name)
{
    number(to, 20, 2);         /* the version of ZIP that is needed */
    number(to, 0x800, 2);      /* names are UTF-8 */
    number(to, 0, 2);          /* stored */
    number(to, 0x00210000, 4); /* the first day of 1980: the same tensors give the same bytes */
    number(to, sum, 4), number(to, bytes, 4), number(to, bytes, 4);
    number(to, name, 2), number(to, 0, 2);
}

static bool put_part(PartOut *o, const char *name, const kiln_tensor *x)
{
    char head[NPY_HEAD];
    const FileOut *f = o->f;
    const size_t n = npy_head(x, head), bytes = (size_t)type_count(&x->type) * dtype_bytes((DType)x->type.dtype);
    const size_t length = strlen(name) + 4;
    if (n == 0)
        return fail(f->t, f->at, KILN_EUNSUPPORTED, "npz: %s: NumPy has no %s; kiln_cast it to f32", name,
                   dtype_info[x->type.dtype].name),
               false;
    if (o->at + n + bytes + 2 * length + 1024 > UINT32_MAX || length > 65000 || o->parts == PARTS_MOST)
        return fail(
                   f->t, f->at, KILN_EUNSUPPORTED, "npz: %s: more than 4 GiB, or %d tensors, are not written", f->path, PARTS_MOST),
               false;
    uint32_t sum = (uint32_t)crc32(0, (const Bytef *)head, (uInt)n);
    if (bytes != 0) sum = (uint32_t)crc32(sum, (const Bytef *)x->data, (uInt)bytes);
    o->head.len = 0;
    number(&o->head, 0x04034b50, 4);
    put_facts(&o->head, sum, n + bytes, length);
    text_printf(&o->head, "%s.npy", name);
    number(&o->directory, 0x02014b50, 4);
    number(&o->directory, 20, 2);
    put_facts(&o->directory, sum, n + bytes, length);
    number(&o->directory, 0, 2), number(&o->directory, 0, 2), number(&o->directory, 0, 2), number(&o->directory, 0, 4);
    number(&o->directory, o->at, 4);
    text_printf(&o->directory, "%s.npy", name);
    o->at += o->head.len + n + bytes;
    o->parts++;
    return !o->head.failed && !o->directory.failed && file_write(o->f, o->head.at, o->head.len) && file_write(o->f, head, n) &&
           (bytes == 0 || file_write(o->f, x->data, bytes));
}

static bool put_end(PartOut *o)
{
    const uint64_t bytes = o->directory.len;
    number(&o->directory, 0x06054b50, 4);
    number(&o->directory, 0, 4);
    number(&o->directory, o->parts, 2), number(&o->directory, o->parts, 2);
    number(&o->directory, bytes, 4), number(&o->directory, o->at, 4), number(&o->directory, 0, 2);
    return !o->directory.failed && file_write(o->f, o->directory.at, o->directory.len);
}

static bool names_fit(Thread *t, kiln_site at, const char *path, const char *const *name, int count)
{
    for (int i = 0; i < count; i++)
        if (!name || !name[i] || !*name[i]) return fail(t, at, KILN_EVALUE, "npz: %s: tensor %d has no name", path, i), false;
    return count >= 0 || (fail(t, at, KILN_EVALUE, "npz: %s: %d tensors", path, count), false);
}

bool kiln_npz_write_at(kiln_site at, kiln *k, const char *path, const char *const *name, kiln_tensor *const *x, int count)
{
    Thread *t = thread_of(k);
    FileOut f;
    if (!t || !file_allowed(t, at, "npz", path) || !names_fit(t, at, path, name, count)) return false;
    if (!file_begin(&f, t, at, "npz", path, NULL)) return false;
    PartOut o = {.f = &f};
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        kiln_scope s = kiln_scope_open(k);
        const kiln_operand v = kiln_of_tensor(x[i]);
        kiln_tensor *y = operand_concrete(t, at, "npz", v);
        if (y) y = tensor_host(t, at, y);
        if (y && tensor_ok(y)) y = tensor_contiguous(t, at, y);
        for (int j = 0; j < i; j++)
            if (strcmp(name[i], name[j]) == 0)
                fail(t, at, KILN_EVALUE, "npz: %s: there are two tensors of the name %s", path, name[i]), ok = false;
        ok = ok && y && tensor_ok(y) && put_part(&o, name[i], y);
        kiln_scope_close(&s);
    }
    ok = ok && put_end(&o);
    if (!ok && !kiln_failed(k)) fail(t, at, KILN_EMEMORY, "npz: %s: no memory", path);
    text_free(&o.head);
    text_free(&o.directory);
    if (ok) return file_commit(&f);
    file_abandon(&f);
    return false;
}
