/* compile: how long NVRTC takes for the text of training steps, on no card: cold, whole and in parts on so many threads, and from a
 * folder of kept code. A device with an emulated one's memory takes the text where it would be compiled. */
#include "compile.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../rows/row.h"
#include "codegen/cuda/parts.h"
#include "codegen/device.h"
#include "codegen/emu.h"
#include "codegen/gpu.h"
#include "codegen/store.h"
#include "tests/bench/bench.h"

/* ---- texts ----------------------------------------------------------------------------------- */

static const CudaDriver *under;
static CudaDriver taking;
static const char *wanted; /* the function whose text is taken */
static Text taken;

/* Single operations, which draw weights, are the emulated device's. */
static bool take(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st)
{
    if (!name || strcmp(name, wanted) != 0) return under->build(under, source, name, image, st);
    (void)d;
    if (taken.len == 0) text_add(&taken, source, strlen(source) + 1);
    return status_fail(st, ST_STATE, "taken");
}

static bool open_taking(int sm, Status *st)
{
    if (!(under = emu_driver(0, st))) return false;
    taking = *under;
    taking.build = take;
    taking.compiler = NULL;
    taking.capability = sm;
    const uint32_t number = device_next();
    const Device *d = gpu_open(&taking, "texts:0", (uint8_t)number, st);
    if (!d) return false;
    device_add(d);
    device_prefer(number);
    return true;
}

static bool take_text(const char *row)
{
    Bench b;
    wanted = row;
    text_free(&taken);
    taken = (Text){0};
    if (bench_open(&b, row_named(row), 0)) bench_call(&b);
    if (b.k) kiln_clear(b.k);
    bench_close(&b);
    return taken.len > 0;
}

/* ---- times ----------------------------------------------------------------------------------- */

enum { ROUNDS = 3 };

static void noted(void *user, const char *text) { (void)user, fprintf(stderr, "%s\n", text); }

static void remove_folder(const char *folder)
{
    char path[400];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
    }
    if (d) closedir(d);
    rmdir(folder);
}

/* Seconds of one compilation of a text that no cache has seen, or of finding it again. */
static double once(const CudaDriver *d, CodeStore *store, ThreadPool *threads, const char *name, bool *kept, Status *st)
{
    static int unlike;
    Text image = {0}, source = {0};
    text_printf(&source, "%s// %d.%d\n", taken.at, (int)getpid(), kept ? 0 : ++unlike);
    const double start = now();
    cuda_images(d, store, threads, source.at, name, kept, &image, st);
    const double took = now() - start;
    text_free(&image);
    text_free(&source);
    return took;
}

static double from_folder(const CudaDriver *d, ThreadPool *threads, const char *name, Status *st)
{
    char folder[] = "/tmp/kiln-bench-XXXXXX";
    double all[ROUNDS];
    bool kept = false;
    if (!mkdtemp(folder)) return status_fail(st, ST_IO, "no folder"), 0;
    for (int i = -1; i < ROUNDS; i++) {
        const double start = now();
        CodeStore *s = store_open(folder, (uint64_t)1 << 30, noted, NULL);
        once(d, s, threads, name, &kept, st);
        if (s) store_close(s);
        if (i >= 0) all[i] = now() - start;
    }
    remove_folder(folder);
    if (!kept) status_fail(st, ST_IO, "nothing was kept");
    return median(all, ROUNDS);
}

static bool tell(const char *row, const CudaDriver *d, ThreadPool *const pool[2])
{
    Status st = {0};
    double cold[2][ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        for (int way = 0; way < 2; way++) cold[way][i] = once(d, NULL, pool[way], row, NULL, &st);
    const double kept = from_folder(d, pool[1], row, &st);
    if (st.code != ST_OK) return printf("%-16s failed: %s\n", row, st.text), false;
    printf("%-16s", row);
    for (int way = 0; way < 2; way++) {
        const double middle = median(cold[way], ROUNDS); /* and sorts */
        printf("%9.0f ms (%4.0f)", 1e3 * middle, 1e3 * cold[way][0]);
    }
    printf("%9.1f ms %7zu bytes, %2u parts\n", 1e3 * kept, taken.len - 1, parts_of(taken.at));
    fflush(stdout);
    return true;
}

int compile_rows(int sm, int *passed, Status *st)
{
    static const char *const row[] = {"mlp_adam", "conv_adam", "keras_conv", "lstm_back"};
    const CudaDriver d = {.build = nvrtc_build, .compiler = nvrtc_compiler, .capability = sm, .parts = true};
    ThreadPool *pool[2] = {NULL, threads_new(0)};
    Text key = {0};
    char file[CUDA_PATH];
    int failed = 0;
    const double start = now();
    bool ok = cuda_nvrtc(st) && d.compiler(&d, &key, file, st);
    const double opening = now() - start;
    text_free(&key);
    ok = ok && open_taking(sm, st);
    if (ok) {
        printf("compiling for sm_%d, medians (least) of %d; NVRTC opens in %.0f ms\n", sm, ROUNDS, 1e3 * opening);
        printf("%-16s%19s%11d threads  from a folder\n", "", "1 thread", threads_count(pool[1]));
    }
    for (size_t i = 0; i < COUNT_OF(row) && ok; i++) {
        const bool fine = take_text(row[i]) && tell(row[i], &d, pool);
        *passed += fine;
        failed += !fine;
    }
    text_free(&taken);
    threads_free(pool[1]);
    return ok ? failed : -1;
}
