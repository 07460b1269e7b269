/* control.h: loops and branches whose one source runs eagerly and can be traced. Included by kiln.h; compiles alone as C11 and
 * C++17.
 *
 * State that lives across iterations, or that a branch changes, is kept in variables and locals; each iteration, condition and
 * branch is a scope. Eager code runs the blocks as often as C would. A trace runs each block once, with symbols, and makes the loop
 * or branch one operation of the graph, which gradients, compiled code and ahead-of-time code understand. Three things that C
 * allows are errors in a trace, reported with their line: leaving a block by break, return or goto; using a value outside the block
 * that made it (assign it to a kiln_local made before the block); and changing the dtype or shape of a carried value. `continue`
 * ends the block: the iteration, or the branch of a KILN_IF.
 * The gradient of a loop stores the values that enter each step, so its memory grows with the number of steps. Of two nested loops
 * it stores only those of the outer steps and runs the inner ones again: 32 times 32 steps take the memory of 64, not of 1024
 * (tests/test_recompute.c). */
#ifndef KILN_CONTROL_H
#define KILN_CONTROL_H

#include "core.h"
#include "function.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what the macros at the end call ------------------------------------------------------------------------- */
typedef struct kiln_loop {
    kiln *k;
    uint64_t id;             /* the trace's; 0 in eager code */
    int64_t at, count; /* of a while: steps done, and its bound or 0 */
    uint64_t failures;
    kiln_tensor *index;
    kiln_scope scope;
    kiln_site site;
    void *frame, *condition;
    void *first, *first_condition; /* under KILN_RETRACE: the graphs as first traced */
    uint32_t predicate, first_predicate;
    bool is_while;
    int state;
} kiln_loop;
KILN_API kiln_loop kiln_for_begin_at(kiln_site at, kiln *k, kiln_operand count);
KILN_API bool kiln_for_next(kiln_loop *l);
KILN_API kiln_loop kiln_while_begin_at(kiln_site at, kiln *k, int64_t at_most);
KILN_API bool kiln_while_ask(kiln_loop *l);
KILN_API bool kiln_while_next(kiln_loop *l, kiln_operand condition);
KILN_API void kiln_for_end(kiln_loop *l);

typedef struct kiln_branch {
    kiln *k;
    uint64_t id;             /* the trace's; 0 in eager code */
    kiln_scope scope;
    kiln_site site;
    void *frame;
    uint32_t predicate;
    bool taken, is_else;
    int state;
} kiln_branch;
KILN_API kiln_branch kiln_if_begin_at(kiln_site at, kiln_operand condition);
KILN_API kiln_branch kiln_else_begin_at(kiln_site at, kiln *k);
KILN_API bool kiln_branch_next(kiln_branch *b);
KILN_API void kiln_branch_end(kiln_branch *b);

/* ---- the same with functions for blocks ------------------------------------------------------------------------
 * A body has the form of a traced function's: body(k, in, out, user) reads `in`, which a NULL ends, and sets every `out`. It runs
 * in a scope of its own; its outputs move to the caller's scope. Bodies read and assign variables and locals as the macros' blocks
 * do. Gradients flow through carries, slices and results, and to all that bodies capture. Each call returns false and poisons out
 * after an error. Carries keep their dtype and shape; all cases give equal dtypes and shapes. */
/* Inputs and carries are lists of operands: KILN_IN(x, v, 3), kiln_tensors(x, n) or kiln_variables(v, n). Variables are read now;
 * numbers become what kiln_local makes of them (integers i64; write a fraction as kiln_scalar(k, KILN_F32, 0.5)). The functions
 * without `of` are the older way and take an array of tensors and its count. */
/* out = then(in) or otherwise(in), called as kiln_cond(k, condition, then, otherwise, KILN_IN(x), out, nout, user). */
KILN_API bool kiln_cond_of_at(kiln_site at, kiln *k, kiln_operand condition, kiln_body *then, kiln_body *otherwise,
    kiln_operands in, kiln_tensor **out, int nout, void *user);
KILN_API bool kiln_cond_at(kiln_site at, kiln *k, kiln_operand condition, kiln_body *then, kiln_body *otherwise,
    kiln_tensor *const *in, int nin, kiln_tensor **out, int nout, void *user);
/* out = bodies[selector](in), called as kiln_switch(k, selector, bodies, count, KILN_IN(x), out, nout, user). The selector is an
 * integer scalar and is clamped to the bodies there are. A literal array of bodies needs parentheses. */
