/* conv_pieces: convolutions without spread, and gradients of filters, cut into pieces that one thread computes: products whose left
 * operand is read where its windows lie. For the kernels (contract_tier.h) a row is where a window begins, and a table says how far
 * from there each link of its chain is; there never is a matrix of windows. Relies on conv.h. Never decides on the order of sums.
 */
#include "conv.h"

#define PIECES 4                         /* for each thread, at least, where there is work for so many */
#define WORTH_THREADS ((int64_t)1 << 20) /* multiplications, */
#define EACH_WORTH_THREADS (1 << 17)     /* and where each reads elements of its own */
#define LINES_BYTES ((int64_t)1 << 18)   /* of copied lines, or of results, of a piece of more than one line */
#define FEW_POSITIONS 512                /* of a piece: then few lines are copied for two pieces */
#define GROUP (8 * TREE_PRODUCT)         /* positions whose lines are copied at a time, in the gradient of filters */
#define STRIP 128                        /* columns of a piece of that gradient, */
#define FILTER_CELLS 65536               /* and its elements */
#define FEW_CHANNELS 16                  /* of it */
#define LOW_ROWS 6                       /* of a tile of rows as they lie (twice as many with AVX-512, which share lines evenly) */
#define SHORT_LINE 4                     /* positions of one that is packed with AVX-512, too */
#define PART_CELLS ((int64_t)1 << 19)    /* of all parts, where threads share k */

/* What one thread computes at a time. */
typedef struct Piece {
    Conv *v;
    Lines at;
    Block g;
    Runs runs;
    int64_t *run_a, *run_c, *run_part, *k; /* tables: per run in a, in c, and in memory of a subtree's own; per link */
    char *lines;
    int64_t channel, column; /* the first of each */
} Piece;

/* ---- chains ------------------------------------------------------------------------------------- */

static void multiply(Piece *p) { (p->v->each ? p->v->kernels->each : p->v->kernels->block)(&p->g); }

/* Links k .. end - 1 of y: taps, and in each the channels. Of a line below, the last taps are the first to read anything. */
static void taps(Piece *p, int64_t k, int64_t end)
{
    const Axis *x = p->v->axis;
    int64_t c = p->v->c->c, channel = k % c, w = k / c % x[2].taps, h = k / c / x[2].taps % x[1].taps;
    int64_t d = k / c / x[2].taps / x[1].taps;
    for (int64_t i = 0; i < end - k; i++) {
        p->k[i] = d * p->at.tap[0] + h * p->at.tap[1] + w * p->at.tap[2] + channel;
        if (++channel < c) continue;
        channel = 0;
        if (++w < x[2].taps) continue;
        w = 0;
        if (++h < x[1].taps) continue;
        h = 0, d++;
    }
    p->g.b = (const char *)p->v->with + (k * p->g.b_row + p->column) * p->v->size;
    p->g.k = end - k;
    if (p->v->panels)
        p->g.panels = panels_at(p->v->panels, &p->v->product, p->column / p->v->c->o, p->column % p->v->c->o, k),
        p->g.panel = p->v->panels->groups;
    multiply(p);
}

/* Links k .. k + n - 1 of the filters' gradient, which are positions of y, and the lines of x that they need. */
static void look_up(Piece *p, int64_t k, int64_t n)
{
    const Axis *x = p->v->axis;
    char *to = p->lines;
    for (int64_t i = 0; i < n;) {
        int64_t line = (k + i) / x[2].out, from = (k + i) % x[2].out, plane = line / x[1].out, last = line;
        while (!p->v->single && last + 1 < (plane + 1) * x[1].out && (last + 1) * x[2].out < k + n) last++;
        int64_t end = MIN_OF((last + 1) * x[2].out - k, n), first = p->v->single ? from : 0, base;
        if (p->v->single) lines_of(&p->at, p->v, p->v->copies, p->at.channels, from, end - i);
        if (p->v->copies) {
            base = (to - p->lines) / p->v->size;
            to = copy_lines(&p->at, p->v, plane, line % x[1].out, last % x[1].out, p->channel, to);
        } else {
            base = place_of(&p->at, p->v, plane, line % x[1].out, p->channel);
        }
        for (; i < end; base += p->at.line, from = 0)
            for (; i < end && from < x[2].out; from++) p->k[i++] = base + (from - first) * p->at.next;
    }
}

