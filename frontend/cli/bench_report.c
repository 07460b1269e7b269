/* bench_report: what `kiln bench MODEL.onnx` found, as a table or as JSON. */
#include "bench_model.h"

#include "../engine/escape.h"
#include "../function/function.h"

static const char *const way_name[WAYS] = {"eager", "compiled", "object"};

static int threads_of(const kiln *k, Way way) { return way == WAY_OBJECT ? 1 : threads_count(k->threads); }

static const char *megabytes(int64_t bytes, char buf[32])
{
    snprintf(buf, 32, bytes < 10000000 ? "%.2f MB" : "%.0f MB", (double)bytes / 1e6);
    return buf;
}

static void report_text(kiln *k, const BenchModel *o, const BenchFound *f)
{
    char a[32], b[32], c[32], d[32], e[32];
    char line[1600];
    print_machine(stdout, k);
    snprintf(line, sizeof line, "%.800s%s%.400s, inputs that are not given drawn with seed %ld, on %.100s%s", o->model.file,
        f->sizes[0] ? ", " : "", f->sizes, o->seed, o->device, device_slow(o->device) ? ": no figure says anything" : "");
    text_line(line);
    puts(line);
    printf("%-9s %12s %11s %10s %10s %10s %8s %8s\n", "", "first result", "memory", "p50", "p90", "p99", "calls", "threads");
    for (Way way = 0; way < WAYS; way++)
        if (f->has[way])
            printf("%-9s %12s %11s %10s %10s %10s %8ld %8d\n", way_name[way], duration(f->first[way].seconds, a),
                megabytes(f->first[way].peak, b), duration(f->p50[way], c), duration(f->p90[way], d), duration(f->p99[way], e),
                f->calls[way], threads_of(k, way));
        else
            printf("%-9s none: %s\n", way_name[way], f->first[way].why);
    if (f->has[WAY_OBJECT])
        printf("the object was made and linked in %s, with %s of memory: %s, and %s of weights\n", duration(f->making.seconds, a),
            megabytes(f->making.peak, b), megabytes(f->making.object_bytes, c), megabytes(f->making.weights_bytes, d));
    puts(!f->equal    ? "RESULTS DIFFER"
         : f->partial ? "results of eager and compiled code are equal bit for bit; an object that counts sizes is not compared"
                      : "results are equal bit for bit");
}

static void report_way(kiln *k, const BenchFound *f, Way way)
{
    printf("%s\n    \"%s\": ", way ? "," : "", way_name[way]);
    if (!f->has[way]) {
        fputs("{\"none\": ", stdout);
        print_json_text(stdout, f->first[way].why);
        fputs("}", stdout);
        return;
    }
    printf("{\"first_result_s\": %.9g, \"peak_bytes\": %lld, \"p50_s\": %.9g, \"p90_s\": %.9g, \"p99_s\": %.9g, \"calls\": %ld, "
           "\"threads\": %d",
        f->first[way].seconds, (long long)f->first[way].peak, f->p50[way], f->p90[way], f->p99[way], f->calls[way],
        threads_of(k, way));
    if (way == WAY_OBJECT)
        printf(", \"making_s\": %.9g, \"making_peak_bytes\": %lld, \"object_bytes\": %lld, \"weights_bytes\": %lld",
            f->making.seconds, (long long)f->making.peak, (long long)f->making.object_bytes, (long long)f->making.weights_bytes);
    fputs("}", stdout);
}

static void report_json(kiln *k, const BenchModel *o, const BenchFound *f)
{
    char cpu[256];
    printf("{\n  \"version\": \"%s\", \"cpu\": ", kiln_version());
    print_json_text(stdout, cpu_name(cpu, sizeof cpu));
    printf(", \"threads\": %d, \"tier\": \"%s\", \"device\": ", threads_count(k->threads), eager_tier());
    print_json_text(stdout, o->device);
    fputs(",\n  \"model\": ", stdout);
    print_json_text(stdout, o->model.file);
    fputs(", \"sizes\": ", stdout);
    print_json_text(stdout, f->sizes);
    printf(", \"seed\": %ld, \"equal\": %s,\n  \"ways\": {", o->seed, f->equal ? "true" : "false");
    for (Way way = 0; way < WAYS; way++) report_way(k, f, way);
    puts("\n  }\n}");
}

void bench_report(kiln *k, const BenchModel *o, const BenchFound *found) { (o->json ? report_json : report_text)(k, o, found); }
