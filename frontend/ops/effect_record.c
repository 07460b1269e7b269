/* effect_record: the records of effects, and what happens when one is reached: eager code passes the tensors themselves, compiled
 * code headers around its memory. Both go the same way, so that text and errors are the same. Relies on effect.h. Never decides
 * whether an assertion holds: it only finds what to report. */
#include "effect.h"

#include <math.h>
#include <stdio.h>

/* ---- records ---------------------------------------------------------------------------------------- */
static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static bool same_shape(const kiln_shape *a, const kiln_shape *b)
{
    bool same = a->rank == b->rank;
    for (int64_t i = 1; same && i <= a->rank; i++) same = a->size[i] == b->size[i];
    return same;
}

static bool same(const Effect *a, const Effect *b)
{
    return a->kind == b->kind && a->dtype == b->dtype && a->at.line == b->at.line && same_text(a->at.file, b->at.file) &&
           a->to == b->to && same_text(a->text, b->text) && attr_of_f64(a->tolerance) == attr_of_f64(b->tolerance) &&
           same_shape(&a->shape, &b->shape) && a->fn == b->fn && a->user == b->user;
}

static void record_free(Effect *e)
{
    if (e && e->text) mem_free(e->text, strlen(e->text) + 1);
    mem_free(e, sizeof *e);
}

static bool append(kiln *k, const Effect *e)
{
    if (k->neffect == k->effect_cap) {
        uint32_t cap = k->effect_cap ? 2 * k->effect_cap : 8;
        Effect **more = mem_resize(k->effect, k->effect_cap * sizeof *more, cap * sizeof *more);
        if (!more) return false;
        k->effect = more;
        k->effect_cap = cap;
    }
    Effect *copy = mem_zeros(1, sizeof *copy);
    if (!copy) return false;
    *copy = *e;
    copy->text = NULL;
    if (e->text && !(copy->text = mem_strdup(e->text))) {
        record_free(copy);
        return false;
    }
    k->effect[k->neffect++] = copy;
    return true;
}

int64_t effect_number(kiln *k, const Effect *e)
{
    pthread_mutex_lock(&k->lock);
    int64_t n = 0;
    while (n < k->neffect && !same(k->effect[n], e)) n++;
    if (n == k->neffect && !append(k, e)) n = -1;
    pthread_mutex_unlock(&k->lock);
    return n;
}

static const Effect *record(kiln *k, int64_t number)
{
    pthread_mutex_lock(&k->lock);
    const Effect *e = number >= 0 && number < k->neffect ? k->effect[number] : NULL;
    pthread_mutex_unlock(&k->lock);
    return e; /* records stay until the engine closes */
}

void effects_free(kiln *k)
{
    for (uint32_t i = 0; i < k->neffect; i++) record_free(k->effect[i]);
    mem_free(k->effect, k->effect_cap * sizeof *k->effect);
}

/* ---- elements ------------------------------------------------------------------------------------------ */
static void unravel(const Type *shape, int64_t flat, int64_t *index)
{
    for (int i = shape->rank; i-- > 0; flat /= shape->dim[i]) index[i] = flat % shape->dim[i];
}

/* x's element at the index of a shape to which x broadcasts. */
static const char *element(const kiln_tensor *x, const Type *shape, const int64_t *index)
{
    int64_t at = 0;
    for (int i = 0, skip = shape->rank - x->type.rank; i < x->type.rank; i++)
        if (x->type.dim[i] != 1) at += index[skip + i] * x->stride[i];
    return x->data + at * (int64_t)dtype_bytes((DType)x->type.dtype);
}

static double float_at(const kiln_tensor *x, const Type *shape, const int64_t *index)
{
    return dtype_load_f64((DType)x->type.dtype, element(x, shape, index));
}

/* "element [1,0]", or the words for the only element. */
static const char *place(const Type *shape, const int64_t *index, const char *only, char *buf, size_t cap)
{
    if (!shape->rank) {
        snprintf(buf, cap, "%s", only);
        return buf;
    }
    size_t n = (size_t)snprintf(buf, cap, "element [");
    for (int i = 0; i < shape->rank && n < cap; i++)
        n += (size_t)snprintf(buf + n, cap - n, i ? ",%lld" : "%lld", (long long)index[i]);
    if (n < cap) snprintf(buf + n, cap - n, "]");
    return buf;
}

static double rounded(DType d, double v)
{
    uint64_t room = 0;
    dtype_store_f64(d, &room, v);
    return dtype_load_f64(d, &room);
}