static void positions(Piece *p, int64_t k, int64_t end)
{
    for (int64_t n; k < end; k += n) {
        n = MIN_OF(end - k, GROUP);
        look_up(p, k, n);
        p->g.a = p->v->copies ? p->lines : p->v->c->x;
        p->g.b = (const char *)p->v->with + (k * p->g.b_row + p->column) * p->v->size;
        p->g.k = n;
        multiply(p);
        p->g.carry = true;
    }
    p->g.carry = false;
}

/* Links k .. end - 1 into c, the subtrees of runs one after the other (ir/tree.h). 0, or the bytes that were not there. */
static size_t tree(Piece *p, int64_t k, int64_t end, void *c, const int64_t *runs, int64_t row)
{
    if (end - k <= TREE_RUN) {
        p->g.c = c;
        p->runs.c = runs;
        p->g.c_row = row;
        (p->v->c->filters ? positions : taps)(p, k, end);
        return 0;
    }
    int64_t middle = k + tree_left(tree_blocks(end - k, TREE_RUN)) * TREE_RUN, m = p->g.m, n = p->g.n;
    size_t bytes = (size_t)(p->runs.count * m * n * p->v->size), refused = tree(p, k, middle, c, runs, row);
    if (refused) return refused;
    char *other = mem_alloc_aligned(bytes, 64);
    if (!other) return bytes;
    refused = tree(p, middle, end, other, p->run_part, n);
    for (int64_t i = 0; i < p->runs.count && !refused; i++)
        p->v->kernels->add((char *)c + runs[i] * p->v->size, row, other + i * m * n * p->v->size, m, n);
    mem_free_aligned(other, bytes, 64);
    return refused;
}

/* ---- pieces ------------------------------------------------------------------------------------- */

/* Where lines of y, from number `line` of all planes on, begin in x or its copy, which is made. */
static void place_lines(Piece *p, int64_t line, int64_t n)
{
    const Axis *x = p->v->axis;
    char *to = p->lines;
    for (int64_t i = 0; i < n;) {
        int64_t plane = (line + i) / x[1].out, first = (line + i) % x[1].out, last = MIN_OF(x[1].out, first + n - i) - 1, base;
        if (p->at.copies) {
            base = (to - p->lines) / p->v->size;
            to = copy_lines(&p->at, p->v, plane, first, last, p->channel, to);
        } else {
            base = place_of(&p->at, p->v, plane, first, p->channel);
        }
        for (int64_t h = first; h <= last; h++, i++, base += p->at.line) p->run_a[i] = base;
    }
    p->g.a = p->at.copies ? p->lines : p->v->c->x;
}

/* From one position of a line of y to the next. */
static int64_t row_step(const Piece *p)
{
    const Axis *x = &p->v->axis[2];
    return (x->out > 1 ? x->to_step : 1) * p->g.b_row;
}

/* Lines that follow each other in x and in y, as those of points do, are one: tiles then need not end with each. */
static void join_lines(Piece *p)
{
    const int64_t a = p->g.m * p->g.a_row, c = p->g.m * row_step(p);
    for (int64_t i = 1; i < p->runs.count; i++)
        if (p->run_a[i] - p->run_a[i - 1] != a || p->run_c[i] - p->run_c[i - 1] != c) return;
    p->g.m *= p->runs.count;
    p->runs.count = 1;
}

static void no_taps(const Piece *p)
{
    const Conv *v = p->v;
    int64_t row = row_step(p);
    for (int64_t i = 0; i < p->runs.count; i++)
        for (int64_t r = 0; r < p->g.m; r++) memset(v->to + (p->run_c[i] + r * row) * v->size, 0, (size_t)(p->g.n * v->size));
}

