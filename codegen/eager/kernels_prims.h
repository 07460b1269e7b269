/* kernels_prims: the scalar algebra as C over the type that kernels_type.h is expanded for: TYPE
 * (f32, ...), C_TYPE (float, ...). Unlike ir/scalar_paste.h it cuts to the type after each
 * primitive, so narrow integers wrap where the algebra says. Undone by ir/scalar_undef.h; no
 * include guard. Relies on ir/scalar_c.h and kernels_scalars.h. */

#define ADD(a, b) ((C_TYPE)((a) + (b)))
#define SUB(a, b) ((C_TYPE)((a) - (b)))
#define MUL(a, b) ((C_TYPE)((a) * (b)))
#define DIV(a, b) ((a) / (b))
#define IDIV(a, b) NAME(idiv_c)(a, b)
#define IREM(a, b) NAME(irem_c)(a, b)
#define FMOD(a, b) NAME(fmod)(a, b)
#define NEG(a) ((C_TYPE)(-(a)))
#define ABS(a) NAME(abs_c)(a)
#define SQRT(a) NAME(sqrt)(a)
#define FLOOR(a) NAME(floor)(a)
#define CEIL(a) NAME(ceil)(a)
#define TRUNC(a) NAME(trunc)(a)
#define RINT(a) NAME(rint)(a)
#define COPYSIGN(a, b) NAME(copysign)(a, b)
#define LT(a, b) ((int)((a) < (b)))
#define LE(a, b) ((int)((a) <= (b)))
#define GT(a, b) ((int)((a) > (b)))
#define GE(a, b) ((int)((a) >= (b)))
#define EQ(a, b) ((int)((a) == (b)))
#define NE(a, b) ((int)((a) != (b)))
#define SELECT(c, a, b) ((c) ? (a) : (b))
#define AND(a, b) ((a) & (b))
#define OR(a, b) ((a) | (b))
#define XOR(a, b) ((a) ^ (b))
#define NOT(a) NAME(not)(a)
#define SHL(a, b) NAME(shl_c)(a, b)
#define SHR(a, b) NAME(shr_c)(a, b)
#define FN(fn, ...) NAME(math_##fn)(__VA_ARGS__)
#define C(v) ((C_TYPE)(v))
#define X x
#define Y y
#define Z z
