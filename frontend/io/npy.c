/* npy: reads and writes one tensor as a NumPy .npy file, versions 1 to 3 of the format (numpy.lib.format). The bytes may be
 * hostile: the header is at most 64 KiB, and every size is compared with the file before anything is allocated. Relies on
 * file.h. */
#include <kiln/io.h>

#include "../ops/ops.h"
#include "npy.h"

#include <stdio.h>

#define HEADER_MAX 65536
#define MAGIC "\x93NUMPY"

/* ---- the header: a Python dict of three keys in any order -------------------------------------------------------------- */
typedef struct Header {
    const char *at; /* the rest of the text, which ends in a 0 */
    DType t;
    bool reversed; /* the elements are in Fortran's order */
    kiln_shape shape;
    const char *why; /* what is wrong with the header; NULL: nothing */
    char no_dtype[64];
} Header;

static bool bad(Header *h, const char *why)
{
    if (!h->why) h->why = why;
    return false;
}

static void blanks(Header *h) { h->at += strspn(h->at, " \t\r\n"); }

static bool take(Header *h, char c)
{
    blanks(h);
    if (*h->at != c) return false;
    h->at++;
    return true;
}

/* 'text' or "text", without escapes. */
static bool text(Header *h, char *to, size_t cap)
{
    blanks(h);
    char quote = *h->at;
    const char *end = quote == '\'' || quote == '"' ? strchr(h->at + 1, quote) : NULL;
    if (!end || (size_t)(end - h->at) > cap) return false;
    memcpy(to, h->at + 1, (size_t)(end - h->at - 1));
    to[end - h->at - 1] = 0;
    h->at = end + 1;
    return true;
}

static bool dtype(Header *h)
{
    char descr[16];
    if (!text(h, descr, sizeof descr)) return bad(h, "a structured dtype is not supported");
    for (int t = DT_NONE + 1; t < DT_COUNT; t++)
        if (dtype_info[t].numpy && !strcmp(descr, dtype_info[t].numpy)) h->t = (DType)t;
    if (h->t) return true;
    snprintf(h->no_dtype, sizeof h->no_dtype, "dtype %s is not supported%s", descr, descr[0] == '>' ? " (big-endian)" : "");
    return bad(h, h->no_dtype);
}

static bool order(Header *h)
{
    blanks(h);
    h->reversed = !strncmp(h->at, "True", 4);
    if (!h->reversed && strncmp(h->at, "False", 5)) return bad(h, "fortran_order is neither True nor False");
    h->at += h->reversed ? 4 : 5;
    return true;
}

static bool shape(Header *h)
{
    if (!take(h, '(')) return bad(h, "the shape is not a tuple");
    while (!take(h, ')')) {
        int64_t n = 0;
        if (h->shape.rank == KILN_MAX_RANK) return bad(h, "the shape has more than 8 axes");
        if (*h->at < '0' || *h->at > '9') return bad(h, "a size is not a number");
        for (; *h->at >= '0' && *h->at <= '9'; h->at++)
            if ((n = 10 * n + (*h->at - '0')) > DIM_MAX) return bad(h, "a size is beyond 2^48");
        h->shape.size[++h->shape.rank] = n;
        if (!take(h, ',') && *h->at != ')') return bad(h, "the sizes of the shape must be separated by commas");
        blanks(h);
    }
    return true;
}