/* n lines from number `line` of all planes on, and m positions of each from `first` on. */
static size_t rectangle(Piece *p, bool copies, int64_t line, int64_t n, int64_t first, int64_t m)
{
    const Conv *v = p->v;
    if (m <= 0) return 0;
    p->g.m = m;
    p->runs.count = n;
    lines_of(&p->at, v, copies, v->each ? p->g.n : v->c->c, first, m);
    p->g.a_row = p->at.next;
    for (int64_t i = 0; i < n; i++) {
        p->run_c[i] = conv_position(v, line + i, first) * p->g.b_row + p->column;
        p->run_part[i] = i * m * p->g.n;
    }
    if (v->k == 0) {
        no_taps(p);
        return 0;
    }
    place_lines(p, line, n);
    p->g.together = v->together;
    if (!v->each && !v->together) join_lines(p);
    return tree(p, 0, v->k, v->to, p->run_c, row_step(p));
}

/* Of y: some lines, of one or more planes, or a part of each; some columns. */
static size_t piece_of_y(Piece *p, int64_t number)
{
    const Conv *v = p->v;
    const Axis *x = v->axis;
    int64_t strip = number % v->strips * v->columns, group = number / v->strips % v->groups;
    number /= v->strips * v->groups;
    int64_t width = number % v->widths * v->width, line = number / v->widths * v->lines;
    int64_t n = MIN_OF(v->c->n * x[0].out * x[1].out - line, v->lines), m = MIN_OF(x[2].out - width, v->width);
    p->channel = v->each ? strip : group * v->c->c;
    p->column = group * v->c->o + strip;
    p->g.n = MIN_OF(v->across - strip, v->columns);
    p->g.b_row = v->c->groups * v->c->o;
    if (v->places) {
        places_run(v, p->lines, line, n, width, m, p->channel, p->g.n);
        return 0;
    }
    return rectangle(p, v->copies, line, n, width, m);
}

/* Of the filters' gradient: all taps of some channels, some columns, some of k. Rows of taps that lie side by side in x and the
 * result make one run. */
static size_t piece_of_filters(Piece *p, int64_t number)
{
    Conv *v = p->v;
    const Axis *x = v->axis;
    int64_t all = v->c->groups * v->c->o, c = v->c->c, strip = number % v->strips * v->columns;
    number /= v->strips;
    int64_t group = number % v->groups, block = number / v->groups % v->blocks * v->lines,
            k = number / v->groups / v->blocks * v->part;
    p->g.n = MIN_OF(v->across - strip, v->columns);
    p->g.m = v->each ? 1 : MIN_OF(c - block, v->lines);
    p->channel = v->each ? strip : group * c + block;
    p->column = group * v->c->o + strip;
    p->g.b_row = all;
    lines_of(&p->at, v, v->copies, v->each ? p->g.n : p->g.m, 0, x[2].out);
    p->g.a_row = v->each ? p->at.tap[2] : 1;
    int64_t rows = p->g.m == c && p->at.tap[2] == p->g.m * p->g.a_row ? x[2].taps : 1, w = 0, h = 0, d = 0;
    p->g.m *= rows;
    p->runs.count = x[0].taps * x[1].taps * x[2].taps / rows;
    for (int64_t i = 0; i < p->runs.count; i++) {
        p->run_a[i] = d * p->at.tap[0] + h * p->at.tap[1] + w * p->at.tap[2];
        p->run_c[i] = (i * rows * c + block) * all + p->column;
        p->run_part[i] = i * p->g.m * p->g.n;
        w = (w + rows) % x[2].taps;
        h = (h + (w == 0)) % x[1].taps;
        d += w == 0 && h == 0;
    }
    int64_t cells = x[0].taps * x[1].taps * x[2].taps * c * all;
    return tree(p, k, MIN_OF(k + v->part, v->k), v->to + k / v->part * cells * v->size, p->run_c, all);
}

static void lines_made(const Conv *v, int64_t number)
{
    const Axis *x = v->axis;
    int64_t block = number / (v->strips * v->groups), strip = number % v->strips * v->columns;
    int64_t column = number / v->strips % v->groups * v->c->o + strip, first = block * v->lines * x[2].out;
    int64_t end = MIN_OF(first + v->lines * x[2].out, v->c->n * x[0].out * x[1].out * x[2].out);
    if (!v->along) return;
    if (v->c->rows.columns > 0)
        contract_columns(&v->c->rows, first, end, column, MIN_OF(v->across - strip, v->columns));
    else if (!v->left || atomic_fetch_sub(&v->left[block], 1) == 1)
        contract_rows(&v->c->rows, first, end);
}

