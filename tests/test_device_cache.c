/* Code of devices kept in a folder: what one process compiled for an emulated device, functions and single operations, another finds,
 * with the same bits and without starting the C++ compiler; torn files are compiled anew; a cubin is kept under its text, its
 * architecture and what NVRTC says of itself. */
#include "remove_all.h"
#include "emu_use.h"
#include <kiln/kiln.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codegen/store.h"

static char folder[64], kept[80];
static const char *self;

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/kiln-device-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(kept, sizeof kept, "%s/code", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_all(folder);
    return 0;
}

/* ---- another process ---------------------------------------------------------------------------------------------------- */
KILN_FUNCTION(soft, k, x) { return (void)k, kiln_softmax(kiln_matmul(x, kiln_transpose(x, KILN_AXES(1, 0))), 1); }

/* A function and single operations; prints what came out, and how many functions came from the folder. */
static int child(const char *where)
{
    uint64_t h = 1;
    kiln_function_statistics s;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .cache_dir = where});
    KILN_SCOPE(k);
    KILN_DEVICE(k, "emu:0");
    kiln_tensor *x = kiln_div(kiln_add(kiln_iota(k, KILN_F32, KILN_SHAPE(6, 9), 1), 1), 7);
    kiln_function *f = KILN_FN(k, soft);
    float out[36], row[6];
    kiln_read(kiln_call(f, x), out, sizeof out);
    kiln_read(kiln_sum(kiln_mul(x, x), KILN_AXES(1)), row, sizeof row);
    h = hash_bytes(hash_bytes(h, out, sizeof out), row, sizeof row);
    kiln_function_stats(f, &s);
    if (kiln_failed(k)) return fprintf(stderr, "%s\n", kiln_error(k)->text), 1;
    printf("%016llx %llu of %llu\n", (unsigned long long)h, (unsigned long long)s.from_disk, (unsigned long long)s.compiles);
    return kiln_close(k);
}

/* What a child says, and how often it started the compiler, whose wrapper counts. */
static int run_child(char said[64])
{
    char command[600], line[8];
    int starts = 0;
    snprintf(command, sizeof command, "rm -f %s/started; CXX=%s/cxx KILN_TEST_KEPT=%s %s", folder, folder, kept, self);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    if (!fgets(said, 64, f)) *said = 0;
    assert_int_equal(pclose(f), 0);
    snprintf(command, sizeof command, "%s/started", folder);
    if (!(f = fopen(command, "r"))) return 0;
    while (fgets(line, sizeof line, f)) starts++;
    fclose(f);
    return starts;
}

static void make_compiler(void)
{
    char path[80];
    const char *cxx = getenv("CXX");
    snprintf(path, sizeof path, "%s/cxx", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\ncase $1 in --version) echo one;; *) echo x >> %s/started; exec %s \"$@\";; esac\n", folder, cxx ? cxx : "c++");
    fclose(f);
    assert_int_equal(chmod(path, 0700), 0);
}

/* Does something to each kept file; returns how many there are. */
static int each_file(void (*what)(const char *path))
{
    int n = 0;
    char path[400];
    DIR *d = opendir(kept);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        n++;
        snprintf(path, sizeof path, "%s/%s", kept, e->d_name);
        if (what) what(path);
    }
    closedir(d);
    return n;
}

static void cut(const char *path)
{
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(truncate(path, s.st_size / 2), 0);
}

static void flip(const char *path)
{
    char c;
    struct stat s;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &s) == 0);
    assert_int_equal(pread(fd, &c, 1, s.st_size - 100), 1);
    c ^= 4;
    assert_int_equal(pwrite(fd, &c, 1, s.st_size - 100), 1);
    close(fd);
}

static void open_to_all(const char *path) { assert_int_equal(chmod(path, 0644), 0); }

static void another_process_finds_it(void **state)
{
    (void)state;
    char first[64], again[64], want[64];
    make_compiler();
    const int starts = run_child(first);
    assert_true(starts >= 3); /* the function and two operations at least */
    assert_int_equal(each_file(NULL), starts);
    assert_non_null(strstr(first, " 0 of 1"));
    snprintf(want, sizeof want, "%.16s 1 of 1\n", first);
    assert_int_equal(run_child(again), 0);
    assert_string_equal(again, want);

    static void (*const harm[])(const char *) = {cut, flip, open_to_all};
    for (size_t i = 0; i < COUNT_OF(harm); i++) {
        each_file(harm[i]);
        assert_int_equal(run_child(again), starts);
        assert_string_equal(again, first);
        assert_int_equal(run_child(again), 0);
    }
    make_compiler(); /* it is another file now */
    assert_int_equal(run_child(again), starts);
    assert_string_equal(again, first);
}

/* ---- cubins --------------------------------------------------------------------------------------------------------------- */
static int builds;

static bool build(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st)
{
    builds++;
    return nvrtc_build(d, source, name, image, st);
}

static void a_cubin_is_kept(void **state)
{
    (void)state;
    Status st = {0};
    if (!cuda_nvrtc(&st)) {
        printf("skip: %s\n", st.text);
        skip();
    }
    static const char *const text[] = {"extern \"C\" __global__ void f(float *x) { *x = 1; }", "extern \"C\" __global__ void f(float *x) { *x = 2; }"};
    CodeStore *s = store_open(kept, (uint64_t)1 << 20, NULL, NULL);
    assert_non_null(s);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 4; i++) {
            const CudaDriver d = {.build = build, .compiler = nvrtc_compiler, .capability = i < 2 ? 80 : 90};
            Text image = {0}, plain = {0};
            bool found = !round;
            builds = 0;
            assert_true(cuda_image(&d, s, text[i % 2], "f", &found, &image, &st));
            assert_int_equal(builds, round == 0);
            assert_int_equal(found, round == 1);
            assert_true(nvrtc_build(&d, text[i % 2], "f", &plain, &st));
            assert_int_equal(image.len, plain.len);
            assert_memory_equal(image.at, plain.at, plain.len);
            text_free(&image);
            text_free(&plain);
        }
    store_close(s);
}

int main(int argc, char **argv)
{
    (void)argc;
    self = realpath(argv[0], NULL);
    if (getenv("KILN_TEST_KEPT")) return child(getenv("KILN_TEST_KEPT"));
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(another_process_finds_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cubin_is_kept, setup, teardown)};
    EMU_TESTS(tests);
}