/* As many digits as distinguish v from every other element of d. */
static const char *digits(DType d, double v, char *buf, size_t cap)
{
    locale_t before = plain_numbers_begin();
    snprintf(buf, cap, "nan"); /* whatever its sign */
    for (int p = 6; p <= 17 && !isnan(v); p++) {
        snprintf(buf, cap, "%.*g", p, v);
        if (rounded(d, strtod(buf, NULL)) == v) break;
    }
    plain_numbers_end(before);
    return buf;
}

/* ---- what is reported: elements are asked in order ------------------------------------------------------- */

/* Computes as the graph does: in d's compute type, rounded to d. */
static double difference(DType d, double a, double b) { return d == DT_f64 ? a - b : rounded(d, (double)((float)a - (float)b)); }

static bool holds(const Effect *e, kiln_tensor *const *x, const Type *shape, const int64_t *index)
{
    double a = float_at(x[0], shape, index);
    if (e->kind == ASSERT_HOLDS) return a != 0;
    if (e->kind == ASSERT_FINITE) return isfinite(a);
    DType d = (DType)x[0]->type.dtype;
    double b = float_at(x[1], shape, index);
    return a == b || fabs(difference(d, a, b)) <= rounded(d, e->tolerance);
}

static void report_shape(Thread *t, const Effect *e, kiln_tensor *const *x)
{
    Type type = {.dtype = e->dtype, .rank = (uint8_t)e->shape.rank};
    char text[160];
    int wrong = -1;
    for (int i = 0; i < type.rank; i++) {
        memcpy(&type.dim[i], x[i]->data, sizeof type.dim[i]);
        int64_t want = e->shape.size[1 + i];
        if (wrong < 0 && want >= 0 && want != type.dim[i]) wrong = i;
    }
    type_print(NULL, &type, text, sizeof text);
    fail(t, e->at, KILN_ESHAPE, "assert_shape: axis %d is %lld, not %lld: %s", wrong, (long long)type.dim[MAX_OF(wrong, 0)],
        (long long)e->shape.size[1 + MAX_OF(wrong, 0)], text);
}

static void report_element(Thread *t, const Effect *e, kiln_tensor *const *x, const Type *shape, const int64_t *index)
{
    char where[200], type[160], a[40], b[40], gap[40], most[40];
    DType d = (DType)x[0]->type.dtype;
    type_print(NULL, shape, type, sizeof type);
    if (e->kind == ASSERT_HOLDS) {
        if (!shape->rank)
            fail(t, e->at, KILN_EVALUE, "assert: %s", e->text);
        else
            fail(t, e->at, KILN_EVALUE, "assert: %s: %s of %s does not hold", e->text, place(shape, index, "", where, sizeof where),
                type);
        return;
    }
    double va = float_at(x[0], shape, index);
    if (e->kind == ASSERT_FINITE) {
        fail(t, e->at, KILN_EVALUE, "assert_finite: %s is %s: %s", place(shape, index, "the value", where, sizeof where),
            digits(d, va, a, sizeof a), type);
        return;
    }
    double vb = float_at(x[1], shape, index);
    fail(t, e->at, KILN_EVALUE, "assert_close: %s: %s and %s differ by %s, more than %s: %s",
        place(shape, index, "the values", where, sizeof where), digits(d, va, a, sizeof a), digits(d, vb, b, sizeof b),
        digits(d, fabs(difference(d, va, vb)), gap, sizeof gap), digits(DT_f64, e->tolerance, most, sizeof most), type);
}

static void report_index(Thread *t, const Effect *e, kiln_tensor *const *x)
{
    const Type *shape = &x[0]->type;
    const DType d = (DType)shape->dtype;
    int64_t index[MAX_RANK] = {0}, v = 0, size = dtype_load_i64(DT_i64, x[1]->data);
    char where[200], type[160], number[24];
    for (int64_t at = 0, n = type_count(shape); at < n && v >= 0 && v < size; at++) {
        unravel(shape, at, index);
        v = dtype_load_i64(d, element(x[0], shape, index)); /* a u64 that i64 does not hold is negative here */
    }
    snprintf(number, sizeof number, d == DT_u64 ? "%llu" : "%lld", (unsigned long long)v);
    type_print(NULL, shape, type, sizeof type);
    fail(t, e->at, KILN_EVALUE, "%s: an index is out of range: %s is %s, of a size of %lld: %s", e->text,
        place(shape, index, "it", where, sizeof where), number, (long long)size, type);
}

