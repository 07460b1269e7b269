/* tell: times, medians, progress and the machine line, for all commands. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../engine/escape.h"
#include "../function/function.h"

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double percentile(const double *sorted, int n, double p)
{
    double at = p / 100 * (n - 1);
    int i = (int)at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

void print_json_text(FILE *to, const char *text)
{
    Text quoted = {0};
    text_json(&quoted, text);
    fputs(quoted.failed ? "null" : quoted.at, to);
    text_free(&quoted);
}

const char *duration(double s, char buf[32])
{
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
    size_t i = 0;
    while (i < 3 && s < units[i].unit) i++;
    double v = s / units[i].unit;
    snprintf(buf, 32, "%.*f %s", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, units[i].name);
    return buf;
}

const char *cpu_name(char *buf, size_t cap)
{
    snprintf(buf, cap, "unknown CPU");
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(buf, cap, "%s", colon + 2);
        break;
    }
    if (f) fclose(f);
    return buf;
}

void print_machine(FILE *to, kiln *k)
{
    char cpu[256];
    int threads = threads_count(k->threads);
    fprintf(to, "Kiln %s, %s, %d thread%s, eager %s\n", kiln_version(), cpu_name(cpu, sizeof cpu), threads, threads == 1 ? "" : "s",
        eager_tier());
}

/* ---- progress ------------------------------------------------------------------------------------ */
static bool colour(FILE *to)
{
    const char *no = getenv("NO_COLOR");
    return isatty(fileno(to)) && !(no && *no);
}

void progress(const char *what, long done, long total, const char *note)
{
    static double last;
    double now = clock_seconds();
    if (!isatty(STDERR_FILENO) || (now - last < 0.05 && done < total)) return;
    last = now;
    int filled = total ? (int)(30 * done / total) : 30;
    fprintf(stderr, "\r%-10s %s", what, colour(stderr) ? "\033[32m" : "");
    for (int i = 0; i < 30; i++) fputc(i < filled ? '#' : '.', stderr);
    fprintf(stderr, "%s %5ld/%ld  %s\033[K", colour(stderr) ? "\033[0m" : "", done, total, note);
    fflush(stderr);
}

void progress_end(void)
{
    if (isatty(STDERR_FILENO)) fputc('\n', stderr);
}
