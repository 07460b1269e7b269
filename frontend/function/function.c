/* function: the public face of traced functions: making, calling, freeing, the decorator. Gradients as functions are derive.c,
 * which instance serves a call is signature.c and cache.c, compiling compile.c, calling call.c. */
#include "background.h"

#include <stdio.h>

/* The function's own copy of what its inputs are declared to be. False: no memory. */
static bool copy_specs(kiln_function *f)
{
    const kiln_function_options *o = &f->options;
    const kiln_spec *from = o->input_list ? o->input_list : o->inputs;
    uint32_t n = 0;
    if (o->input_list)
        n = (uint32_t)MAX_OF(o->inputs_count, 0);
    else
        while (n < KILN_MAX_ARGS && o->inputs[n].dtype != KILN_NONE) n++;
    f->nspec_room = n;
    if (n && !(f->spec = mem_zeros(n, sizeof *f->spec))) return false;
    if (n) memcpy(f->spec, from, n * sizeof *f->spec);
    f->nspec = n;
    f->options.input_list = f->spec;
    return true;
}

static const char *size_fault(const kiln_size *z)
{
    if (z->lo < 0 || z->lo > z->hi) return "a size must be 0 or more, and the lowest size of a KILN_DIM at most the highest";
    if (z->name && z->lo != z->hi && (!dim_name_ok(z->name) || z->hi > DIM_MAX))
        return "the name of a KILN_DIM must consist of letters, digits and _, and its highest size be at most 2^48";
    return NULL;
}

static const char starved[] = "no memory";

/* A KILN_DIM has the same bounds wherever its name stands. names maps the hash of a name to the number of the size that it stood in
 * first, from 1. */
static const char *name_fault(const kiln_spec *spec, Map *names, uint32_t i, int d)
{
    const kiln_size *z = &spec[i].size[d];
    if (!z->name) return NULL;
    uint64_t key = hash_key(hash_bytes(0, z->name, strlen(z->name)));
    const uint64_t *at;
    for (; (at = map_get(names, key)); key++) { /* on to the next key while another name has this one */
        const kiln_size *known = &spec[(*at - 1) / KILN_MAX_RANK].size[(*at - 1) % KILN_MAX_RANK];
        if (strcmp(known->name, z->name)) continue;
        return known->lo == z->lo && known->hi == z->hi ? NULL : "a KILN_DIM of one name must have the same bounds everywhere";
    }
    return map_put(names, key, (uint64_t)i * KILN_MAX_RANK + (uint64_t)d + 1) ? NULL : starved;
}

