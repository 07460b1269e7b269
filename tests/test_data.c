/* IDX files, good, corrupt, cut off at every byte and lying about their sizes; drawn digits;
 * batches. */
#include "values.h"

#include <kiln/data.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "runtime/base.h"

#define S KILN_SHAPE

/* ---- files of our own ------------------------------------------------------------------------------ */
static char path[256];

static int open_all(void **state)
{
    const char *dir = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/kiln-test-data-%ld.idx", dir ? dir : "/tmp", (long)getpid());
    return open_engine(state);
}

static int close_all(void **state)
{
    unlink(path);
    return close_engine(state);
}

#define DATA_TEST(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

static void put(const unsigned char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

/* The bytes gzip-compressed; how many there are. */
static size_t squeezed(const unsigned char *bytes, size_t n, unsigned char *out, size_t cap)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)bytes;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return cap - z.avail_out;
}

static void idx_fails(kiln_code code, const char *part)
{
    kiln_tensor *x = kiln_idx_read(k, path);
    const kiln_failure *e = kiln_error(k);
    if (e->code != code || !strstr(e->text, part) || !strstr(e->text, path) ||
        !strstr(e->text, __FILE__))
        fail_msg("wanted %d with \"%s\", got %d: %s", (int)code, part, (int)e->code, e->text);
    assert_int_equal(kiln_dtype_of(x), KILN_NONE);
    kiln_clear(k);
}

/* u8[2,3] */
static const unsigned char small[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 250};

