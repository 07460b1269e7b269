/* contract_large: products whose operands are packed first, by all threads, and multiplied then, cell by cell, by all threads.
 * Packed operands lie as contract_tier.h's Cell wants them. Relies on
 * panels, contract_tier, threads. The bits do not depend on cells, parts or threads. */
#include "panels.h"

#define PART_MOST 4096                  /* rows, columns of c at a time */
#define PACKED_BYTES ((int64_t)4 << 20) /* of both operands at a time, unless one slab of k takes more */

typedef struct Large {
    ThreadPool *threads;
    const ContractTier *tier;
    const ContractType *type;
    Kind a_kind, b_kind;
    int64_t size; /* bytes of an element of what is packed */
    const HostContract *c;
    const Panels *kept;                  /* of b; NULL: it is packed here */
    int64_t m, n, depth;                 /* of this part; of k as many groups as are packed at a time */
    int64_t batch, batches;              /* at a time */
    int64_t row, column, group;          /* where it begins */
    int64_t k, end;                      /* of the run */
    int64_t tiles, panels, across, each; /* of one batch; cells side by side, and their panels */
    int64_t a_bytes, b_bytes;            /* packed, of one batch */
    char *a, *b, *to;                    /* packed; c of all batches */
    bool carry;
} Large;

/* ---- packing ---------------------------------------------------------------------------------- */

static void pack_tile(const Large *w, char *to, const char *a, int64_t tile, int64_t groups, int64_t k)
{
    int64_t first = tile_first(w->tier->rows, w->m, tile), rows = tile_first(w->tier->rows, w->m, tile + 1) - first;
    Part x = {a + first * w->c->a_row * w->a_kind.bytes, w->c->a_row, w->c->a_col, w->a_kind};
    w->type->pack_a(to + tile * groups * w->type->high * w->size, x, rows, k);
}

static void pack_panel(const Large *w, char *to, const char *b, int64_t panel, int64_t k)
{
    int64_t first = panel * w->type->wide, n = MIN_OF(w->n - first, w->type->wide);
    Part x = {b + first * w->c->b_col * w->b_kind.bytes, w->c->b_col, w->c->b_row, w->b_kind};
    w->type->pack_b(to + panel * w->depth * w->type->wide * w->size, x, k, n);
}

static int64_t units_of(const Large *w) { return w->tiles + (w->kept ? 0 : w->panels); }

/* Units: of each batch, of each slab of k, the tiles of a and, unless they were kept, the panels of b. */
static void pack(void *arg, int64_t lo, int64_t hi)
{
    const Large *w = arg;
    int64_t units = units_of(w), slabs = tree_blocks(w->depth, SLAB);
    for (; lo < hi; lo++) {
        int64_t unit = lo % units, first = lo / units % slabs * SLAB, batch = lo / units / slabs,
                groups = MIN_OF(w->depth - first, SLAB);
        int64_t from = w->k + (w->group + first) * w->type->group, k = MIN_OF(w->end - from, groups * w->type->group), a, b;
        batch_offsets(w->c, w->batch + batch, &a, &b);
        a += w->row * w->c->a_row + from * w->c->a_col;
        b += w->column * w->c->b_col + from * w->c->b_row;
        if (unit < w->tiles)
            pack_tile(w, w->a + batch * w->a_bytes + first * w->tiles * w->type->high * w->size,
                (const char *)w->c->a + a * w->a_kind.bytes, unit, groups, k);
        else
            pack_panel(w, w->b + batch * w->b_bytes + first * w->type->wide * w->size, (const char *)w->c->b + b * w->b_kind.bytes,
                unit - w->tiles, k);
    }
}

/* ---- multiplying ------------------------------------------------------------------------------ */

static const char *panels_here(const Large *w, int64_t batch)
{
    if (!w->kept) return w->b + batch * w->b_bytes;
    return panels_at(w->kept, w->c, w->batch + batch, w->column, w->k + w->group * w->type->group);
}

