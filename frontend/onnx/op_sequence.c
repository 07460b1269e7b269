/* op_sequence: ONNX's sequences and optionals, which are lists while a graph runs: how many there are is known in a trace. Relies
 * on import.h. */
#include "import.h"

static const Many *many(Call *c, uint32_t i)
{
    if (has(c, i) && c->in[i].many) return c->in[i].many;
    fail(c->t, c->at, KILN_EVALUE, "onnx: input %u is not a sequence", i);
    return NULL;
}

static Held *room(Call *c, uint32_t i, uint32_t n)
{
    Held *at = ARENA_ARRAY(c->arena, Held, n + 1);
    const Many m = {n, at};
    c->out[i] = (Held){.many = arena_copy(c->arena, &m, sizeof m)};
    return at;
}

/* A place among n, of which those below 0 count from the end. False: recorded. */
static bool place(Call *c, uint32_t i, int64_t n, int64_t absent, int64_t *at)
{
    int count;
    *at = absent;
    if (has(c, i) && !numbers(c, i, at, 1, &count)) return false;
    const int64_t given = *at;
    if (*at < 0) *at += n;
    if (*at >= 0 && *at < n) return true;
    fail(c->t, c->at, KILN_EVALUE, "onnx: the position %lld is outside of the sequence", (long long)given);
    return false;
}

bool op_sequence_construct(Call *c)
{
    Held *at = room(c, 0, c->nin);
    for (uint32_t i = 0; i < c->nin; i++) {
        if (!has(c, i) || c->in[i].many || c->in[i].nothing) return unsupported(c, "a sequence of other than tensors");
        at[i] = c->in[i];
    }
    return true;
}

bool op_sequence_insert(Call *c)
{
    const Many *m = many(c, 0);
    int64_t at;
    int count;
    if (!m) return false;
    if (!has(c, 1) || c->in[1].many || c->in[1].nothing) return unsupported(c, "a sequence of other than tensors");
    at = m->n;
    if (has(c, 2) && !numbers(c, 2, &at, 1, &count)) return false;
    if (at < 0) at += m->n;
    if (at < 0 || at > m->n) {
        fail(c->t, c->at, KILN_EVALUE, "onnx: a position outside of a sequence of %u", m->n);
        return false;
    }
    Held *to = room(c, 0, m->n + 1);
    memcpy(to, m->at, (size_t)at * sizeof *to);
    to[at] = c->in[1];
    memcpy(to + at + 1, m->at + at, (size_t)(m->n - at) * sizeof *to);
    return true;
}

bool op_sequence_erase(Call *c)
{
    const Many *m = many(c, 0);
    int64_t at;
    if (!m || !place(c, 1, m->n, -1, &at)) return false;
    Held *to = room(c, 0, m->n - 1);
    memcpy(to, m->at, (size_t)at * sizeof *to);
    memcpy(to + at, m->at + at + 1, (size_t)(m->n - 1 - at) * sizeof *to);
    return true;
}

bool op_sequence_at(Call *c)
{
    const Many *m = many(c, 0);
    int64_t at;
    if (!m || !place(c, 1, m->n, 0, &at)) return false;
    c->out[0] = m->at[at];
    return true;
}

bool op_sequence_length(Call *c)
{
    const Many *m = many(c, 0);
    if (!m) return false;
    const Known n = m->n;
    c->out[0] = (Held){.size = arena_copy(c->arena, &n, sizeof n), .sizes = 1};
    return true;
}