static bool parse(Header *h)
{
    int seen = 0;
    if (!take(h, '{')) return bad(h, "the header is not a dict");
    while (!take(h, '}')) {
        char key[16];
        if (!text(h, key, sizeof key) || !take(h, ':')) return bad(h, "a key of the header is not a string");
        int bit = !strcmp(key, "descr") ? 1 : !strcmp(key, "fortran_order") ? 2 : !strcmp(key, "shape") ? 4 : 0;
        if (!bit || (seen & bit)) return bad(h, "a key of the header is unknown or occurs twice");
        if (!(bit == 1 ? dtype(h) : bit == 2 ? order(h) : shape(h))) return false;
        seen |= bit;
        if (!take(h, ',') && *h->at != '}') return bad(h, "the items of the header must be separated by commas");
    }
    blanks(h);
    return (seen == 7 && !*h->at) || bad(h, "the header lacks descr, fortran_order or shape, or does not end after its dict");
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */
static kiln_tensor *corrupt(const NpyIn *in, const char *why)
{
    const FileIn *f = in->f;
    return fail(
        f->t, f->at, KILN_EFORMAT, "%s: %s: %s%s%s", f->what, f->path, in->where ? in->where : "", in->where ? ": " : "", why);
}

/* Stores the header's text in `to`. False: recorded. */
static bool header_text(NpyIn *in, char to[HEADER_MAX + 1])
{
    unsigned char head[12];
    if (in->size < sizeof head) return corrupt(in, "not a .npy file: too short"), false;
    if (!in->read(in, head, 10)) return false;
    if (memcmp(head, MAGIC, 6) || head[6] < 1 || head[6] > 3) return corrupt(in, "not a .npy file of version 1 to 3"), false;
    if (head[6] > 1 && !in->read(in, head + 10, 2)) return false;
    uint64_t n = head[8] | (uint64_t)head[9] << 8;
    if (head[6] > 1) n |= (uint64_t)head[10] << 16 | (uint64_t)head[11] << 24;
    if (n > HEADER_MAX || n > in->size - in->at) return corrupt(in, "the header is longer than 64 KiB or than the file"), false;
    if (!in->read(in, to, (size_t)n)) return false;
    to[n] = 0;
    return strlen(to) == n || (corrupt(in, "the header contains a zero byte"), false);
}

static bool addressable(const Header *h, const kiln_shape *s)
{
    Dim bytes = (Dim)dtype_bytes(h->t);
    for (int64_t i = 1; i <= s->rank; i++) bytes = dim_mul(NULL, bytes, s->size[i]);
    return bytes != DIM_BAD;
}

static kiln_tensor *elements(NpyIn *in, Header *h)
{
    const FileIn *f = in->f;
    kiln_shape s = h->shape;
    Type type;
    for (int64_t i = 1; h->reversed && i <= s.rank; i++) s.size[i] = h->shape.size[s.rank + 1 - i];
    if (!addressable(h, &s)) return corrupt(in, "the shape has more bytes than can be addressed");
    if (!type_from_shape(f->t, f->at, "npy", (kiln_dtype)h->t, &s, &type)) return &f->t->k->poison;
    uint64_t want = (uint64_t)type_count(&type) * dtype_bytes(h->t);
    if (want != in->size - in->at) return corrupt(in, "the file does not have the number of bytes that its header says");
    kiln_tensor *x = tensor_empty(f->t, f->at, &type);
    if (!x || (want && !in->read(in, x->data, (size_t)want))) return &f->t->k->poison;
    for (uint64_t i = 0; h->t == DT_bool && i < want; i++)
        if (((const unsigned char *)x->data)[i] > 1) return corrupt(in, "a bool is neither 0 nor 1");
    x = tensor_place(f->t, f->at, x);
    return h->reversed ? kiln_transpose_at(f->at, kiln_of_tensor(x), KILN_ALL) : x;
}

kiln_tensor *npy_read(NpyIn *in)
{
    char *buf = mem_alloc(HEADER_MAX + 1);
    kiln_tensor *x = &in->f->t->k->poison;
    if (!buf) return fail(in->f->t, in->f->at, KILN_EMEMORY, "%s: no memory", in->f->what);
    Header h = {.at = buf};
    if (header_text(in, buf)) x = parse(&h) ? elements(in, &h) : corrupt(in, h.why);
    mem_free(buf, HEADER_MAX + 1);
    return x;
}

static bool next_bytes(NpyIn *in, void *to, size_t bytes)
{
    if (!file_read(in->f, in->at, to, bytes)) return false;
    in->at += bytes;
    return true;
}

kiln_tensor *kiln_npy_read_at(kiln_site at, kiln *k, const char *path)
{
    Thread *t = thread_of(k);
    FileIn f;
    if (!t) return NULL;
    if (!file_allowed(t, at, "npy", path) || !file_open(&f, t, at, "npy", path)) return &k->poison;
    NpyIn in = {.f = &f, .size = f.size, .read = next_bytes};
    kiln_tensor *x = npy_read(&in);
    file_close(&f);
    return x;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */
size_t npy_head(const kiln_tensor *x, char to[NPY_HEAD])
{
    const char *descr = dtype_info[x->type.dtype].numpy;
    const size_t cap = NPY_HEAD - 70;
    char *dict = to + 10;
    if (!descr) return 0;
    int n = snprintf(dict, cap, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < x->type.rank; i++) n += snprintf(dict + n, cap - (size_t)n, "%lld, ", (long long)x->type.dim[i]);
    n += snprintf(dict + n, cap - (size_t)n, "), }");
    while ((10 + n + 1) % 64) dict[n++] = ' '; /* elements begin at a multiple of 64 */
    dict[n++] = '\n';
    memcpy(to, MAGIC "\x01\x00", 8);
    to[8] = (char)(n & 255);
    to[9] = (char)(n >> 8);
    return 10 + (size_t)n;
}

static bool put(FileOut *f, const kiln_tensor *x)
{
    char head[NPY_HEAD];
    const size_t n = npy_head(x, head), bytes = (size_t)type_count(&x->type) * dtype_bytes((DType)x->type.dtype);
    return file_write(f, head, n) && (!bytes || file_write(f, x->data, bytes));
}

bool kiln_npy_write_at(kiln_site at, kiln_operand o, const char *path)
{
    Thread *t = op_thread(&o, 1);
    FileOut f;
    const char *descr = NULL;
    if (!t || !file_allowed(t, at, "npy", path)) return false;
    kiln_scope s = kiln_scope_open(t->k);
    kiln_tensor *x = operand_concrete(t, at, "npy", o);
    if (x) x = tensor_host(t, at, x);
    if (x && tensor_ok(x)) descr = dtype_info[x->type.dtype].numpy;
    if (x && tensor_ok(x) && !descr)
        fail(t, at, KILN_EUNSUPPORTED, "npy: %s: NumPy has no %s; kiln_cast it to f32", path, dtype_info[x->type.dtype].name);
    bool ok = descr && file_begin(&f, t, at, "npy", path, NULL);
    if (ok && !(ok = put(&f, x)))
        file_abandon(&f);
    else if (ok)
        ok = file_commit(&f);
    kiln_scope_close(&s);
    return ok;
}
