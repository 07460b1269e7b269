/* NumPy's .npz files: every dtype out and in, and archives whose directory, sizes, names or contents are not what they say. */
#include <kiln/io.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "front.h"

static char path[64];

static void every_dtype_there_and_back(void **state)
{
    static const kiln_dtype all[] = {KILN_BOOL, KILN_U8, KILN_I8, KILN_U16, KILN_I16, KILN_U32, KILN_I32, KILN_U64, KILN_I64, KILN_F16, KILN_F32, KILN_F64};
    enum { N = sizeof all / sizeof *all };
    kiln *k = *state;
    KILN_SCOPE(k);
    const char *name[N + 2];
    kiln_tensor *x[N + 2];
    for (int i = 0; i < N; i++) {
        name[i] = kiln_dtype_name(all[i]);
        x[i] = kiln_transpose(kiln_numbers(k, all[i], KILN_SHAPE(2, 3), 1, 0, 1, 1, 0, 0), KILN_ALL);
    }
    name[N] = "nothing/in it", x[N] = kiln_zeros(k, KILN_F32, KILN_SHAPE(0, 4));
    name[N + 1] = "\xc3\xa9", x[N + 1] = kiln_scalar(k, KILN_I64, 7);
    assert_true(kiln_npz_write(k, path, name, x, N + 2));
    kiln_npz *z = kiln_npz_open(k, path);
    assert_ok(k);
    assert_int_equal(kiln_npz_count(z), N + 2);
    for (int i = 0; i < N; i++) {
        double got[6];
        assert_string_equal(kiln_npz_name(z, i), name[i]);
        kiln_tensor *y = kiln_npz_read(z, kiln_npz_find(z, name[i]));
        assert_ok(k);
        assert_true(kiln_dtype_of(y) == all[i] && kiln_rank(y) == 2 && kiln_dim(y, 0) == 3 && kiln_dim(y, 1) == 2);
        assert_true(kiln_read_doubles(y, got, 6));
        assert_memory_equal(got, ((double[]){1, 1, 0, 0, 1, 0}), sizeof got);
    }
    assert_int_equal(kiln_dim(kiln_npz_read(z, N), 1), 4);
    assert_int_equal(kiln_item_i64(kiln_npz_read(z, kiln_npz_find(z, "\xc3\xa9"))), 7);
    assert_true(kiln_npz_find(z, "none") == -1 && kiln_npz_find(z, NULL) == -1 && !kiln_npz_name(z, N + 2) && !kiln_npz_name(z, -1));
    kiln_npz_read(z, N + 2);
    assert_error(k, KILN_EVALUE, "there is no tensor 14 of 14");
    kiln_npz_close(z);
    assert_true(kiln_npz_write(k, path, NULL, NULL, 0));
    z = kiln_npz_open(k, path);
    assert_true(z && kiln_npz_count(z) == 0);
    kiln_npz_close(z);
    kiln_npz_close(NULL);
}

/* The file that was there stays. */
static void what_is_not_written(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x[] = {kiln_ones(k, KILN_F32, KILN_SHAPE(2)), kiln_ones(k, KILN_BF16, KILN_SHAPE(2))};
    assert_true(kiln_npz_write(k, path, ((const char *[]){"kept"}), x, 1));
    assert_false(kiln_npz_write(k, path, ((const char *[]){"a", "b"}), x, 2));
    assert_error(k, KILN_EUNSUPPORTED, "NumPy has no bf16; kiln_cast it to f32");
    x[1] = x[0];
    assert_false(kiln_npz_write(k, path, ((const char *[]){"a", "a"}), x, 2));
    assert_error(k, KILN_EVALUE, "there are two tensors of the name a");
    assert_false(kiln_npz_write(k, path, ((const char *[]){"a", ""}), x, 2));
    assert_error(k, KILN_EVALUE, "tensor 1 has no name");
    assert_false(kiln_npz_write(k, path, ((const char *[]){"a", NULL}), x, 2));
    assert_error(k, KILN_EVALUE, "tensor 1 has no name");
    assert_false(kiln_npz_write(k, "/nowhere/x.npz", ((const char *[]){"a"}), x, 1));
    assert_error(k, KILN_EIO, "/nowhere/x.npz");
    kiln_npz *z = kiln_npz_open(k, path);
    assert_string_equal(kiln_npz_name(z, 0), "kept");
    kiln_npz_close(z);
}

/* ---- archives field by field --------------------------------------------------------------------------- */

typedef struct Zip {
    uint8_t at[1 << 16];
    size_t n;
} Zip;

