/* NumPy's .npy files: every dtype out and in, Fortran's order, and files that are not what they say. */
#include <kiln/io.h>
#include <stdlib.h>
#include <unistd.h>

#include "front.h"

static char path[64];

static void put(const void *head, size_t n, const char *dict, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    fwrite(head, 1, n, f);
    fwrite(dict, 1, strlen(dict), f);
    fwrite(data, 1, bytes, f);
    fclose(f);
}

static void write_npy(const char *dict, const void *data, size_t bytes)
{
    unsigned char head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)strlen(dict), (unsigned char)(strlen(dict) >> 8)};
    put(head, sizeof head, dict, data, bytes);
}

static void every_dtype_there_and_back(void **state)
{
    static const kiln_dtype all[] = {KILN_BOOL, KILN_U8, KILN_I8, KILN_U16, KILN_I16, KILN_U32, KILN_I32, KILN_U64, KILN_I64, KILN_F16, KILN_F32, KILN_F64};
    kiln *k = *state;
    KILN_SCOPE(k);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        double got[6];
        kiln_tensor *x = kiln_numbers(k, all[i], KILN_SHAPE(2, 3), 1, 0, 1, 1, 0, 0);
        assert_true(kiln_npy_write(kiln_transpose(x, KILN_ALL), path));
        kiln_tensor *y = kiln_npy_read(k, path);
        assert_ok(k);
        assert_true(kiln_dtype_of(y) == all[i] && kiln_rank(y) == 2 && kiln_dim(y, 0) == 3 && kiln_dim(y, 1) == 2);
        assert_true(kiln_read_doubles(y, got, 6));
        assert_memory_equal(got, ((double[]){1, 1, 0, 0, 1, 0}), sizeof got);
    }
    assert_true(kiln_npy_write(kiln_variable_new(k, "v", KILN_F32, 7), path));
    assert_int_equal(kiln_item_i64(kiln_npy_read(k, path)), 7);
    assert_true(kiln_npy_write(kiln_zeros(k, KILN_F32, KILN_SHAPE(0, 4)), path));
    assert_int_equal(kiln_dim(kiln_npy_read(k, path), 1), 4);
    assert_ok(k);
    assert_false(kiln_npy_write(kiln_ones(k, KILN_BF16, KILN_SHAPE(2)), path));
    assert_error(k, KILN_EUNSUPPORTED, "NumPy has no bf16; kiln_cast it to f32");
    assert_false(kiln_npy_write(kiln_ones(k, KILN_F8_E4M3, KILN_SHAPE(2)), path));
    assert_error(k, KILN_EUNSUPPORTED, "NumPy has no f8_e4m3; kiln_cast it to f32");
}

static void other_spellings(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static const float data[6] = {1, 4, 2, 5, 3, 6};
    float got[6];
    write_npy("{ \"shape\":(2,3) ,'fortran_order': True,'descr': '<f4'}  \n", data, sizeof data);
    assert_true(kiln_read(kiln_npy_read(k, path), got, sizeof got));
    assert_memory_equal(got, ((float[]){1, 2, 3, 4, 5, 6}), sizeof got);
    static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n";
    unsigned char head[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', 3, 0, sizeof dict - 1};
    put(head, sizeof head, dict, data, 4);
    assert_true(kiln_item(kiln_npy_read(k, path)) == 1);
    assert_ok(k);
}

static void damaged_files_are_named(void **state)
{
    static const struct {
        const char *dict, *why;
        size_t bytes;
    } bad[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "the number of bytes that its header says", 7},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "the number of bytes that its header says", 9},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (281474976710657,), }", "a size is beyond 2^48", 8},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,), }", "a size is beyond 2^48", 8},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (16777216, 16777216, 16777216), }", "the shape has more bytes than can be addressed", 8},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "a size is not a number", 8},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1), }", "more than 8 axes", 4},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1), }", "separated by commas", 4},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2", "", 8},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", "big-endian", 8},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "dtype <c8 is not supported", 8},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "a structured dtype is not supported", 8},
        {"{'descr': '<f4', 'fortran_order': None, 'shape': (2,), }", "neither True nor False", 8},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (2,), }", "occurs twice", 8},
        {"{'descr': '<f4', 'fortran_order': False, }", "the header lacks descr", 8},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x", "does not end after its dict", 8},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (8,), }", "neither 0 nor 1", 8},
        {"", "not a dict", 8},
        {"'", "too short", 0},
        {"{'", "is not a string", 3},
    };
    static const unsigned char data[16] = {2, 2, 2, 2, 2, 2, 2, 2};
    kiln *k = *state;
    KILN_SCOPE(k);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_npy(bad[i].dict, data, bad[i].bytes);
        int64_t before = kiln_memory_count().live_bytes;
        kiln_npy_read(k, path);
        assert_true(kiln_memory_count().live_bytes - before < 1 << 20); /* nothing was taken on the header's word */
        assert_non_null(strstr(kiln_error(k)->text, path)); /* every one names the file */
        assert_error(k, KILN_EFORMAT, bad[i].why);
    }
    unsigned char head[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0, 255, 255, 255, 255};
    put(head, sizeof head, "{}", data, 8);
    kiln_npy_read(k, path);
    assert_error(k, KILN_EFORMAT, "longer than 64 KiB");
    put("\x93NUMPY\x04\0\0\0\0\0", 12, "", data, 0);
    kiln_npy_read(k, path);
    assert_error(k, KILN_EFORMAT, "not a .npy file of version 1 to 3");
    put("\x93NUM", 4, "", data, 0);
    kiln_npy_read(k, path);
    assert_error(k, KILN_EFORMAT, "too short");
    kiln_npy_read(k, "/nowhere/x.npy");
    assert_error(k, KILN_EIO, "/nowhere/x.npy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(every_dtype_there_and_back), FRONT_TEST(other_spellings), FRONT_TEST(damaged_files_are_named)};
    snprintf(path, sizeof path, "/tmp/kiln-npy-%d.npy", (int)getpid());
    int failed = cmocka_run_group_tests_name("npy", tests, NULL, NULL);
    remove(path);
    return failed;
}