KILN_API bool kiln_switch_of_at(kiln_site at, kiln *k, kiln_operand selector, kiln_body *const *bodies, int count, kiln_operands in,
                                kiln_tensor **out, int nout, void *user);
KILN_API bool kiln_switch_at(kiln_site at, kiln *k, kiln_operand selector, kiln_body *const *bodies, int count,
    kiln_tensor *const *in, int nin, kiln_tensor **out, int nout, void *user);
/* Runs out = body(index, carries ...) `count` times, an integer scalar; each step's outputs are the next step's carries. The index
 * is i64[]. Called as kiln_for(k, count, body, KILN_IN(x, y), out, user). */
KILN_API bool kiln_for_of_at(kiln_site at, kiln *k, kiln_operand count, kiln_body *body, kiln_operands carries,
                             kiln_tensor **out, void *user);
KILN_API bool kiln_for_at(kiln_site at, kiln *k, kiln_operand count, kiln_body *body, kiln_tensor *const *carries, int n,
                          kiln_tensor **out, void *user);
/* The same in segments of `every` steps (at least 1): the gradient stores what enters each segment and runs its steps again, which
 * takes about count / every + every carries instead of count. */
KILN_API bool kiln_for_every_of_at(kiln_site at, kiln *k, kiln_operand count, int64_t every, kiln_body *body, kiln_operands carries,
                                   kiln_tensor **out, void *user);
KILN_API bool kiln_for_every_at(kiln_site at, kiln *k, kiln_operand count, int64_t every, kiln_body *body,
    kiln_tensor *const *carries, int n, kiln_tensor **out, void *user);
/* As kiln_for, as long as condition(index, carries ...) gives a bool scalar that is true. If at_most > 0, going on after that many
 * steps is an error, and gradients need no memory that grows during the run, so that they compile ahead of time. */
KILN_API bool kiln_while_of_at(kiln_site at, kiln *k, int64_t at_most, kiln_body *condition, kiln_body *body, kiln_operands carries,
                               kiln_tensor **out, void *user);
KILN_API bool kiln_while_at(kiln_site at, kiln *k, int64_t at_most, kiln_body *condition, kiln_body *body,
    kiln_tensor *const *carries, int n, kiln_tensor **out, void *user);
/* A loop over slices: (carries ..., ys ...) = body(index, carries ..., xs[index] ...). ys are stacked along a new first axis. */
typedef struct kiln_scan_options {
    kiln_tensor *const *carries; /* first values */
    int carries_count;
    kiln_tensor *const *xs;      /* sliced along their first axis, of equal size in all */
    int xs_count;
    int ys_count;
    int64_t steps;               /* if there are no xs: how many steps */
    bool reverse;                /* from the last slice to the first; ys[i] still belongs to xs[i] */
    /* Lists in place of the arrays carries and xs, as KILN_IN(h, v). (A list that C++ code stores needs an array that lasts:
     * kiln_operand_list(array, n).) */
    kiln_operands carries_in, xs_in;
} kiln_scan_options;
/* Stores the last carries_count carries in out and ys_count stacks in ys; stacks need at least one step. An eager gradient passes
 * over the whole of x for each step's slice. */
KILN_API bool kiln_scan_sized(kiln_site at, kiln *k, kiln_body *body, const kiln_scan_options *options, kiln_tensor **out,
                              kiln_tensor **ys, void *user, size_t size);

