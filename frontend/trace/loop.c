/* loop: KILN_FOR and KILN_WHILE. In eager code they iterate; in a trace the condition and the block are traced once, each into a
 * frame of its own, and become one node (region.c). Each iteration is a scope. */
#include "../ops/effect.h"
#include "region.h"

enum {
    LOOP_START,
    LOOP_BODY,
    LOOP_ENDED_BODY,
    LOOP_DONE,
    LOOP_ASKING /* a while: its condition is being evaluated */
};              /* kiln_loop.state; the macro turns BODY into ENDED_BODY */

static const char *name_of(const kiln_loop *l) { return l->is_while ? "KILN_WHILE" : "KILN_FOR"; }

/* Whether the trace in which the loop began is still running. */
static bool still_traced(const Thread *t, const kiln_loop *l) { return l->id && t->trace && t->trace->id == l->id; }

/* Gives the loop up after an error was recorded: its frames are dropped, and the trace fails with them. */
static void abandon(Thread *t, kiln_loop *l)
{
    if (l->frame && still_traced(t, l)) frame_leave(t, l->frame);
    kiln_scope_close(&l->scope);
    l->state = LOOP_DONE;
}

/* After a turn of the block: true if it ended, false (and reported, if that matters) if it was left by break or inside a
 * KILN_EAGERLY. */
static bool turn_ended(Thread *t, kiln_loop *l)
{
    const bool well = l->state == LOOP_START || eagerly_ended(t, l->site, name_of(l), l->scope.id);
    if (l->state != LOOP_BODY && well) return true;
    if (l->id && well)
        fail(t, l->site, KILN_ESTATE,
            "break out of a traced %s: the graph's loop ends where its condition says; put what ends it into "
            "KILN_WHILE's condition, or mask with kiln_where",
            name_of(l));
    abandon(t, l);
    return false;
}

/* The block's frame, scope and index. */
static bool enter_body(Thread *t, kiln_loop *l)
{
    Frame *f = frame_open(t, l->site, FRAME_BODY, name_of(l));
    if (!f) return false;
    l->frame = f;
    Value index = frame_param(t, l->site, f, &index_type, (Column){.role = COLUMN_INDEX});
    l->scope = region_scope(l->k, l->site);
    l->index = index ? tensor_traced(t, l->site, f, index) : NULL;
    l->state = LOOP_BODY;
    if (index && l->scope.id) return true;
    abandon(t, l);
    return false;
}

/* Under KILN_RETRACE the condition and the block are traced a second time, into frames that are thrown away: a pointer of C's that
 * the first turn changed would show in the second turn of eager code, and shows here, too. True: that second turn is to be entered;
 * false: the loop is to be closed as it was traced first. */
static bool trace_again(Thread *t, kiln_loop *l)
{
    Frame *f = l->frame;
    if (!t->k->retrace || t->trace->frame != f) return false;
    kiln_scope_close(&l->scope);
    l->scope.id = 0;
    frame_leave(t, f);
    if (!l->first) {
        l->first = f;
        l->first_condition = l->condition;
        l->first_predicate = l->predicate;
        return true;
    }
    l->frame = t->trace->frame = l->first;
    l->condition = l->first_condition;
    l->predicate = l->first_predicate;
    return false;
}

static void close_loop(Thread *t, kiln_loop *l, const Region *r)
{
    Frame *f = l->frame;
    kiln_scope body = l->scope;
    l->state = LOOP_DONE;
    if (t->trace->frame == f)
        region_close(t, l->site, r, NULL);
    else
        frame_leave(t, f);
    kiln_scope_close(&body);
    l->scope.id = 0;
}

/* ---- KILN_FOR ------------------------------------------------------------------------------------------------- */
static bool next_step(Thread *t, kiln_loop *l)
{
    if (l->state != LOOP_START) kiln_scope_close(&l->scope);
    l->state = LOOP_DONE;
    if (l->at >= l->count) return false;
    l->scope = region_scope(l->k, l->site);
    l->index = constant_of(t, l->site, &index_type, kiln_of_i(l->at));
    l->at++;
    l->state = LOOP_BODY;
    return true;
}

kiln_loop kiln_for_begin_at(kiln_site at, kiln *k, kiln_operand count)
{
    kiln_loop l = {.k = k, .state = LOOP_DONE, .site = at};
    Thread *t = thread_of(k);
    kiln_tensor *n = t ? operand_named(t, at, "KILN_FOR", count, &index_type) : NULL;
    if (!tensor_ok(n)) return l;
    if (n->type.rank || !dtype_is_int(n->type.dtype)) {
        char text[96];
        fail(t, at, KILN_EDTYPE, "KILN_FOR: the number of iterations must be an integer scalar, not %s",
            tensor_text(n, text, sizeof text));
        return l;
    }
    if (t->trace) {
        n = cast_to(t, at, n, DT_i64);
        l.count = tensor_ok(n) ? trace_value(t, at, n) : 0;
        if (!l.count) return l;
        l.id = t->trace->id;
    } else {
        l.count = MAX_OF(kiln_item_i64_at(at, kiln_of_tensor(n)), 0);
    }
    l.state = LOOP_START;
    return l;
}

