/* variable: the lives of variables and locals: making, keeping a value, freeing. In eager code a variable holds a tensor that
 * assignments replace; in a trace it is a slot (trace/trace.c). Reading and assigning are ops/assign.c. Never writes elements in
 * place: readers share the old value. */
#include "engine.h"

#include <stdio.h>

/* Freed variables and locals are made anew only when as many others were freed since: until then whoever kept a handle is told.
 * Debug builds keep them all. */
#define FREED_KEPT 256

/* The oldest freed one that nobody holds a pointer to. Under the engine's lock. NULL: there is none. */
static kiln_variable *take_freed(kiln *k)
{
#ifdef KILN_DEBUG
    return NULL;
#endif
    for (int tries = 0; tries < 8 && k->freed > FREED_KEPT; tries++) {
        kiln_variable *v = k->freed_first;
        k->freed_first = v->next;
        v->next = NULL;
        if (__atomic_load_n(&v->pins, __ATOMIC_RELAXED) == 0) {
            k->freed--;
            return v;
        }
        k->freed_last->next = v; /* others are left: the list is not empty */
        k->freed_last = v;
    }
    return NULL;
}

static void link_variable(kiln_variable *v)
{
    kiln *k = v->k;
    pthread_mutex_lock(&k->lock);
    v->id = ++k->next_variable;
    v->next = k->variables;
    if (v->next) v->next->prev = v;
    k->variables = v;
    pthread_mutex_unlock(&k->lock);
}

kiln_variable *variable_make(Thread *t, kiln_site at, const char *name, const Type *type)
{
    kiln *k = t->k;
    char *copy = mem_strdup(name ? name : "");
    pthread_mutex_lock(&k->lock);
    kiln_variable *v = copy ? take_freed(k) : NULL;
    pthread_mutex_unlock(&k->lock);
    if (v) {
        mem_free(v->name, strlen(v->name) + 1);
        memset(v, 0, sizeof *v);
    } else if (copy) {
        v = mem_zeros(1, sizeof *v);
    }
    if (!v) {
        if (copy) mem_free(copy, strlen(copy) + 1);
        fail(t, at, KILN_EMEMORY, "variable: no memory");
        return NULL;
    }
    v->k = k;
    v->name = copy;
    v->type = *type;
    v->alive = true;
    link_variable(v);
    return v;
}

static void retire(kiln_variable *v)
{
    v->alive = false;
    if (v->value) kiln_release(v->value);
    v->value = NULL;
}

/* From the list of those that live. Under the engine's lock. */
static void unlink_variable(kiln_variable *v)
{
    *(v->prev ? &v->prev->next : &v->k->variables) = v->next;
    if (v->next) v->next->prev = v->prev;
    v->prev = v->next = NULL;
    if (strchr(v->name, '/')) v->k->renamed++;
}

/* One that nobody was given: nothing of it is left. */
void variable_discard(kiln_variable *v)
{
    kiln *k = v->k;
    retire(v);
    pthread_mutex_lock(&k->lock);
    unlink_variable(v);
    pthread_mutex_unlock(&k->lock);
    mem_free(v->name, strlen(v->name) + 1);
    mem_free(v, sizeof *v);
}

/* From the list of those that live to that of the freed: compiled functions may still name it. */
static void put_away(kiln_variable *v)
{
    kiln *k = v->k;
    retire(v);
    pthread_mutex_lock(&k->lock);
    unlink_variable(v);
    *(k->freed_first ? &k->freed_last->next : &k->freed_first) = v;
    k->freed_last = v;
    k->freed++;
    pthread_mutex_unlock(&k->lock);
}

/* Where the variable's value lies once it is x. One element of the host's, which joins any device, goes where its value comes from;
 * a new variable's first value goes to the device of the block. */
static uint32_t home_of(const Thread *t, const kiln_variable *v, const kiln_tensor *x)
{
    if (v->value) return tensor_joins(v->value) ? x->device : v->value->device;
    return tensor_joins(x) || (t->blocks && !v->local) ? t->device : x->device;
}

/* The value's own tensor: contiguous, in memory of ours, owned by the variable. */
kiln_tensor *variable_settle(Thread *t, kiln_site at, const kiln_variable *v, kiln_tensor *x)
{
    const uint32_t all = (uint32_t)t->device | x->device | (v->value ? v->value->device : HOST);
    const uint32_t device = LIKELY(all == HOST) ? HOST : home_of(t, v, x);
    if (UNLIKELY(x->device != device && v->value && !tensor_joins(x))) {
        fail(t, at, KILN_EDEVICE, "assign: variable %s is on %s, the value on %s", v->name, device_name(device),
            device_name(x->device));
        return NULL;
    }
    if (UNLIKELY(x->device != device)) return tensor_ok(x = tensor_to(t, at, x, device)) ? x : NULL;
    if (x->contiguous && x->buffer->pool) {
        kiln_tensor *own = tensor_alias(t, at, x);
        return own == &t->k->poison ? NULL : own;
    }
    kiln_tensor *copy = tensor_result(t, at, &x->type, NULL, device);
    if (!copy) return NULL;
    Status st;
    status_clear(&st);
    tensor_pack(t, x, copy, &st);
    return st.code ? (fail_status(t, at, &st), NULL) : copy;
}

/* Nothing can fail here. own: x, settled. */
void variable_put(kiln_variable *v, const kiln_tensor *x, kiln_tensor *own)
{
    if (v->local) own->uid = x->uid; /* the very value, for tapes */
    kiln_tensor *old = v->value;
    v->value = kiln_own(own);
    if (old) kiln_release(old);
}

void kiln_variable_free(kiln_variable *v)
{
    if (v && v->alive) put_away(v);
}

void local_free(Thread *t, kiln_variable *v)
{
    t->k->hooks->forget(t, v);
    put_away(v);
}

void variables_free_all(kiln *k)
{
    for (kiln_variable *v = k->variables, *next; v; v = next) {
        next = v->next;
        v->local ? retire(v) : put_away(v);
    }
}

void variables_free_freed(kiln *k)
{
    for (kiln_variable *v = k->freed_first, *next; v; v = next) {
        next = v->next;
        mem_free(v->name, strlen(v->name) + 1);
        mem_free(v, sizeof *v);
    }
    k->freed_first = k->freed_last = NULL;
}

const char *kiln_variable_name(const kiln_variable *v) { return v ? v->name : ""; }
