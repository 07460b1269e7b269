/* control.h: loops and branches whose one source runs eagerly and traces once. Included by kiln.h; compiles alone as C11 and C++17.
 *
 * State that lives across iterations, or that a branch changes, is kept in variables and locals; each iteration, condition and
 * branch is a scope. In eager code the blocks run as often as they run. In a trace each is traced once, with symbols, and the loop
 * or branch is one operation of the graph, which gradients, compiled code and ahead-of-time code know. What only C can do is an
 * error in a trace, named with its line: break, return or goto out of a block; a value made in a block and used outside it (assign
 * it to a kiln_local made before); a carried value that changes its dtype or shape. The gradient of a loop keeps what comes into
 * each step, in memory that grows with the steps; two nested loops keep that of the outer steps alone and run the inner ones again:
 * 32 times 32 steps take the memory of 64, not of 1024 (tests/test_recompute.c). `continue` ends the block: the iteration, or of
 * KILN_IF the branch. */
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
    uint64_t id;             /* of the trace; 0: eager */
    int64_t at, count; /* a while's: steps gone, and its bound or 0 */
    uint64_t failures;
    kiln_tensor *index;
    kiln_scope scope;
    kiln_site site;
    void *frame, *condition;
    void *first, *first_condition; /* under KILN_RETRACE: as they were traced the first time */
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
    uint64_t id;             /* of the trace; 0: eager */
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
 * Bodies are a traced function's: body(k, in, out, user) reads `in`, which a NULL ends, and sets every `out`. They run in a scope
 * of their own; their outputs move to the caller's. Variables and locals are read and assigned in them as in the macros' blocks.
 * Gradients flow through carries, slices and results, and to all that bodies capture. Each returns false, and poisons out, after an
 * error. Carries keep their dtype and shape; all cases give equal dtypes and shapes. */
/* Inputs and carries are lists of operands, KILN_IN(x, v, 3), kiln_tensors(x, n) or kiln_variables(v, n): variables are read now,
 * numbers are as kiln_local takes them (integers i64, fractions as kiln_scalar(k, KILN_F32, 0.5)). An array of tensors and its
 * count as two arguments is the older way, and what the functions without `of` take. */
/* out = then(in) or otherwise(in): kiln_cond(k, condition, then, otherwise, KILN_IN(x), out, nout, user). */
KILN_API bool kiln_cond_of_at(kiln_site at, kiln *k, kiln_operand condition, kiln_body *then, kiln_body *otherwise, kiln_operands in,
                              kiln_tensor **out, int nout, void *user);
KILN_API bool kiln_cond_at(kiln_site at, kiln *k, kiln_operand condition, kiln_body *then, kiln_body *otherwise, kiln_tensor *const *in,
                           int nin, kiln_tensor **out, int nout, void *user);
/* out = bodies[selector](in); the selector is an integer scalar, clamped to the bodies there are: kiln_switch(k, selector, bodies,
 * count, KILN_IN(x), out, nout, user); bodies that are a literal stand in parentheses. */
KILN_API bool kiln_switch_of_at(kiln_site at, kiln *k, kiln_operand selector, kiln_body *const *bodies, int count, kiln_operands in,
                                kiln_tensor **out, int nout, void *user);
KILN_API bool kiln_switch_at(kiln_site at, kiln *k, kiln_operand selector, kiln_body *const *bodies, int count, kiln_tensor *const *in,
                             int nin, kiln_tensor **out, int nout, void *user);
/* Carries, from step to step: out = body(index, carries ...), `count` times (an integer scalar). The index is i64[]. kiln_for(k,
 * count, body, KILN_IN(x, y), out, user). */
KILN_API bool kiln_for_of_at(kiln_site at, kiln *k, kiln_operand count, kiln_body *body, kiln_operands carries, kiln_tensor **out, void *user);
KILN_API bool kiln_for_at(kiln_site at, kiln *k, kiln_operand count, kiln_body *body, kiln_tensor *const *carries, int n, kiln_tensor **out,
                          void *user);