static void number(Zip *z, uint64_t v, int size)
{
    for (int i = 0; i < size; i++) z->at[z->n++] = (uint8_t)(v >> 8 * i);
}

static void bytes(Zip *z, const void *at, size_t n)
{
    memcpy(z->at + z->n, at, n);
    z->n += n;
}

/* One part, and how its entry in the directory lies about it. */
typedef struct Lies {
    const char *name, *second; /* second: a second entry of that name */
    const void *data;          /* NULL: f32[2] as .npy */
    size_t bytes;
    uint64_t size, packed, at; /* added to what is so */
    uint32_t sum;              /* likewise */
    int how, flags, parts;     /* how it is packed; added to the number of parts */
    uint64_t directory_at, directory_bytes; /* added */
    bool is64; /* sizes in a field of 64 bits, and the directory found by the other record */
    int field; /* bytes that this field lacks */
} Lies;

static const char two[] = "\x93NUMPY\x01\0\x38\0{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n\0\0\x80\x3f\0\0\0\x40";

static void entry(Zip *z, const Lies *l, const char *name, const void *data, size_t n, size_t plain)
{
    const size_t length = strlen(name);
    number(z, 0x02014b50, 4), number(z, 45, 2), number(z, 45, 2), number(z, (uint64_t)l->flags, 2), number(z, (uint64_t)l->how, 2), number(z, 0, 4);
    number(z, (uint32_t)crc32(0, data, (uInt)n) + l->sum, 4);
    number(z, l->is64 ? UINT32_MAX : n + l->packed, 4), number(z, l->is64 ? UINT32_MAX : plain + l->size, 4);
    number(z, length, 2), number(z, l->is64 ? 28 - (uint64_t)l->field : 0, 2), number(z, 0, 2), number(z, 0, 2), number(z, 0, 2), number(z, 0, 4);
    number(z, l->is64 ? UINT32_MAX : l->at, 4);
    bytes(z, name, length);
    if (!l->is64) return;
    number(z, 1, 2), number(z, 24 - (uint64_t)l->field, 2), number(z, plain + l->size, 8), number(z, n + l->packed, 8), number(z, l->at, 8);
    z->n -= (size_t)l->field;
}

static void make(const Lies *l)
{
    static Zip z;
    const void *data = l->data ? l->data : two;
    const size_t n = l->data ? l->bytes : sizeof two - 1;
    const char *name = l->name ? l->name : "a.npy";
    z.n = 0;
    number(&z, 0x04034b50, 4), number(&z, 20, 2), number(&z, 0, 2), number(&z, (uint64_t)l->how, 2), number(&z, 0, 4);
    number(&z, 0, 8), number(&z, 0, 4), number(&z, strlen(name), 2), number(&z, 0, 2);
    bytes(&z, name, strlen(name));
    bytes(&z, data, n);
    const uint64_t at = z.n + l->directory_at;
    const int parts = 1 + (l->second != NULL) + l->parts;
    size_t begin = z.n;
    entry(&z, l, name, data, n, n);
    if (l->second) entry(&z, l, l->second, data, n, n);
    const uint64_t size = z.n - begin + l->directory_bytes;
    if (l->is64) {
        begin = z.n;
        number(&z, 0x06064b50, 4), number(&z, 44, 8), number(&z, 45, 4), number(&z, 0, 8), number(&z, (uint64_t)parts, 8);
        number(&z, (uint64_t)parts, 8), number(&z, size, 8), number(&z, at, 8);
        number(&z, 0x07064b50, 4), number(&z, 0, 4), number(&z, begin, 8), number(&z, 1, 4);
    }
    number(&z, 0x06054b50, 4), number(&z, 0, 4), number(&z, l->is64 ? UINT16_MAX : (uint64_t)parts, 2), number(&z, (uint64_t)parts, 2);
    number(&z, l->is64 ? UINT32_MAX : size, 4), number(&z, l->is64 ? UINT32_MAX : at, 4), number(&z, 0, 2);
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(z.at, 1, z.n, f), z.n);
    fclose(f);
}

/* NULL: it has a tensor, which is right. */
static void is(kiln *k, Lies l, const char *why)
{
    KILN_SCOPE(k);
    make(&l);
    const int64_t before = kiln_memory_count().live_bytes;
    kiln_npz *z = kiln_npz_open(k, path);
    kiln_tensor *x = z ? kiln_npz_read(z, 0) : NULL;
    assert_true(kiln_memory_count().live_bytes - before < 1 << 20); /* nothing was taken on the archive's word */
    if (why) {
        assert_non_null(strstr(kiln_error(k)->text, path));
        assert_error(k, KILN_EFORMAT, why);
    } else {
        float got[2];
        assert_ok(k);
        assert_true(kiln_read(x, got, sizeof got) && got[0] == 1 && got[1] == 2);
    }
    kiln_npz_close(z);
}

