/* emit_panel: one chain of a region of a product: panels of columns, each with b moved close if need be, and in each panel all
 * tiles. Relies on gen, emit_tile, emit_move. */
#include "emit_contract.h"

/* Rows of the last tiles where their number is not known, and from how many panels on the last one is not emitted by itself. */
enum { LOW_ROWS = 4, LOOSE_PANELS = 8 };

/* ---- rows ------------------------------------------------------------------------------------ */

LLVMValueRef contract_row(Product *p, LLVMValueRef tile)
{
    Gen *g = p->g;
    LLVMValueRef row = times(g, tile, p->tile.rows);
    if (p->tile.tiles < 0) return least(g, row, p->m);
    return p->tile.high == p->tile.tiles ? row : less(g, row, most(g, less(g, tile, gen_i64(g, p->tile.high)), gen_i64(g, 0)));
}

typedef struct Panel { /* where tiles find their operands: the first row's a and sums, and b */
    LLVMValueRef a, a_row, a_col, b, b_row, sums, sums_row, k, n;
    uint32_t width, vectors, parts;
} Panel;

/* Rows from .. to - 1 of those at `first`, tiles of that many. */
static void band(Product *p, const Panel *x, LLVMValueRef first, LLVMValueRef from, LLVMValueRef to, uint32_t rows)
{
    Gen *g = p->g;
    Loop l;
    if (rows == 0 || loop_turns(from, to, rows) == 0) return;
    loop_begin(g, &l, from, to, rows, NULL, 0);
    LLVMValueRef row = less(g, l.i, first);
    tile_chain(g, &(Tile){.t = p->compute,
                      .width = x->width,
                      .vectors = x->vectors,
                      .rows = rows,
                      .adds = p->adds,
                      .parts = x->parts,
                      .c = element_at(g, p->compute, x->sums, gen_mul(g, row, x->sums_row)),
                      .a = element_at(g, p->compute, x->a, gen_mul(g, row, x->a_row)),
                      .b = x->b,
                      .k = x->k,
                      .c_row = x->sums_row,
                      .a_row = x->a_row,
                      .a_col = x->a_col,
                      .b_row = x->b_row,
                      .n = x->n});
    loop_end(g, &l);
}

/* All tiles of rows first .. end - 1. Where their number is not known, the last ones are low. */
static void bands(Product *p, const Panel *x, LLVMValueRef first, LLVMValueRef end)
{
    Gen *g = p->g;
    const uint32_t rows = p->tile.rows;
    if (p->tile.tiles >= 0) {
        LLVMValueRef border = gen_i64(g, p->tile.high * rows);
        if (p->tile.high == p->tile.tiles) {
            band(p, x, first, first, end, rows);
        } else {
            band(p, x, first, first, least(g, end, border), rows);
            band(p, x, first, most(g, first, border), end, rows - 1);
        }
        return;
    }
    LLVMValueRef whole = gen_whole_steps(g, first, end, rows), low = gen_whole_steps(g, whole, end, LOW_ROWS);
    band(p, x, first, first, whole, rows);
    band(p, x, first, whole, low, LOW_ROWS);
    band(p, x, first, low, end, 1);
}

/* ---- panels ---------------------------------------------------------------------------------- */

/* Points the panel, of that many rows, at b's columns from `column` on, moved close if need be. */
static void open_panel(Product *p, Panel *x, LLVMValueRef k, LLVMValueRef column, LLVMValueRef rows)
{
    Gen *g = p->g;
    const uint32_t wide = p->wide;
    const LLVMValueRef b = element_at(g, p->type, p->b, p->b_at);
    const Move move = {p->move_b, p->type, wide, wide, p->k_even, 1, p->b_room, b, x->k, x->n, k, column, p->b_row, p->b_col};
    const LLVMValueRef as_it_lies = element_at(g, p->type, b, cell_at(g, &p->b_row, k, &p->b_col, column));
    x->b = as_it_lies;
    x->b_row = p->b_row.stride[0];
    if (p->move_b == MOVE_NONE) return;
    if (!p->if_many || p->tile.tiles > 1) {
        move_matrix(g, &move);
        x->b = p->b_room;
        x->b_row = gen_i64(g, wide);
        return;
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b), then = gen_block(g, "move"), next = gen_block(g, "next");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, rows, gen_i64(g, p->tile.rows), ""), then, next);
    gen_put(g, then);
    move_matrix(g, &move);
    then = LLVMGetInsertBlock(g->b);
    LLVMBuildBr(g->b, next);
    gen_put(g, next);
    x->b = LLVMBuildPhi(g->b, g->ptr, "");
    LLVMAddIncoming(x->b, (LLVMValueRef[]){as_it_lies, p->b_room}, (LLVMBasicBlockRef[]){before, then}, 2);
    x->b_row = LLVMBuildPhi(g->b, g->i64, "");
    LLVMAddIncoming(x->b_row, (LLVMValueRef[]){p->b_row.stride[0], gen_i64(g, wide)}, (LLVMBasicBlockRef[]){before, then}, 2);
}