/* The same in segments of `every` steps (at least 1): the gradient keeps what comes into each segment and runs its steps again,
 * about count / every + every carries instead of count. */
KILN_API bool kiln_for_every_of_at(kiln_site at, kiln *k, kiln_operand count, int64_t every, kiln_body *body, kiln_operands carries,
                                   kiln_tensor **out, void *user);
KILN_API bool kiln_for_every_at(kiln_site at, kiln *k, kiln_operand count, int64_t every, kiln_body *body, kiln_tensor *const *carries,
                                int n, kiln_tensor **out, void *user);
/* The same as kiln_for, as long as condition(index, carries ...) gives a true bool scalar. at_most > 0: going on after that many
 * steps is an error, and gradients need no memory that grows while it runs, so that they compile ahead of time. */
KILN_API bool kiln_while_of_at(kiln_site at, kiln *k, int64_t at_most, kiln_body *condition, kiln_body *body, kiln_operands carries,
                               kiln_tensor **out, void *user);
KILN_API bool kiln_while_at(kiln_site at, kiln *k, int64_t at_most, kiln_body *condition, kiln_body *body, kiln_tensor *const *carries,
                            int n, kiln_tensor **out, void *user);
/* A loop over slices: (carries ..., ys ...) = body(index, carries ..., xs[index] ...). ys are stacked along a new first axis. */
typedef struct kiln_scan_options {
    kiln_tensor *const *carries; /* first values */
    int carries_count;
    kiln_tensor *const *xs;      /* sliced along their first axis, which is as long in all of them */
    int xs_count;
    int ys_count;
    int64_t steps;               /* without xs: how many */
    bool reverse;                /* from the last slice to the first; ys[i] still belongs to xs[i] */
    /* In place of carries and of xs: KILN_IN(h, v). (In C++ a list that is stored needs an array that lasts:
     * kiln_operand_list(array, n).) */
    kiln_operands carries_in, xs_in;
} kiln_scan_options;
/* out: carries_count last carries; ys: ys_count stacks. Cost of an eager gradient: each step's slice costs its whole x. Stacked
 * outputs need at least one step. */
KILN_API bool kiln_scan_sized(kiln_site at, kiln *k, kiln_body *body, const kiln_scan_options *options, kiln_tensor **out,
                              kiln_tensor **ys, void *user, size_t size);

/* A bound of none is an error; 0 is how the functions above spell that there is none. */
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
 * kiln_assign_slice(v, KILN_STARTS(i, 0), x) puts x into v from there on: v's dtype, no axis longer than v's, axes that it has
 * fewer count as leading ones of size 1 (a row into a matrix, a scalar or a number into one element); kiln_assign_add_slice adds
 * it. Starts, one per axis, are integers or integer scalar tensors, clamped so that x fits. Values are immutable: the cost is that
 * of making all of v anew, in compiled code one pass over it. Gradients as kiln_assign's; they flow to x. */
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
 * KILN_FOR(k, i, n) { ... }      runs its block n times; i is an i64[] tensor, n an operand: an integer scalar.
 * KILN_WHILE(k, condition) {...} runs its block as long as the condition holds: an expression, evaluated anew before each turn, whose value
 *                                is a bool scalar. It reads variables and locals, and assigns none.
 *                                Eagerly it also ends when an error is recorded in it.
 * KILN_WHILE_AT_MOST(k, steps, condition) { ... } the same; going on after so many steps (a C integer, at least 1) is an error,
 *                                whether or not what the loop computes is used. Its gradient needs no
 *                                memory that grows while it runs, and so compiles ahead of time.
 * KILN_IF(condition) ...         runs the statement or block if the bool scalar is true.
 * KILN_ELSE(k) ...               right behind a KILN_IF's block: if it was false. A chain is written KILN_ELSE(k) { KILN_IF(b) ... }.
 *                                It is a statement of its own: a loop or a C `if` around both needs braces. */
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
