/* kv_cache: what attention sees of earlier tokens: two variables and how far they are filled. Composites of public operations. */
#include "layer.h"

#include "../ops/counted.h"

struct kiln_kv_cache {
    Object o;
    kiln_variable *v[3]; /* keys, values, length */
    kiln_dtype dtype;
    int64_t batch, heads, capacity, size[2];
};

static const char *const names[3] = {"keys", "values", "length"};

kiln_kv_cache *kiln_kv_cache_new_at(
    kiln_site at, kiln *k, kiln_dtype dtype, int64_t batch, int64_t heads, int64_t capacity, int64_t key_size, int64_t value_size)
{
    if (!layer_sizes_ok(k, at, "kv_cache", batch, heads) || !layer_sizes_ok(k, at, "kv_cache", key_size, value_size) ||
        !layer_sizes_ok(k, at, "kv_cache", capacity, capacity) || !layer_dtype_ok(k, at, "kv_cache", dtype))
        return NULL;
    kiln_kv_cache *c = object_new(at, k, sizeof *c, NULL);
    if (!c) return NULL;
    c->dtype = dtype;
    c->batch = batch, c->heads = heads, c->capacity = capacity;
    c->size[0] = key_size, c->size[1] = value_size;
    char layer[32], name[48];
    layer_name(k, "kv", layer);
    Composite in = composite_begin(thread_of(k), "kv_cache");
    bool made = true;
    for (int i = 0; i < 3 && made; i++) {
        const kiln_shape s = i < 2 ? KILN_SHAPE(batch, heads, capacity, c->size[i]) : KILN_SHAPE();
        kiln_tensor *zero = kiln_full_at(at, k, i < 2 ? dtype : KILN_I64, s, kiln_of_i(0));
        c->v[i] = kiln_variable_new_at(at, k, layer_name_in(layer, names[i], name), of(zero));
        made = c->v[i];
    }
    composite_end(thread_of(k), &in, NULL);
    if (made) return c;
    kiln_kv_cache_free(c);
    return NULL;
}

int kiln_kv_cache_variables(kiln_kv_cache *cache, kiln_variable **v, int cap)
{
    if (!cache) return 0;
    if (!v && cap > 0) cap = list_there(thread_of(cache->o.k), (kiln_site){NULL, 0}, "kv_cache_variables", v, cap);
    for (int i = 0; i < 3 && i < cap; i++) v[i] = cache->v[i];
    return 3;
}

void kiln_kv_cache_free(kiln_kv_cache *cache)
{
    if (!cache) return;
    for (int i = 0; i < 3; i++)
        if (cache->v[i]) kiln_variable_free(cache->v[i]);
    object_free(&cache->o);
}

void kiln_kv_cache_reset_at(kiln_site at, kiln_kv_cache *cache)
{
    if (cache)
        kiln_assign_at(at, cache->v[2], kiln_of_i(0));
    else
        layer_missing(at, "kv_cache");
}

static bool part_fits(Thread *t, kiln_site at, const kiln_kv_cache *c, int which, const kiln_tensor *x, Dim n)
{
    char a[160];
    const Type *y = &x->type;
    if (y->dtype != (uint8_t)c->dtype)
        return fail(t, at, KILN_EDTYPE, "kv_cache: %s are %s; they must be %s", names[which], tensor_text(x, a, sizeof a),
                   kiln_dtype_name(c->dtype)),
               false;
    if (y->rank == 4 && y->dim[0] == c->batch && y->dim[1] == c->heads && y->dim[2] == n && y->dim[3] == c->size[which])
        return true;
    return fail(t, at, KILN_ESHAPE, "kv_cache: %s are %s; they must be [%lld, %lld, n, %lld], with the same n for both",
               names[which], tensor_text(x, a, sizeof a), (long long)c->batch, (long long)c->heads, (long long)c->size[which]),
           false;
}

/* Puts x[0] and x[1] behind `length`, the old one, and gives the new one. NULL: recorded. */
static kiln_tensor *append(
    Thread *t, kiln_site at, kiln_kv_cache *c, kiln_tensor *const x[2], kiln_tensor *length, const Composite *in)
{
    const Dim n = x[0]->type.rank == 4 ? x[0]->type.dim[2] : 0;
    if (!part_fits(t, at, c, 0, x[0], n) || !part_fits(t, at, c, 1, x[1], n)) return NULL;
    kiln_operand now = of(kiln_add_at(at, of(length), of(dim_tensor(t, at, n, DT_i64))));
    kiln_operand fits = of(kiln_le_at(at, now, kiln_of_i(c->capacity)));
    if (!kiln_assert_at(at, fits, "the cache of keys and values is full")) return NULL;
    kiln_operand places = of(iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {n}}, 0, length));
    places = of(kiln_add_at(at, places, of(length)));
    Assignment all[3] = {{c->v[0], NULL}, {c->v[1], NULL}, {c->v[2], now.as.tensor}};
    for (int i = 0; i < 2; i++) {
        all[i].value = kiln_scatter_at(at, kiln_of_variable(c->v[i]), places, of(x[i]), 2, KILN_SCATTER_SET);
        if (!tensor_ok(all[i].value)) return NULL;
    }
    return tensor_ok(now.as.tensor) && composite_well(t, in) && assign_all(t, at, all, 3) ? now.as.tensor : NULL;
}

static kiln_tensor *attend(
    Thread *t, kiln_site at, kiln_kv_cache *c, const kiln_operand in[3], const kiln_attention_options *options, const Composite *s)
{
    kiln_attention_options o = *options;
    kiln_tensor *x[3];
    for (int i = 0; i < 3; i++)
        if (!tensor_ok(x[i] = operand_named(t, at, "kv_cache", in[i], NULL))) return x[i];
    kiln_tensor *before = kiln_value_at(at, kiln_of_variable(c->v[2]));
    kiln_tensor *now = tensor_ok(before) ? append(t, at, c, x + 1, before, s) : NULL;
    if (!now) return &t->k->poison;
    o.causal = true;
    o.first = false;
    o.offset = o.lengths = NULL;
    const kiln_operand all[3] = {of(x[0]), kiln_of_variable(c->v[0]), kiln_of_variable(c->v[1])};
    return attention_upto(t, at, all, &o, now);
}

void kiln_kv_cache_append_at(kiln_site at, kiln_kv_cache *cache, kiln_operand keys, kiln_operand values)
{
    Thread *t = cache ? thread_of(cache->o.k) : thread_last();
    if (!t) return;
    if (!cache) {
        layer_missing(at, "kv_cache");
        return;
    }
    Composite s = composite_begin(t, "kv_cache");
    kiln_tensor *x[2] = {operand_named(t, at, "kv_cache", keys, NULL), operand_named(t, at, "kv_cache", values, NULL)};
    kiln_tensor *before = kiln_value_at(at, kiln_of_variable(cache->v[2]));
    if (tensor_ok(x[0]) && tensor_ok(x[1]) && tensor_ok(before)) append(t, at, cache, x, before, &s);
    composite_end(t, &s, NULL);
}

kiln_tensor *kiln_kv_cache_attend_sized(kiln_site at, kiln_kv_cache *cache, kiln_operand queries, kiln_operand keys,
    kiln_operand values, const kiln_attention_options *options, size_t size)
{
    Thread *t = cache ? thread_of(cache->o.k) : thread_last();
    kiln_attention_options o = {0};
    if (!t) return NULL;
    if (!cache) return layer_missing(at, "kv_cache");
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    Composite s = composite_begin(t, "kv_cache");
    return composite_end(t, &s, attend(t, at, cache, (const kiln_operand[]){queries, keys, values}, &o, &s));
}
