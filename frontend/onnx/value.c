/* value: the elements of a model's tensors. Those that lie in its file as they lie in memory are not copied. Relies on import.h. */
#include "import.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

kiln_shape shape_of(const Type *t)
{
    kiln_shape s = {.rank = t->rank};
    for (int i = 0; i < t->rank; i++) s.size[1 + i] = t->dim[i];
    return s;
}

/* Varints, or numbers of four bytes, as elements: i32's list holds all small integers, and f16 and bf16 as bits. */
static void unlist(Numbers list, bool is_varint, size_t each, size_t element, char *to, uint64_t n)
{
    Wire w = wire_of(list);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t v = 0;
        if (is_varint)
            wire_varint(&w, &v);
        else
            memcpy(&v, list.at + i * each, each);
        memcpy(to + i * element, &v, element); /* both count from the lowest byte */
    }
}

static void read_list(const OnnxTensor *x, size_t element, char *to, uint64_t n)
{
    const bool is_float = x->type == 1, is_double = x->type == 11;
    const Numbers list = is_float                         ? x->floats
                         : is_double                      ? x->doubles
                         : x->type == 7                   ? x->longs
                         : x->type == 12 || x->type == 13 ? x->unsigneds
                                                          : x->ints;
    unlist(list, !is_float && !is_double, is_float ? 4 : 8, element, to, n);
}

static bool read_file(const kiln_onnx *m, const OnnxTensor *x, char *to, size_t bytes, Status *st)
{
    External e;
    uint64_t size;
    if (!external_of(x, &e, st)) return false;
    const int fd = external_open(m, e.location, &size, st);
    if (fd < 0) return false;
    bool ok = true;
    for (size_t done = 0; ok && done < bytes;) {
        const ssize_t n = pread(fd, to + done, bytes - done, (off_t)(e.offset + done));
        ok = n > 0 || (n < 0 && errno == EINTR) ||
             status_fail(st, ST_IO, "'%s' ends before its elements do", shown(e.location).text);
        done += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return ok;
}

/* ---- what is large -------------------------------------------------------------------------------------------------------- */

/* Of a mapped file, whose elements do not lie as they must in memory: its pages go again as they are read. */
static kiln_tensor *copied(Thread *t, kiln_site at, const kiln_onnx *m, const OnnxTensor *x, const Type *type, size_t bytes)
{
    const size_t piece = (size_t)16 << 20, page = (size_t)sysconf(_SC_PAGESIZE),
                 begin = (size_t)(x->raw.at - (const uint8_t *)m->mapped);
    kiln_tensor *y = tensor_empty(t, at, type);
    for (size_t done = 0, n; y && done < bytes; done += n) {
        n = MIN_OF(piece, bytes - done);
        memcpy((char *)y->data + done, x->raw.at + done, n);
        const size_t from = (begin + done + page - 1) / page * page, to = (begin + done + n) / page * page;
        if (to > from) madvise((char *)m->mapped + from, to - from, MADV_DONTNEED);
    }
    return y ? tensor_place(t, at, y) : &t->k->poison;
}

typedef struct Mapped {
    void *at;
    size_t bytes;
} Mapped;

static void unmap(void *data, void *user)
{
    Mapped *p = user;
    (void)data;
    munmap(p->at, p->bytes);
    mem_free(p, sizeof *p);
}

static kiln_tensor *refuse(Thread *t, kiln_site at, const OnnxTensor *x, const Status *st)
{
    return fail(t, at, (kiln_code)st->code, "onnx: tensor '%s': %s", shown(x->name).text, st->text);
}

/* What lies in another file is mapped, or where it does not lie as it must read into its place. */
static kiln_tensor *mapped(Thread *t, kiln_site at, const kiln_onnx *m, const OnnxTensor *x, const Type *type, size_t bytes)
{
    External e;
    uint64_t size;
    Status st = {0};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!external_of(x, &e, &st)) return refuse(t, at, x, &st);
    const size_t skip = (size_t)(e.offset % page);
    if (e.offset % dtype_bytes((DType)type->dtype) != 0) {
        kiln_tensor *y = tensor_empty(t, at, type);
        if (!y) return &t->k->poison;
        return read_file(m, x, y->data, bytes, &st) ? tensor_place(t, at, y) : refuse(t, at, x, &st);
    }
    const int fd = external_open(m, e.location, &size, &st);
    if (fd < 0) return refuse(t, at, x, &st);
    Mapped *p = e.offset > size || bytes > size - e.offset ? NULL : mem_alloc(sizeof *p);
    void *from = p ? mmap(NULL, bytes + skip, PROT_READ, MAP_PRIVATE, fd, (off_t)(e.offset - skip)) : MAP_FAILED;
    close(fd);
    if (from == MAP_FAILED) {
        if (p) mem_free(p, sizeof *p);
        status_fail(&st, ST_IO, "'%s' ends before its elements do, or cannot be mapped", shown(e.location).text);
        return refuse(t, at, x, &st);
    }
    *p = (Mapped){from, bytes + skip};
    return kiln_borrow_at(at, t->k, (kiln_dtype)type->dtype, shape_of(type), (char *)from + skip, unmap, p);
}

/* Integers of 4 or 2 bits, the lowest first, as bytes; from the last one on, as they lie in the same memory. */
static void unpack(char *at, uint64_t n, int bits, bool with_sign)
{
    for (uint64_t i = n; i-- > 0;) {
        const uint64_t bit = i * (unsigned)bits;
        const int v = ((unsigned char)at[bit / 8] >> bit % 8) & ((1 << bits) - 1);
        at[i] = (char)(with_sign && v >> (bits - 1) ? v - (1 << bits) : v);
    }
}