/* Pieces are numbered block by block of lines, whatever their order. */
static int64_t in_order(const Conv *v, int64_t i)
{
    return v->by_strips ? i % v->blocks * (v->pieces / v->blocks) + i / v->blocks : i;
}

static void run_pieces(void *arg, int64_t lo, int64_t hi)
{
    Conv *v = arg;
    Status st;
    Buffer *room = contract_memory(v->threads, (size_t)v->room, &st);
    Piece p = {.v = v, .runs = {.count = 0}};
    if (!room) {
        v->refused = (size_t)v->room;
        return;
    }
    p.g.room = room->data;
    p.k = (int64_t *)(void *)((char *)room->data + ROOM_BYTES);
    p.run_a = p.k + v->links;
    p.run_c = p.run_a + v->runs;
    p.run_part = p.run_c + v->runs;
    p.lines = (char *)(p.run_part + v->runs);
    p.g.runs = &p.runs;
    p.runs.a = p.run_a;
    p.runs.k = p.k;
    p.g.a_kind.bytes = p.g.b_kind.bytes = (int)v->size;
    p.g.b_col = 1;
    for (; lo < hi && !v->refused; lo++) {
        const int64_t number = in_order(v, lo);
        size_t refused = (v->c->filters ? piece_of_filters : piece_of_y)(&p, number);
        if (refused)
            v->refused = refused;
        else
            lines_made(v, number);
    }
    buffer_release(room);
}

/* ---- how many pieces ---------------------------------------------------------------------------- */

/* Lines of which tiles of rows as they lie (contract_kernel.h) would leave too much of the registers idle, and enough columns. With
 * 14 rows in a tile that is so of the shortest alone: half a tile still has as many chains as a processor adds to at a time. */
static bool suits_packing(const Axis *x, int64_t columns)
{
    const bool whole = x[0].to_step == 1 && x[1].to_step == 1 && x[2].to_step == 1;
    if (!whole || columns <= 2 * MOST_COLUMNS || x[2].out > BLOCK_ROWS) return false;
    if (contract_tier()->rows > LOW_ROWS) return x[2].out <= SHORT_LINE;
    return tree_blocks(x[2].out, LOW_ROWS) * LOW_ROWS * 8 > x[2].out * 9;
}

/* Columns of strips that are about as wide, whole panels if there are several. */
static int64_t even_columns(int64_t across, int64_t strips, int64_t step)
{
    return MIN_OF(across, tree_blocks(tree_blocks(across, strips), step) * step);
}

/* Bytes of lines, or of a result, for one position; LINES_BYTES stands for all that is more. */
static int64_t bytes_of_position(const Conv *v, int64_t channels)
{
    const int64_t factor[] = {v->axis[0].taps, v->axis[1].stride, v->axis[2].stride};
    int64_t bytes = channels * v->size;
    for (int i = 0; i < 3 && bytes < LINES_BYTES; i++)
        bytes = bytes > LINES_BYTES / MAX_OF(factor[i], 1) ? LINES_BYTES : bytes * factor[i];
    return MIN_OF(MAX_OF(bytes, v->columns * v->size), LINES_BYTES);
}

/* About how long it takes if lines are cut into `blocks` and columns into strips of so many, in multiplications: each piece reads
 * its filters and moves its lines to where it reads them, and the last threads to end wait for nobody. */
static double time_of(const Conv *v, int64_t lines, int64_t blocks, int64_t columns, int64_t threads)
{
    const int64_t pieces = blocks * tree_blocks(v->across, columns) * v->widths * v->groups;
    const double positions = (double)tree_blocks(lines, blocks) * (double)v->width, k = (double)v->k;
    const double moved = v->together ? k : v->copies ? (double)v->c->c : 0;
    return (double)tree_blocks(pieces, threads) * ((positions + MOVED) * k * (double)columns + MOVED * positions * moved);
}

