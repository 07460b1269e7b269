/* weights: saves and loads variables by name, all of them or none. Relies on safetensors.h. Never matches by order; converts a
 * dtype only for an entry that says that it widens. */
#include "../ops/ops.h"
#include "safetensors.h"

static bool usable(Thread *t, kiln_site at, const char *what, const Named *list, int n)
{
    for (int i = 0; i < n; i++) {
        const kiln_variable *v = list[i].variable;
        const char *why = !v             ? "is NULL"
                          : !v->alive    ? "was freed"
                          : v->k != t->k ? "belongs to another engine"
                          : !v->value    ? "has no value outside its trace"
                                         : NULL;
        if (!why) continue;
        fail(t, at, KILN_ESTATE, "%s: variable %d (%s) %s", what, i, v && v->name ? v->name : "?", why);
        return false;
    }
    return true;
}

static bool checked(Thread *t, kiln_site at, const char *what, const Named *list, int n)
{
    size_t bytes = ((size_t)n + 1) * sizeof(char *);
    const char **name = mem_alloc(bytes);
    if (!name) {
        fail(t, at, KILN_EMEMORY, "%s: no memory", what);
        return false;
    }
    for (int i = 0; i < n; i++) name[i] = list[i].name;
    bool ok = usable(t, at, what, list, n) && safe_names(t, at, what, name, n);
    mem_free(name, bytes);
    return ok;
}

bool named_save(
    Thread *t, kiln_site at, const char *what, const char *path, const Named *list, int n, int64_t step, const char *stem)
{
    if (!checked(t, at, what, list, n)) return false;
    size_t bytes = ((size_t)n + 1) * sizeof(SafeOut);
    SafeOut *out = mem_alloc(bytes);
    if (!out) {
        fail(t, at, KILN_EMEMORY, "%s: no memory", what);
        return false;
    }
    kiln_scope s = kiln_scope_open(t->k);
    bool ok = s.id != 0;
    for (int i = 0; i < n && ok; i++) {
        const kiln_tensor *x = tensor_host(t, at, list[i].variable->value);
        ok = tensor_ok(x);
        out[i] = (SafeOut){list[i].name, &x->type, x->data};
    }
    ok = ok && safe_write(t, at, what, path, &(SafeWrite){.tensor = out, .count = n, .step = step, .stem = stem});
    kiln_scope_close(&s);
    mem_free(out, bytes);
    return ok;
}

/* Finds the index of each variable's tensor, which has its dtype and shape. */
static bool matched(Thread *t, kiln_site at, const char *what, const kiln_safetensors *f, const Named *list, int n, int *index)
{
    char buf[72], have[96], want[96];
    for (int i = 0; i < n; i++) {
        index[i] = kiln_safetensors_find(f, list[i].name);
        if (index[i] < 0 && list[i].or_zero) continue;
        if (index[i] < 0) {
            fail(t, at, KILN_EVALUE, "%s: %s has no tensor \"%s\"", what, f->path, safe_shown(list[i].name, buf));
            return false;
        }
        const SafeTensor *s = &f->header.tensor.at[index[i]];
        const Type *type = &list[i].variable->type;
        Type taken = s->type;
        if (list[i].widens && dtype_is_float((DType)taken.dtype) &&
            dtype_promote((DType)taken.dtype, (DType)type->dtype) == (DType)type->dtype)
            taken.dtype = type->dtype;
        if (taken.dtype == type->dtype && type_equal(&taken, type)) continue;
        type_print(NULL, type, want, sizeof want);
        type_print(NULL, &s->type, have, sizeof have);
        fail(t, at, s->type.dtype != type->dtype ? KILN_EDTYPE : KILN_ESHAPE, "%s: %s: tensor \"%s\" is %s, but the variable is %s",
            what, f->path, safe_shown(list[i].name, buf), s->type.dtype ? have : s->format->name, want);
        return false;
    }
    return true;
}

static bool guarded(Thread *t, kiln_site at, const char *what, const kiln_safetensors *f)
{
    if (f->guarded) return true;
    fail(t, at, KILN_EFORMAT, "%s: %s: the header has no checksum, so this is not a file that Kiln wrote", what, f->path);
    return false;
}

