/* check [--agree] [--record] [--ratios FILE] [ROW...]: Kiln's rows beside the same by hand in plain C, on one thread and in turn.
 * Results are compared first. Prints each row's ratio, C's time divided by Kiln's, beside the ratio that the file has for such a
 * machine, and ends with the rows that fell by more than 15 %: exit status 1, as for a result that differs. --agree compares
 * results alone; --record writes the file's set for this machine. Exit status 2: nothing was run, since a row or option is unknown. */
#define _GNU_SOURCE
#include <malloc.h>
#include <math.h>
#include <sys/mman.h>

#include "loops.h"
#include "ratios.h"
#include "tests/bench/bench.h"
#include "tests/bench/rows/row.h"

enum { ROUNDS = 15, TRIES = 3, FOUND = 4, LINE = 64, HUGE_PAGE = 2 << 20 };
#define SAMPLE 0.015 /* seconds */
#define FALLEN 0.85  /* of the committed ratio */

typedef struct Pair {
    const Loop *loop;
    Bench bench;
    Hand hand;
    double *result[FOUND]; /* Kiln's */
    int64_t size[FOUND];
    int results;
    double kiln, c, ratio; /* microseconds; medians */
} Pair;

static const Loop *const all[] = {memory_loops, work_loops};

static void keep_result(void *user, const double *x, int64_t n)
{
    Pair *p = user;
    if (p->results == FOUND) return;
    double *kept = malloc((size_t)n * sizeof *kept);
    if (!kept) abort();
    memcpy(kept, x, (size_t)n * sizeof *kept);
    p->size[p->results] = n;
    p->result[p->results++] = kept;
}

/* Large blocks of both sides are mapped anew. Otherwise glibc gives memory that earlier rows left on small pages, which no advice makes
 * large at once: a permutation by hand then takes 1.2 times as long. */
static void map_large_blocks(void)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, HUGE_PAGE);
#endif
}

/* As Kiln's memory lies: at whole cache lines, what is large on huge pages. Otherwise ratios depend on luck more than on code. */
static float *zeros(int64_t n)
{
    const size_t size = (size_t)n * sizeof(float), to = size < HUGE_PAGE ? LINE : HUGE_PAGE, whole = (size / to + 1) * to;
    float *at = aligned_alloc(to, whole);
    if (!at) abort();
    if (to == HUGE_PAGE) madvise(at, whole, MADV_HUGEPAGE);
    memset(at, 0, whole);
    return at;
}

/* ---- one row, both ways -------------------------------------------------------------------------------------- */
static bool open_pair(Pair *p, const Loop *loop)
{
    const Row *row = row_named(loop->row);
    *p = (Pair){.loop = loop};
    if (!row) return fprintf(stderr, "check: no row is named %s\n", loop->row), false;
    if (!bench_open(&p->bench, row, 1)) return false;
    Bench *b = &p->bench;
    p->hand.n = row->n;
    for (int i = 0; i < b->inputs; i++) p->hand.in[i] = kiln_data(b->in[i]);
    for (int i = 0; i < b->parameters; i++) {
        const size_t bytes = kiln_bytes(kiln_value(b->v[i]));
        p->hand.parameter[i] = zeros((int64_t)(bytes / sizeof(float)));
        memcpy(p->hand.parameter[i], b->start[i], bytes);
    }
    if (bench_first(b) < 0 || !bench_results(b, keep_result, p)) return false;
    for (int i = 0; i < loop->results; i++) p->hand.out[i] = zeros(p->size[i]);
    p->hand.scratch = zeros(loop->scratch);
    return true;
}

static bool close_pair(Pair *p)
{
    for (int i = 0; i < HAND_MOST; i++) free(p->hand.out[i]), free(p->hand.parameter[i]);
    for (int i = 0; i < p->results; i++) free(p->result[i]);
    free(p->hand.scratch);
    return bench_close(&p->bench);
}

static void by_hand(Pair *p)
{
    p->loop->run(&p->hand);
    p->hand.calls++;
}

static bool agree(Pair *p)
{
    for (int i = 0; i < p->bench.steps; i++) by_hand(p);
    for (int r = 0; r < p->loop->results; r++) {
        double most = 0, apart = 0;
        for (int64_t i = 0; i < p->size[r]; i++) {
            const double x = p->result[r][i], difference = fabs(x - (double)p->hand.out[r][i]);
            most = fmax(most, fabs(x));
            apart = difference <= apart ? apart : difference; /* NaN stays */
        }
        if (!(apart <= p->loop->tolerance * most)) {
            printf("%-16s DIFFERENT: result %d by %.2g, its largest element being %.2g\n", p->loop->row, r, apart, most);
            return false;
        }
    }
    return true;
}

static double seconds(Pair *p, bool own, int calls)
{
    const double start = now_here();
    for (int i = 0; i < calls; i++) {
        if (own)
            bench_call(&p->bench);
        else
            by_hand(p);
    }
    return (now_here() - start) / calls;
}

static int calls_for(Pair *p, bool own)
{
    double each = seconds(p, own, 1), again = seconds(p, own, 3);
    each = again < each ? again : each;
    return each < SAMPLE ? (int)(SAMPLE / each) : 1;
}