bool kiln_for_next(kiln_loop *l)
{
    Thread *t = l->state == LOOP_DONE ? NULL : thread_of(l->k);
    if (!t || !turn_ended(t, l)) return false;
    if (!l->id) return next_step(t, l);
    if (l->state == LOOP_START || trace_again(t, l)) return enter_body(t, l);
    Frame *f = l->frame;
    close_loop(t, l, &(Region){.op = OP_loop, .frame = &f, .frames = 1, .selector = (Value)l->count, .n = DIM_BAD});
    return false;
}

/* ---- KILN_WHILE ------------------------------------------------------------------------------------------------- */
kiln_loop kiln_while_begin_at(kiln_site at, kiln *k, int64_t at_most)
{
    kiln_loop l = {.k = k, .state = LOOP_DONE, .site = at, .is_while = true};
    Thread *t = thread_of(k);
    if (!t) return l;
    if (at_most < 0) {
        fail(t, at, KILN_EVALUE, "KILN_WHILE_AT_MOST: the bound must be at least 1 step");
        return l;
    }
    l.id = t->trace ? t->trace->id : 0;
    l.count = at_most;
    l.failures = t->failures;
    l.state = LOOP_START;
    return l;
}

static void close_while(Thread *t, kiln_loop *l)
{
    Frame *frame[2] = {l->condition, l->frame};
    Value predicate = l->predicate;
    const Value *result[2] = {&predicate, NULL};
    close_loop(t, l, &(Region){.op = OP_loop, .frame = frame, .frames = 2, .result = result, .n = l->count ? l->count : DIM_BAD});
}

/* Ends the last turn; true: the condition is to be evaluated, in a scope of its own. */
bool kiln_while_ask(kiln_loop *l)
{
    Thread *t = l->state == LOOP_DONE ? NULL : thread_of(l->k);
    if (!t || !turn_ended(t, l)) return false;
    if (l->id && l->state == LOOP_ENDED_BODY && !trace_again(t, l)) {
        close_while(t, l);
        return false;
    }
    kiln_scope_close(&l->scope);
    if (l->id && !(l->frame = l->condition = frame_open(t, l->site, FRAME_CONDITION, name_of(l)))) {
        l->state = LOOP_DONE;
        return false;
    }
    l->state = LOOP_ASKING;
    l->scope = region_scope(l->k, l->site);
    if (l->id && frame_param(t, l->site, l->frame, &index_type, (Column){.role = COLUMN_INDEX})) return true;
    if (!l->id) return true;
    abandon(t, l);
    return false;
}

/* The condition as a bool scalar; NULL: recorded. */
static kiln_tensor *condition_of(Thread *t, kiln_loop *l, kiln_operand o)
{
    kiln_tensor *x = operand_named(t, l->site, "KILN_WHILE", o, &truth_type);
    if (!tensor_ok(x)) return NULL;
    if (!x->type.rank && x->type.dtype == DT_bool) return x;
    char text[96];
    fail(t, l->site, x->type.rank ? KILN_ESHAPE : KILN_EDTYPE,
        "KILN_WHILE: the condition must be a bool scalar (kiln_less and its like, kiln_all, kiln_any), not %s",
        tensor_text(x, text, sizeof text));
    return NULL;
}

bool kiln_while_next(kiln_loop *l, kiln_operand condition)
{
    Thread *t = l->state == LOOP_ASKING ? thread_of(l->k) : NULL;
    kiln_tensor *x = t && eagerly_ended(t, l->site, name_of(l), l->scope.id) ? condition_of(t, l, condition) : NULL;
    bool go = false;
    if (!x) {
        if (t) abandon(t, l);
        return false;
    }
    if (!l->id) {
        go = kiln_item_i64_at(l->site, kiln_of_tensor(x)) != 0 &&
             t->failures == l->failures; /* a block that fails might never change the condition */
        if (go && l->count && l->at++ == l->count) {
            fail(t, l->site, KILN_EVALUE, BEYOND_BOUND, (long long)l->count);
            go = false;
        }
        kiln_scope_close(&l->scope);
        l->state = go ? LOOP_BODY : LOOP_DONE;
        if (go) l->scope = region_scope(l->k, l->site);
        return go;
    }
    l->predicate = trace_value(t, l->site, x);
    if (!l->predicate || t->trace->frame != l->condition) {
        abandon(t, l);
        return false;
    }
    frame_leave(t, l->condition);
    kiln_scope_close(&l->scope);
    return enter_body(t, l);
}

/* ---- leaving by return or goto ------------------------------------------------------------------------------------- */
void kiln_for_end(kiln_loop *l)
{
    if (l->state == LOOP_DONE || l->state == LOOP_START) return; /* ended by itself */
    Thread *t = thread_of(l->k);
    if (t && eagerly_ended(t, l->site, name_of(l), l->scope.id) && still_traced(t, l))
        fail(t, l->site, KILN_ESTATE,
            "return or goto out of a traced %s; let the block end, and return a kiln_local's value "
            "after it",
            name_of(l));
    if (t) abandon(t, l);
}