/* The panels of a region's columns from .. to - 1, so many vectors each; parts: of the last so many vectors there may be a part. */
static void panels(
    Product *p, Panel x, const Region *q, LLVMValueRef k, const LLVMValueRef *rows, LLVMValueRef from, LLVMValueRef to)
{
    Gen *g = p->g;
    const int64_t step = (int64_t)x.vectors * x.width;
    Loop l;
    if (loop_turns(from, to, step) == 0) return;
    loop_begin(g, &l, from, to, step, NULL, 0);
    x.n = x.parts ? least(g, less(g, q->columns, l.i), gen_i64(g, step)) : p->through ? q->columns : gen_i64(g, step);
    x.sums = element_at(g, p->compute, x.sums, l.i);
    open_panel(p, &x, k, gen_add(g, q->column, l.i), less(g, rows[1], rows[0]));
    bands(p, &x, rows[0], rows[1]);
    loop_end(g, &l);
}

static void all_panels(Product *p, Panel x, const Region *q, LLVMValueRef k, const LLVMValueRef *rows)
{
    Gen *g = p->g;
    const uint32_t wide = p->wide, w = p->tile.width;
    const LLVMValueRef zero = gen_i64(g, 0), n = q->columns, whole = gen_whole_steps(g, zero, n, wide);
    int64_t all, left = 0;
    x.width = w;
    x.vectors = p->tile.vectors;
    if (p->through) {
        panels(p, x, q, k, rows, zero, gen_i64(g, 1));
        return;
    }
    const bool known_n = gen_is_int(n, &all);
    if (known_n) left = all % wide;
    if (known_n && left != 0 && all > wide && g->machine->masked && g->machine->registers == 32 &&
        (left > w || all >= LOOSE_PANELS * wide)) {
        x.parts = x.vectors; /* masks cost little there, and less than tiles of another kind */
        panels(p, x, q, k, rows, zero, n);
        return;
    }
    panels(p, x, q, k, rows, zero, whole);
    if (!g->machine->masked) { /* vectors, then single columns */
        const LLVMValueRef single = gen_whole_steps(g, zero, n, w);
        x.vectors = 1;
        panels(p, x, q, k, rows, whole, single);
        x.width = 1;
        panels(p, x, q, k, rows, single, n);
        return;
    }
    x.vectors = left > w ? 2 : 1;
    x.parts = left != w;
    panels(p, x, q, k, rows, whole, n);
}

/* ---- chains ---------------------------------------------------------------------------------- */

void contract_chain(Product *p, const Region *q, LLVMValueRef k, LLVMValueRef length)
{
    Gen *g = p->g;
    const LLVMValueRef a = element_at(g, p->type, p->a, p->a_at), b = element_at(g, p->type, p->b, p->b_at);
    Loop l;
    if (p->strip) {
        loop_begin(g, &l, gen_i64(g, 0), q->rows, p->strip, NULL, 0);
        strip_chain(g, &(Strip){.t = p->type,
                           .width = p->tile.width,
                           .rows = p->strip,
                           .c = element_at(g, p->compute, q->sums, gen_mul(g, l.i, q->sums_row)),
                           .a = a,
                           .row_at = l.i,
                           .k_at = k,
                           .b = element_at(g, p->type, b, cell_at(g, &p->b_row, k, &p->b_col, q->column)),
                           .room = p->a_room,
                           .k = length,
                           .c_row = q->sums_row,
                           .b_row = p->b_row.stride[0],
                           .n = q->columns,
                           .a_row = p->a_row,
                           .a_col = p->a_col});
        loop_end(g, &l);
        return;
    }
    const uint32_t tiles = p->move_a != MOVE_NONE ? p->moved_tiles : p->region;
    const bool all = tiles >= p->region || (p->tile.tiles >= 0 && tiles >= p->tile.tiles);
    loop_begin(g, &l, all ? gen_i64(g, 0) : q->first, all ? gen_i64(g, 1) : q->end, all ? 1 : tiles, NULL, 0);
    LLVMValueRef rows[2] = {contract_row(p, l.i), contract_row(p, least(g, gen_add(g, l.i, gen_i64(g, tiles)), q->end))};
    if (all) rows[0] = q->row, rows[1] = gen_add(g, q->row, q->rows);
    LLVMValueRef sums = element_at(g, p->compute, q->sums, gen_mul(g, less(g, rows[0], q->row), q->sums_row));
    Panel x = {.a_row = p->a_row.stride[0], .a_col = p->a_col.stride[0], .sums = sums, .sums_row = q->sums_row, .k = length};
    if (p->move_a == MOVE_NONE) {
        x.a = element_at(g, p->type, a, cell_at(g, &p->a_row, rows[0], &p->a_col, k));
    } else {
        x.a = p->a_room;
        x.a_row = gen_i64(g, p->moved_row);
        x.a_col = gen_i64(g, 1);
        const uint32_t rows_even = p->tile.high == p->tile.tiles && p->tile.tiles > 0 ? p->tile.rows : 1;
        move_matrix(g, &(Move){p->move_a, p->type, p->moved_row, TREE_PRODUCT, rows_even, p->k_even, x.a, a,
                           less(g, rows[1], rows[0]), length, rows[0], k, p->a_row, p->a_col});
    }
    all_panels(p, x, q, k, rows);
    loop_end(g, &l);
}
