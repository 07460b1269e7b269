/* scalar_paste: the spelled expressions of the scalar algebra as C expressions, the twin of scalar_tok.h, made of the
 * primitives' meanings in scalar_c.h. Included right before an expansion of math.def or ops.def inside a C kernel and undone by
 * scalar_undef.h; no include guard.
 *
 * X, Y, Z are the variables x, y, z. Where SCALAR_OWN is defined, every value has one type: SCALAR_OWN(fn) is the name of fn for
 * it, C_TYPE its C type, to which each primitive cuts its result, and SCALAR_FN(fn) an elementary function. Elsewhere values
 * have the types of C's own expressions: integers narrower than int compute in int, so that the value is right once stored in
 * its type, provided the expression does not compare, divide or shift an intermediate that wrapped. SCALAR_MAD renames mad, and
 * SCALAR_RARE(v) is what rare makes of v. */
#ifndef SCALAR_MAD
#define SCALAR_MAD mad
#endif
#ifndef SCALAR_RARE
#define SCALAR_RARE(v) (v)
#endif
#ifdef SCALAR_OWN
#define WRAP_(v) ((C_TYPE)(v))
#define OF_FLOAT_(fn, v) SCALAR_OWN(fn)
#define OF_INT_(fn, v) SCALAR_OWN(fn)
#define OF_NUMBER_(fn, v) SCALAR_OWN(fn)
#define OF_BITS_(fn, v) SCALAR_OWN(fn)
#define C(v) ((C_TYPE)(v))
#define FN(fn, ...) SCALAR_FN(fn)(__VA_ARGS__)
#else
/* Selects by a value's type; only the controlling operand is pasted twice. */
#define WRAP_(v) (v)
#define OF_FLOAT_(fn, v) _Generic((v), FLOATS_(fn))
#define OF_INT_(fn, v) _Generic((v), INTS_(fn))
#define OF_NUMBER_(fn, v) _Generic((v), FLOATS_(fn), INTS_(fn))
#define OF_BITS_(fn, v) _Generic((v), _Bool : fn##_bool, INTS_(fn))
#define K(type, v) ((c_##type)(v))
#define V(fn, name) v_##name
#define BITS(type, a) ((c_##type)OF_FLOAT_(bits, a)(a))
#define FLOATBITS(type, a) floatbits_##type(a)
#define CVT(type, a) CVT_##type(a)
#endif

#define SPELL(p, ...) C_##p(__VA_ARGS__)
#include "scalar.def"
#define X x
#define Y y
#define Z z