/* ---- good ones --------------------------------------------------------------------------------------- */
static void every_element_type(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    put(small, sizeof small);
    EXACTLY(kiln_idx_read(k, path), KILN_U8, S(2, 3), 1, 2, 3, 4, 5, 250);
    put((unsigned char[]){0, 0, 9, 1, 0, 0, 0, 2, 1, 0xff}, 10);
    EXACTLY(kiln_idx_read(k, path), KILN_I8, S(2), 1, -1);
    put((unsigned char[]){0, 0, 0x0b, 1, 0, 0, 0, 2, 1, 2, 0xff, 0xfe}, 12);
    EXACTLY(kiln_idx_read(k, path), KILN_I16, S(2), 258, -2);
    put((unsigned char[]){0, 0, 0x0c, 1, 0, 0, 0, 2, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xfd}, 16);
    EXACTLY(kiln_idx_read(k, path), KILN_I32, S(2), 16909060, -3);
    put((unsigned char[]){0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0xc0, 0, 0}, 12);
    EXACTLY(kiln_idx_read(k, path), KILN_F32, S(1), 1.5);
    put((unsigned char[]){0, 0, 0x0e, 1, 0, 0, 0, 1, 0xc0, 4, 0, 0, 0, 0, 0, 0}, 16);
    EXACTLY(kiln_idx_read(k, path), KILN_F64, S(1), -2.5);
    put((unsigned char[]){0, 0, 8, 0, 7}, 5);
    EXACTLY(kiln_idx_read(k, path), KILN_U8, S(), 7);
    put((unsigned char[]){0, 0, 0x0c, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 12);
    has_shape(kiln_idx_read(k, path), KILN_I32, S(0, 0xffffffff));
}

static void compressed_and_in_members(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    unsigned char out[512];
    size_t n = squeezed(small, 7, out, sizeof out);
    n += squeezed(small + 7, sizeof small - 7, out + n, sizeof out - n);
    put(out, n);
    EXACTLY(kiln_idx_read(k, path), KILN_U8, S(2, 3), 1, 2, 3, 4, 5, 250);
}

/* ---- bad ones ---------------------------------------------------------------------------------------- */
static void cut_off_at_every_byte(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    unsigned char out[512];
    size_t n = squeezed(small, sizeof small, out, sizeof out);
    for (size_t i = 0; i < sizeof small; i++) {
        put(small, i);
        idx_fails(KILN_EFORMAT, i < 4    ? "ends inside the magic number"
                                : i < 12 ? "ends inside the sizes"
                                         : "promises 6 bytes");
    }
    for (size_t i = 0; i < n; i++) {
        put(out, i);
        idx_fails(KILN_EFORMAT, "byte");
    }
}

static void flipped_in_every_byte(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    unsigned char bytes[sizeof small], out[512];
    for (size_t i = 0; i < 12; i++) {
        memcpy(bytes, small, sizeof small);
        bytes[i] ^= 0x80;
        put(bytes, sizeof bytes);
        idx_fails(KILN_EFORMAT, "byte");
    }
    size_t n = squeezed(small, sizeof small, out, sizeof out);
    for (size_t i = 0; i < n;
         i++) { /* some bytes of a gzip header mean nothing; nothing may crash or leak */
        out[i] ^= 0x11;
        put(out, n);
        kiln_idx_read(k, path);
        kiln_clear(k);
        out[i] ^= 0x11;
    }
    out[n - 6] ^= 1; /* of the check sum */
    put(out, n);
    idx_fails(KILN_EFORMAT, "damaged");
}

static void lies_about_sizes(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    static const struct {
        unsigned char head[16];
        size_t n;
        const char *text;
    } lie[] = {
        {{0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4}, 16, NULL},
        {{0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 9, 1, 2, 3, 4}, 16, "promises 18 bytes of elements"},
        {{0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4}, 16, "promises 3 bytes of elements"},
        {{0, 0, 8, 2, 0x40, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4}, 16, "promises 4294967296 bytes"},
        {{0, 0, 14, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, 16,
            "more bytes than can be addressed"},
        {{0, 0, 8, 9, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4}, 16, "9 axes"},
        {{0, 0, 10, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4}, 16, "0x0a is not an IDX element type"},
        {{1, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4}, 16, "not an IDX file"},
        {{0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4}, 16, "promises 0 bytes"},
    };
    unsigned char out[512];
    for (int packed = 0; packed < 2; packed++)
        for (size_t i = 0; i < sizeof lie / sizeof *lie; i++) {
            int64_t before = kiln_memory_count().live_bytes;
            size_t n = packed ? squeezed(lie[i].head, lie[i].n, out, sizeof out) : lie[i].n;
            put(packed ? out : lie[i].head, n);
            if (lie[i].text)
                idx_fails(
                    KILN_EFORMAT, packed && i == 3 ? "compressed bytes can hold" : lie[i].text);
            else
                EXACTLY(kiln_idx_read(k, path), KILN_U8, S(2, 2), 1, 2, 3, 4);
            assert_true(kiln_memory_count().live_bytes - before < 1 << 16);
        }
    assert_true(kiln_memory_count().peak_bytes < 8 << 20); /* no header was believed */
}

static void what_is_no_file(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    unlink(path);
    idx_fails(KILN_EIO, "cannot open: No such file");
    kiln_idx_read(k, "/");
    assert_int_equal(kiln_error(k)->code, KILN_EIO);
    assert_non_null(strstr(kiln_error(k)->text, "not a regular file"));
    kiln_clear(k);
    FAILS(kiln_idx_read(k, NULL), KILN_EVALUE, "idx: the path is NULL");
}

static void memory_that_runs_out(void **state)
{
    (void)state;
    unsigned char out[512];
    put(out, squeezed(small, sizeof small, out, sizeof out));
    for (uint64_t n = 1; n < 100; n++) {
        KILN_SCOPE(k);
        memory_fail_at(n, false);
        kiln_tensor *x = kiln_idx_read(k, path), *y = NULL;
        bool fine = kiln_digits(k, 3, 1, &y, &y);
        memory_fail_at(0, false);
        if (!kiln_failed(k)) {
            assert_int_equal(kiln_elements(x), 6);
            assert_true(fine);
            return;
        }
        assert_int_equal(kiln_error(k)->code, KILN_EMEMORY);
        kiln_clear(k);
    }
    fail_msg("it never succeeds");
}

/* ---- digits -------------------------------------------------------------------------------------------- */
static void digits_are_the_same_everywhere(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x, *y, *x2, *y2;
    assert_true(kiln_digits(k, 200, 1, &x, &y));
    assert_true(kiln_digits(k, 20, 1, &x2, &y2));
    has_shape(x, KILN_U8, S(200, 28, 28));
    has_shape(y, KILN_U8, S(200));
    assert_memory_equal(kiln_data(x), kiln_data(x2),
        20 * 784); /* the first ones do not depend on how many follow */
    assert_memory_equal(kiln_data(y), kiln_data(y2), 20);
    assert_int_equal(hash_bytes(0, kiln_data(x), 200 * 784), 0x220b37bea10602dc);
    int seen[10] = {0};
    const uint8_t *label = kiln_data(y);
    for (int i = 0; i < 200; i++) {
        assert_true(label[i] < 10);
        seen[label[i]]++;
    }
    for (int i = 0; i < 10; i++) assert_true(seen[i] >= 5);
    assert_true(kiln_digits(k, 20, 2, &x2, &y2));
    assert_memory_not_equal(kiln_data(x), kiln_data(x2), 20 * 784);
    assert_true(kiln_digits(k, 0, 1, &x, &y));
    assert_int_equal(kiln_elements(x), 0);
    FAILS(kiln_digits(k, -1, 1, &x, &y), KILN_ESHAPE, "digits: axis 0 has size -1 (allowed: 0 to 2^48)");
    FAILS(kiln_digits(k, 1, 1, NULL, &y), KILN_EVALUE, "digits: a pointer for a result is NULL");
}

/* ---- batches ------------------------------------------------------------------------------------------- */
static void batches_in_order(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_dataset *d = kiln_dataset_new(
        k, kiln_iota(k, KILN_F64, S(5, 2), 0), kiln_i64(k, S(5), 0, 10, 20, 30, 40));
    assert_int_equal(kiln_dataset_size(d), 5);
    long n = 0;
    for (kiln_batch b = kiln_batches(d, 2, 0); kiln_next(&b); n++) {
        assert_int_equal(b.index, n);
        if (n == 1) {
            EXACTLY(b.x, KILN_F64, S(2, 2), 2, 2, 3, 3);
            EXACTLY(b.y, KILN_I64, S(2), 20, 30);
        } else if (n == 2)
            EXACTLY(b.x, KILN_F64, S(1, 2), 4, 4);
    }
    assert_int_equal(n, 3);
    kiln_dataset_free(d);
}

static void shuffled(uint64_t seed, int64_t *order)
{
    kiln_dataset *d = kiln_dataset_new(
        k, kiln_iota(k, KILN_I64, S(100), 0), kiln_iota(k, KILN_U8, S(100, 1, 3), 0));
    int64_t at = 0;
    for (kiln_batch b = kiln_batches(d, 7, seed); kiln_next(&b);) {
        const int64_t *x = kiln_data(b.x);
        const uint8_t *y = kiln_data(b.y);
        for (int64_t i = 0; i < kiln_dim(b.x, 0); i++) {
            assert_int_equal(y[3 * i + 2], x[i]);
            order[at++] = x[i];
        }
    }
    assert_int_equal(at, 100);
    kiln_dataset_free(d);
}

static void batches_shuffled(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    int64_t a[100], b[100], c[100], sum = 0;
    shuffled(1, a);
    shuffled(1, b);
    shuffled(2, c);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    for (int i = 0; i < 100; i++) sum += a[i] * a[i];
    assert_int_equal(sum, 328350); /* each row once */
}

static void batches_hold_and_let_go(void **state)
{
    (void)state;
    kiln_dataset *d;
    {
        KILN_SCOPE(
            k); /* the data set outlives the tensors' scope, and a transposed view is packed */
        kiln_tensor *x = kiln_transpose(kiln_f32(k, S(2, 3), 1, 2, 3, 4, 5, 6), KILN_AXES(1, 0));
        d = kiln_dataset_new(k, x, kiln_iota(k, KILN_I32, S(3), 0));
        EXACTLY(x, KILN_F32, S(3, 2), 1, 4, 2, 5, 3, 6); /* still the caller's */
    }
    int64_t before = kiln_memory_count().live_bytes;
    for (int pass = 0; pass < 50; pass++) {
        kiln_batch b = kiln_batches(d, 1, 3);
        assert_true(kiln_next(&b));
        assert_true(kiln_next(&b));
        kiln_batch_stop(&b);
        kiln_batch_stop(&b);
        assert_false(kiln_next(&b));
    }
#ifndef KILN_DEBUG /* whose headers are never used again */
    assert_true(late_keeps() || kiln_memory_count().live_bytes - before < 4096);
#else
    (void)before;
#endif
    kiln_batch b = kiln_batches(d, 2, 0);
    assert_true(kiln_next(&b));
    EXACTLY(b.x, KILN_F32, S(2, 2), 1, 4, 2, 5);
    KILN_SCOPE(k);
    kiln_reshape(b.x, S(3));
    assert_false(kiln_next(&b)); /* an error ends the pass */
    kiln_clear(k);
    assert_false(kiln_next(&b));
}

static void wrong_data_sets(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *three = kiln_iota(k, KILN_F32, S(3), 0), *four = kiln_iota(k, KILN_F32, S(4), 0);
    FAILS(kiln_dataset_new(k, three, four), KILN_ESHAPE,
        "dataset: x and y differ in length: f32[3], f32[4]");
    FAILS(kiln_dataset_new(k, kiln_scalar(k, KILN_F32, 1), four), KILN_ESHAPE,
        "dataset: x is f32[]; it must have at least one axis");
    FAILS(kiln_dataset_new(k, three, NULL), KILN_ESHAPE,
        "dataset: y is NULL; it must have at least one axis");
    kiln_dataset *d = kiln_dataset_new(k, three, three);
    kiln_batch b = kiln_batches(d, 0, 1);
    FAILS(kiln_next(&b), KILN_EVALUE, "batches: the batch size is 0; it must be at least 1");
    b = kiln_batches(NULL, 1, 1);
    FAILS(kiln_next(&b), KILN_ESTATE, "batches: the data set is NULL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DATA_TEST(every_element_type),
        DATA_TEST(compressed_and_in_members),
        DATA_TEST(cut_off_at_every_byte),
        DATA_TEST(flipped_in_every_byte),
        DATA_TEST(lies_about_sizes),
        DATA_TEST(what_is_no_file),
        DATA_TEST(memory_that_runs_out),
        DATA_TEST(digits_are_the_same_everywhere),
        DATA_TEST(batches_in_order),
        DATA_TEST(batches_shuffled),
        DATA_TEST(batches_hold_and_let_go),
        DATA_TEST(wrong_data_sets),
    };
    return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
