/* grad_tok: gradient columns of ops.def as initialisers of GradTok, in prefix order: MUL(G, Y) is
 * "{op mul}, {g}, {y}". Included right before an expansion of ops.def and undone by grad_undef.h
 * right after it, for its names are short: no include guard. Relies on op.h. A new op in a
 * gradient column needs its line here and there. */
#define TOK_(name) { GK_OP, OP_##name, 0 }

#define G { GK_G, 0, 0 }
#define R { GK_R, 0, 0 }
#define X { GK_X, 0, 0 }
#define Y { GK_Y, 0, 0 }
#define Z { GK_Z, 0, 0 }
#define C(v) { GK_CONST, 0, v }
#define NONE { GK_NONE, 0, 0 }

#define ADD(a, b) TOK_(add), a, b
#define SUB(a, b) TOK_(sub), a, b
#define MUL(a, b) TOK_(mul), a, b
#define DIV(a, b) TOK_(div), a, b
#define FLOOR_DIV(a, b) TOK_(floor_div), a, b
#define POW(a, b) TOK_(pow), a, b
#define GT(a, b) TOK_(gt), a, b
#define LT(a, b) TOK_(lt), a, b
#define EQ(a, b) TOK_(eq), a, b
#define SELECT(c, a, b) TOK_(where), c, a, b
#define NEG(a) TOK_(neg), a
#define ABS(a) TOK_(abs), a
#define SIGN(a) TOK_(sign), a
#define SQRT(a) TOK_(sqrt), a
#define EXP(a) TOK_(exp), a
#define LOG(a) TOK_(log), a
#define SIN(a) TOK_(sin), a
#define COS(a) TOK_(cos), a
#define SINH(a) TOK_(sinh), a
#define COSH(a) TOK_(cosh), a
#define TANH(a) TOK_(tanh), a
#define MAX(a, b) TOK_(max), a, b
#define MIN(a, b) TOK_(min), a, b
#define HYPOT(a, b) TOK_(hypot), a, b
#define ATAN2_SLOPE(a, b) TOK_(atan2_slope), a, b
#define POW_SLOPE(a, b) TOK_(pow_slope), a, b
#define POW_RISE(a, b) TOK_(pow_rise), a, b
#define ATAN_SLOPE(a) TOK_(atan_slope), a
#define TANH_SLOPE(a) TOK_(tanh_slope), a
#define ERF_SLOPE(a) TOK_(erf_slope), a
#define SIGMOID(a) TOK_(sigmoid), a
#define SIGMOID_SLOPE(a) TOK_(sigmoid_slope), a
#define SILU_SLOPE(a) TOK_(silu_slope), a
#define GELU_SLOPE(a) TOK_(gelu_slope), a
#define GELU_TANH_SLOPE(a) TOK_(gelu_tanh_slope), a