static const char *spec_fault(const kiln_spec *spec, uint32_t n)
{
    Map names = {0};
    const char *fault = NULL;
    for (uint32_t i = 0; i < n && !fault; i++) {
        const kiln_spec *s = &spec[i];
        if (!dtype_known((int)s->dtype) || s->rank > KILN_MAX_RANK) fault = "a dtype is unknown, or a rank is above 8";
        for (int d = 0; d < s->rank && !fault; d++)
            if (!(fault = size_fault(&s->size[d]))) fault = name_fault(spec, &names, i, d);
    }
    map_free(&names);
    return fault;
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */
/* A freed handle is reused only after as many others were freed since; until then, whoever still has it gets an error that says so.
 * Debug builds keep them all. */
#define FREED_KEPT 64

static void init_locks(kiln_function *f)
{
    pthread_mutexattr_t recursive; /* a body may ask about its own function */
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&f->compiling, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_mutex_init(&f->counting, NULL);
    pthread_mutex_init(&f->deriving, NULL);
}

/* The handle, all zeros. */
static void clear_handle(kiln_function *f)
{
    if (f->name) mem_free(f->name, strlen(f->name) + 1);
    pthread_mutex_destroy(&f->compiling);
    pthread_mutex_destroy(&f->counting);
    pthread_mutex_destroy(&f->deriving);
    memset(f, 0, sizeof *f);
}

static void drop_handle(kiln_function *f)
{
    clear_handle(f);
    mem_free(f, sizeof *f);
}

/* NULL: no memory. */
static kiln_function *new_handle(kiln *k)
{
    kiln_function *f = NULL;
#ifndef KILN_DEBUG
    pthread_mutex_lock(&k->lock);
    if (k->functions_freed > FREED_KEPT) {
        f = k->freed_functions;
        k->freed_functions = f->next;
        k->functions_freed--;
    }
    pthread_mutex_unlock(&k->lock);
    if (f) clear_handle(f);
#endif
    if (!f) f = mem_zeros(1, sizeof *f);
    if (f) f->k = k, init_locks(f);
    return f;
}

/* Frees all but the handle with its name. */
static void let_go(kiln_function *f)
{
    cache_free_instances(f);
    rigid_free(f);
    latest_free(f->latest);
    mem_free((void *)(uintptr_t)f->preset.group, (size_t)f->preset_args * MAX_RANK);
    if (f->free_user) f->free_user(f->user);
    if (f->spec) mem_free(f->spec, f->nspec_room * sizeof *f->spec);
    f->latest = NULL;
    f->preset = (Plan){0};
    f->free_user = NULL;
    f->spec = NULL;
    f->nspec = 0;
    f->options.input_list = NULL;
}

static void keep_handle(kiln_function *f)
{
    kiln *k = f->k;
    pthread_mutex_lock(&k->lock);
    f->next = NULL;
    *(k->freed_functions ? &k->last_freed->next : &k->freed_functions) = f;
    k->last_freed = f;
    k->functions_freed++;
    pthread_mutex_unlock(&k->lock);
}

void function_destroy(kiln_function *f)
{
    kiln_function *parent = f->parent;
    const bool given = !f->inst; /* nobody outside has the handle of an instance's gradient */
    let_go(f);
    if (parent && f->inst) {
        pthread_mutex_lock(&f->k->lock);
        f->inst->derived = false;
        pthread_mutex_unlock(&f->k->lock);
    }
    f->parent = NULL;
    if (given)
        keep_handle(f);
    else
        drop_handle(f);
    if (parent) function_drop(parent);
}

bool function_gone(Thread *t, kiln_site at, const kiln_function *f)
{
    fail(t, at, KILN_ESTATE, "%s: the function was freed", f->name);
    return false;
}

/* ---- making ------------------------------------------------------------------------------------------------------- */
/* Frees a function that nobody was given, because making it failed. */
static kiln_function *discard(kiln_function *f)
{
    let_go(f);
    drop_handle(f);
    return NULL;
}

kiln_function *kiln_function_new_sized(
    kiln_site at, kiln *k, kiln_body *body, void *user, const kiln_function_options *options, size_t size)
{
    Thread *t = thread_of(k);
    if (!t) return NULL;
    if (!body) {
        fail(t, at, KILN_EVALUE, "function: the body is NULL");
        return NULL;
    }
    kiln_function *f = new_handle(k);
    if (!f) {
        fail(t, at, KILN_EMEMORY, "function: no memory");
        return NULL;
    }
    if (options) memcpy(&f->options, options, MIN_OF(size, sizeof f->options));
    f->compile = k->options.no_compile ? KILN_NEVER : f->options.compile ? f->options.compile : k->compile;
    f->body = body;
    f->user = user;
    f->loc = loc_of(at);
    const int outputs = f->options.outputs;
    f->options.outputs = outputs == KILN_NO_OUTPUTS ? 0 : outputs == 0 ? 1 : outputs;
    f->name = mem_strdup(f->options.name ? f->options.name : "function");
    f->options.name = f->name;
    if (!copy_specs(f) || !f->name) {
        fail(t, at, KILN_EMEMORY, "function: no memory");
        return discard(f);
    }
    if (f->options.outputs < 0 || f->options.inputs_count < 0) {
        if (f->options.outputs < 0)
            fail(t, at, KILN_EVALUE, "%s: outputs is %d; it must be 0 (meaning 1) or more, or KILN_NO_OUTPUTS", f->name, outputs);
        else
            fail(t, at, KILN_EVALUE, "%s: inputs_count is %d; it must be 0 or more", f->name, f->options.inputs_count);
        return discard(f);
    }
    if (!compiling_known(f->options.compile)) {
        fail(t, at, KILN_EVALUE, "%s: compile is %d; it must be 0 or a kiln_compiling", f->name, (int)f->options.compile);
        return discard(f);
    }
    if (f->options.exact && f->options.tf32) {
        fail(t, at, KILN_EVALUE, "%s: .exact asks for the CPU's bits and .tf32 for others; it must be one of them", f->name);
        return discard(f);
    }
    if (f->compile == KILN_BACKGROUND && !background_open(k)) {
        fail(t, at, KILN_EMEMORY, "%s: no memory", f->name);
        return discard(f);
    }
    const char *fault = spec_fault(f->spec, f->nspec);
    if (fault) {
        fail(t, at, fault == starved ? KILN_EMEMORY : KILN_EVALUE, "%s: declared inputs: %s", f->name, fault);
        return discard(f);
    }
    pthread_mutex_lock(&k->lock);
    f->next = k->functions;
    if (f->next) f->next->prev = f;
    k->functions = f;
    pthread_mutex_unlock(&k->lock);
    return f;
}

void function_hold(kiln_function *f)
{
    pthread_mutex_lock(&f->k->lock);
    f->held++;
    pthread_mutex_unlock(&f->k->lock);
}

void function_drop(kiln_function *f)
{
    kiln *k = f->k;
    pthread_mutex_lock(&k->lock);
    bool last = --f->held == 0 && f->freed;
    pthread_mutex_unlock(&k->lock);
    if (last) cache_sweep(k);
}

/* Forgets it, so that the decorator makes it anew at the next call. */
static void forget_definition(kiln_function *f)
{
    MapSlot s;
    pthread_mutex_lock(&f->k->lock);
    for (uint32_t at = 0; map_next(&f->k->definitions, &at, &s);)
        if (s.value == (uint64_t)(uintptr_t)f) {
            map_remove(&f->k->definitions, s.key);
            break;
        }
    pthread_mutex_unlock(&f->k->lock);
}

/* Takes it out of its parent's list. The parent still exists, because derived functions hold theirs. */
static void leave_parent(kiln_function *f)
{
    kiln_function *parent = f->parent;
    if (!parent) return;
    pthread_mutex_lock(&parent->deriving);
    kiln_function **link = &parent->children;
    while (*link && *link != f) link = &(*link)->sibling;
    if (*link) *link = f->sibling;
    pthread_mutex_lock(&f->k->lock);
    if (f->slot && *f->slot == f) *f->slot = NULL;
    pthread_mutex_unlock(&f->k->lock);
    pthread_mutex_unlock(&parent->deriving);
}

static kiln_function *any_child(kiln_function *f)
{
    pthread_mutex_lock(&f->deriving);
    kiln_function *child = f->children;
    if (child) function_hold(child);
    pthread_mutex_unlock(&f->deriving);
    return child;
}

/* Marks f as freed and holds it in one step, since another thread may destroy a freed function that nobody holds. False: it was
 * freed already. */
static bool begin_free(kiln_function *f)
{
    pthread_mutex_lock(&f->k->lock);
    bool first = !f->freed;
    f->held += first;
    f->freed = true;
    pthread_mutex_unlock(&f->k->lock);
    return first;
}

void kiln_function_free(kiln_function *f)
{
    if (!f || !begin_free(f)) return; /* held until the derived ones have gone */
    leave_parent(f);
    forget_definition(f);
    for (kiln_function *child; (child = any_child(f));) {
        kiln_function_free(child);
        leave_parent(child); /* were another thread freeing it, it is off the list all the same */
        function_drop(child);
    }
    function_drop(f);
}

void functions_free_all(kiln *k)
{
    for (kiln_function *f = k->functions; f; f = f->next) f->parent = NULL;
    for (kiln_function *f = k->functions, *next; f; f = next) {
        next = f->next; /* derived ones are in the same list: no recursion here */
        function_destroy(f);
    }
    k->functions = NULL;
    while (k->freed_functions) {
        kiln_function *f = k->freed_functions;
        k->freed_functions = f->next;
        drop_handle(f);
    }
    map_free(&k->definitions);
}

int function_outputs(const kiln_function *f) { return f->options.outputs; }

/* ---- the decorator --------------------------------------------------------------------------------------------------- */
kiln_function *kiln_definition_function(kiln *k, const kiln_definition *d)
{
    Thread *t = thread_of(k);
    if (!t) return NULL;
    uint64_t key = (uint64_t)(uintptr_t)d;
    pthread_mutex_lock(&k->lock);
    const uint64_t *known = map_get(&k->definitions, key);
    kiln_function *f = known ? (kiln_function *)(uintptr_t)*known : NULL;
    pthread_mutex_unlock(&k->lock);
    if (f) return f;
    kiln_function_options o = {.name = d->name, .inputs_count = d->inputs, .outputs = d->outputs};
    f = kiln_function_new_sized(d->at, k, d->body, NULL, &o, sizeof o);
    if (!f) return NULL;
    pthread_mutex_lock(&k->lock);
    known = map_get(&k->definitions, key); /* another thread may have been faster: then ours stays unused until close */
    if (known)
        f = (kiln_function *)(uintptr_t)*known;
    else if (!map_put(&k->definitions, key, (uint64_t)(uintptr_t)f))
        fail(t, d->at, KILN_EMEMORY, "%s: no memory", d->name);
    pthread_mutex_unlock(&k->lock);
    return f;
}

kiln_tensor *kiln_definition_call(kiln_site at, kiln *k, const kiln_definition *d, kiln_tensor *const *in)
{
    kiln_function *f = kiln_definition_function(k, d);
    kiln_operand x[KILN_MAX_ARGS];
    for (int i = 0; i < d->inputs; i++) x[i] = kiln_of_tensor(in[i]);
    return f ? kiln_call_at(at, f, x, d->inputs) : NULL;
}

bool kiln_definition_call_all(kiln_site at, kiln *k, const kiln_definition *d, kiln_tensor *const *in, kiln_tensor **out)
{
    kiln_function *f = kiln_definition_function(k, d);
    if (f) return kiln_call_all_of_at(at, f, kiln_tensors(in, d->inputs), out, f->options.outputs);
    for (int i = 0; i < d->outputs; i++) out[i] = NULL;
    return false;
}