/* Into how many blocks lines are cut, `least` or more, and into strips of how many columns. */
static void best_cut(Conv *v, int64_t lines, int64_t least, int64_t wanted)
{
    const int64_t threads = tree_blocks(wanted, PIECES), others = v->widths * v->groups, step = 2 * MOST_COLUMNS;
    double best = 0;
    for (int64_t blocks = least; blocks <= MIN_OF(lines, least + wanted); blocks++)
        for (int64_t strips = 1; strips <= MIN_OF(tree_blocks(v->across, step), wanted); strips++) {
            const int64_t columns = even_columns(v->across, strips, step),
                          pieces = blocks * tree_blocks(v->across, columns) * others;
            const double time = time_of(v, lines, blocks, columns, threads) * (pieces < wanted / 2 ? SCARCE : 1);
            if (best > 0 && time >= best) continue;
            best = time;
            v->lines = tree_blocks(lines, blocks);
            v->columns = columns;
        }
}

/* Lines that fill a piece, but do not leave threads without; a long line is cut. */
static void cut_y(Conv *v, int64_t wanted)
{
    const Axis *x = v->axis;
    int64_t lines = v->c->n * x[0].out * x[1].out, channels = v->each ? v->columns : v->c->c;
    int64_t most = MAX_OF(MIN_OF(FEW_POSITIONS, LINES_BYTES / bytes_of_position(v, channels)), BLOCK_ROWS);
    v->together = !v->each && suits_packing(x, v->columns);
    if (v->together) most = BLOCK_ROWS;
    v->width = x[2].out;
    if (v->width > 2 * most) v->width = tree_blocks(v->width, tree_blocks(v->width, most));
    v->widths = tree_blocks(x[2].out, v->width);
    const int64_t least = tree_blocks(lines, MAX_OF(most / v->width, 1)), others = v->widths * v->groups;
    if (v->each) {
        v->lines = tree_blocks(lines, MIN_OF(MAX_OF(least, tree_blocks(wanted, others)), lines));
        v->columns = even_columns(v->across, tree_blocks(wanted, tree_blocks(lines, v->lines) * others), MOST_COLUMNS);
    } else {
        best_cut(v, lines, least, wanted);
    }
    v->blocks = tree_blocks(lines, v->lines);
    v->strips = tree_blocks(v->across, v->columns);
    v->pieces = v->blocks * v->widths * v->groups * v->strips;
    v->runs = v->lines;
    v->links = MIN_OF(v->k, TREE_RUN);
}

/* Channels and columns whose part of the result stays in a cache; for the threads whole subtrees of k, and fewer channels. */
static void cut_filters(Conv *v, int64_t wanted)
{
    const Axis *x = v->axis;
    v->columns = even_columns(v->across, tree_blocks(v->across, STRIP), MOST_COLUMNS);
    v->strips = tree_blocks(v->across, v->columns);
    int64_t taps = x[0].taps * x[1].taps * x[2].taps, c = v->c->c, most_channels = MAX_OF(FILTER_CELLS / (taps * v->columns), 1);
    int64_t blocks = tree_blocks(c, most_channels), pieces = v->groups * v->strips;
    int64_t runs = tree_blocks(v->k, TREE_RUN), cells = taps * c * v->c->groups * v->c->o, each = 1;
    int64_t most = pieces * blocks >= wanted ? 1 : MAX_OF(MIN_OF(PART_CELLS / cells, wanted), 1);
    while (tree_blocks(runs, each) > most) each *= 2;
    v->part = MIN_OF(each * TREE_RUN, v->k);
    v->parts = tree_blocks(v->k, v->part);
    blocks = MAX_OF(blocks, MIN_OF(tree_blocks(wanted, pieces * v->parts), tree_blocks(c, FEW_CHANNELS)));
    v->lines = tree_blocks(c, blocks);
    v->blocks = tree_blocks(c, v->lines);
    v->pieces = pieces * v->blocks * v->parts;
    v->runs = taps;
    v->links = MIN_OF(v->k, GROUP);
}

