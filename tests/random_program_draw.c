/* random_program_draw: draws the instructions of random_program.h, and tensors for them. */
#include "random_program.h"

#include <string.h>

const char *const does_name[DOES_COUNT] = {"unary", "binary", "where", "cast", "reduce", "along", "matmul", "move", "slice", "join", "pad",
                                           "gather", "read", "local", "assign", "assign_slice", "if", "for", "while", "tape", "call", "wrong"};

static bool is_turn(Does d) { return d >= DOES_IF && d <= DOES_WHILE; }

/* Blocks see to it that state is assigned, and tapes that loops are in them: it is seldom by chance that much arrives. */
static Does draw_kind(Draw *d, Does block, int depth)
{
    Does does = (Does)draw_below(d, DOES_WRONG);
    if (draw_below(d, 3) == 0) does = (Does)draw_below(d, DOES_WHERE);
    if (depth == 0 && draw_below(d, 10) == 0) does = DOES_TAPE;
    if (depth > 0 && draw_below(d, 5) == 0) does = DOES_ASSIGN;
    if (block == DOES_TAPE && draw_below(d, 5) == 0) does = draw_below(d, 2) ? DOES_FOR : DOES_WHILE;
    return depth >= 3 && is_block(does) ? DOES_ASSIGN : does;
}

static int draw_block(Program *p, Draw *d, int at, int count, Does block, int depth)
{
    for (int n = 0; n < count && at < MOST_INSTRUCTIONS; n++) {
        Instruction *i = &p->at[at++];
        *i = (Instruction){.does = draw_kind(d, block, depth)};
        for (int r = 0; r < 4; r++) i->r[r] = draw_next(d);
        if (!is_block(i->does)) continue;
        int end = draw_block(p, d, at, 1 + draw_below(d, 5), i->does, depth + 1);
        i->length = end - at;
        for (int j = at; j < end; j++) {
            i->turns |= is_turn(p->at[j].does);
            i->assigns |= p->at[j].does == DOES_ASSIGN || p->at[j].does == DOES_ASSIGN_SLICE;
        }
        at = end;
    }
    return at;
}

void program_draw(Program *p, Draw *d, bool wrong)
{
    memset(p, 0, sizeof *p);
    p->length = draw_block(p, d, 0, 4 + draw_below(d, 12), DOES_COUNT, 0);
    if (!wrong) return;
    if (p->length == MOST_INSTRUCTIONS) return;
    Instruction *last = &p->at[p->length++]; /* outside blocks, which may not be run */
    *last = (Instruction){.does = DOES_WRONG};
    for (int r = 0; r < 4; r++) last->r[r] = draw_next(d);
}

static const kiln_dtype drawn_dtype[] = {KILN_F32, KILN_F32, KILN_F32, KILN_F64, KILN_F16, KILN_BF16, KILN_I32, KILN_I64, KILN_U8, KILN_BOOL,
                                         KILN_F32, KILN_I8, KILN_U16, KILN_I16, KILN_U32, KILN_U64, KILN_F8_E4M3, KILN_F8_E5M2};
kiln_dtype dtype_at(uint32_t r) { return drawn_dtype[r % (sizeof drawn_dtype / sizeof *drawn_dtype)]; }

kiln_tensor *program_tensor(kiln *k, Draw *d)
{
    double v[64];
    kiln_shape s = {.rank = draw_below(d, 4)};
    int64_t n = 1;
    for (int64_t i = 1; i <= s.rank; i++) n *= s.size[i] = 1 + draw_below(d, 4);
    for (int64_t i = 0; i < n; i++) v[i] = draw_below(d, 9) == 0 ? 0 : (draw_below(d, 2001) - 1000) / 256.0;
    kiln_dtype t = dtype_at(draw_next(d));
    return kiln_cast(kiln_from_doubles(k, KILN_F64, s, v, n), t);
}
