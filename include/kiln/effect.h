/* effect.h: what a function does besides computing: assertions, text, calls back into the program (kiln_print is in core.h).
 * Included by kiln.h; compiles alone as C11 and C++17.
 *
 * In eager code an effect happens at once. In a traced function it happens each time the compiled code reaches it (in a loop or
 * branch: each time the block runs), in the order of the body, on the calling thread; it is never dropped, shared or moved past
 * another. A failing effect is a sticky error with its own line, worded alike in eager and compiled code. A compiled call that
 * fails stores nothing: every variable is as it was before the call. The gradient of a compiled call or of a loop computes the body
 * again, without its effects.
 *
 * Code compiled ahead of time (aot.h) has nobody to report to: an assertion that fails ends the call with a code above 0 and leaves
 * the state unchanged, print does nothing, and a callback cannot be compiled. */
#ifndef KILN_EFFECT_H
#define KILN_EFFECT_H

#include "function.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- assertions ------------------------------------------------------------------------------------------------------
 * False if the assertion failed at the call: in eager code, or because a trace already knows. Assertions only read elements; no
 * gradient flows. */
/* Every element of a bool tensor is true; KILN_EVALUE names text and the first that is not. A C truth value is checked at once. */
KILN_API bool kiln_assert_at(kiln_site at, kiln_operand holds, const char *text);
/* x has this shape, where -1 allows any size (else KILN_ESHAPE). A trace checks what it knows; sizes that vary are checked at each
 * run. */
KILN_API bool kiln_assert_shape_at(kiln_site at, kiln_operand x, kiln_shape shape);
/* |a - b| <= tolerance for every element, computed in the operands' own dtype; equal infinities are close, a NaN never is. a and b
 * promote and broadcast as operands do. KILN_EVALUE names the first index, both elements and their difference. */
KILN_API bool kiln_assert_close_at(kiln_site at, kiln_operand a, kiln_operand b, double tolerance);
/* No element of the float tensor x is NaN or infinite (KILN_EVALUE: names the first index and its element). */
KILN_API bool kiln_assert_finite_at(kiln_site at, kiln_operand x);

/* ---- text -------------------------------------------------------------------------------------------------------------- */
KILN_API void kiln_print_text_at(kiln_site at, kiln *k, FILE *to, const char *text); /* prints text as it is, without a newline */

/* ---- calls back into the program ------------------------------------------------------------------------------------------ */
typedef struct kiln_array {     /* a tensor as plain memory, row-major */
    kiln_dtype dtype;
    int rank;
    int64_t size[KILN_MAX_RANK];
    void *data;                 /* may be NULL if there are no elements */
} kiln_array;
/* Reads the inputs and fills every element of the outputs; both are valid only during the call. A result other than 0 fails with
 * KILN_EVALUE. It may use the engine, other compiled functions included. The next call sees a variable that it assigns, unless the
 * current one assigns that variable at its end. */
typedef int kiln_callback_fn(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user);
/* kiln_callback(k, fn, user, KILN_IN(x, v), types, out, nout) calls fn on these operands (numbers as kiln_local takes them). out
 * gets nout tensors of these types, such as KILN_SPEC(KILN_F32, 4, -1), where -1 is the size of in[0] along the same axis; a
 * literal array of types needs parentheses. Passing an array of tensors and its count is the older way. False, with out poisoned,
 * after an error. No gradient flows through fn: asking for one is KILN_EUNSUPPORTED, unless kiln_custom_gradient gives it or
 * kiln_stop_gradient keeps it out. So is asking for the gradient of a loop or compiled call whose body calls fn for outputs. fn and
 * user must outlive the functions traced with them. */
KILN_API bool kiln_callback_of_at(kiln_site at, kiln *k, kiln_callback_fn *fn, void *user, kiln_operands in, const kiln_spec *types,
                                  kiln_tensor **out, int nout);
KILN_API bool kiln_callback_at(kiln_site at, kiln *k, kiln_callback_fn *fn, void *user, kiln_tensor *const *in, int nin,
    const kiln_spec *types, kiln_tensor **out, int nout);

#ifdef __cplusplus
}
#endif

#define kiln_assert(holds, text) kiln_assert_at(KILN_HERE, KILN_OPERAND(holds), (text))
#define kiln_assert_shape(x, s) kiln_assert_shape_at(KILN_HERE, KILN_OPERAND(x), (s))
#define kiln_assert_close(a, b, tolerance) kiln_assert_close_at(KILN_HERE, KILN_OPERAND(a), KILN_OPERAND(b), (tolerance))
#define kiln_assert_finite(x) kiln_assert_finite_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_print_text(k, to, text) kiln_print_text_at(KILN_HERE, (k), (to), (text))
#define kiln_callback(...) KILN_CAT(KILN_CALLBACK_, KILN_JUST_7(__VA_ARGS__))(__VA_ARGS__)
#define KILN_CALLBACK_L(k, fn, user, ...) kiln_callback_of_at(KILN_HERE, (k), (fn), (user), __VA_ARGS__)
#define KILN_CALLBACK_M(k, fn, user, ...) kiln_callback_at(KILN_HERE, (k), (fn), (user), __VA_ARGS__)

#endif
