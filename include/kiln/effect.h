/* effect.h: what a function does besides computing: assertions, text, calls back into the program (kiln_print is in core.h).
 * Included by kiln.h; compiles alone as C11 and C++17.
 *
 * In eager code an effect happens at once. In a traced function it happens each time the compiled code comes by (in a loop or
 * branch: each time the block runs), in the order in which the body names them, on the thread that called; it is never dropped,
 * shared or moved past another. What fails is a sticky error with the line of the effect, worded alike in eager and compiled code.
 * A compiled call that fails stores nothing: every variable is as it was before the call. The gradient of a compiled call or of a
 * loop computes the body again, without its effects.
 *
 * Ahead of time (aot.h) there is nobody to report to: an assertion that fails ends the call with a code above 0, state unchanged;
 * print does nothing; a callback cannot be compiled. */
#ifndef KILN_EFFECT_H
#define KILN_EFFECT_H

#include "function.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- assertions ------------------------------------------------------------------------------------------------------
 * False if it failed now: in eager code, or because a trace knows it already. The values' elements are only read; no gradient
 * flows. */
/* Every element of a bool tensor holds (KILN_EVALUE: names text and the first that does not). A C truth value is checked at once.
 */
KILN_API bool kiln_assert_at(kiln_site at, kiln_operand holds, const char *text);
/* x has this shape; -1: any size. What a trace knows is checked in it, sizes that vary when it runs (KILN_ESHAPE). */
KILN_API bool kiln_assert_shape_at(kiln_site at, kiln_operand x, kiln_shape shape);
/* |a - b| <= tolerance for every element, in the floats' own arithmetic; equal infinities are close, a NaN never is. a and b are
 * promoted and broadcast as operands are. KILN_EVALUE names the first index, both elements and their difference. */
KILN_API bool kiln_assert_close_at(kiln_site at, kiln_operand a, kiln_operand b, double tolerance);
/* No element of the float tensor x is NaN or infinite (KILN_EVALUE: names the first index and its element). */
KILN_API bool kiln_assert_finite_at(kiln_site at, kiln_operand x);

/* ---- text -------------------------------------------------------------------------------------------------------------- */
KILN_API void kiln_print_text_at(kiln_site at, kiln *k, FILE *to, const char *text); /* as it is, no newline added */

/* ---- calls back into the program ------------------------------------------------------------------------------------------ */
typedef struct kiln_array {     /* a tensor as plain memory, row-major */
    kiln_dtype dtype;
    int rank;
    int64_t size[KILN_MAX_RANK];
    void *data;                 /* NULL or not, if it has no elements */
} kiln_array;
/* Reads the inputs, fills every element of the outputs; both are valid during the call. Non-zero fails with KILN_EVALUE. It may use
 * the engine, other compiled functions included; a variable that it assigns is seen by the next call, unless this one assigns it at
 * its end. */
typedef int kiln_callback_fn(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user);
/* kiln_callback(k, fn, user, KILN_IN(x, v), types, out, nout): calls fn on these operands (numbers as kiln_local takes them); out
 * gets nout tensors of these types: KILN_SPEC(KILN_F32, 4, -1), where a size of -1 is that of in[0] along the same axis; types that
 * are a literal stand in parentheses. An array of tensors and its count is the older way. False (and out is poisoned) after an
 * error. No gradient flows through fn: asking for one is an error (KILN_EUNSUPPORTED), unless kiln_custom_gradient gives it or
 * kiln_stop_gradient keeps it out; so is the gradient of a loop or of a compiled call whose body calls fn for outputs. fn and user
 * must outlive the functions traced with them. */
KILN_API bool kiln_callback_of_at(kiln_site at, kiln *k, kiln_callback_fn *fn, void *user, kiln_operands in, const kiln_spec *types,
                                  kiln_tensor **out, int nout);
KILN_API bool kiln_callback_at(kiln_site at, kiln *k, kiln_callback_fn *fn, void *user, kiln_tensor *const *in, int nin, const kiln_spec *types,
                               kiln_tensor **out, int nout);

#ifdef __cplusplus
}
#endif

#define kiln_assert(holds, text) kiln_assert_at(KILN_HERE, KILN_OPERAND(holds), (text))
#define kiln_assert_shape(x, s) kiln_assert_shape_at(KILN_HERE, KILN_OPERAND(x), (s))
#define kiln_assert_close(a, b, tolerance) kiln_assert_close_at(KILN_HERE, KILN_OPERAND(a), KILN_OPERAND(b), (tolerance))
#define kiln_assert_finite(x) kiln_assert_finite_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_print_text(k, to, text) kiln_print_text_at(KILN_HERE, (k), (to), (text))
#define kiln_callback(...) KILN_CAT(KILN_CALLBACK_, KILN_JUST_7(__VA_ARGS__))(__VA_ARGS__)
#define KILN_CALLBACK_L(k, fn, user, ...) kiln_callback_of_at(KILN_HERE, (k), (fn), (user), __VA_ARGS__) /* in, types, out, nout */
#define KILN_CALLBACK_M(k, fn, user, ...) kiln_callback_at(KILN_HERE, (k), (fn), (user), __VA_ARGS__) /* in, nin, types, out, nout */

#endif