bool tensor_elements(const kiln_onnx *m, const OnnxTensor *x, char *room, Status *st)
{
    Type type;
    uint64_t n;
    if (!tensor_shape(x, &type, &n, st)) return false;
    const int bits = onnx_dtype(x->type)->bits;
    const size_t element = dtype_bytes((DType)type.dtype), bytes = (size_t)n * element;
    const size_t packed = bits < 8 ? ((size_t)n * (size_t)bits + 7) / 8 : bytes; /* as it lies in the model */
    if (x->location == 1) {
        if (!read_file(m, x, room, packed, st)) return false;
    } else if (x->raw.n != 0) {
        memcpy(room, x->raw.at, packed);
    } else {
        read_list(x, element, room, packed == bytes ? n : packed);
    }
    if (packed != bytes) unpack(room, n, bits, type.dtype == DT_i8);
    return true;
}

/* Of a file of one tensor the bytes go; a model's stay. */
kiln_tensor *tensor_value(Thread *t, kiln_site at, const kiln_onnx *m, const OnnxTensor *x)
{
    Type type;
    uint64_t n;
    Status st = {0};
    if (!tensor_shape(x, &type, &n, &st))
        return fail(t, at, (kiln_code)st.code, "onnx: tensor '%s': %s", shown(x->name).text, st.text);
    if (type.dtype == DT_NONE)
        return fail(t, at, KILN_EUNSUPPORTED, "onnx: %.200s%stensor '%s' has the dtype %s, which Kiln has not",
            m->path && !t->called ? m->path : "", m->path && !t->called ? ": " : "", shown(x->name).text,
            onnx_dtype(x->type)->name);
    if (x->sparse) return sparse_value(t, at, m, x);
    const int bits = onnx_dtype(x->type)->bits;
    const size_t element = dtype_bytes((DType)type.dtype), bytes = (size_t)n * element;
    const size_t packed = bits < 8 ? ((size_t)n * (size_t)bits + 7) / 8 : bytes; /* as it lies in the model */
    const kiln_shape shape = shape_of(&type);
    if (x->location == 0 && x->raw.n != 0 && n != 0 && packed == bytes) {
        if ((uintptr_t)x->raw.at % element == 0 && bytes >= 4096 && m->mapped)
            return kiln_borrow_at(at, t->k, (kiln_dtype)type.dtype, shape, x->raw.at, NULL, NULL);
        if (bytes >= 4096 && m->mapped && !t->trace) return copied(t, at, m, x, &type, bytes);
        return kiln_from_at(at, t->k, (kiln_dtype)type.dtype, shape, x->raw.at, (int64_t)n);
    }
    if (x->location == 1 && bytes >= 4096 && packed == bytes && !t->trace) return mapped(t, at, m, x, &type, bytes);
    char *room = mem_alloc(bytes + 1);
    if (!room) return fail(t, at, KILN_EMEMORY, "onnx: no memory for the %zu bytes of tensor '%s'", bytes, shown(x->name).text);
    const bool ok = tensor_elements(m, x, room, &st);
    kiln_tensor *y = ok ? kiln_from_at(at, t->k, (kiln_dtype)type.dtype, shape, room, (int64_t)n)
                        : fail(t, at, (kiln_code)st.code, "onnx: tensor '%s': %s", shown(x->name).text, st.text);
    mem_free(room, bytes + 1);
    return y;
}

/* ---- inputs whose numbers sizes follow from ----------------------------------------------------------- */

#define MOST_FIXED 4096 /* bytes */

char *known_text(Thread *t, kiln_site at, kiln_operand o, size_t *bytes)
{
    const kiln_tensor *x = operand_concrete(t, at, "onnx", o);
    if (!x) return NULL;
    const size_t n = kiln_bytes(x), head = 2 + MAX_RANK * 8;
    uint8_t raw[2 + MAX_RANK * 8 + MOST_FIXED] = {x->type.dtype, x->type.rank};
    if (n > MOST_FIXED) {
        fail(t, at, KILN_EUNSUPPORTED, "onnx: an input from which sizes follow has %zu bytes (allowed: %d)", n, MOST_FIXED);
        return NULL;
    }
    memcpy(raw + 2, x->type.dim, x->type.rank * sizeof *x->type.dim);
    if (!kiln_read_at(at, o, raw + head, n)) return NULL;
    *bytes = 2 * (head + n) + 1;
    char *text = mem_alloc(*bytes);
    if (!text) fail(t, at, KILN_EMEMORY, "onnx: no memory for %zu bytes", *bytes);
    for (size_t i = 0; text && i < head + n; i++)
        text[2 * i] = (char)('a' + raw[i] / 16), text[2 * i + 1] = (char)('a' + raw[i] % 16);
    if (text) text[*bytes - 1] = 0;
    return text;
}

kiln_tensor *known_tensor(Thread *t, kiln_site at, const char *text)
{
    const size_t head = 2 + MAX_RANK * 8, n = strlen(text) / 2;
    uint8_t raw[2 + MAX_RANK * 8 + MOST_FIXED] = {0};
    if (n < head || n > sizeof raw)
        return fail(t, at, KILN_EVALUE, "onnx: an input from which sizes follow was not given through kiln_onnx_call");
    for (size_t i = 0; i < n; i++) raw[i] = (uint8_t)((text[2 * i] - 'a') * 16 + (text[2 * i + 1] - 'a'));
    Type type = {.dtype = raw[0], .rank = raw[1]};
    memcpy(type.dim, raw + 2, sizeof(Dim) * MAX_RANK);
    return kiln_from_at(
        at, t->k, (kiln_dtype)type.dtype, shape_of(&type), raw + head, (int64_t)((n - head) / dtype_bytes((DType)type.dtype)));
}