/* Cells: of each batch, groups of tiles times groups of panels. */
static void multiply(void *arg, int64_t lo, int64_t hi)
{
    const Large *w = arg;
    int64_t high = BLOCK_ROWS / w->tier->rows, cells = w->across * tree_blocks(w->tiles, high);
    for (; lo < hi; lo++) {
        int64_t batch = lo / cells, tile = lo % cells / w->across * high, panel = lo % w->across * w->each;
        int64_t at = ((w->batch + batch) * w->c->m + w->row) * w->c->n + w->column;
        w->type->cell(&(Cell){.a = w->a + batch * w->a_bytes,
            .b = panels_here(w, batch),
            .c = w->to + at * w->size,
            .m = w->m,
            .n = w->n,
            .k = w->depth,
            .b_panel = w->kept ? w->kept->groups : w->depth,
            .c_row = w->c->n,
            .tile = tile,
            .tile_end = MIN_OF(tile + high, w->tiles),
            .panel = panel,
            .panel_end = MIN_OF(panel + w->each, w->panels),
            .carry = w->carry});
    }
}

/* Some rows and columns of c, of as many batches as are packed at a time; k of one run. */
static void part(Large *w, int64_t all, int64_t depth)
{
    int64_t groups = tree_blocks(w->tiles, BLOCK_ROWS / w->tier->rows), count = w->threads ? threads_count(w->threads) : 1;
    w->each = MAX_OF(MIN_OF(w->batches * groups * w->panels / (16 * count), 16), 1);
    w->across = tree_blocks(w->panels, w->each);
    for (w->group = 0, w->carry = false; w->group < all; w->group += depth, w->carry = true) {
        w->depth = MIN_OF(all - w->group, depth);
        contract_each(w->threads, pack, w, w->batches * tree_blocks(w->depth, SLAB) * units_of(w));
        contract_each(w->threads, multiply, w, w->batches * groups * w->across);
    }
}

static bool all_batches(Large *w, int64_t batches, Status *st)
{
    w->tiles = tile_count(w->tier->rows, w->m);
    w->panels = tree_blocks(w->n, w->type->wide);
    int64_t slab = (w->tiles * w->type->high + (w->kept ? 0 : w->panels * w->type->wide)) * w->size * SLAB;
    int64_t all = tree_blocks(w->end - w->k, w->type->group), depth = MIN_OF(all, MAX_OF(PACKED_BYTES / slab, 1) * SLAB);
    w->a_bytes = w->tiles * w->type->high * depth * w->size;
    w->b_bytes = w->kept ? 0 : w->panels * w->type->wide * depth * w->size;
    int64_t most = MIN_OF(batches, MAX_OF(PACKED_BYTES / (w->a_bytes + w->b_bytes), 1));
    size_t bytes = (size_t)(most * (w->a_bytes + w->b_bytes));
    Buffer *memory = contract_memory(w->threads, bytes, st);
    if (!memory) return false;
    w->a = memory->data;
    w->b = w->a + most * w->a_bytes;
    for (w->batch = 0; w->batch < batches; w->batch += most) {
        w->batches = MIN_OF(most, batches - w->batch);
        part(w, all, depth);
    }
    buffer_release(memory);
    return true;
}

bool contract_large(ThreadPool *threads, const HostContract *c, int64_t batches, int64_t k, int64_t end, void *to, Status *st)
{
    Large w = {.threads = threads, .tier = contract_tier(), .type = contract_type(c), .c = c, .k = k, .end = end, .to = to};
    w.kept = c->keep ? c->keep->panels : NULL;
    w.a_kind = contract_kind(c, (DType)c->type);
    w.b_kind = contract_kind(c, contract_b(c));
    w.size = (int64_t)dtype_bytes(contract_compute(c));
    for (w.row = 0; w.row < c->m; w.row += PART_MOST)
        for (w.column = 0; w.column < c->n; w.column += PART_MOST) {
            w.m = MIN_OF(c->m - w.row, PART_MOST);
            w.n = MIN_OF(c->n - w.column, PART_MOST);
            if (!all_batches(&w, batches, st)) return false;
        }
    return true;
}
