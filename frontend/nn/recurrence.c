/* recurrence: recurrent networks over given weights: operands, one scan for each direction, and how results are laid out; and
 * sequences in reverse. The steps are in recurrence_cells.c. Relies on recurrence.h and kiln_scan. Never touches elements itself.
 */
#include "recurrence.h"

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

enum { X, W, U, B, H, C, P, GIVEN };
typedef struct Net {
    Thread *t;
    kiln_site at;
    const CellKind *kind;
    kiln_recurrence o;
    int directions;
    Dim time, batch, inputs;
    int64_t units;
    kiln_tensor *x[GIVEN]; /* B, H, C, P: NULL if there is none */
    kiln_tensor *lengths;  /* i64 [batch] */
} Net;

static bool is_none(kiln_operand o) { return o.kind == 1 && !o.as.tensor; }

/* ---- operands ------------------------------------------------------------------------------------------------- */
static bool misfit(const Net *n, int which, const Type *want, const char *axes)
{
    static const char *const names[] = {"x", "w", "u", "b", "h", "c", "peepholes"};
    char a[160], b[160];
    const kiln_tensor *x = n->x[which];
    type_print(module_of(n->t) ? &module_of(n->t)->dims : NULL, want, b, sizeof b);
    fail(n->t, n->at, x->type.dtype == want->dtype ? KILN_ESHAPE : KILN_EDTYPE, "%s: %s is %s; it must be %s, %s", n->kind->name,
        names[which], tensor_text(x, a, sizeof a), b, axes);
    return false;
}

static bool operand_is(const Net *n, int which, int rank, Dim a, Dim b, Dim c, const char *axes)
{
    const Type want = {.dtype = n->x[X]->type.dtype, .rank = (uint8_t)rank, .dim = {a, b, rank > 2 ? c : 0}};
    return !n->x[which] || type_equal(&n->x[which]->type, &want) || misfit(n, which, &want, axes);
}

/* An option that is a tensor: NULL, or usable. False: recorded, or poison. */
static bool option(const Net *n, const char *what, kiln_tensor *given, kiln_tensor **to)
{
    *to = given;
    if (!given || (tensor_ok(given) && given->k == n->t->k)) return true;
    if (given->state != TENSOR_POISON) fail(n->t, n->at, KILN_ESTATE, "%s: %s is closed or of another engine", n->kind->name, what);
    return false;
}

static bool options_ok(Net *n)
{
    Thread *t = n->t;
    const kiln_recurrence *o = &n->o;
    const bool lstm = n->kind == &cell_lstm, gru = n->kind == &cell_gru;
    const char *wrong = NULL;
    if (!lstm && (o->c || o->last_c)) wrong = "a state c";
    if (!lstm && o->peepholes) wrong = "peepholes";
    if (!lstm && o->input_forget) wrong = "an input gate, as .input_forget has it";
    if (!gru && o->reset_first) wrong = "a reset gate, as .reset_first has it";
    if (wrong) return fail(t, n->at, KILN_EVALUE, "%s: it does not have %s", n->kind->name, wrong), false;
    if ((unsigned)o->direction > KILN_BOTH || (unsigned)o->order > KILN_GATES_ONNX)
        return fail(t, n->at, KILN_EVALUE, "%s: direction is %d and order %d (allowed: 0 to 2, and 0 or 1)", n->kind->name,
                   (int)o->direction, (int)o->order),
               false;
    return cell_gates_ok(t, n->at, n->kind, o) && option(n, "h", o->h, &n->x[H]) && option(n, "c", o->c, &n->x[C]) &&
           option(n, "peepholes", o->peepholes, &n->x[P]) && option(n, "lengths", o->lengths, &n->lengths);
}

static bool lengths_ok(Net *n)
{
    char a[160];
    kiln_tensor *l = n->lengths;
    if (!l) return true;
    if (!dtype_is_int(l->type.dtype) || l->type.rank != 1 || l->type.dim[0] != n->batch) {
        fail(n->t, n->at, dtype_is_int(l->type.dtype) ? KILN_ESHAPE : KILN_EDTYPE,
            "%s: lengths are %s; they must be integers, one for each sequence of the batch", n->kind->name,
            tensor_text(l, a, sizeof a));
        return false;
    }
    return tensor_ok(n->lengths = index_clamped(n->t, n->at, l, extent(n->t, n->at, EXTENT_ADD, n->time, 1)));
}