/* Checks that no tensor is left over. */
static bool whole_match(Thread *t, kiln_site at, const char *what, const kiln_safetensors *f, const int *index, int n)
{
    char buf[72];
    uint32_t count = f->header.tensor.len, taken = 0;
    bool *seen = mem_zeros(count + 1u, sizeof *seen);
    if (!seen) return fail(t, at, KILN_EMEMORY, "%s: no memory", what), false;
    for (int i = 0; i < n; i++)
        if (index[i] >= 0 && !seen[index[i]]) taken += seen[index[i]] = true;
    uint32_t left = 0;
    while (left < count && seen[left]) left++;
    mem_free(seen, (count + 1u) * sizeof *seen);
    if (taken == count) return true;
    fail(t, at, KILN_EVALUE, "%s: %s has a tensor \"%s\", which no variable here takes", what, f->path,
        safe_shown(f->header.tensor.at[left].name, buf));
    return false;
}

static kiln_tensor *zeros(Thread *t, kiln_site at, const Type *type)
{
    kiln_tensor *x = tensor_empty(t, at, type);
    if (x) memset(x->data, 0, (size_t)type_count(type) * dtype_bytes((DType)type->dtype));
    return x;
}

/* Nothing can fail here. */
static void put(kiln_variable *v, kiln_tensor *x)
{
    kiln_tensor *old = v->value;
    v->value = kiln_own(x);
    kiln_release(old);
}

bool named_load(Thread *t, kiln_site at, const char *what, kiln_safetensors *f, const Named *list, int n, bool whole)
{
    if (!checked(t, at, what, list, n)) return false;
    size_t count = (size_t)n + 1;
    int *index = mem_zeros(count, sizeof *index);
    kiln_tensor **x = mem_zeros(count, sizeof *x);
    bool ok = index && x;
    if (!ok) fail(t, at, KILN_EMEMORY, "%s: no memory", what);
    kiln_scope s = kiln_scope_open(t->k);
    ok = ok && s.id && (!whole || guarded(t, at, what, f)) && matched(t, at, what, f, list, n, index) &&
         (!whole || whole_match(t, at, what, f, index, n));
    for (int i = 0; i < n && ok; i++) {
        x[i] = index[i] < 0 ? zeros(t, at, &list[i].variable->type) : safe_read(f, t, at, what, index[i]);
        if (tensor_ok(x[i])) x[i] = cast_to(t, at, x[i], (DType)list[i].variable->type.dtype);
        ok = tensor_ok(x[i]);
    }
    for (int i = 0; i < n && ok; i++) ok = tensor_ok(x[i] = tensor_to(t, at, x[i], list[i].variable->value->device));
    for (int i = 0; i < n && ok; i++) put(list[i].variable, x[i]);
    kiln_scope_close(&s);
    mem_free(x, x ? count * sizeof *x : 0);
    mem_free(index, index ? count * sizeof *index : 0);
    return ok;
}

/* ---- the public pair ---------------------------------------------------------------------------------- */
static Named *named_by_itself(Thread *t, kiln_site at, const char *what, kiln_variable *const *v, int n)
{
    if (n < 0 || (n && !v)) {
        fail(t, at, KILN_EVALUE, "%s: the count is %d, or the list is NULL", what, n);
        return NULL;
    }
    Named *list = mem_zeros((size_t)n + 1, sizeof *list);
    if (!list) fail(t, at, KILN_EMEMORY, "%s: no memory", what);
    for (int i = 0; list && i < n; i++) list[i] = (Named){.name = v[i] ? v[i]->name : NULL, .variable = v[i]};
    return list;
}

bool kiln_save_weights_at(kiln_site at, kiln *k, const char *path, kiln_variable *const *v, int count)
{
    Thread *t = thread_of(k);
    if (!file_allowed(t, at, "save_weights", path)) return false;
    Named *list = named_by_itself(t, at, "save_weights", v, count);
    bool ok = list && named_save(t, at, "save_weights", path, list, count, -1, NULL);
    if (list) mem_free(list, ((size_t)count + 1) * sizeof *list);
    return ok;
}

bool kiln_load_weights_at(kiln_site at, kiln *k, const char *path, kiln_variable *const *v, int count)
{
    Thread *t = thread_of(k);
    if (!file_allowed(t, at, "load_weights", path)) return false;
    Named *list = named_by_itself(t, at, "load_weights", v, count);
    kiln_safetensors *f = list ? safe_open(t, at, "load_weights", path) : NULL;
    bool ok = f && named_load(t, at, "load_weights", f, list, count, false);
    kiln_safetensors_close(f);
    if (list) mem_free(list, ((size_t)count + 1) * sizeof *list);
    return ok;
}
