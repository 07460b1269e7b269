/* branch: KILN_IF and KILN_ELSE. In eager code one of the blocks runs; in a trace each is traced once into a frame of its own and
 * becomes a branch node whose other case changes nothing. Both are scopes. */
#include "region.h"

enum { BRANCH_START, BRANCH_BODY, BRANCH_ENDED_BODY, BRANCH_DONE }; /* kiln_branch.state; the macro turns BODY into ENDED_BODY */

static const char *name_of(const kiln_branch *b) { return b->is_else ? "KILN_ELSE" : "KILN_IF"; }

int64_t branch_taken(kiln_site at, kiln_tensor *selector, int64_t count)
{
    const kiln_operand s = kiln_of_tensor(selector);
    if (selector->type.dtype == DT_u64 && kiln_item_at(at, s) >= 0x1p63) return count - 1; /* beyond i64 */
    return MIN_OF(MAX_OF(kiln_item_i64_at(at, s), 0), count - 1);
}

kiln_branch kiln_if_begin_at(kiln_site at, kiln_operand condition)
{
    kiln_branch b = {.state = BRANCH_DONE, .site = at};
    Thread *t = operand_is_number(condition) ? thread_last() : operands_thread(&condition, 1);
    if (!t) {
        if ((t = thread_last())) fail(t, at, KILN_EVALUE, "KILN_IF: the condition is NULL");
        return b;
    }
    b.k = t->k;
    t->last_if.scope = 0;
    kiln_tensor *x = operand_named(t, at, "KILN_IF", condition, &truth_type);
    if (!tensor_ok(x)) return b;
    if (x->type.rank || x->type.dtype != DT_bool) {
        char text[96];
        fail(t, at, x->type.rank ? KILN_ESHAPE : KILN_EDTYPE,
            "KILN_IF: the condition must be a bool scalar (kiln_less and its like, kiln_all, kiln_any), not "
            "%s; to choose element by element, kiln_where",
            tensor_text(x, text, sizeof text));
        return b;
    }
    if (t->trace) {
        b.predicate = trace_value(t, at, x);
        if (!b.predicate) return b;
        b.id = t->trace->id;
    } else {
        b.taken = kiln_item_i64_at(at, kiln_of_tensor(x)) != 0;
    }
    b.state = BRANCH_START;
    return b;
}

/* KILN_ELSE must stand right behind its KILN_IF: in the same scope and frame, with nothing closed in between. */
static bool follows_if(const Thread *t)
{
    const LastIf *last = &t->last_if;
    if (!last->scope || last->scope != t->scope[t->scopes - 1].id) return false;
    return t->trace ? last->frame == t->trace->frame && last->trace_id == t->trace->id : !last->frame;
}

kiln_branch kiln_else_begin_at(kiln_site at, kiln *k)
{
    kiln_branch b = {.k = k, .state = BRANCH_DONE, .site = at, .is_else = true};
    Thread *t = thread_of(k);
    if (!t) return b;
    if (!follows_if(t)) {
        if (!t->failure.code) /* else its condition failed, and that says it all */
            fail(t, at, KILN_ESTATE,
                "KILN_ELSE: no KILN_IF stands right before it; a chain is written "
                "KILN_IF(a) ... KILN_ELSE(k) { KILN_IF(b) ... KILN_ELSE(k) ... }");
        return b;
    }
    b.predicate = t->last_if.predicate;
    b.taken = !t->last_if.taken;
    b.id = t->trace ? t->trace->id : 0;
    b.state = BRANCH_START;
    return b;
}

static bool enter(Thread *t, kiln_branch *b)
{
    if (b->id && !(b->frame = frame_open(t, b->site, FRAME_CASE, name_of(b)))) return false;
    b->scope = region_scope(b->k, b->site);
    b->state = BRANCH_BODY;
    return true;
}

static void abandon(Thread *t, kiln_branch *b)
{
    if (b->frame && t->trace && t->trace->id == b->id) frame_leave(t, b->frame);
    kiln_scope_close(&b->scope);
    b->state = BRANCH_DONE;
    t->last_if.scope = 0;
}

static void close_traced(Thread *t, kiln_branch *b)
{
    Frame *taken = b->frame, *parent = taken->parent;
    if (t->trace->frame != taken) {
        frame_leave(t, taken);
        return;
    }
    frame_leave(t, taken);
    Frame *other = frame_open(t, b->site, FRAME_CASE, name_of(b));
    if (!other) return;
    Frame *const frame[2] = {b->is_else ? taken : other, b->is_else ? other : taken};
    const Value *const result[2] = {NULL, NULL};
    region_close(
        t, b->site, &(Region){.op = OP_branch, .frame = frame, .frames = 2, .selector = b->predicate, .result = result}, NULL);
    t->last_if = (LastIf){.frame = parent, .trace_id = b->id, .predicate = b->predicate};
}

/* Ends a branch whose block has run, or was not to run. */
static void close_branch(Thread *t, kiln_branch *b)
{
    if (!b->id)
        t->last_if = (LastIf){.taken = b->taken};
    else
        close_traced(t, b);
    kiln_scope_close(&b->scope);
    b->state = BRANCH_DONE;
    t->last_if.scope = b->is_else ? 0 : t->scope[t->scopes - 1].id;
}

bool kiln_branch_next(kiln_branch *b)
{
    Thread *t = b->state == BRANCH_DONE ? NULL : thread_of(b->k);
    if (!t) return false;
    if (b->state == BRANCH_START && (b->id || b->taken)) return enter(t, b);
    if (b->state != BRANCH_START && !eagerly_ended(t, b->site, name_of(b), b->scope.id)) {
        abandon(t, b);
        return false;
    }
    if (b->state == BRANCH_BODY) {
        fail(t, b->site, KILN_ESTATE,
            "break inside %s: it would end the block alone, not a loop around it; put what ends the "
            "loop into KILN_WHILE's condition (continue ends the block)",
            name_of(b));
        abandon(t, b);
        return false;
    }
    close_branch(t, b);
    return false;
}

void kiln_branch_end(kiln_branch *b)
{
    if (b->state != BRANCH_BODY && b->state != BRANCH_ENDED_BODY) return; /* ended by itself */
    Thread *t = thread_of(b->k);
    if (!t) return;
    if (eagerly_ended(t, b->site, name_of(b), b->scope.id) && b->id && t->trace && t->trace->id == b->id)
        fail(t, b->site, KILN_ESTATE,
            "return or goto out of a traced %s; assign to a kiln_local made before it, and return "
            "that one's value at the end",
            name_of(b));
    abandon(t, b);
}