/* The sizes, and whether all operands have them. False: recorded. */
static bool shapes_ok(Net *n)
{
    char a[160];
    const Type *x = &n->x[X]->type, *u = &n->x[U]->type;
    if (x->rank != 3)
        return fail(n->t, n->at, KILN_ESHAPE, "%s: x is %s; it must have three axes", n->kind->name,
                   tensor_text(n->x[X], a, sizeof a)),
               false;
    n->directions = n->o.direction == KILN_BOTH ? 2 : 1;
    n->time = x->dim[n->o.batch_first];
    n->batch = x->dim[!n->o.batch_first];
    n->inputs = x->dim[2];
    n->units = u->rank == 3 && dim_is_const(u->dim[2]) ? u->dim[2] : -1;
    if (n->units < 0 || n->units > INT32_MAX)
        return fail(n->t, n->at, KILN_ESHAPE, "%s: u is %s; it must be [directions, gates units, units] of known sizes",
                   n->kind->name, tensor_text(n->x[U], a, sizeof a)),
               false;
    const int64_t d = n->directions, rows = n->kind->gates * n->units;
    const Dim first = n->o.batch_first ? n->batch : d, second = n->o.batch_first ? d : n->batch;
    const char *states = n->o.batch_first ? "[batch, directions, units]" : "[directions, batch, units]";
    return operand_is(n, W, 3, d, rows, n->inputs, "[directions, gates units, inputs]") &&
           operand_is(n, U, 3, d, rows, n->units, "[directions, gates units, units]") &&
           operand_is(n, B, 2, d, 2 * rows, 0, "[directions, 2 gates units]") &&
           operand_is(n, H, 3, first, second, n->units, states) && operand_is(n, C, 3, first, second, n->units, states) &&
           operand_is(n, P, 2, d, 3 * n->units, 0, "[directions, 3 units]") && lengths_ok(n);
}

/* ---- one direction ------------------------------------------------------------------------------------------------ */
/* Element i along the axis, which goes. */
static kiln_tensor *pick(const Net *n, kiln_tensor *x, int axis, int64_t i)
{
    return kiln_squeeze_at(n->at, of(slice_axis(n->t, n->at, x, axis, i, 1)), axis);
}

/* The biases that are added to x's product once for all steps; the new gate's second one, of a GRU that resets last, goes to the
 * cell. NULL: none. */
static kiln_tensor *bias_of(const Net *n, int d, Cell *s)
{
    kiln_site at = n->at;
    if (!n->x[B]) return NULL;
    const int64_t rows = n->kind->gates * n->units;
    kiln_tensor *b = pick(n, n->x[B], 0, d), *own = slice_axis(n->t, at, b, 0, 0, rows),
                *other = slice_axis(n->t, at, b, 0, rows, rows);
    if (n->kind == &cell_gru && !n->o.reset_first) {
        s->b_new = slice_axis(n->t, at, other, 0, 2 * n->units, n->units);
        other = pad_axis(n->t, at, slice_axis(n->t, at, other, 0, 0, 2 * n->units), 0, 0, n->units, kiln_of_i(0));
    }
    return kiln_add_at(at, of(own), of(other));
}

/* x's products and biases, [time, batch, gates units]. */
static kiln_tensor *products(const Net *n, kiln_tensor *x, int d, Cell *s)
{
    kiln_site at = n->at;
    kiln_tensor *w = pick(n, n->x[W], 0, d), *b = bias_of(n, d, s);
    kiln_operand y = OP2(matmul, of(x), OP1(matrix_transpose, of(w)));
    return b ? kiln_add_at(at, y, of(b)) : y.as.tensor;
}

static void weights_of(const Net *n, int d, Cell *s)
{
    kiln_site at = n->at;
    kiln_tensor *u = pick(n, n->x[U], 0, d);
    if (n->o.reset_first) {
        s->u_new = OP1(matrix_transpose, of(slice_axis(n->t, at, u, 0, 2 * n->units, n->units))).as.tensor;
        u = slice_axis(n->t, at, u, 0, 0, 2 * n->units);
    }
    s->u = OP1(matrix_transpose, of(u)).as.tensor;
    for (int i = 0; i < 3 && n->x[P]; i++) s->peep[i] = slice_axis(n->t, at, pick(n, n->x[P], 0, d), 0, i * n->units, n->units);
    if (n->lengths) s->lengths = reshape_to(n->t, at, n->lengths, (Dim[]){n->batch, 1}, 2);
}

