/* scope: who owns what, and until when. Tensors hang in their scope's list; owners counts kiln_own. Never looks at elements. */
#include "engine.h"

bool scope_push(Thread *t)
{
    if (t->scopes == t->scope_cap) {
        uint32_t cap = t->scope_cap ? 2 * t->scope_cap : 16;
        Scope *s = mem_resize(t->scope, t->scope_cap * sizeof *s, cap * sizeof *s);
        if (!s) return false;
        t->scope = s;
        t->scope_cap = cap;
    }
    t->scope[t->scopes++] = (Scope){.id = ++t->next_uid};
    return true;
}

void scope_link(Thread *t, kiln_tensor *x, uint32_t scope)
{
    Scope *s = &t->scope[scope];
    x->scope = scope;
    x->in_scope = true;
    x->prev = NULL;
    x->next = s->tensors;
    if (s->tensors) s->tensors->prev = x;
    s->tensors = x;
}

void scope_unlink(kiln_tensor *x)
{
    if (x->prev)
        x->prev->next = x->next;
    else
        x->home->scope[x->scope].tensors = x->next;
    if (x->next) x->next->prev = x->prev;
    x->prev = x->next = NULL;
    x->in_scope = false;
}

static void end_in(Scope *s, kiln_tensor *x)
{
    scope_unlink(x);
    x->released = false;
    x->scope_opened = s->opened;
    x->region = s->region;
    tensor_drop(x);
}

void scope_drop(kiln_tensor *x)
{
    if (x->in_scope) end_in(&x->home->scope[x->scope], x);
}

void scope_pop(Thread *t)
{
    Scope *s = &t->scope[t->scopes - 1];
    while (s->tapes) t->k->hooks->retire(s->tapes); /* which unlinks it */
    while (s->locals) {
        kiln_variable *v = s->locals;
        s->locals = v->next_local;
        local_free(t, v);
    }
    while (s->tensors) end_in(s, s->tensors);
    if (UNLIKELY(t->eagerly == t->scopes)) {
        t->trace = s->trace;
        t->recording = s->recording;
        t->eagerly = s->eagerly;
    }
    t->scopes--;
}

void scope_move_out(Thread *t, kiln_tensor *x)
{
    if (x->in_scope && x->home == t && x->scope > 0) {
        uint32_t to = x->scope - 1;
        scope_unlink(x);
        scope_link(t, x, to);
    }
}

kiln_scope kiln_scope_open(kiln *k) { return kiln_scope_open_at((kiln_site){NULL, 0}, k); }

kiln_scope kiln_scope_open_at(kiln_site at, kiln *k)
{
    kiln_scope s = {k, 0};
    Thread *t = thread_of(k);
    if (!t) return s;
    if (!scope_push(t)) {
        fail(t, at, KILN_EMEMORY, "scope: no memory");
        return s;
    }
    t->scope[t->scopes - 1].opened = loc_of(at);
    s.id = t->scope[t->scopes - 1].id;
    return s;
}

void kiln_scope_close(kiln_scope *s)
{
    if (!s || !s->k || !s->id) return;
    Thread *t = thread_of(s->k);
    uint32_t i = t ? t->scopes : 0;
    while (i > 1 && t->scope[i - 1].id != s->id) i--;
    s->id = 0;
    if (i <= 1) {
        fail(t, (kiln_site){NULL, 0}, KILN_ESTATE, "scope: closed twice, or on another thread than it was opened on");
        return;
    }
    if (i != t->scopes) fail(t, (kiln_site){NULL, 0}, KILN_ESTATE, "scope: closed before a scope that was opened inside it");
    while (t->scopes >= i) scope_pop(t);
}

/* ---- outside the trace ----------------------------------------------------------------------------------- */
kiln_eagerly kiln_eagerly_open(kiln *k)
{
    kiln_eagerly e = {.k = k, .scope = kiln_scope_open(k)};
    if (!e.scope.id) return e;
    Thread *t = thread_of(k);
    Scope *s = &t->scope[t->scopes - 1];
    s->trace = t->trace;
    s->recording = t->recording;
    s->eagerly = t->eagerly;
    t->eagerly = t->scopes;
    t->trace = NULL;
    t->recording = 0;
    return e;
}

void kiln_eagerly_close(kiln_eagerly *e)
{
    if (e) kiln_scope_close(&e->scope);
}

bool eagerly_ended(Thread *t, kiln_site at, const char *what, uint64_t since)
{
    if (LIKELY(!t->eagerly) || !since || t->scope[t->eagerly - 1].id <= since) return true;
    fail(t, at, KILN_ESTATE, "%s: the body ended inside a KILN_EAGERLY block: a kiln_eagerly_open has no kiln_eagerly_close", what);
    while (t->eagerly && t->scope[t->eagerly - 1].id > since) scope_pop(t);
    return false;
}

/* ---- owners ----------------------------------------------------------------------------------------------- */
/* The thread to act in, after checking that x is alive; NULL: x is poison, NULL, or was reported. */
static Thread *owner_thread(kiln_tensor *x, const char *what)
{
    if (!x || x->state == TENSOR_POISON) return NULL;
    Thread *t = thread_of(x->k);
    if (x->state == TENSOR_MISSING) {
        fail(t, (kiln_site){NULL, 0}, KILN_EVALUE, "%s: input %d was not given", what, missing_input(x));
        return NULL;
    }
    if (x->state == TENSOR_FREE) {
        char end[320];
        fail(t, (kiln_site){x->made.file, x->made.line}, KILN_ESTATE, "%s: the tensor is used after %s; it was made at", what,
            tensor_end_text(x, end, sizeof end));
        return NULL;
    }
    return t;
}

kiln_tensor *kiln_keep(kiln_tensor *x)
{
    Thread *t = owner_thread(x, "keep");
    if (t) scope_move_out(t, x);
    return x;
}

kiln_tensor *kiln_own(kiln_tensor *x)
{
    Thread *t = owner_thread(x, "own");
    if (t) {
        __atomic_add_fetch(&x->owners, 1, __ATOMIC_RELAXED);
        if (x->in_scope && x->home == t) scope_unlink(x);
    }
    return x;
}

void kiln_release(kiln_tensor *x)
{
    Thread *t = owner_thread(x, "release");
    if (!t) return;
    if (__atomic_load_n(&x->owners, __ATOMIC_RELAXED) == 0) {
        fail(t, (kiln_site){x->made.file, x->made.line}, KILN_ESTATE,
            "release: the tensor is not owned (kiln_own first); it was made at");
        return;
    }
    if (__atomic_sub_fetch(&x->owners, 1, __ATOMIC_ACQ_REL) != 0) return;
    if (!x->in_scope) x->released = true;
    tensor_drop(x);
}

void kiln_set(kiln_tensor **slot, kiln_tensor *x)
{
    if (!slot) {
        fail(x ? thread_of(x->k) : thread_last(), (kiln_site){NULL, 0}, KILN_EVALUE, "set: the slot is NULL");
        return;
    }
    kiln_tensor *old = *slot;
    *slot = x ? kiln_own(x) : NULL;
    if (old) kiln_release(old);
}