/* A user's bound of 0 is an error (-1); in the functions above 0 means that there is no bound. */
static inline int64_t kiln_bound(int64_t steps) { return steps > 0 ? steps : -1; }
#define kiln_cond(...) KILN_CAT(KILN_COND_, KILN_JUST_8(__VA_ARGS__))(__VA_ARGS__)
#define KILN_COND_L(k, condition, ...) kiln_cond_of_at(KILN_HERE, (k), KILN_OPERAND(condition), __VA_ARGS__)
#define KILN_COND_M(k, condition, ...) kiln_cond_at(KILN_HERE, (k), KILN_OPERAND(condition), __VA_ARGS__)
#define kiln_switch(...) KILN_CAT(KILN_SWITCH_, KILN_JUST_8(__VA_ARGS__))(__VA_ARGS__)
#define KILN_SWITCH_L(k, selector, ...) kiln_switch_of_at(KILN_HERE, (k), KILN_OPERAND(selector), __VA_ARGS__)
#define KILN_SWITCH_M(k, selector, ...) kiln_switch_at(KILN_HERE, (k), KILN_OPERAND(selector), __VA_ARGS__)
#define kiln_for(...) KILN_CAT(KILN_LOOP_, KILN_JUST_6(__VA_ARGS__))(__VA_ARGS__)
#define KILN_LOOP_L(k, count, ...) kiln_for_of_at(KILN_HERE, (k), KILN_OPERAND(count), __VA_ARGS__)
#define KILN_LOOP_M(k, count, ...) kiln_for_at(KILN_HERE, (k), KILN_OPERAND(count), __VA_ARGS__)
#define kiln_for_every(...) KILN_CAT(KILN_EVERY_, KILN_JUST_7(__VA_ARGS__))(__VA_ARGS__)
#define KILN_EVERY_L(k, count, ...) kiln_for_every_of_at(KILN_HERE, (k), KILN_OPERAND(count), __VA_ARGS__)
#define KILN_EVERY_M(k, count, ...) kiln_for_every_at(KILN_HERE, (k), KILN_OPERAND(count), __VA_ARGS__)
#define kiln_while(...) KILN_CAT(KILN_TURNS_, KILN_JUST_6(__VA_ARGS__))(__VA_ARGS__)
#define KILN_TURNS_L(k, ...) kiln_while_of_at(KILN_HERE, (k), 0, __VA_ARGS__)
#define KILN_TURNS_M(k, ...) kiln_while_at(KILN_HERE, (k), 0, __VA_ARGS__)
#define kiln_while_at_most(...) KILN_CAT(KILN_AT_MOST_, KILN_JUST_7(__VA_ARGS__))(__VA_ARGS__)
#define KILN_AT_MOST_L(k, steps, ...) kiln_while_of_at(KILN_HERE, (k), kiln_bound(steps), __VA_ARGS__)
#define KILN_AT_MOST_M(k, steps, ...) kiln_while_at(KILN_HERE, (k), kiln_bound(steps), __VA_ARGS__)
#define kiln_scan(k, body, ...) kiln_scan_sized(KILN_HERE, (k), (body), __VA_ARGS__, sizeof(kiln_scan_options))

/* ---- parts of variables --------------------------------------------------------------------------------------------
 * kiln_assign_slice(v, KILN_STARTS(i, 0), x) stores x in v beginning at those indices; kiln_assign_add_slice adds it there. x has
 * v's dtype and no axis longer than v's. If x has fewer axes, leading ones of size 1 are added, so that a row goes into a matrix,
 * and a scalar or number into one element. Starts, one per axis, are integers or integer scalar tensors, and are clamped so that x
 * fits. Values are immutable, so all of v is made anew: in compiled code one pass over it. Gradients are as kiln_assign's and flow
 * to x. */
KILN_API void kiln_assign_slice_at(kiln_site at, kiln_variable *v, int count, const kiln_operand *start, kiln_operand x);
KILN_API void kiln_assign_add_slice_at(kiln_site at, kiln_variable *v, int count, const kiln_operand *start, kiln_operand x);
#define kiln_assign_slice(v, starts, x) kiln_assign_slice_at(KILN_HERE, (v), starts, KILN_OPERAND(x))
#define kiln_assign_add_slice(v, starts, x) kiln_assign_add_slice_at(KILN_HERE, (v), starts, KILN_OPERAND(x))
#define KILN_STARTS(...) KILN_CAT(KILN_STARTS_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_STARTS_1(a) 1, KILN_OPERANDS(1, KILN_OPERAND(a))
#define KILN_STARTS_2(a, b) 2, KILN_OPERANDS(2, KILN_OPERAND(a), KILN_OPERAND(b))
#define KILN_STARTS_3(a, b, c) 3, KILN_OPERANDS(3, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c))
#define KILN_STARTS_4(a, b, c, d) 4, KILN_OPERANDS(4, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d))
#define KILN_STARTS_5(a, b, c, d, e)                                                                                   \
    5, KILN_OPERANDS(5, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e))
#define KILN_STARTS_6(a, b, c, d, e, f)                                                                                \
    6, KILN_OPERANDS(6, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e), KILN_OPERAND(f))
#define KILN_STARTS_7(a, b, c, d, e, f, g)                                                                             \
    7, KILN_OPERANDS(7, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e), KILN_OPERAND(f),  \
                     KILN_OPERAND(g))