static void directories_that_lie(void **state)
{
    kiln *k = *state;
    is(k, (Lies){0}, NULL);
    is(k, (Lies){.is64 = true}, NULL);
    is(k, (Lies){.name = "../../a.npy"}, NULL); /* a name, and never a file */
    is(k, (Lies){.size = 1}, "it does not hold the bytes that it is said to");
    is(k, (Lies){.size = 4, .packed = 4}, "the file does not have the number of bytes that its header says");
    is(k, (Lies){.size = (uint64_t)-4, .packed = (uint64_t)-4}, "the file does not have the number of bytes that its header says");
    is(k, (Lies){.at = 40}, "it does not hold the bytes that it is said to");
    is(k, (Lies){.at = 1}, "it does not lie within the file");
    is(k, (Lies){.sum = 1}, "its checksum is wrong");
    is(k, (Lies){.how = 9}, "it is packed in a way that is not supported");
    is(k, (Lies){.how = 8}, "it does not unpack");
    is(k, (Lies){.flags = 1}, "it is encrypted");
    is(k, (Lies){.name = "a.txt"}, "it is no .npy file");
    is(k, (Lies){.name = ".npy"}, "it is no .npy file");
    is(k, (Lies){.second = "a.npy"}, "there are two of this name");
    is(k, (Lies){.parts = 1}, "its directory does not lie within the file");
    is(k, (Lies){.parts = 9000}, "its directory does not lie within the file");
    is(k, (Lies){.directory_at = 1}, "its directory");
    is(k, (Lies){.directory_bytes = 1}, "its directory does not lie within the file");
    is(k, (Lies){.directory_at = UINT32_MAX / 2}, "its directory does not lie within the file");
    /* Of 64 bits, where sums wrap. */
    is(k, (Lies){.is64 = true, .field = 1}, "its sizes are broken");
    is(k, (Lies){.is64 = true, .at = UINT64_MAX}, "it does not hold the bytes that it is said to");
    is(k, (Lies){.is64 = true, .at = 1, .packed = UINT64_MAX}, "it does not hold the bytes that it is said to");
    is(k, (Lies){.is64 = true, .size = (uint64_t)1 << 62}, "it does not hold the bytes that it is said to");
    is(k, (Lies){.is64 = true, .size = (uint64_t)1 << 62, .packed = (uint64_t)1 << 62}, "it does not hold the bytes that it is said to");
    is(k, (Lies){.is64 = true, .directory_at = UINT64_MAX - 50}, "its directory");
    is(k, (Lies){.is64 = true, .directory_bytes = UINT64_MAX - 50}, "its directory does not lie within the file");
}

/* A few bytes that unpack to far more than their directory says, or than a tensor of their head has. */
static void bombs(void **state)
{
    kiln *k = *state;
    enum { MUCH = 1 << 22 };
    char *plain = calloc(MUCH, 1), packed[1 << 14];
    z_stream s = {0};
    memcpy(plain, two, sizeof two - 1);
    deflateInit2(&s, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY);
    s.next_in = (Bytef *)plain, s.avail_in = MUCH, s.next_out = (Bytef *)packed, s.avail_out = sizeof packed;
    assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
    const size_t n = s.total_out;
    deflateEnd(&s);
    free(plain);
    is(k, (Lies){.data = packed, .bytes = n, .how = 8, .size = MUCH - n}, "a");
    is(k, (Lies){.data = packed, .bytes = n, .how = 8, .size = sizeof two - 1 - n}, "its checksum is wrong");
    is(k, (Lies){.data = packed, .bytes = n, .how = 8, .size = ((uint64_t)1 << 31) - n}, "it does not hold the bytes that it is said to");
    static const char huge[] = "\x93NUMPY\x01\0\x4b\0{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,2)}\n";
    is(k, (Lies){.data = huge, .bytes = sizeof huge - 1}, "npz");
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(every_dtype_there_and_back), FRONT_TEST(what_is_not_written), FRONT_TEST(directories_that_lie), FRONT_TEST(bombs)};
    snprintf(path, sizeof path, "/tmp/kiln-npz-%d.npz", (int)getpid());
    int failed = cmocka_run_group_tests_name("npz", tests, NULL, NULL);
    remove(path);
    return failed;
}