/* Reports an assertion that does not hold. x[0] is what was tested; what follows it tells why. */
static void report(Thread *t, const Effect *e, kiln_tensor *const *x, uint32_t n)
{
    int64_t index[MAX_RANK] = {0};
    if (n > 1) x++;
    if (e->kind == ASSERT_SHAPE || e->kind == ASSERT_INDEX) {
        (e->kind == ASSERT_SHAPE ? report_shape : report_index)(t, e, x);
        return;
    }
    Type shape = x[0]->type;
    if (e->kind == ASSERT_CLOSE) shape_broadcast(NULL, &x[0]->type, &x[1]->type, &shape);
    for (int64_t i = 0, all = type_count(&shape); i < all; i++) {
        unravel(&shape, i, index);
        if (!holds(e, x, &shape, index)) break;
    }
    report_element(t, e, x, &shape, index);
}

/* ---- it comes up ------------------------------------------------------------------------------------------ */
static kiln_array array_of(const kiln_tensor *x)
{
    kiln_array a = {.dtype = (kiln_dtype)x->type.dtype, .rank = x->type.rank, .data = x->data};
    memcpy(a.size, x->type.dim, x->type.rank * sizeof *a.size);
    return a;
}

static int32_t call_back(Thread *t, const Effect *e, kiln_tensor *const *x, uint32_t nin, uint32_t nout)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_array *array = SCRATCH(t, e->at, kiln_array, (size_t)nin + nout);
    if (!array) return KILN_EMEMORY;
    for (uint32_t i = 0; i < nin + nout; i++) array[i] = array_of(x[i]);
    const uint64_t since = t->next_uid;
    const uint8_t device = t->device;
    BodyRun *body = t->body;
    t->device = t->chosen; /* it is no part of the body that calls it */
    t->body = NULL;
    int rc = e->fn(array, (int)nin, array + nin, (int)nout, e->user);
    t->device = device;
    t->body = body;
    scratch_reset(&t->scratch, mark);
    if (!eagerly_ended(t, e->at, "callback", since)) return KILN_ESTATE;
    if (rc) fail(t, e->at, KILN_EVALUE, "callback: the function returned %d", rc);
    return rc ? KILN_EVALUE : 0;
}

int32_t effect_now(Thread *t, const Effect *e, kiln_tensor *const *x, uint32_t nin, uint32_t nout)
{
    switch ((EffectKind)e->kind) {
    case SHOW_TENSOR: return print_to(t, e->at, e->to, x[0]) ? 0 : KILN_EIO;
    case SHOW_TEXT:
        if (fputs(e->text, e->to) >= 0) return 0;
        fail(t, e->at, KILN_EIO, "print_text: writing failed");
        return KILN_EIO;
    case CALL_BACK: return call_back(t, e, x, nin, nout);
    default: report(t, e, x, nin); return e->kind == ASSERT_SHAPE ? KILN_ESHAPE : KILN_EVALUE;
    }
}

/* Makes headers for the memory at buf; type: per buffer its dtype, its rank, its sizes. */
static void header_all(Thread *t, size_t n, void *const *buf, const int64_t *type, kiln_tensor *header, kiln_tensor **x)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = &header[i];
        header[i] = (kiln_tensor){.state = TENSOR_EAGER, .contiguous = true, .k = t->k, .home = t, .data = buf[i]};
        Type *to = &header[i].type;
        to->dtype = (uint8_t)*type++;
        to->rank = (uint8_t)*type++;
        memcpy(to->dim, type, to->rank * sizeof *to->dim);
        type += to->rank;
        int64_t stride = 1;
        for (int d = to->rank; d-- > 0; stride *= to->dim[d]) header[i].stride[d] = stride;
    }
}

int32_t effect_happens(const KilnHost *h, int64_t number, int64_t nin, int64_t nout, void *const *buf, const int64_t *type)
{
    kiln *k = h->ctx;
    Thread *t = thread_of(k);
    const Effect *e = record(k, number);
    if (!t) return KILN_EMEMORY;
    if (t->quiet && nout == 0) return 0;
    if (!e || t->quiet) {
        kiln_site nowhere = {NULL, 0};
        fail(t, e ? e->at : nowhere, e ? KILN_EUNSUPPORTED : KILN_EINTERNAL, "%s",
            e ? "callback: kiln_check and kiln_profile do not call C functions" : "compiled code names no effect of this engine");
        return e ? KILN_EUNSUPPORTED : KILN_EINTERNAL;
    }
    ScratchMark mark = scratch_mark(&t->scratch);
    const size_t n = (size_t)(nin + nout);
    kiln_tensor *header = SCRATCH(t, e->at, kiln_tensor, n), **x = SCRATCH(t, e->at, kiln_tensor *, n);
    int32_t rc = KILN_EMEMORY;
    if (header && x) {
        header_all(t, n, buf, type, header, x);
        rc = effect_now(t, e, x, (uint32_t)nin, (uint32_t)nout);
    }
    scratch_reset(&t->scratch, mark);
    return rc;
}