/* Bytes of a thread's room; false: too many to count. */
static bool room_of(Conv *v)
{
    const Axis *x = v->axis;
    int64_t channels = v->each ? v->columns : v->c->filters ? v->lines : v->c->c, width = v->c->filters ? x[2].out : v->width;
    int64_t lines = v->lines, tables;
    if (v->c->filters) lines = MIN_OF(GROUP / x[2].out + 2, v->c->n * x[0].out * x[1].out);
    int64_t planes = MIN_OF(lines / x[1].out + 2, v->c->n * x[0].out);
    int64_t high = lines * x[1].stride + planes * ((x[1].taps - 1) * x[1].dilation + 1);
    if (v->single && v->c->filters) width = GROUP, high = 1; /* of single lines only what positions need, one behind the other */
    int64_t reach = (v->single && v->c->filters ? lines : 1) * ((x[2].taps - 1) * x[2].dilation + 1),
            wide = width * x[2].stride + reach;
    if (!v->copies) wide = 0;
    v->room = 0;
    if (v->places && !places_room(v, &v->room)) return false;
    if (!v->places && (__builtin_mul_overflow(high, x[0].taps, &v->room) || __builtin_mul_overflow(v->room, wide, &v->room) ||
                          __builtin_mul_overflow(v->room, channels * v->size, &v->room)))
        return false;
    tables = (v->links + 3 * v->runs) * (int64_t)sizeof(int64_t);
    return !__builtin_add_overflow(v->room, tables + ROOM_BYTES, &v->room);
}

static void join_parts(const Conv *v, int64_t cells, int64_t first, int64_t n)
{
    int64_t left = n > 1 ? tree_left(n) : 0;
    if (n == 1) return;
    join_parts(v, cells, first, left);
    join_parts(v, cells, first + left, n - left);
    char *to = v->to + first * cells * v->size;
    v->kernels->add(to, cells, to + left * cells * v->size, 1, cells);
}

/* As contract_small's: lines that several pieces make are counted. */
static Buffer *count_pieces(Conv *v)
{
    Status none;
    v->along = v->along && v->widths == 1;
    if (!v->along || v->strips * v->groups == 1 || v->c->rows.columns > 0) return NULL;
    Buffer *b = contract_memory(v->threads, (size_t)v->blocks * sizeof *v->left, &none);
    v->along = b;
    v->left = b ? b->data : NULL;
    for (int64_t i = 0; b && i < v->blocks; i++) atomic_init(&v->left[i], v->strips * v->groups);
    return b;
}

bool conv_run(Conv *v, Status *st)
{
    const HostConv *c = v->c;
    const Axis *x = v->axis;
    int64_t taps = x[0].taps * x[1].taps * x[2].taps, positions = c->n * x[0].out * x[1].out * x[2].out;
    int64_t cells = taps * c->c * c->groups * c->o, wanted = 1;
    v->each = c->c == 1 && c->o == 1 && c->groups > 1;
    v->groups = v->each ? 1 : c->groups;
    v->across = v->each ? c->groups : c->o;
    v->k = c->filters ? positions : taps * c->c;
    v->columns = v->across;
    v->single = x[0].taps == 1 && x[1].taps == 1;
    v->places = conv_by_places(v);
    if (v->threads && positions >= tree_blocks(v->each ? EACH_WORTH_THREADS : WORTH_THREADS, MAX_OF(cells, 1)))
        wanted = PIECES * (int64_t)threads_count(v->threads);
    (c->filters ? cut_filters : cut_y)(v, wanted);
    const int64_t xs = c->n * c->in[0] * c->in[1] * c->in[2] * c->c * c->groups;
    v->by_strips = !c->filters && contract_by_strips(xs, cells, positions * c->groups * c->o);
    if (!room_of(v)) return status_fail(st, ST_UNSUPPORTED, "conv: the windows reach too far");
    char *to = v->to;
    size_t bytes = c->filters && v->parts > 1 ? (size_t)(v->parts * cells * v->size) : 0;
    if (bytes) v->to = mem_alloc_aligned(bytes, 64);
    if (!v->to) return status_fail(st, ST_MEMORY, "conv: no memory for %zu bytes of partial sums", bytes);
    Buffer *counts = count_pieces(v);
    contract_each(wanted > 1 ? v->threads : NULL, run_pieces, v, v->pieces);
    buffer_release(counts);
    if (bytes) {
        if (!v->refused) {
            join_parts(v, cells, 0, v->parts);
            memcpy(to, v->to, (size_t)(cells * v->size));
        }
        mem_free_aligned(v->to, bytes, 64);
    }
    return !v->refused || status_fail(st, ST_MEMORY, "conv: no memory for %zu bytes of lines or partial sums", (size_t)v->refused);
}
