/* random_program: small random programs of public calls, from a seed: a list of instructions that one kiln_body interprets, so that the very same
 * calls run eagerly and in a trace. What an instruction does depends on its numbers and on dtypes and shapes alone, never on elements.
 * Relies on the public interface. */
#ifndef KILN_TESTS_RANDOM_PROGRAM_H
#define KILN_TESTS_RANDOM_PROGRAM_H

#include <kiln/kiln.h>

typedef struct Draw {
    uint64_t state;
} Draw;

static inline uint32_t draw_next(Draw *d) /* splitmix64 */
{
    uint64_t z = d->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ z >> 31) >> 16);
}
static inline int draw_below(Draw *d, int n) { return (int)(draw_next(d) % (uint32_t)n); }

typedef enum Does {
    DOES_UNARY, DOES_BINARY, DOES_WHERE, DOES_CAST, DOES_REDUCE, DOES_ALONG, DOES_MATMUL, DOES_MOVE, DOES_SLICE, DOES_JOIN, DOES_PAD, DOES_GATHER,
    DOES_READ, DOES_LOCAL, DOES_ASSIGN, DOES_ASSIGN_SLICE, DOES_IF, DOES_FOR, DOES_WHILE, DOES_TAPE, DOES_CALL, DOES_WRONG, DOES_COUNT
} Does;

typedef struct Instruction {
    Does does;
    uint32_t r[4];  /* what the choices are drawn from */
    int length;     /* of a block: the instructions behind it that are its body */
    bool turns;     /* a loop or branch is in its body */
    bool assigns;   /* an assignment is */
} Instruction;

enum { MOST_INSTRUCTIONS = 48, INPUTS = 3, VARIABLES = 3, OUTPUTS = 4, CLOSE_OUTPUT = 3 };

typedef struct Program Program;
typedef struct Callee { /* a call's function */
    Program *program;
    int at;
    kiln_function *function;
} Callee;
struct Program {
    Instruction at[MOST_INSTRUCTIONS];
    int length;
    Callee callee[MOST_INSTRUCTIONS];
    kiln_variable *variable[VARIABLES];
    FILE *say;                 /* where the calls are told as they are made, or NULL */
    unsigned did[DOES_COUNT];  /* how often each kind was met */
};

void program_draw(Program *p, Draw *d, bool wrong); /* wrong: one instruction is an error */
/* user: the Program. The last output, CLOSE_OUTPUT, is a gradient through loops and branches, which is equal but for rounding. */
void program_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user);
void program_free_functions(Program *p);
kiln_tensor *program_tensor(kiln *k, Draw *d); /* of a random dtype and shape */
kiln_dtype dtype_at(uint32_t r);               /* one of all, f32 most often */
static inline bool is_block(Does d) { return d >= DOES_IF && d <= DOES_CALL; }
extern const char *const does_name[DOES_COUNT];

#endif