#define KILN_STARTS_8(a, b, c, d, e, f, g, h)                                                                          \
    8, KILN_OPERANDS(8, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e), KILN_OPERAND(f),  \
                     KILN_OPERAND(g), KILN_OPERAND(h))

#ifdef __cplusplus
}
struct kiln_loop_guard : kiln_loop {
    explicit kiln_loop_guard(kiln_loop l) : kiln_loop(l) {}
    ~kiln_loop_guard() { kiln_for_end(this); }
    kiln_loop_guard(const kiln_loop_guard &) = delete;
    kiln_loop_guard &operator=(const kiln_loop_guard &) = delete;
};
struct kiln_branch_guard : kiln_branch {
    explicit kiln_branch_guard(kiln_branch b) : kiln_branch(b) {}
    ~kiln_branch_guard() { kiln_branch_end(this); }
    kiln_branch_guard(const kiln_branch_guard &) = delete;
    kiln_branch_guard &operator=(const kiln_branch_guard &) = delete;
};
#define KILN_LOOP_DECLARE(l, value) kiln_loop_guard l(value)
#define KILN_BRANCH_DECLARE(b, value) kiln_branch_guard b(value)
#else
#define KILN_LOOP_DECLARE(l, value) kiln_loop l KILN_CLEANUP(kiln_for_end) = (value)
#define KILN_BRANCH_DECLARE(b, value) kiln_branch b KILN_CLEANUP(kiln_branch_end) = (value)
#endif

/* ---- the macros ---------------------------------------------------------------------------------------------------
 * KILN_FOR(k, i, n) { ... } runs its block n times. i is an i64[] tensor; n is an operand, an integer scalar.
 * KILN_WHILE(k, condition) { ... } runs its block as long as the condition holds: an expression, evaluated before each turn, whose
 * value is a bool scalar. It may read variables and locals but must not assign any. In eager code the loop also ends when an error
 * is recorded in it.
 * KILN_WHILE_AT_MOST(k, steps, condition) { ... } is the same, but going on after so many steps (a C integer, at least 1) is an
 * error, even if nobody uses the result. Its gradient needs no memory that grows during the run, and so compiles ahead of time.
 * KILN_IF(condition) ... runs the statement or block if the bool scalar is true.
 * KILN_ELSE(k) ..., right behind a KILN_IF's block, runs if it was false. A chain is written KILN_ELSE(k) { KILN_IF(b) ... }. It is
 * a statement of its own: a loop or a C `if` around both needs braces. */
#define KILN_FOR(k, i, n) KILN_FOR_(k, i, n, KILN_CAT(kiln_loop_, __COUNTER__))
#define KILN_FOR_(k, i, n, l)                                                                                          \
    for (KILN_LOOP_DECLARE(l, kiln_for_begin_at(KILN_HERE, (k), KILN_OPERAND(n))); kiln_for_next(&l);)                  \
        for (kiln_tensor *i __attribute__((unused)) = l.index; l.state == 1; l.state = 2)

#define KILN_WHILE(k, condition) KILN_WHILE_(k, 0, condition, KILN_CAT(kiln_loop_, __COUNTER__))
#define KILN_WHILE_AT_MOST(k, steps, condition) KILN_WHILE_(k, kiln_bound(steps), condition, KILN_CAT(kiln_loop_, __COUNTER__))
#define KILN_WHILE_(k, steps, condition, l)                                                                                  \
    for (KILN_LOOP_DECLARE(l, kiln_while_begin_at(KILN_HERE, (k), (steps)));                                            \
         kiln_while_ask(&l) && kiln_while_next(&l, KILN_OPERAND(condition));)                                           \
        for (; l.state == 1; l.state = 2)

#define KILN_IF(condition) KILN_BRANCH_(kiln_if_begin_at(KILN_HERE, KILN_OPERAND(condition)), KILN_CAT(kiln_branch_, __COUNTER__))
#define KILN_ELSE(k) KILN_BRANCH_(kiln_else_begin_at(KILN_HERE, (k)), KILN_CAT(kiln_branch_, __COUNTER__))
#define KILN_BRANCH_(begin, b)                                                                                         \
    for (KILN_BRANCH_DECLARE(b, begin); kiln_branch_next(&b);)                                                          \
        for (; b.state == 1; b.state = 2)

#endif
