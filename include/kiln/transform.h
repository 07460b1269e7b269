/* transform.h: functions made of functions: one that works on many examples at once, and matrices of derivatives. kiln_grad,
 * kiln_value_and_grad and kiln_jvp are in function.h. kiln.h includes it; it compiles alone as C11 and C++17. */
#ifndef KILN_TRANSFORM_H
#define KILN_TRANSFORM_H

#include <limits.h>

#include "function.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Along which axis of an input the examples lie; negative axes count from the end. */
#define KILN_SHARED INT_MIN /* along none: the input is the same for all examples */
typedef struct kiln_vmap_options {
    int in[KILN_MAX_ARGS];  /* per input; 0: the first axis */
    int out[KILN_MAX_ARGS]; /* per output: where its axis of the examples goes; 0: first */
} kiln_vmap_options;
/* A function of as many inputs and outputs that runs f, written for one example, on all examples at once: each operation works on an
 * array with one axis more, so that a product of a vector and a matrix becomes a product of matrices. Sizes of the examples' axis must
 * agree. f must declare its number of inputs (inputs_count or inputs) and outputs; static arguments, and inputs that are KILN_SHARED,
 * are the same for all. An output that is the same for all examples is repeated.
 *   loops      one whose condition or trip count differs runs until all examples are done; those that are done keep what they have
 *   branches   of a selector that differs each case runs that some example takes
 *   sizes      that each example counts for itself (sized.h) run in a loop over the examples, with all that has such a size and what
 *              lies between; all else is done at once. An output that would have such a size is KILN_EUNSUPPORTED, which names the line
 *   random     a generator is read and advanced once: every example sees the same draw, unless its key is made of what differs
 *   variables  may be read, and assigned what is the same for all: another value for each example is KILN_EUNSUPPORTED, which names the
 *              line, as are prints and calls of C code; assertions must hold for each example that comes to them
 * Gradients flow; f may take gradients itself, have custom gradients, be mapped, or call functions. It is traced even where functions
 * run eagerly (kiln_eager, .no_compile). Every call makes a new function, which lives as long as f. NULL after an error. */
KILN_API kiln_function *kiln_vmap_sized(kiln_site at, kiln_function *f, const kiln_vmap_options *options, size_t size);
/* options: &(kiln_vmap_options){...} or NULL */
#define kiln_vmap(f, ...) kiln_vmap_sized(KILN_HERE, (f), __VA_ARGS__, sizeof(kiln_vmap_options))
/* The operations of f, a result of kiln_vmap, that its last trace ran in a loop over the examples, since they do not work on many at
 * once: "random_bits"; "set_size (net.c:12)" where each counts a size, with the first line that does; "" if there were none. Valid until f is traced again. */
KILN_API const char *kiln_vmap_why(const kiln_function *f);

/* A function of f's inputs with an output for each output y of f and each input x, the inputs of one output side by side: dy/dx, of
 * y's shape followed by x's; zeros where either is no float. It costs a forward pass, and for each output one backward pass on
 * as many examples as y has elements. f is traced for each output once more: it may draw or assign nothing. Made once. */
KILN_API kiln_function *kiln_jacobian(kiln_function *f);
/* The second derivatives of the first output's sum: kiln_jacobian(kiln_grad(f)). For inputs x and y, in that order, outputs dxx, dxy,
 * dyx, dyy. */
KILN_API kiln_function *kiln_hessian(kiln_function *f);
/* A function of f's inputs, then a vector for each, of its dtype and shape: the Hessian of the first output's sum times these vectors,
 * an output for each input. It costs about two gradients, and never makes the matrix. Made once. */
KILN_API kiln_function *kiln_hvp(kiln_function *f);

/* jax.linearize: out gets the outputs of f for these inputs, and the result is the function of a tangent for each input, of its dtype and
 * shape (those of integers are ignored), that gives J t there: a tangent for each output (zeros for integers). What J needs of f's inner values
 * is computed here, once, and kept with that function, each call of which does the linear part alone (and loops of f, which run again). So
 * what f reads is taken as it was here. It may be called, mapped, differentiated and called in traces, as any function; making it takes two
 * traces, its first call one more. It lives as long as f, or until kiln_function_free. f must declare its number of inputs
 * (inputs_count or inputs), which are no static arguments here, and assigns and draws nothing; its effects do not happen. Not in a trace.
 * NULL after an error, and out is poison. */
KILN_API kiln_function *kiln_linearize_at(kiln_site at, kiln_function *f, kiln_operands in, kiln_tensor **out, int nout);
/* kiln_linearize(f, KILN_IN(x, y), out, nout) */
#define kiln_linearize(f, in, ...) kiln_linearize_at(KILN_HERE, (f), in, __VA_ARGS__)

/* A function of f's inputs and outputs that keeps none of f's inner values for a gradient: the gradient runs f again (recomputation, or
 * checkpointing: Griewank and Walther 2000; Chen et al. 2016). It does so on tapes in eager code, in traces, and where its own gradient is
 * taken; gradients flow to its inputs and to all that f reads, and results have the bits of f's (gradients as those of loops,
 * docs/numerics.md). f is one operation of the graph, a loop of one turn, and is traced even where functions run eagerly. It draws once:
 * what runs again sees the same numbers; effects do not happen again. Outputs have at most KILN_MAX_RANK - 1 axes. Made once, it lives as
 * long as f. NULL after an error. */
KILN_API kiln_function *kiln_recompute(kiln_function *f);

#ifdef __cplusplus
}
#endif

#endif
