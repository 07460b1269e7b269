/* sparse: tensors of which a model lists the elements that are not 0, by their places: as the initialisers that they are, and made
 * whole. Their places are anybody's numbers, so each is looked at before anything is written there. Relies on import.h. */
#include "import.h"

/* A few bytes of a file may ask for any number of zeros: of one made whole there may be so many for each that is listed, beside
 * some. */
enum { ZEROS = 256, MOST_SMALL = 1 << 24 };

OnnxTensor sparse_whole(const OnnxSparse *x)
{
    static const OnnxTensor none = {.type = 0};
    const OnnxTensor *values = x->values ? x->values : &none;
    return (OnnxTensor){.name = values->name, .type = values->type, .dims = x->dims, .sparse = x};
}

void sparse_join(Arena *a, OnnxGraph *g)
{
    const uint32_t dense = g->initializer.n, n = g->sparse_initializer.n;
    if (n == 0) return;
    OnnxTensor *at = ARENA_ARRAY(a, OnnxTensor, (size_t)dense + n);
    if (dense) memcpy(at, g->initializer.at, dense * sizeof *at);
    for (uint32_t i = 0; i < n; i++) at[dense + i] = sparse_whole(&g->sparse_initializer.at[i]);
    g->initializer.at = at;
    g->initializer.n = dense + n;
    g->sparse_initializer.n = 0;
}

/* The shapes of values and places beside the one of the whole. */
static bool shapes_fit(const OnnxSparse *x, const Type *whole, uint64_t *listed, Status *st)
{
    Type values, places;
    uint64_t n;
    if (!tensor_shape(x->values, &values, listed, st)) return false;
    if (values.rank != 1) return status_fail(st, ST_FORMAT, "its values have %d axes, not 1", values.rank);
    if (!x->indices && *listed == 0) return true;
    if (!x->indices) return status_fail(st, ST_FORMAT, "it has %llu values but no indices", (unsigned long long)*listed);
    if (!tensor_shape(x->indices, &places, &n, st)) return false;
    if (places.dtype != DT_i64)
        return status_fail(st, ST_FORMAT, "its indices are %s, not int64", onnx_dtype(x->indices->type)->name);
    const bool fit =
        places.rank >= 1 && places.rank <= 2 && places.dim[0] == (Dim)*listed && (places.rank == 1 || places.dim[1] == whole->rank);
    return fit || status_fail(st, ST_FORMAT, "its indices are not one number, or one for each of %d axes, for each of %llu values",
                      whole->rank, (unsigned long long)*listed);
}

bool sparse_check(const kiln_onnx *m, const OnnxTensor *x, Status *st)
{
    const OnnxSparse *s = x->sparse;
    Type whole;
    uint64_t n, listed;
    if (!s->values) return status_fail(st, ST_FORMAT, "it is sparse and has no values");
    if (!tensor_shape(x, &whole, &n, st) || !shapes_fit(s, &whole, &listed, st)) return false;
    const uint64_t bytes = whole.dtype == DT_NONE ? 1 : dtype_bytes((DType)whole.dtype);
    if (n > (MOST_SMALL + ZEROS * (MIN_OF(listed, n) * (bytes + sizeof(int64_t)))) / bytes)
        return status_fail(st, ST_UNSUPPORTED, "it is sparse, and %llu elements are too few of %llu for Kiln to make it whole",
            (unsigned long long)listed, (unsigned long long)n);
    if (listed > n)
        return status_fail(st, ST_FORMAT, "it lists %llu of %llu elements", (unsigned long long)listed, (unsigned long long)n);
    return tensor_check(m, s->values, st) && (!s->indices || tensor_check(m, s->indices, st));
}

/* Where element i of those that are listed goes; -1: st. */
static int64_t place_of(const Type *whole, uint64_t elements, const int64_t *index, int each, uint64_t i, Status *st)
{
    int64_t place = 0;
    for (int d = 0; d < each; d++) {
        const int64_t at = index[i * (uint64_t)each + (uint64_t)d],
                      size = each == 1 && whole->rank != 1 ? (int64_t)elements : whole->dim[d];
        if (at < 0 || at >= size) {
            status_fail(st, ST_FORMAT, "index %lld of its value %llu is not in [0, %lld)", (long long)at, (unsigned long long)i,
                (long long)size);
            return -1;
        }
        place = place * size + at;
    }
    return place;
}

static bool spread(const Type *whole, uint64_t elements, const OnnxSparse *s, const char *value, const int64_t *index, char *to,
    uint64_t listed, Status *st)
{
    const size_t bytes = dtype_bytes((DType)whole->dtype);
    const uint64_t each = listed ? (uint64_t)numbers_count(s->indices->dims) == 2 ? whole->rank : 1 : 0;
    int64_t last = -1;
    for (uint64_t i = 0; i < listed; i++) {
        const int64_t place = place_of(whole, elements, index, (int)each, i, st);
        if (place < 0) return false;
        if (place <= last)
            return status_fail(st, ST_FORMAT, "the indices of its values %llu and %llu are not in ascending order",
                (unsigned long long)i - 1, (unsigned long long)i);
        memcpy(to + (size_t)place * bytes, value + i * bytes, bytes);
        last = place;
    }
    return true;
}

typedef struct Room {
    char *whole, *value, *index;
    size_t whole_bytes, value_bytes, index_bytes;
} Room;

static void room_free(const Room *r)
{
    if (r->whole) mem_free(r->whole, r->whole_bytes);
    if (r->value) mem_free(r->value, r->value_bytes);
    if (r->index) mem_free(r->index, r->index_bytes);
}

kiln_tensor *sparse_value(Thread *t, kiln_site at, const kiln_onnx *m, const OnnxTensor *x)
{
    const OnnxSparse *s = x->sparse;
    Type whole;
    uint64_t n, listed;
    Status st = {0};
    Room r = {NULL};
    kiln_tensor *y = NULL;
    if (tensor_shape(x, &whole, &n, &st) && shapes_fit(s, &whole, &listed, &st)) {
        const size_t bytes = dtype_bytes((DType)whole.dtype), places = s->indices ? whole.rank > 1 ? whole.rank : 1 : 0;
        r.whole_bytes = (size_t)n * bytes + 1, r.value_bytes = (size_t)listed * bytes + 1;
        r.index_bytes = (size_t)listed * places * sizeof(int64_t) + 1;
        r.whole = mem_zeros(1, r.whole_bytes), r.value = mem_alloc(r.value_bytes), r.index = mem_alloc(r.index_bytes);
        if (!r.whole || !r.value || !r.index)
            status_fail(&st, ST_MEMORY, "no memory for its %zu bytes", r.whole_bytes - 1);
        else if (tensor_elements(m, s->values, r.value, &st) && (!listed || tensor_elements(m, s->indices, r.index, &st)) &&
                 spread(&whole, n, s, r.value, (const int64_t *)(const void *)r.index, r.whole, listed, &st))
            y = kiln_from_at(at, t->k, (kiln_dtype)whole.dtype, shape_of(&whole), r.whole, (int64_t)n);
    }
    room_free(&r);
    return y ? y : fail(t, at, (kiln_code)st.code, "onnx: tensor '%s': %s", shown(x->name).text, st.text);
}
