/* lower_known: finds kernels that exist already. The hash of its words finds a kernel, or a body that was lowered before; comparing
 * all words then decides. Relies on lower.h. Never makes kernels. */
#include "lower.h"

static void put(Lower *lw, Words *w, uint64_t x) { *VEC_PUSH(lw->scratch, w) = x; }

static void put2(Lower *lw, Words *w, uint64_t high, uint32_t low) { put(lw, w, high << 32 | low); }

static void put_many(Lower *lw, Words *w, const int64_t *at, uint32_t n)
{
    put(lw, w, n);
    for (uint32_t i = 0; i < n; i++) put(lw, w, (uint64_t)at[i]);
}

static void put_bytes(Lower *lw, Words *w, const void *at, uint32_t n)
{
    put(lw, w, n);
    for (uint32_t i = 0; i < n; i++) put(lw, w, ((const uint8_t *)at)[i]);
}

static void put_instr(Lower *lw, Words *w, const Instr *i)
{
    put2(lw, w, (uint32_t)i->kind << 16 | (uint32_t)i->prim << 8 | i->type, (uint32_t)i->sweeps << 1 | i->lanes);
    put2(lw, w, (uint32_t)i->a, (uint32_t)i->b);
    put2(lw, w, (uint32_t)i->c, i->ref);
    put(lw, w, i->value.u);
}

static void put_stage(Lower *lw, Words *w, const Stage *s)
{
    put2(lw, w, s->first, s->last);
    put2(lw, w, s->first_reduction, s->last_reduction);
    put2(lw, w, s->first_store, s->last_store);
    put(lw, w, s->sweep);
}

Words kernel_words(Lower *lw, const Kernel *k)
{
    Words w = {0};
    put(lw, &w, 'k');
    put(lw, &w, k->naxis);
    put_many(lw, &w, k->extent, KERNEL_AXES);
    put(lw, &w,
        (uint64_t)(uint8_t)k->sweep << 24 | (uint64_t)(uint8_t)k->vector << 16 | (uint64_t)(uint8_t)k->chunk << 8 | k->unroll);
    put(lw, &w, (uint64_t)(uint8_t)k->turn);
    put_bytes(lw, &w, k->writes, k->nbuf);
    put_bytes(lw, &w, k->row_type, k->nrow);
    put2(lw, &w, k->ninstr, k->nstream);
    put2(lw, &w, k->nreduction, k->nstore);
    for (uint32_t i = 0; i < k->ninstr; i++) put_instr(lw, &w, &k->instr[i]);
    for (uint32_t i = 0; i < k->nstream; i++) {
        const Stream *s = &k->stream[i];
        put2(lw, &w, s->type, s->buf);
        put(lw, &w, (uint64_t)s->base);
        put_many(lw, &w, s->coef, KERNEL_AXES);
        put2(lw, &w, (uint32_t)s->dyn, (uint32_t)s->guard);
    }
    for (uint32_t i = 0; i < k->nreduction; i++) {
        const Reduction *r = &k->reduction[i];
        put2(lw, &w, (uint32_t)r->kind << 16 | (uint32_t)r->type << 8 | r->order, (uint32_t)r->value);
    }
    for (uint32_t i = 0; i < k->nstore; i++) {
        put2(lw, &w, k->store[i].stream, (uint32_t)k->store[i].value);
        put(lw, &w, k->store[i].fold);
        put(lw, &w, (uint64_t)k->store[i].past);
    }
    for (uint32_t i = 0; i < k->nstage; i++) put_stage(lw, &w, &k->stage[i]);
    return w;
}

Words body_words(Lower *lw, const Node *n, const Graph *body)
{
    Words w = {0};
    put(lw, &w, 'b');
    put2(lw, &w, n->nin, n->nout);
    put_many(lw, &w, n->attr->at + 1, n->attr->len - 1);
    for (uint32_t i = 0; i < body->node.len; i++) {
        const Node *at = &body->node.at[i];
        put2(lw, &w, at->op, at->nin);
        put2(lw, &w, at->out, at->nout);
        for (uint32_t k = 0; k < at->nin; k++) put(lw, &w, at->in[k]);
        put_many(lw, &w, at->attr->at, at->attr->len);
        for (uint32_t k = 0; k < at->nout; k++) {
            const Type *t = graph_type(body, at->out + k);
            put(lw, &w, t->dtype);
            put_many(lw, &w, t->dim, t->rank);
        }
    }
    for (uint32_t i = 0; i < body->param.len; i++) put(lw, &w, body->param.at[i]);
    for (uint32_t i = 0; i < body->result.len; i++) put(lw, &w, body->result.at[i]);
    return w;
}

uint32_t known_kernel(const Known *known, const Words *w, uint64_t *key)
{
    size_t bytes = w->len * sizeof *w->at;
    const uint64_t *at;
    for (*key = hash_key(hash_bytes(0, w->at, bytes)); (at = map_get(&known->by_hash, *key)); ++*key) {
        const KnownThing *other = &known->thing.at[*at];
        if (other->w.len == w->len && memcmp(other->w.at, w->at, bytes) == 0) return other->kernel;
    }
    return NO_BUF;
}

void know_kernel(Lower *lw, Known *known, const Words *w, uint64_t key, uint32_t kernel)
{
    map_put(&known->by_hash, key, known->thing.len);
    *VEC_PUSH(lw->scratch, &known->thing) = (KnownThing){*w, kernel};
}