bool op_split_to_sequence(Call *c)
{
    enum { MOST = 4096 };
    const Known *split = NULL;
    int n = 0;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || (has(c, 1) && !sizes(c, 1, &split, &n))) return false;
    int64_t axis = attr_int(c, "axis", 0);
    if (!axis_within(c, &axis, x->type.rank)) return false;
    const int64_t size = x->type.dim[axis], each = !split ? 1 : c->in[1].rank == 0 ? split[0] : 0;
    const bool even = !split || c->in[1].rank == 0;
    if (even && (known_symbol(each) || !dim_is_const(size)))
        return unsupported(c, "as many parts as follow from a size that is a symbol, along axis %lld,", (long long)axis);
    if (even && each <= 0) return unsupported(c, "parts of size %lld", (long long)each);
    const int64_t parts = even ? (size + each - 1) / each : n;
    if (parts > MOST) return unsupported(c, "%lld parts, where %d are allowed,", (long long)parts, MOST);
    int64_t *at = ARENA_ARRAY(c->arena, int64_t, parts + 1);
    kiln_tensor **out = ARENA_ARRAY(c->arena, kiln_tensor *, parts + 1);
    bool open = false;
    for (int64_t i = 0; i < parts; i++) {
        at[i] = even ? MIN_OF(each, size - i * each) : split[i];
        open |= known_symbol(at[i]);
    }
    Held *to = room(c, 0, (uint32_t)parts);
    if (open ? !split_by(c, x, (int)axis, at, (uint32_t)parts, out)
             : parts != 0 && !kiln_split_at(c->at, of(x), (int)axis, at, (int)parts, out))
        return false;
    for (int64_t i = 0; i < parts; i++) {
        to[i].t = split || attr_int(c, "keepdims", 1) ? out[i] : kiln_squeeze_dims_at(c->at, of(out[i]), KILN_AXES((int)axis));
        if (!tensor_ok(to[i].t)) return false;
    }
    return true;
}

bool op_concat_from_sequence(Call *c)
{
    const Many *m = many(c, 0);
    if (!m) return false;
    if (m->n == 0) return unsupported(c, "an empty sequence");
    kiln_tensor **x = ARENA_ARRAY(c->arena, kiln_tensor *, m->n);
    for (uint32_t i = 0; i < m->n; i++) {
        Held h = m->at[i];
        x[i] = held_tensor(c, &h);
    }
    const int axis = (int)attr_int(c, "axis", 0);
    return give(c, 0, (attr_int(c, "new_axis", 0) ? kiln_stack_at : kiln_concat_at)(c->at, x, (int)m->n, axis));
}

/* The body on each element of the first sequence, with that of the others; a tensor is the same for all. */
bool op_sequence_map(Call *c)
{
    const Plan *p = inner_plan(c, "body");
    const Many *m = p ? many(c, 0) : NULL;
    if (!m) return false;
    if (p->outputs < c->nout) return unsupported(c, "a body of fewer outputs than it has");
    Run r = inner_here(c);
    Held *in = ARENA_ARRAY(c->arena, Held, c->nin + 1), *out = ARENA_ARRAY(c->arena, Held, p->outputs + 1);
    Held **to = ARENA_ARRAY(c->arena, Held *, c->nout + 1);
    for (uint32_t i = 0; i < c->nout; i++) to[i] = room(c, i, m->n);
    for (uint32_t i = 1; i < c->nin; i++)
        if (has(c, i) && c->in[i].many && c->in[i].many->n != m->n) return unsupported(c, "sequences that are not as long");
    for (uint32_t j = 0; j < m->n; j++) {
        for (uint32_t i = 0; i < c->nin; i++) in[i] = c->in[i].many ? c->in[i].many->at[j] : c->in[i];
        if (!inner_run(c, &r, p, in, c->nin, out)) return false;
        for (uint32_t i = 0; i < c->nout; i++) to[i][j] = out[i];
    }
    return true;
}

/* ---- optionals ---------------------------------------------------------------------------------------- */

bool op_optional(Call *c)
{
    c->out[0] = has(c, 0) ? c->in[0] : (Held){.nothing = true};
    return true;
}

bool op_optional_has(Call *c)
{
    c->out[0] = held_bool(c, has(c, 0) && !c->in[0].nothing);
    return true;
}

bool op_optional_get(Call *c)
{
    if (!has(c, 0) || c->in[0].nothing) {
        fail(c->t, c->at, KILN_EVALUE, "onnx: the optional has no element");
        return false;
    }
    c->out[0] = c->in[0];
    return true;
}
