/* assign: makes variables with a first value, reads them and assigns to them: now, or in the running trace. */
#include "ops.h"

static bool store(Thread *t, kiln_site at, kiln_variable *v, kiln_tensor *x)
{
    kiln_tensor *own = variable_settle(t, at, v, x);
    if (own) variable_put(v, x, own);
    return own;
}

/* The dtype of a number that was given without one. A fraction could be meant as f32 or as f64, so the caller must say which. */
static DType own_dtype(Thread *t, kiln_site at, const char *what, kiln_operand number)
{
    if (number.kind == 6) return DT_bool;
    if (number.kind != 3) return DT_i64;
    fail(t, at, KILN_EDTYPE, "%s: %g is a C double, which could be f32 or f64 here; give the dtype too: KILN_F32, %g", what,
        number.as.f, number.as.f);
    return DT_NONE;
}

/* asked: the dtype of init, which is a number then; KILN_NONE: init's own. */
static kiln_variable *variable_new(kiln_site at, Thread *t, const char *name, kiln_dtype asked, kiln_operand init, bool local)
{
    const char *what = local ? "kiln_local" : "kiln_variable_new";
    Type type = {.dtype = (uint8_t)DT_NONE};
    if (asked != KILN_NONE && !operand_is_number(init)) {
        fail(t, at, KILN_EVALUE, "%s: a dtype goes with a number; a tensor has its own (kiln_cast)", what);
        return NULL;
    }
    if (asked != KILN_NONE && !type_from_shape(t, at, what, asked, &KILN_SHAPE(), &type)) return NULL;
    if (asked == KILN_NONE && operand_is_number(init) && !(type.dtype = own_dtype(t, at, what, init))) return NULL;
    kiln_tensor *x = operand_named(t, at, what, init, type.dtype ? &type : NULL);
    if (!tensor_ok(x)) return NULL;
    if (x->state == TENSOR_TRACED && !local) {
        /* A number's constant was traced, too, but its value is known, so it is made eagerly. */
        if (!operand_is_number(init)) {
            fail(t, at, KILN_ESTATE,
                "variable %s: its first value is a traced tensor; make it in a KILN_EAGERLY block at the first "
                "call, or outside the function",
                name ? name : "");
            return NULL;
        }
    }
    kiln_variable *v = variable_make(t, at, name, &x->type);
    if (!v) return NULL;
    v->local = local;
    v->made = loc_of(at);
    if (x->state == TENSOR_TRACED || (local && t->trace)) { /* a concrete tensor becomes an input */
        if (t->k->hooks->begin_local(t, at, v, x)) return v;
    } else if (store(t, at, v, x)) {
        return v;
    }
    variable_discard(v);
    return NULL;
}

kiln_variable *kiln_variable_of_at(kiln_site at, kiln *k, const char *name, kiln_dtype dtype, kiln_operand init)
{
    Thread *t = thread_of(k);
    if (!t) return NULL;
    Trace *running = t->trace; /* a variable's first value is computed now, even while a body is traced */
    uint32_t recording = t->recording;
    if (operand_is_number(init)) t->trace = NULL, t->recording = 0;
    kiln_variable *v = variable_new(at, t, name, dtype, init, false);
    t->trace = running;
    t->recording = recording;
    return v;
}

kiln_variable *kiln_variable_new_at(kiln_site at, kiln *k, const char *name, kiln_operand init)
{
    return kiln_variable_of_at(at, k, name, KILN_NONE, init);
}

kiln_variable *kiln_local_of_at(kiln_site at, kiln *k, kiln_dtype dtype, kiln_operand init)
{
    Thread *t = thread_of(k);
    kiln_variable *v = t ? variable_new(at, t, "local", dtype, init, true) : NULL;
    if (v) {
        Scope *s = &t->scope[t->scopes - 1];
        v->next_local = s->locals;
        s->locals = v;
    }
    return v;
}

kiln_variable *kiln_local_at(kiln_site at, kiln *k, kiln_operand init) { return kiln_local_of_at(at, k, KILN_NONE, init); }

/* ---- reading and assigning ---------------------------------------------------------------------------- */
static bool usable(Thread *t, kiln_site at, const kiln_variable *v, const char *what)
{
    if (v && v->alive) return true;
    if (v && v->local)
        fail(t, at, KILN_ESTATE,
            "%s: the block in which this kiln_local was made (%s:%d) has ended; make it before the "
            "block",
            what, v->made.file ? v->made.file : "?", v->made.line);
    else
        fail(t, at, KILN_ESTATE, "%s: %s", what, v ? "the variable was freed" : "the variable is NULL");
    return false;
}

