/* inner: running a graph that is a node's attribute, with the values that it takes from the graph around it. Relies on import.h. */
#include "import.h"

const Plan *inner_plan(Call *c, const char *name)
{
    const OnnxNode *n = c->node->node;
    for (uint32_t i = 0; c->node->inner && i < n->attribute.n; i++)
        if (c->node->inner[i] && bytes_equal(n->attribute.at[i].name, (Bytes){(const uint8_t *)name, strlen(name)}))
            return c->node->inner[i];
    fail(c->t, c->at, KILN_EFORMAT, "onnx: it has no graph '%s'", name);
    return NULL;
}

Run inner_here(const Call *c) { return (Run){c->t, c->m, c->arena, c->written, NULL}; }

bool inner_run(const Call *c, Run *r, const Plan *p, const Held *in, uint32_t nin, Held *out)
{
    if (nin != p->inputs) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: its graph has %u inputs, not %u", p->inputs, nin);
        return false;
    }
    Env e = env_of(r, p);
    e.caller = c->env->caller;
    e.call = c->env->call;
    for (uint32_t i = 0; i < p->takes; i++) e.value[p->taken[i]] = c->env->value[p->from[i]];
    for (uint32_t i = 0; i < nin; i++) e.value[p->input[i]] = in[i];
    if (!env_run(r, &e)) return false;
    for (uint32_t i = 0; i < p->outputs; i++) out[i] = e.value[p->output[i]];
    return true;
}

typedef struct Trying {
    Run run;
    bool (*fn)(Run *r, void *arg);
    void *arg;
    bool ok;
} Trying;

static void try_it(void *arg)
{
    Trying *x = arg;
    x->ok = x->fn(&x->run, x->arg);
}

bool inner_try(const Call *c, bool (*fn)(Run *r, void *arg), void *arg)
{
    Arena arena;
    Status st = {0};
    Trying x = {{c->t, c->m, &arena, c->written, NULL}, fn, arg, false};
    const char *outer = c->t->called;
    const uint32_t scopes = c->t->scopes;
    arena_init(&arena);
    if (!arena_try(&arena, &st, try_it, &x)) {
        c->t->called = outer;
        while (c->t->scopes > scopes) scope_pop(c->t);
        fail(c->t, c->at, (kiln_code)st.code, "onnx: %s", st.text);
    }
    arena_free(&arena);
    return x.ok;
}

Held held_copy(const Call *c, const Held *h, bool own)
{
    Held to = *h;
    if (tensor_ok(h->t)) to.t = tensor_alias(c->t, c->at, h->t);
    if (own && tensor_ok(to.t)) kiln_own(to.t);
    if (h->size) to.size = arena_copy(c->arena, h->size, (size_t)h->sizes * sizeof *h->size);
    if (!h->many) return to;
    Held *at = ARENA_ARRAY(c->arena, Held, h->many->n + 1);
    for (uint32_t i = 0; i < h->many->n; i++) at[i] = held_copy(c, &h->many->at[i], own);
    const Many many = {h->many->n, at};
    to.many = arena_copy(c->arena, &many, sizeof many);
    return to;
}

void held_release(const Held *h)
{
    if (tensor_ok(h->t)) kiln_release(h->t);
    for (uint32_t i = 0; h->many && i < h->many->n; i++) held_release(&h->many->at[i]);
}

bool known_number(Call *c, uint32_t i, bool *known, int64_t *v)
{
    Held *h = &c->in[i];
    *known = false;
    if (h->many || h->nothing) return tensor_ok(tensor(c, i));
    if (!h->size && tensor_ok(h->t) && (!c->t->trace || h->constant) && !read_sizes(c, h)) return false;
    *known = h->size && h->sizes == 1 && h->over <= 1 && h->times == 0 && !known_symbol(h->size[0]);
    if (*known) *v = h->size[0];
    return true;
}

Held held_bool(const Call *c, bool v)
{
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    kiln_tensor *x = kiln_keep(kiln_full_at(c->at, c->t->k, KILN_BOOL, KILN_SHAPE(), KILN_OPERAND(v ? 1 : 0)));
    kiln_eagerly_close(&now);
    return (Held){.t = x, .constant = true};
}
