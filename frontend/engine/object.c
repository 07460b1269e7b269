/* object: the engine's list of layers, optimisers, metrics and data sets. Never knows what they are. */
#include "engine.h"

void *object_new(kiln_site at, kiln *k, size_t bytes, void (*clean)(Object *))
{
    Thread *t = thread_of(k);
    Object *o = t ? mem_zeros(1, bytes) : NULL;
    if (!o) {
        fail(t, at, KILN_EMEMORY, "no memory for %zu bytes", bytes);
        return NULL;
    }
    o->k = k;
    o->bytes = bytes;
    o->clean = clean;
    pthread_mutex_lock(&k->lock);
    o->next = k->objects;
    if (o->next) o->next->prev = o;
    k->objects = o;
    pthread_mutex_unlock(&k->lock);
    return o;
}

static void destroy(Object *o)
{
    if (o->clean) o->clean(o);
    mem_free(o, o->bytes);
}

void object_free(Object *o)
{
    if (!o) return;
    pthread_mutex_lock(&o->k->lock);
    if (o->prev)
        o->prev->next = o->next;
    else
        o->k->objects = o->next;
    if (o->next) o->next->prev = o->prev;
    pthread_mutex_unlock(&o->k->lock);
    destroy(o);
}

void objects_free_all(kiln *k)
{
    for (Object *o = k->objects, *next; o; o = next) {
        next = o->next;
        destroy(o);
    }
    k->objects = NULL;
}