/* Results [time, batch, units], and last states [batch, units]. False: recorded. */
static bool run_direction(const Net *n, kiln_tensor *x, int d, kiln_tensor **y, kiln_tensor **last)
{
    const Type type = {.dtype = x->type.dtype, .rank = 2, .dim = {n->batch, n->units}};
    Cell s = {.at = n->at, .kind = n->kind, .o = &n->o, .direction = d, .units = n->units};
    kiln_tensor *first[2];
    for (int i = 0; i < n->kind->states; i++) {
        kiln_tensor *given = n->x[H + i];
        first[i] = given ? pick(n, given, n->o.batch_first, d) : number_like(n->t, n->at, n->kind->name, &type, kiln_of_i(0));
        if (!tensor_ok(first[i])) return false;
    }
    if (n->time == 0) {
        for (int i = 0; i < n->kind->states; i++) last[i] = first[i];
        *y = number_like(
            n->t, n->at, n->kind->name, &(Type){.dtype = type.dtype, .rank = 3, .dim = {0, n->batch, n->units}}, kiln_of_i(0));
        return tensor_ok(*y);
    }
    kiln_tensor *xs = products(n, x, d, &s);
    weights_of(n, d, &s);
    const kiln_scan_options scan = {.carries = first,
        .carries_count = n->kind->states,
        .xs = &xs,
        .xs_count = 1,
        .ys_count = 1,
        .reverse = d == 1 || n->o.direction == KILN_BACKWARD};
    return tensor_ok(xs) && tensor_ok(s.u) && kiln_scan_sized(n->at, n->t->k, cell_step, &scan, last, y, &s, sizeof scan);
}

/* ---- all -------------------------------------------------------------------------------------------------------- */
/* x as [time, batch, inputs], and 0 behind what counts, so that nothing comes of what is there, be it NaN. */
static kiln_tensor *steps_of(const Net *n)
{
    kiln_site at = n->at;
    kiln_tensor *x = n->x[X];
    if (n->o.batch_first) x = kiln_swapaxes_at(at, of(x), 0, 1);
    if (!n->lengths || !tensor_ok(x)) return x;
    const Type steps = {.dtype = DT_i64, .rank = 3, .dim = {n->time, 1, 1}};
    kiln_tensor *i = iota_of(n->t, at, &steps, 0, x), *l = reshape_to(n->t, at, n->lengths, (Dim[]){1, n->batch, 1}, 3);
    return kiln_where_at(at, OP2(lt, of(i), of(l)), of(x), kiln_of_i(0));
}

static kiln_tensor *laid_out(const Net *n, kiln_tensor **y)
{
    kiln_site at = n->at;
    for (int d = 0; d < n->directions && n->o.batch_first; d++) y[d] = kiln_swapaxes_at(at, of(y[d]), 0, 1);
    if (n->o.joined) return n->directions == 1 ? y[0] : kiln_concat_at(at, y, 2, 2);
    return kiln_stack_at(at, y, n->directions, n->o.batch_first ? 2 : 1);
}

static kiln_tensor *run(Net *n, DType own, kiln_tensor *last[2])
{
    kiln_tensor *y[2], *states[2][2], *side[2];
    if (!options_ok(n)) return &n->t->k->poison;
    if (!shapes_ok(n)) return &n->t->k->poison;
    const DType wide = wide_dtype(n->x[X]);
    for (int i = 0; i < GIVEN; i++)
        if (n->x[i] && !tensor_ok(n->x[i] = cast_to(n->t, n->at, n->x[i], wide))) return n->x[i];
    kiln_tensor *x = steps_of(n);
    if (!tensor_ok(x)) return x;
    for (int d = 0; d < n->directions; d++)
        if (!run_direction(n, x, d, &y[d], states[d])) return &n->t->k->poison;
    for (int i = 0; i < n->kind->states; i++) {
        for (int d = 0; d < n->directions; d++) side[d] = states[d][i];
        last[i] = kiln_stack_at(n->at, side, n->directions, n->o.batch_first ? 1 : 0);
        if (tensor_ok(last[i])) last[i] = cast_to(n->t, n->at, last[i], own);
    }
    kiln_tensor *r = laid_out(n, y);
    return tensor_ok(r) ? cast_to(n->t, n->at, r, own) : r;
}