kiln_tensor *kiln_value_at(kiln_site at, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    if (o.kind != 2) return fail(t, at, KILN_EVALUE, "value: the argument is not a variable");
    kiln_variable *v = o.as.variable;
    if (!t || !usable(t, at, v, "read")) return t ? &t->k->poison : NULL;
    if (t->trace) return t->k->hooks->read(t, at, v);
    if (!v->value) return fail(t, at, KILN_ESTATE, "read: the local was made inside a trace that ended");
    kiln_tensor *x = tensor_alias(t, at, v->value);
    if (x == &t->k->poison) return x;
    if (!v->local) x->uid = ++t->next_uid; /* each read is a leaf of its own; a local's read is the value itself */
    if (t->recording && !v->unwatched && (!v->local || dtype_is_float(v->type.dtype))) t->k->hooks->note_read(t, v, x);
    return x;
}

void kiln_assign_at(kiln_site at, kiln_variable *v, kiln_operand value)
{
    Thread *t = v ? thread_of(v->k) : thread_last();
    if (!t || !usable(t, at, v, "assign")) return;
    kiln_tensor *x = operand_named(t, at, "assign", value, &v->type);
    if (!tensor_ok(x)) return;
    if (dtype_promote((DType)x->type.dtype, (DType)v->type.dtype) == (DType)v->type.dtype)
        x = cast_to(t, at, x, (DType)v->type.dtype); /* it accepts what it can hold without loss */
    if (!tensor_ok(x)) return;
    if (x->type.dtype != v->type.dtype || !type_equal(&x->type, &v->type)) {
        char have[96], want[96];
        type_print(module_of(t) ? &module_of(t)->dims : NULL, &x->type, have, sizeof have);
        type_print(module_of(t) ? &module_of(t)->dims : NULL, &v->type, want, sizeof want);
        fail(t, at, x->type.dtype != v->type.dtype ? KILN_EDTYPE : KILN_ESHAPE, "assign: variable %s is %s, but the value is %s",
            v->name, want, have);
        return;
    }
    if (t->trace)
        t->k->hooks->assign(t, at, v, x);
    else
        store(t, at, v, x);
}

static bool all_fit(Thread *t, kiln_site at, const Assignment *a, int count)
{
    for (int i = 0; i < count; i++) {
        if (!usable(t, at, a[i].to, "assign") || !tensor_ok(a[i].value)) return false;
        CHECK(type_equal(&a[i].value->type, &a[i].to->type));
    }
    return true;
}

bool assign_all(Thread *t, kiln_site at, const Assignment *a, int count)
{
    if (!all_fit(t, at, a, count)) return false;
    if (t->trace) { /* a trace in which something failed stores nothing at all */
        for (int i = 0; i < count; i++)
            if (!t->k->hooks->assign(t, at, a[i].to, a[i].value)) return false;
        return true;
    }
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_scope scope = kiln_scope_open(t->k);
    kiln_tensor **own = SCRATCH(t, at, kiln_tensor *, count);
    bool ok = scope.id && own;
    for (int i = 0; i < count && ok; i++) ok = (own[i] = variable_settle(t, at, a[i].to, a[i].value));
    for (int i = 0; i < count && ok; i++) variable_put(a[i].to, a[i].value, own[i]);
    kiln_scope_close(&scope);
    scratch_reset(&t->scratch, mark);
    return ok;
}

kiln_tensor *variable_remember(const Thread *t, const kiln_variable *v)
{
    return v && v->k == t->k && v->alive && !t->trace && v->value ? kiln_own(v->value) : NULL;
}

void variable_recall(kiln_variable *v, kiln_tensor *value, bool back)
{
    if (value && back) variable_put(v, value, value);
    if (value) kiln_release(value);
}

static void assign_op(kiln_site at, kiln_variable *v, kiln_operand value, Op op)
{
    Thread *t = v ? thread_of(v->k) : thread_last();
    const char *name = op == OP_add ? "assign_add" : "assign_sub";
    if (!t || !usable(t, at, v, name)) return;
    kiln_tensor *pair[2], *y = NULL;
    kiln_operand self = kiln_of_variable(v);
    Composite c = composite_begin(t, name);
    if (operand_pair(t, at, name, self, value, pair)) y = apply2(t, at, op, pair[0], pair[1], NULL, 0);
    if (tensor_ok(y) && composite_well(t, &c)) kiln_assign_at(at, v, kiln_of_tensor(y));
    composite_end(t, &c, NULL);
}

void kiln_assign_add_at(kiln_site at, kiln_variable *v, kiln_operand value) { assign_op(at, v, value, OP_add); }

void kiln_assign_sub_at(kiln_site at, kiln_variable *v, kiln_operand value) { assign_op(at, v, value, OP_sub); }
