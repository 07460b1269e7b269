/* random: what the files of draws share: a generator's value as the key of random bits, and numbers made of those. Relies on ops.h.
 */
#ifndef KILN_FRONTEND_RANDOM_H
#define KILN_FRONTEND_RANDOM_H

#include "ops.h"

/* A draw's source: a generator, whose value is the key and which advances when the draw has succeeded, or a key alone. */
typedef struct Draw {
    kiln_operand source;
    kiln_tensor *key;
    Composite c;
    uint32_t moves; /* by how much the generator's counter advances; 0 stands for 1 */
} Draw;
Draw draw_begin(Thread *t, kiln_site at, const char *op, kiln_operand source);
kiln_tensor *draw_bits(Thread *t, kiln_site at, const Draw *d, const Dim *dim, int rank);
/* words times count words: the first of every element, then the second ... Poison: recorded. */
kiln_tensor *draw_words(Thread *t, kiln_site at, kiln_tensor *key, Dim count, int words);
/* Ends the draw with its result; only now does the generator advance. */
kiln_tensor *draw_end(Thread *t, kiln_site at, Draw *d, kiln_tensor *r);

/* The thread of a generator's engine, else the one used last. NULL: there is none. */
Thread *generator_thread(const kiln_variable *g);
bool is_generator(Thread *t, kiln_site at, const char *op, const kiln_variable *g); /* false: recorded */

/* Words in the order in which a draw takes them. */
typedef struct Words {
    kiln_tensor *bits; /* of draw_words */
    Dim count;
    int next;
} Words;
kiln_tensor *word_next(Thread *t, kiln_site at, Words *w);                 /* u32[count] */
kiln_operand unit_next(Thread *t, kiln_site at, Words *w, DType d);        /* in [0, 1), 24 bits, or 53 of two words for f64 */
kiln_operand exponential_next(Thread *t, kiln_site at, Words *w, DType d); /* above 0, rate 1; as many words */
static inline int unit_words(DType d) { return d == DT_f64 ? 2 : 1; }
kiln_operand unit_f32(kiln_site at, kiln_tensor *bits); /* in [0, 1): the top 24 bits */

/* ---- parameters ---- */
bool draw_floats(Thread *t, kiln_site at, const char *op, kiln_dtype d, const kiln_shape *s, Type *type); /* false: recorded */
/* Whether v is a number of the dtype, not beyond its largest. False: recorded. */
bool draw_within(Thread *t, kiln_site at, const char *op, const char *what, kiln_dtype d, double v);
double draw_below(DType d, double v); /* the largest number of the dtype below v */
double draw_least(DType d, double v); /* the smallest one that is not below v */
/* A flat f32 or f64 tensor in the type's dtype and shape. */
kiln_tensor *draw_shaped(Thread *t, kiln_site at, kiln_operand flat, const Type *type);
/* A parameter as dtype d, broadcast to s, whose sizes of -1 are its own. Poison: recorded. */
kiln_tensor *draw_parameter(Thread *t, kiln_site at, const char *op, kiln_operand o, DType d, kiln_shape s);
/* Classes as kiln_categorical draws them. */
kiln_tensor *draw_classes(Thread *t, kiln_site at, const Draw *d, kiln_tensor *logits, Dim count, bool distinct);

#endif
