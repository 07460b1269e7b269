/* safetensors: every dtype there and back, files of other hands, and hostile ones: cut off at every length, flipped
 * in every byte, lying about names, shapes and offsets. Weights by name. Relies on the public headers. */
#include "values.h"

#include <kiln/io.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "runtime/base.h"

#define S KILN_SHAPE

static char folder[200], path[256];

static int open_all(void **state)
{
    const char *dir = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/kiln-safetensors-%ld", dir ? dir : "/tmp", (long)getpid());
    if (mkdir(folder, 0700) != 0) return -1;
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    return open_engine(state);
}

/* The folder must hold nothing but the file: no temporary one may stay. */
static int close_all(void **state)
{
    unlink(path);
    return rmdir(folder) == 0 ? close_engine(state) : -1;
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

/* ---- bytes ------------------------------------------------------------------------------------------ */
static unsigned char bytes[1 << 16];

static void put(const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static size_t slurp(void)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return n;
}

/* A file of this header and so many bytes of data: 0, 1, 2, ... */
static void put_header(const char *json, size_t data)
{
    unsigned char b[4096] = {0};
    size_t n = strlen(json);
    for (int i = 0; i < 8; i++) b[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(b + 8, json, n);
    for (size_t i = 0; i < data; i++) b[8 + n + i] = (unsigned char)i;
    put(b, 8 + n + data);
}

static void refuses(const char *json, size_t data, kiln_code code, const char *part)
{
    put_header(json, data);
    assert_null(kiln_safetensors_open(k, path));
    const kiln_failure *e = kiln_error(k);
    if (e->code != code || !strstr(e->text, part) || !strstr(e->text, path) || !strstr(e->text, __FILE__))
        fail_msg("%s\nwanted %d with \"%s\", got %d: %s", json, (int)code, part, (int)e->code, e->text);
    kiln_clear(k);
}

static void has_error(kiln_code code, const char *part)
{
    const kiln_failure *e = kiln_error(k);
    if (e->code != code || !strstr(e->text, part)) fail_msg("wanted %d with \"%s\", got %d: %s", (int)code, part, (int)e->code, e->text);
    kiln_clear(k);
}

/* ---- good ones -------------------------------------------------------------------------------------- */
static const kiln_dtype all[] = {KILN_BOOL, KILN_U8, KILN_I8, KILN_U16, KILN_I16, KILN_U32, KILN_I32, KILN_U64, KILN_I64, KILN_F16, KILN_BF16, KILN_F32, KILN_F64, KILN_F8_E4M3, KILN_F8_E5M2};
#define ALL ((int)(sizeof all / sizeof *all))

static void every_dtype_there_and_back(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const char *name[ALL];
    kiln_tensor *x[ALL];
    for (int i = 0; i < ALL; i++) {
        name[i] = kiln_dtype_name(all[i]);
        x[i] = kiln_cast(kiln_mod(kiln_iota(k, KILN_I32, S(2, 3), 1), 2), all[i]);
    }
    assert_true(kiln_safetensors_write(k, path, name, x, ALL, ((const char *const[]){"by", "a \"test\"\n\xc3\xa9", NULL})));
    kiln_safetensors *f = kiln_safetensors_open(k, path);
    assert_int_equal(kiln_safetensors_count(f), ALL);
    assert_string_equal(kiln_safetensors_metadata(f, "by"), "a \"test\"\n\xc3\xa9");
    assert_null(kiln_safetensors_metadata(f, "bz"));
    for (int i = 0; i < ALL; i++) {
        int at = kiln_safetensors_find(f, name[i]);
        assert_string_equal(kiln_safetensors_name(f, at), name[i]);
        assert_int_equal(kiln_safetensors_dtype(f, at), all[i]);
        assert_int_equal(kiln_safetensors_shape(f, at).rank, 2);
        EXACTLY(kiln_safetensors_read(f, at), all[i], S(2, 3), 0, 1, 0, 0, 1, 0);
    }
    assert_int_equal(kiln_safetensors_find(f, "f80"), -1);
    kiln_safetensors_read(f, ALL);
    has_error(KILN_EVALUE, "has no tensor 15");
    kiln_safetensors_read(NULL, 0);
    has_error(KILN_ESTATE, "NULL");
    kiln_safetensors_close(f);
    size_t n = slurp(), header = bytes[0] | (size_t)bytes[1] << 8;
    assert_int_equal(header % 8, 0);
    assert_int_equal(n, 8 + header + 6 * (1 + 1 + 1 + 2 + 2 + 4 + 4 + 8 + 8 + 2 + 2 + 4 + 8 + 1 + 1));
}

static void views_scalars_and_empty_ones(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x[] = {kiln_transpose(kiln_iota(k, KILN_F32, S(2, 3), 1), KILN_ALL), kiln_scalar(k, KILN_I64, -7), kiln_zeros(k, KILN_F16, S(0, 5))};
    assert_true(kiln_safetensors_write(k, path, ((const char *const[]){"view", "one", "none"}), x, 3, NULL));
    kiln_safetensors *f = kiln_safetensors_open(k, path);
    EXACTLY(kiln_safetensors_read(f, kiln_safetensors_find(f, "view")), KILN_F32, S(3, 2), 0, 0, 1, 1, 2, 2);
    EXACTLY(kiln_safetensors_read(f, kiln_safetensors_find(f, "one")), KILN_I64, S(), -7);
    has_shape(kiln_safetensors_read(f, kiln_safetensors_find(f, "none")), KILN_F16, S(0, 5));
    assert_true(kiln_safetensors_write(k, path, NULL, NULL, 0, NULL)); /* the open file is the old one still */
    EXACTLY(kiln_safetensors_read(f, kiln_safetensors_find(f, "one")), KILN_I64, S(), -7);
    f = kiln_safetensors_open(k, path);
    assert_int_equal(kiln_safetensors_count(f), 0); /* closed with the engine */
}

static void files_of_other_hands(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    put_header("{ \"b\\u00e9\\ud83d\\ude00\" : { \"data_offsets\":[2,6] ,\n\"shape\":[ 2 , 1 ],\"dtype\":\"U16\"},\"a\":{\"dtype\":\"F8_E8M0\",\"shape\":[2],"
               "\"data_offsets\":[0,2]}, \"__metadata__\":{\"format\":\"pt\"}}   ", 6);
    kiln_safetensors *f = kiln_safetensors_open(k, path);
    assert_false(kiln_failed(k));
    assert_string_equal(kiln_safetensors_metadata(f, "format"), "pt");
    assert_int_equal(kiln_safetensors_dtype(f, 0), KILN_NONE);
    EXACTLY(kiln_safetensors_read(f, kiln_safetensors_find(f, "b\xc3\xa9\xf0\x9f\x98\x80")), KILN_U16, S(2, 1), 0x0302, 0x0504);
    kiln_safetensors_read(f, 0);
    has_error(KILN_EUNSUPPORTED, "F8_E8M0");
    put_header("{}", 0);
    assert_int_equal(kiln_safetensors_count(kiln_safetensors_open(k, path)), 0);
    put_header("{\"a\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3);
    kiln_safetensors_read(kiln_safetensors_open(k, path), 0);
    has_error(KILN_EFORMAT, "element 2 is 2, not 0 or 1");
}

/* ---- bad ones --------------------------------------------------------------------------------------- */
#define T(name, dtype, shape, offsets) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void headers_that_lie(void **state)
{
    (void)state;
    static const struct { const char *json; size_t data; const char *part; } bad[] = {
        {"", 0, "begins with '{'"},
        {" {}", 0, "begins with '{'"},
        {"{", 0, "expected"},
        {"{}x", 0, "something follows"},
        {"{\"a\"}", 0, "':' is expected"},
        {"{\"a\":3}", 0, "'{' is expected"},
        {"{\"a\":{\"dtype\":\"U8\"}}", 0, "is missing"},
        {"{" T("a", "U8", "[2]", "[0,2]") "," "}", 2, "'\"' is expected"},
        {"{" T("a", "U8", "[2]", "[0,2]") "," T("a", "U8", "[2]", "[2,4]") "}", 4, "\"a\": the name occurs twice"},
        {"{" T("a", "U8", "[2]", "[0,2]") "," T("\\u0061", "U8", "[2]", "[2,4]") "}", 4, "the name occurs twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "a key occurs twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"x\":[[[[]]]]}}", 1, "a key other than"},
        {"{\"__metadata__\":{\"a\":{}}}", 0, "'\"' is expected"},
        {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, "metadata key \"a\" occurs twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ occurs twice"},
        {"{" T("a", "F99", "[2]", "[0,2]") "}", 2, "\"F99\" is not a dtype"},
        {"{" T("a", "U8", "[[[[[[[[[[2]]]]]]]]]]", "[0,2]") "}", 2, "whole number"},
        {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "more than 8 axes"},
        {"{" T("a", "U8", "[-1]", "[0,1]") "}", 1, "whole number"},
        {"{" T("a", "U8", "[01]", "[0,1]") "}", 1, "leading zero"},
        {"{" T("a", "U8", "[1.0]", "[0,1]") "}", 1, "',' or ']' is expected"},
        {"{" T("a", "U8", "[1e0]", "[0,1]") "}", 1, "',' or ']' is expected"},
        {"{" T("a", "U8", "[99999999999999999999]", "[0,1]") "}", 1, "too large"},
        {"{" T("a", "U8", "[9000000000000000000]", "[0,1]") "}", 1, "an axis is too large"},
        {"{" T("a", "U8", "[281474976710656,281474976710656]", "[0,1]") "}", 1, "more bytes than can be addressed"},
        {"{" T("a", "F4", "[3]", "[0,1]") "}", 1, "whole bytes"},
        {"{" T("a", "U8", "[2]", "[0,3]") "}", 3, "need 2 bytes, the offsets give 3"},
        {"{" T("a", "U8", "[2]", "[2,0]") "}", 2, "do not lie within"},
        {"{" T("a", "U8", "[2]", "[0,2]") "}", 1, "do not lie within the 1 bytes"},
        {"{" T("a", "U8", "[2]", "[0]") "}", 2, "',' is expected"},
        {"{" T("a", "U8", "[2]", "[0,2]") "}", 3, "cover 2 bytes of data, the file has 3"},
        {"{" T("a", "U8", "[2]", "[1,3]") "}", 3, "a hole before"},
        {"{" T("a", "U8", "[2]", "[0,2]") "," T("b", "U8", "[2]", "[1,3]") "}", 3, "\"b\": its data overlap"},
        {"{\"\\q\":{}}", 0, "an unknown escape"},
        {"{\"\\u12g4\":{}}", 0, "hexadecimal"},
        {"{\"\\ud800x\":{}}", 0, "half a surrogate pair"},
        {"{\"\\udc00\":{}}", 0, "half a surrogate pair"},
        {"{\"\\u0000\":{}}", 0, "a zero character"},
        {"{\"a\tb\":{}}", 0, "a control character"},
        {"{\"\xff\":{}}", 0, "not UTF-8"},
        {"{\"\xc0\x80\":{}}", 0, "not UTF-8"},
        {"{\"\xed\xa0\x80\":{}}", 0, "not UTF-8"},
        {"{\"abc", 0, "a string does not end"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuses(bad[i].json, bad[i].data, KILN_EFORMAT, bad[i].part);
    static const uint64_t lengths[] = {1, 1000, 100000001, UINT64_MAX, (uint64_t)INT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        put(&lengths[i], 8);
        assert_null(kiln_safetensors_open(k, path));
        has_error(KILN_EFORMAT, "not a safetensors file: its header");
    }
}

static void not_files(void **state)
{
    (void)state;
    assert_null(kiln_safetensors_open(k, path));
    has_error(KILN_EIO, "cannot open: No such file");
    assert_null(kiln_safetensors_open(k, "/dev/null"));
    has_error(KILN_EIO, "not a regular file");
    assert_null(kiln_safetensors_open(k, NULL));
    has_error(KILN_EVALUE, "the path is NULL");
    assert_false(kiln_save_weights(k, "/nowhere/at/all", NULL, 0));
    has_error(KILN_EIO, "cannot create");
    assert_false(kiln_save_weights(k, folder, NULL, 0));
    has_error(KILN_EIO, "cannot write: it is a folder");
}

/* ---- weights ---------------------------------------------------------------------------------------- */
static kiln_variable *pair[2];

static void make_pair(void)
{
    KILN_SCOPE(k);
    pair[0] = kiln_variable_new(k, "w", kiln_f32(k, S(2, 2), 1, 2, 3, 4));
    pair[1] = kiln_variable_new(k, "n", kiln_i64(k, S(), 5));
}

static void unchanged(void)
{
    KILN_SCOPE(k);
    EXACTLY(kiln_value(pair[0]), KILN_F32, S(2, 2), 9, 9, 9, 9);
    EXACTLY(kiln_value(pair[1]), KILN_I64, S(), 9);
}

static void change(void)
{
    KILN_SCOPE(k);
    kiln_assign(pair[0], 9);
    kiln_assign(pair[1], 9);
}

static void weights_by_name(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    make_pair();
    assert_true(kiln_save_weights(k, path, pair, 2));
    change();
    assert_true(kiln_load_weights(k, path, ((kiln_variable *[]){pair[1], pair[0]}), 2));
    EXACTLY(kiln_value(pair[0]), KILN_F32, S(2, 2), 1, 2, 3, 4);
    EXACTLY(kiln_value(pair[1]), KILN_I64, S(), 5);
    change();
    assert_true(kiln_load_weights(k, path, pair, 1)); /* a part of the file */
    EXACTLY(kiln_value(pair[1]), KILN_I64, S(), 9);
    change();
    kiln_variable *other = kiln_variable_new(k, "other", KILN_F32, 1.0);
    assert_false(kiln_load_weights(k, path, ((kiln_variable *[]){pair[0], other}), 2));
    has_error(KILN_EVALUE, "has no tensor \"other\"");
    kiln_variable *wide = kiln_variable_new(k, "n", kiln_i64(k, S(1), 1)), *half = kiln_variable_new(k, "n", kiln_i32(k, S(), 1));
    assert_false(kiln_load_weights(k, path, ((kiln_variable *[]){pair[0], wide}), 2));
    has_error(KILN_ESHAPE, "tensor \"n\" is i64[], but the variable is i64[1]");
    assert_false(kiln_load_weights(k, path, ((kiln_variable *[]){pair[0], half}), 2));
    has_error(KILN_EDTYPE, "tensor \"n\" is i64[], but the variable is i32[]");
    assert_false(kiln_save_weights(k, path, ((kiln_variable *[]){pair[1], half}), 2));
    has_error(KILN_EVALUE, "\"n\": two tensors have this name");
    assert_false(kiln_load_weights(k, path, ((kiln_variable *[]){pair[0], NULL}), 2));
    has_error(KILN_ESTATE, "variable 1 (?) is NULL");
    kiln_variable_free(half);
    assert_false(kiln_save_weights(k, path, &half, 1));
    has_error(KILN_ESTATE, "variable 0 (n) was freed");
    assert_false(kiln_save_weights(k, path, ((kiln_variable *[]){kiln_variable_new(k, "", KILN_F32, 1.0)}), 1));
    has_error(KILN_EVALUE, "a name is empty");
    assert_false(kiln_safetensors_write(k, path, ((const char *const[]){"a\xff"}), ((kiln_tensor *[]){kiln_value(wide)}), 1, NULL));
    has_error(KILN_EVALUE, "not UTF-8");
    assert_false(kiln_safetensors_write(k, path, NULL, NULL, 0, ((const char *const[]){"kiln.step", "1", NULL})));
    has_error(KILN_EVALUE, "is Kiln's own");
    unchanged();
    slurp();
    assert_non_null(strstr((char *)bytes + 8, "kiln.crc32.w")); /* none of the failures touched the file */
}

/* What checksums cover, type, name and elements, stays as it was: a file of an older build. */
static void older_files_are_read(void **state)
{
    (void)state;
    kiln_safetensors *f = kiln_safetensors_open(k, "tests/fuzz/corpus/safetensors/checkpoint");
    assert_non_null(f);
    EXACTLY(kiln_safetensors_read(f, kiln_safetensors_find(f, "s")), KILN_I64, S(), 4);
    EXACTLY(kiln_safetensors_read(f, kiln_safetensors_find(f, "w")), KILN_F32, S(2, 3), 0, 0, 0, 0, 0, 0);
    kiln_safetensors_close(f);
}

/* Cut off at every length, flipped in every byte: an error, or (never, here) the very values that were saved. */
static void damage_is_found(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    make_pair();
    assert_true(kiln_save_weights(k, path, pair, 2));
    size_t n = slurp();
    static const unsigned char flips[] = {0x01, 0x20, 0x80, 0xff};
    change();
    for (size_t i = 0; i < n; i++) {
        put(bytes, i);
        assert_false(kiln_load_weights(k, path, pair, 2));
        has_error(KILN_EFORMAT, path);
    }
    unchanged();
    for (size_t i = 0; i < n; i++)
        for (size_t m = 0; m < sizeof flips; m++) {
            bytes[i] ^= flips[m];
            put(bytes, n);
            if (kiln_load_weights(k, path, pair, 2)) { /* only what no tensor depends on: "format", blanks, a checksum's key */
                KILN_SCOPE(k);
                EXACTLY(kiln_value(pair[0]), KILN_F32, S(2, 2), 1, 2, 3, 4);
                EXACTLY(kiln_value(pair[1]), KILN_I64, S(), 5);
                assert_true(i > 8 && i < n - 24);
                change();
            } else {
                assert_true(kiln_error(k)->code != KILN_OK);
                kiln_clear(k);
                unchanged();
            }
            bytes[i] ^= flips[m];
        }
}

/* A disk that is full: the old file stays, no temporary one does. */
static void a_failed_save_leaves_the_old_file(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    make_pair();
    assert_true(kiln_save_weights(k, path, pair, 2));
    struct rlimit old, small = {64, 64};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    change();
    bool saved = kiln_save_weights(k, path, pair, 2);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_false(saved);
    has_error(KILN_EIO, "cannot write: File too large");
    assert_true(kiln_load_weights(k, path, pair, 2));
    EXACTLY(kiln_value(pair[1]), KILN_I64, S(), 5);
}

static void in_body(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_save_weights(engine, path, pair, 2);
    out[0] = kiln_add(in[0], 1);
}

static void not_in_a_trace(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    make_pair();
    kiln_function *f = kiln_function_new(k, in_body, NULL, NULL);
    kiln_call(f, kiln_ones(k, KILN_F32, S(2)));
    has_error(KILN_ESTATE, "save_weights: files are read and written by eager code only");
}

/* Every allocation failing once: an error each time, the variables as they were. */
static void memory_runs_out(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    make_pair();
    assert_true(kiln_save_weights(k, path, pair, 2));
    for (int saving = 0; saving < 2; saving++) {
        bool ok = false;
        for (uint64_t n = 1; !ok; n++) {
            assert_true(n < 200);
            change();
            uint64_t before = memory_count().allocations;
            memory_fail_at(n, false);
            ok = saving ? kiln_save_weights(k, path, pair, 2) : kiln_load_weights(k, path, pair, 2);
            memory_fail_at(0, false);
            if (ok) {
                assert_true(memory_count().allocations - before < n);
                break;
            }
            has_error(KILN_EMEMORY, "memory");
            unchanged();
        }
        make_pair();
        assert_true(saving || kiln_save_weights(k, path, pair, 2));
    }
}

static void layers_have_names_of_their_own(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_dense *a = kiln_dense_new(k, 2, 3, NULL), *b = kiln_dense_new(k, 3, 1, NULL);
    assert_string_equal(kiln_variable_name(kiln_dense_weight(a)), "dense/w");
    assert_string_equal(kiln_variable_name(kiln_dense_bias(b)), "dense_1/b");
    assert_true(kiln_save_weights(k, path, ((kiln_variable *[]){kiln_dense_weight(a), kiln_dense_bias(a), kiln_dense_weight(b), kiln_dense_bias(b)}), 4));
    kiln_dense_free(a);
    assert_string_equal(kiln_variable_name(kiln_dense_weight(kiln_dense_new(k, 2, 3, NULL))), "dense/w");
}

/* ---- the reference implementation, both ways ------------------------------------------------------------ */
static const char program[] = "import sys\n"
                              "try:\n"
                              "    import numpy as np\n"
                              "    from safetensors import deserialize\n"
                              "    from safetensors.numpy import save_file\n"
                              "except Exception as e:\n"
                              "    print('absent'); sys.exit(0)\n"
                              "n = {'f16': np.float16, 'f32': np.float32, 'f64': np.float64, 'bool': np.bool_}\n"
                              "n.update({c + str(b): np.dtype(w + str(b)) for c, w in (('u', 'uint'), ('i', 'int')) for b in (8, 16, 32, 64)})\n"
                              "try:\n"
                              "    x = {k: v for k, v in deserialize(open(sys.argv[1], 'rb').read())}\n"
                              "    y = {k: np.frombuffer(bytes(x[k]['data']), n[k]).reshape(x[k]['shape']) for k in n}\n"
                              "    good = [k for k in y if (y[k] == np.array([[0, 1, 0], [0, 1, 0]], n[k])).all()]\n"
                              "    save_file({k: y[k][:, ::-1].copy() if k == 'bool' else np.ascontiguousarray(y[k] + y[k] * 4) for k in y}, sys.argv[1], metadata={'by': 'numpy'})\n"
                              "    print('read', len(x), len(good))\n"
                              "except Exception as e:\n"
                              "    print('broken', e)\n";

static void the_real_safetensors_agrees(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const char *python = getenv("KILN_PYTHON") ? getenv("KILN_PYTHON") : "python3", *name[ALL];
    char script[300], command[1200], line[256] = "";
    kiln_tensor *x[ALL];
    for (int i = 0; i < ALL; i++) {
        name[i] = kiln_dtype_name(all[i]);
        x[i] = kiln_cast(kiln_mod(kiln_iota(k, KILN_I32, S(2, 3), 1), 2), all[i]);
    }
    assert_true(kiln_safetensors_write(k, path, name, x, ALL, NULL));
    snprintf(script, sizeof script, "%s/read.py", folder);
    FILE *f = fopen(script, "w");
    assert_non_null(f);
    fputs(program, f);
    fclose(f);
    snprintf(command, sizeof command, "'%s' '%s' '%s' 2>/dev/null", python, script, path);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    bool any = fgets(line, sizeof line, p) != NULL;
    pclose(p);
    unlink(script);
    if (!any || strncmp(line, "absent", 6) == 0) {
        print_message("skip: %s has no numpy and safetensors to read and write files with (KILN_PYTHON names another Python)\n", python);
        skip();
    }
    assert_string_equal(line, "read 15 12\n");
    kiln_safetensors *in = kiln_safetensors_open(k, path);
    assert_int_equal(kiln_safetensors_count(in), 12);
    assert_string_equal(kiln_safetensors_metadata(in, "by"), "numpy");
    for (int i = 1; i < ALL; i++)
        if (all[i] != KILN_BF16 && all[i] < KILN_F8_E4M3) EXACTLY(kiln_safetensors_read(in, kiln_safetensors_find(in, name[i])), all[i], S(2, 3), 0, 5, 0, 0, 5, 0);
    EXACTLY(kiln_safetensors_read(in, kiln_safetensors_find(in, "bool")), KILN_BOOL, S(2, 3), 0, 1, 0, 0, 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(every_dtype_there_and_back), FILE_TEST(views_scalars_and_empty_ones), FILE_TEST(files_of_other_hands),
        FILE_TEST(headers_that_lie), FILE_TEST(not_files), FILE_TEST(weights_by_name), FILE_TEST(older_files_are_read), FILE_TEST(damage_is_found),
        FILE_TEST(a_failed_save_leaves_the_old_file), FILE_TEST(not_in_a_trace), FILE_TEST(memory_runs_out),
        FILE_TEST(layers_have_names_of_their_own), FILE_TEST(the_real_safetensors_agrees),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
