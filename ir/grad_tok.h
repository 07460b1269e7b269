/* grad_tok: gradient columns of ops.def as initialisers of GradTok, in prefix order: MUL(G, Y) is "{op mul}, {g}, {y}". The
 * names of primitives mean the ops of the same name, and FN(op, ...) is any other op. Included right before an expansion of
 * ops.def and undone by scalar_undef.h right after it, for its names are short: no include guard. Relies on op.h. */
enum { OP_select = OP_where };
#define SPELL(op, ...) {GK_OP, OP_##op, 0}, __VA_ARGS__
#include "scalar.def"

#define FN(op, ...) SPELL(op, __VA_ARGS__)
#define G          \
    {              \
        GK_G, 0, 0 \
    }
#define R          \
    {              \
        GK_R, 0, 0 \
    }
#define X          \
    {              \
        GK_X, 0, 0 \
    }
#define Y          \
    {              \
        GK_Y, 0, 0 \
    }
#define Z          \
    {              \
        GK_Z, 0, 0 \
    }
#define C(v)           \
    {                  \
        GK_CONST, 0, v \
    }
#define NONE          \
    {                 \
        GK_NONE, 0, 0 \
    }
