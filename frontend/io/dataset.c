/* dataset: pairs of tensors along axis 0, and passes over them in batches. A pass owns the batch
 * that it hands out until its next step. Relies on tensor headers and objects. Never changes the
 * tensors it was given, never runs an op. */
#include <kiln/data.h>

#include "../engine/engine.h"
#include "chance.h"

struct kiln_dataset {
    Object o;
    kiln_tensor *x, *y; /* owned, contiguous */
    int64_t size;
};

enum { READY, RUNNING, DONE };

static void clean(Object *o)
{
    kiln_dataset *d = (kiln_dataset *)o;
    kiln_release(d->x);
    kiln_release(d->y);
}

static bool usable(Thread *t, kiln_site at, const kiln_tensor *x, const char *name)
{
    char text[96];
    if (x && x->state == TENSOR_POISON) return false; /* the error was recorded where it was made */
    if (x && x->state == TENSOR_EAGER && x->type.rank > 0) return true;
    if (x && x->state == TENSOR_TRACED)
        fail(t, at, KILN_ESTATE, "dataset: %s is a traced value; its elements exist only when the function runs", name);
    else
        fail(t, at, KILN_ESHAPE, "dataset: %s is %s; it must have at least one axis", name, tensor_text(x, text, sizeof text));
    return false;
}

/* A new handle to x's elements, or to a packed copy where the host, which puts rows together, reads them; owning the user's handle
 * would take it from its scope. NULL: recorded. */
static kiln_tensor *hold(Thread *t, kiln_site at, kiln_tensor *x)
{
    x = tensor_host(t, at, x->contiguous ? tensor_alias(t, at, x) : x);
    return tensor_ok(x) ? kiln_own(x) : NULL;
}

kiln_dataset *kiln_dataset_new_at(kiln_site at, kiln *k, kiln_tensor *x, kiln_tensor *y)
{
    Thread *t = thread_of(k);
    if (!t || !usable(t, at, x, "x") || !usable(t, at, y, "y")) return NULL;
    if (x->type.dim[0] != y->type.dim[0]) {
        char a[96], b[96];
        fail(t, at, KILN_ESHAPE, "dataset: x and y differ in length: %s, %s", tensor_text(x, a, sizeof a),
            tensor_text(y, b, sizeof b));
        return NULL;
    }
    kiln_dataset *d = object_new(at, k, sizeof *d, clean);
    if (!d) return NULL;
    d->size = x->type.dim[0];
    d->x = hold(t, at, x);
    d->y = d->x ? hold(t, at, y) : NULL;
    if (d->y) return d;
    object_free(&d->o);
    return NULL;
}

int64_t kiln_dataset_size(const kiln_dataset *d) { return d ? d->size : 0; }

void kiln_dataset_free(kiln_dataset *d)
{
    if (d) object_free(&d->o);
}

/* ---- order --------------------------------------------------------------------------------------- */
/* Fisher and Yates; the high half of a product is a number below n, uniform enough for n < 2^40. */
static void shuffle(int64_t *order, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(((unsigned __int128)chance_next(&seed) * (uint64_t)(i + 1)) >> 64);
        int64_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

static size_t order_bytes(const kiln_batch *b) { return (size_t)b->data->size * sizeof *b->order; }

kiln_batch kiln_batches_at(kiln_site at, kiln_dataset *d, int64_t size, uint64_t seed)
{
    kiln_batch b = {.index = -1, .data = d, .size = size, .state = DONE};
    Thread *t = d ? thread_of(d->o.k) : thread_last();
    if (!d || size <= 0) {
        fail(t, at, d ? KILN_EVALUE : KILN_ESTATE,
            d ? "batches: the batch size is %lld; it must be at least 1" : "batches: the data set is NULL", (long long)size);
        return b;
    }
    if (seed && d->size) {
        b.order = mem_alloc(order_bytes(&b));
        if (!b.order) {
            fail(t, at, KILN_EMEMORY, "batches: no memory for the order of %lld rows", (long long)d->size);
            return b;
        }
        shuffle(b.order, d->size, seed);
    }
    b.state = READY;
    return b;
}

/* ---- batches ------------------------------------------------------------------------------------- */
/* Copies n rows of the pass, at, at + 1, ...; the caller owns the result. NULL: recorded. */
static kiln_tensor *rows(Thread *t, const kiln_batch *b, const kiln_tensor *from, int64_t n)
{
    Type type = from->type;
    type.dim[0] = n;
    const kiln_site at = {from->made.file, from->made.line};
    kiln_tensor *x = tensor_empty(t, at, &type);
    if (!x) return NULL;
    size_t row = (size_t)(type_count(&type) / n) * dtype_bytes(type.dtype);
    if (!b->order)
        memcpy(x->data, from->data + (size_t)b->at * row, (size_t)n * row);
    else
        for (int64_t i = 0; i < n; i++) memcpy(x->data + (size_t)i * row, from->data + (size_t)b->order[b->at + i] * row, row);
    x = tensor_place(t, at, x);
    return tensor_ok(x) ? kiln_own(x) : NULL;
}

static void drop(kiln_batch *b)
{
    kiln_release(b->x);
    kiln_release(b->y);
    b->x = b->y = NULL;
}

void kiln_batch_stop(kiln_batch *b)
{
    if (!b || b->state == DONE) return;
    drop(b);
    if (b->order) mem_free(b->order, order_bytes(b));
    b->order = NULL;
    b->state = DONE;
}

bool kiln_next(kiln_batch *b)
{
    if (!b || b->state == DONE) return false;
    kiln_dataset *d = b->data;
    Thread *t = thread_of(d->o.k);
    drop(b);
    if (!t || t->failure.code != KILN_OK || b->at >= d->size) {
        kiln_batch_stop(b);
        return false;
    }
    int64_t n = MIN_OF(b->size, d->size - b->at);
    b->x = rows(t, b, d->x, n);
    b->y = b->x ? rows(t, b, d->y, n) : NULL;
    if (!b->y) {
        kiln_batch_stop(b);
        return false;
    }
    b->at += n;
    b->index++;
    b->state = RUNNING;
    return true;
}
