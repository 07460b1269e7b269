/* control.h: loops and branches whose one source runs eagerly and traces once. Included by kiln.h; compiles alone as C11 and C++17.
 *
 * State that lives across iterations, or that a branch changes, is kept in variables and locals; each iteration, condition and branch is a
 * scope. In eager code the blocks run as often as they run. In a trace each is traced once, with symbols, and the loop or branch is one
 * operation of the graph, which gradients, compiled code and ahead-of-time code know. What only C can do is an error in a trace, named with
 * its line: break, return or goto out of a block; a value made in a block and used outside it (assign it to a kiln_local made before);
 * a carried value that changes its dtype or shape. `continue` ends the block: the iteration, or of KILN_IF the branch. */
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
    int64_t at, count;
    kiln_tensor *index;
    kiln_scope scope;
    kiln_site site;
    void *frame, *condition;
    uint32_t predicate;
    bool is_while;
    int state;
} kiln_loop;
KILN_API kiln_loop kiln_for_begin_at(kiln_site at, kiln *k, kiln_operand count);
KILN_API bool kiln_for_next(kiln_loop *l);
KILN_API kiln_loop kiln_while_begin_at(kiln_site at, kiln *k);
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
 * KILN_IF(condition) ...         runs the statement or block if the bool scalar is true.
 * KILN_ELSE(k) ...               right behind a KILN_IF's block: if it was false. A chain is written KILN_ELSE(k) { KILN_IF(b) ... }. */
#define KILN_FOR(k, i, n) KILN_FOR_(k, i, n, KILN_CAT(kiln_loop_, __COUNTER__))
#define KILN_FOR_(k, i, n, l)                                                                                          \
    for (KILN_LOOP_DECLARE(l, kiln_for_begin_at(KILN_HERE, (k), KILN_OPERAND(n))); kiln_for_next(&l);)                  \
        for (kiln_tensor *i __attribute__((unused)) = l.index; l.state == 1; l.state = 2)

#define KILN_WHILE(k, condition) KILN_WHILE_(k, condition, KILN_CAT(kiln_loop_, __COUNTER__))
#define KILN_WHILE_(k, condition, l)                                                                                   \
    for (KILN_LOOP_DECLARE(l, kiln_while_begin_at(KILN_HERE, (k)));                                                     \
         kiln_while_ask(&l) && kiln_while_next(&l, KILN_OPERAND(condition));)                                           \
        for (; l.state == 1; l.state = 2)

#define KILN_IF(condition) KILN_BRANCH_(kiln_if_begin_at(KILN_HERE, KILN_OPERAND(condition)), KILN_CAT(kiln_branch_, __COUNTER__))
#define KILN_ELSE(k) KILN_BRANCH_(kiln_else_begin_at(KILN_HERE, (k)), KILN_CAT(kiln_branch_, __COUNTER__))
#define KILN_BRANCH_(begin, b)                                                                                         \
    for (KILN_BRANCH_DECLARE(b, begin); kiln_branch_next(&b);)                                                          \
        for (; b.state == 1; b.state = 2)

#endif
