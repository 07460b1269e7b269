/* serve [threads]: Kiln as one side of `make bench-peers`. Reads one line after the other and answers each with one:
 *     make ROW        made FIRST_MS CHECKSUM, or none: there is no such row
 *     time WARM S     timed MEDIAN_US LEAST_US: calls for WARM seconds, then samples for S
 *     drop            dropped: the row's memory is free
 *     list            the rows' names
 * or with `failed WHY`. A checksum is 16 elements and the mean magnitude of each result. peers/serve.py answers the same. */
#include <math.h>

#include "tests/bench/bench.h"
#include "tests/bench/rows/row.h"

enum { SHOWN = 16 };

static void say_result(void *first, const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += fabs(x[i]);
    printf("%s", *(bool *)first ? " " : "/");
    *(bool *)first = false;
    for (uint64_t i = 0; i < SHOWN && i < (uint64_t)n; i++) printf("%.9g,", x[(i * 2654435761u + 12345) % (uint64_t)n]);
    printf("%.9g", sum / (double)n);
}

static void say_failed(Bench *b)
{
    printf("failed %s\n", b->k && kiln_failed(b->k) ? kiln_error(b->k)->text : "see above");
}

static void make(Bench *b, const char *name, int threads)
{
    const Row *row = row_named(name);
    if (!row) return (void)printf("none\n");
    bool first = true;
    double seconds = bench_open(b, row, threads) ? bench_first(b) : -1;
    if (seconds < 0) return say_failed(b);
    printf("made %.3f", 1e3 * seconds);
    bench_results(b, say_result, &first);
    printf("\n");
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 2;
    static char line[256], word[256];
    Bench b = {0};
    while (fgets(line, sizeof line, stdin)) {
        double warm, seconds;
        Timing t;
        if (sscanf(line, "make %255s", word) == 1) {
            bench_close(&b);
            make(&b, word, threads);
        } else if (sscanf(line, "time %lf %lf", &warm, &seconds) == 2 && b.k) {
            if (bench_measure(&b, warm, seconds, &t))
                printf("timed %.4f %.4f\n", 1e6 * t.seconds, 1e6 * t.least);
            else
                say_failed(&b);
        } else if (strncmp(line, "drop", 4) == 0) {
            bench_close(&b);
            printf("dropped\n");
        } else if (strncmp(line, "list", 4) == 0) {
            const Row *row;
            for (int i = 0; (row = row_at(i)); i++) printf("%s ", row->name);
            printf("\n");
        } else {
            printf("failed no such command, or no row\n");
        }
        fflush(stdout);
    }
    return !bench_close(&b);
}