static void measure(Pair *p)
{
    double spent[2][ROUNDS], ratio[ROUNDS];
    const int calls[2] = {calls_for(p, false), calls_for(p, true)};
    for (int round = 0; round < ROUNDS; round++) {
        for (int own = 0; own < 2; own++) spent[own][round] = seconds(p, own, calls[own]);
        ratio[round] = spent[0][round] / spent[1][round];
    }
    p->c = 1e6 * median(spent[0], ROUNDS);
    p->kiln = 1e6 * median(spent[1], ROUNDS);
    p->ratio = median(ratio, ROUNDS);
}

/* Opened, compared and, unless only agreement is asked for, measured. False: different, or an error. */
static bool examine(const Loop *loop, bool timed, Pair *p)
{
    bool fine = open_pair(p, loop) && agree(p);
    if (fine && timed) measure(p);
    return close_pair(p) && fine;
}

/* ---- all rows ------------------------------------------------------------------------------------------------ */
typedef struct Check {
    bool timed, record;
    const char *path;
    char **rows;
    int rows_count;
    Ratios old, found;
    int different, fallen;
    char names[1024]; /* of the fallen */
} Check;

static bool asked_for(const Check *c, const char *row)
{
    for (int i = 0; i < c->rows_count; i++)
        if (strcmp(c->rows[i], row) == 0) return true;
    return c->rows_count == 0;
}

static bool is_row(const char *name)
{
    for (size_t table = 0; table < sizeof all / sizeof *all; table++)
        for (const Loop *loop = all[table]; loop->row; loop++)
            if (strcmp(loop->row, name) == 0) return true;
    return false;
}

/* Whether all that is asked for is there; names what is not, and what is, on stderr. */
static bool all_known(const Check *c)
{
    int unknown = 0;
    for (int i = 0; i < c->rows_count; i++)
        if (!is_row(c->rows[i])) fprintf(stderr, "%s%s", unknown++ ? ", " : "check: no row is named ", c->rows[i]);
    if (!unknown) return true;
    fprintf(stderr, "; there are:");
    for (size_t table = 0; table < sizeof all / sizeof *all; table++)
        for (const Loop *loop = all[table]; loop->row; loop++) fprintf(stderr, " %s", loop->row);
    fprintf(stderr, "\n");
    return false;
}

/* A row that seems to have fallen is measured again, in an engine of its own: noise does not come back each time. */
static bool examine_again(const Loop *loop, double committed, Pair *p)
{
    bool fine = true;
    for (int i = 1; fine && i < TRIES && p->ratio < FALLEN * committed; i++) {
        Pair again;
        fine = examine(loop, true, &again);
        if (again.ratio > p->ratio) p->kiln = again.kiln, p->c = again.c, p->ratio = again.ratio;
    }
    return fine;
}

static void line(Check *c, const Loop *loop)
{
    Pair p;
    const double committed = c->record ? 0 : ratios_of(&c->old, loop->row);
    if (!examine(loop, c->timed, &p) || (committed > 0 && !examine_again(loop, committed, &p))) {
        c->different++;
        return;
    }
    if (!c->timed) return (void)printf("%-16s agrees\n", loop->row);
    ratios_set(&c->found, loop->row, p.ratio);
    printf("%-16s %12.3f %12.3f %9.3g", loop->row, p.kiln, p.c, p.ratio);
    if (committed > 0) printf(" %9.3g   %+4.0f %%", committed, 100 * (p.ratio / committed - 1));
    printf("\n");
    fflush(stdout);
    if (committed <= 0 || p.ratio >= FALLEN * committed) return;
    const size_t used = strlen(c->names);
    const char *comma = c->fallen++ ? ", " : "";
    snprintf(c->names + used, sizeof c->names - used, "%s%s (%.3g to %.3g)", comma, loop->row, committed, p.ratio);
}

static bool understood(Check *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--agree") == 0)
            c->timed = false;
        else if (strcmp(argv[i], "--record") == 0)
            c->record = true;
        else if (strcmp(argv[i], "--ratios") == 0 && i + 1 < argc)
            c->path = argv[++i];
        else if (argv[i][0] == '-')
            return false;
        else
            c->rows[c->rows_count++] = argv[i];
    }
    return true;
}

int main(int argc, char **argv)
{
    Check c = {.timed = true, .path = "tests/bench/check/ratios.txt", .rows = calloc((size_t)argc, sizeof(char *))};
    if (!c.rows || !understood(&c, argc, argv))
        return fprintf(stderr, "usage: check [--agree] [--record] [--ratios FILE] [ROW...]\n"), 2;
    if (!all_known(&c)) return free(c.rows), 2;
    map_large_blocks();
    const bool known = ratios_read(c.path, ratios_machine(), &c.old);
    if (c.record) c.found = c.old; /* what is not measured now stays */
    if (c.timed) {
        printf("%s; one thread\n", ratios_machine());
        if (!known && !c.record)
            printf("%s has no ratios for such a machine: nothing to compare with (RECORD=1 writes them)\n", c.path);
        printf("%-16s %12s %12s %9s %9s   change\n", "row", "Kiln, us", "C, us", "C/Kiln", "committed");
    }
    for (size_t table = 0; table < sizeof all / sizeof *all; table++)
        for (const Loop *loop = all[table]; loop->row; loop++)
            if (asked_for(&c, loop->row)) line(&c, loop);
    free(c.rows);
    if (c.different) printf("%d rows do not compute the same, or failed\n", c.different);
    if (c.fallen) printf("fell by more than 15 %%: %s\n", c.names);
    if (c.record && !c.different && !ratios_write(c.path, ratios_machine(), &c.found)) return 1;
    return c.different || c.fallen;
}