static kiln_tensor *network(
    kiln_site at, const CellKind *kind, const kiln_operand given[4], const kiln_recurrence *options, size_t size)
{
    Net n = {.at = at, .kind = kind, .t = op_thread(given, 4)};
    if (options) memcpy(&n.o, options, MIN_OF(size, sizeof n.o));
    kiln_tensor *last[2] = {NULL}, **to[2] = {n.o.last_h, n.o.last_c}, *r = NULL;
    if (!n.t) return NULL;
    Composite c = composite_begin(n.t, kind->name);
    bool ok = true;
    for (int i = 0; i < 4 && ok; i++)
        if (i != B || !is_none(given[i])) ok = tensor_ok(n.x[i] = operand_float(n.t, at, kind->name, given[i]));
    r = ok ? run(&n, (DType)n.x[X]->type.dtype, last) : &n.t->k->poison;
    for (int i = 0; i < 2; i++) {
        if (!to[i]) continue;
        *to[i] = tensor_ok(r) && last[i] ? last[i] : &n.t->k->poison;
        composite_keep(n.t, *to[i]);
    }
    return composite_end(n.t, &c, r);
}

#define NETWORK(name)                                                                                                              \
    kiln_tensor *kiln_##name##_sized(                                                                                              \
        kiln_site at, kiln_operand x, kiln_operand w, kiln_operand u, kiln_operand b, const kiln_recurrence *options, size_t size) \
    {                                                                                                                              \
        return network(at, &cell_##name, (const kiln_operand[]){x, w, u, b}, options, size);                                       \
    }
NETWORK(rnn)
NETWORK(lstm)
NETWORK(gru)

/* ---- reversed sequences ------------------------------------------------------------------------------------------ */
kiln_tensor *kiln_reverse_sequence_at(kiln_site at, kiln_operand xo, kiln_operand lengths, int time, int batch)
{
    static const char op[] = "reverse_sequence";
    kiln_operand both[2] = {xo, lengths};
    char a[160], b[160];
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, op, xo, NULL), *l = tensor_ok(x) ? operand_index(t, at, op, lengths) : x;
    if (!tensor_ok(l)) return &t->k->poison;
    int along, beside;
    if (!axis_of(t, at, op, time, x->type.rank, &along) || !axis_of(t, at, op, batch, x->type.rank, &beside)) return &t->k->poison;
    if (along == beside) return fail(t, at, KILN_EVALUE, "%s: time and batch are one axis, %d", op, along);
    if (l->type.rank != 1 || l->type.dim[0] != x->type.dim[beside])
        return fail(t, at, KILN_ESHAPE, "%s: there must be one length for each index along axis %d: %s x %s", op, beside,
            tensor_text(x, a, sizeof a), tensor_text(l, b, sizeof b));
    Composite c = composite_begin(t, op);
    const Dim n = x->type.dim[along], batches = x->type.dim[beside];
    l = reshape_to(t, at, index_clamped(t, at, l, extent(t, at, EXTENT_ADD, n, 1)), (Dim[]){batches, 1}, 2);
    kiln_operand i = of(iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 2, .dim = {1, n}}, 1, x));
    kiln_operand back = OP2(sub, OP2(sub, of(l), kiln_of_i(1)), i);
    kiln_tensor *from = kiln_where_at(at, OP2(lt, i, of(l)), back, i), *r;
    /* [batch, time] indices of elements of [batch, time, rest] */
    kiln_axes sides = {0};
    sides.count = 2;
    sides.axis[1] = beside, sides.axis[2] = along;
    r = kiln_moveaxis_at(at, of(x), sides, KILN_AXES(0, 1));
    if (tensor_ok(from)) from = reshape_to(t, at, from, (Dim[]){batches, n, 1}, 3);
    r = kiln_gather_nd_at(at, of(r), of(from), 1);
    return composite_end(t, &c, result_of(t, at, kiln_moveaxis_at(at, of(r), KILN_AXES(0, 1), sides), x));
}
