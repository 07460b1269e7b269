/* test_onnx_read: models as bytes that anybody may have written: what is whole is read and described, what is cut off, lies about
 * its sizes, names files elsewhere or reads what nothing makes is an error that says where, and nothing is lost. */
#include "values.h"

#include <kiln/onnx.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx_bytes.h"

/* f32 [rows, 2] of so many raw bytes. */
static Message tensor_of(const char *name, int64_t rows, size_t raw)
{
    static const uint8_t zeros[64];
    Message t = {.n = 0};
    integer(&t, 1, rows);
    integer(&t, 1, 2);
    integer(&t, 2, 1);
    text(&t, 8, name);
    bytes(&t, 9, zeros, raw);
    return t;
}

/* w [3, 2] is made of `tensor`, y = relu(x w). */
static Message small_graph(const Message *tensor, const char *reads)
{
    Message g = {.n = 0}, in = value_of("x"), out = value_of("y"), product = node_of("MatMul", reads, "w", "t"),
            relu = node_of("Relu", "t", NULL, "y");
    message(&g, 1, &product);
    message(&g, 1, &relu);
    text(&g, 2, "small");
    message(&g, 5, tensor);
    message(&g, 11, &in);
    message(&g, 12, &out);
    return g;
}

static Message whole(void)
{
    const Message t = tensor_of("w", 3, 24), g = small_graph(&t, "x");
    return model_of(&g, 17);
}

static void fails(const void *at, size_t n, kiln_code code, const char *why)
{
    assert_null(kiln_onnx_load_memory(k, at, n));
    const kiln_failure *f = kiln_error(k);
    if (f->code != code || !strstr(f->text, why)) fail_msg("%s, in place of %s", f->text, why);
    kiln_clear(k);
}

static void fails_as(const Message *m, kiln_code code, const char *why) { fails(m->at, m->n, code, why); }

/* ---- what is whole ------------------------------------------------------------------------------------ */

static void is_described(void **state)
{
    (void)state;
    const Message m = whole();
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    assert_false(kiln_failed(k));
    char *said = NULL;
    size_t n;
    FILE *f = open_memstream(&said, &n);
    kiln_onnx_describe(f, x);
    fclose(f);
    assert_string_equal(said,
        "format     ONNX, version 8\nproducer   a test \nopset      ai.onnx 17\ngraph      small, 2 nodes\ninput      x: f32[N,3]\n"
        "output     y: f32[N,3]\nparameters 6 in 1 tensors, 24 bytes\noperators  MatMul 1, Relu 1\n");
    free(said);
    kiln_onnx_free(x);
    kiln_onnx_free(NULL);
}

/* Numbers one by one, and in pieces, are the same as packed. */
static void numbers_in_pieces(void **state)
{
    (void)state;
    Message t = {.n = 0}, dims = {.n = 0};
    varint(&dims, 3), varint(&dims, 1);
    bytes(&t, 1, dims.at, dims.n);
    integer(&t, 1, 2);
    integer(&t, 2, 7);
    text(&t, 8, "w");
    for (int i = 0; i < 4; i++) integer(&t, 7, -i);
    dims.n = 0;
    varint(&dims, 5), varint(&dims, 600);
    bytes(&t, 7, dims.at, dims.n);
    const Message g = small_graph(&t, "x"), m = model_of(&g, 17);
    kiln_onnx_free(kiln_onnx_load_memory(k, m.at, m.n));
    assert_false(kiln_failed(k));
}

/* ---- what is not -------------------------------------------------------------------------------------- */

/* Cut off anywhere, and any byte changed: an error or a model, and every byte of memory comes back (front.h checks that). */
static void damaged_anywhere(void **state)
{
    (void)state;
    const Message m = whole();
    for (size_t n = 1; n < m.n; n++) {
        uint8_t *part = malloc(n); /* so that a sanitizer sees a read behind it */
        memcpy(part, m.at, n);
        kiln_onnx_free(kiln_onnx_load_memory(k, part, n));
        kiln_clear(k);
        for (int bit = 0; bit < 8; bit++) {
            Message other = m;
            other.at[n] ^= (uint8_t)(1 << bit);
            kiln_onnx_free(kiln_onnx_load_memory(k, other.at, other.n));
            kiln_clear(k);
        }
        free(part);
    }
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    Message t = tensor_of("w", 3, 20), g = small_graph(&t, "x"), m = model_of(&g, 17);
    fails_as(&m, KILN_EFORMAT, "tensor 0, 'w': it holds 20 bytes in place of 24");
    t = tensor_of("w", INT64_MAX, 24), g = small_graph(&t, "x"), m = model_of(&g, 17);
    fails_as(&m, KILN_EFORMAT, "the product of its sizes does not fit into 60 bits");
    t = tensor_of("w", -1, 24), g = small_graph(&t, "x"), m = model_of(&g, 17);
    fails_as(&m, KILN_EFORMAT, "a size is below 0");
    t = tensor_of("w", 3, 24), g = small_graph(&t, "nobody"), m = model_of(&g, 17);
    fails_as(&m, KILN_EFORMAT, "node 0, MatMul '': input 0, 'nobody', is made by nothing before it");
    g = small_graph(&t, "y"), m = model_of(&g, 17);
    fails_as(&m, KILN_EFORMAT, "input 0, 'y', is made by nothing before it");
    const Message again = node_of("Neg", "x", NULL, "t");
    g = small_graph(&t, "x"), message(&g, 1, &again), m = model_of(&g, 17);
    fails_as(&m, KILN_EFORMAT, "node 2, Neg '': output 0, 't', is the name of something else already");
    Message nameless = tensor_of("", 3, 24);
    g = small_graph(&t, "x"), message(&g, 5, &nameless), m = model_of(&g, 17);
    fails_as(&m, KILN_EFORMAT, "initialiser 1 has no name");
    m = (Message){.n = 0}, integer(&m, 1, 8);
    fails_as(&m, KILN_EFORMAT, "it has no graph: this is no ONNX model");
    m = whole(), integer(&m, 1, 99);
    fails_as(&m, KILN_EUNSUPPORTED, "its format has version 99 (allowed: 1 to 14)");
    fails("\x0b", 1, KILN_EFORMAT, "a field has a type that there is no longer, or never was");
    fails("\x3a\x85\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, KILN_EFORMAT, "in a message model: a length goes beyond the end");
    fails("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, KILN_EFORMAT, "a number has more than 64 bits");
    fails("", 0, KILN_EVALUE, "no bytes");
}

static void deep_and_wide(void **state)
{
    (void)state;
    /* graph { node { attribute { g { ... */
    Message inner = {.n = 0};
    for (int depth = 0; depth < 60; depth++) {
        Message a = {.n = 0}, n = {.n = 0}, g = {.n = 0};
        message(&a, 6, &inner);
        text(&n, 4, "If");
        message(&n, 5, &a);
        message(&g, 1, &n);
        inner = g;
    }
    Message m = model_of(&inner, 17);
    fails_as(&m, KILN_EFORMAT, "messages lie too deep within each other");
    /* Operators imported again and again would be compared each with each. */
    Message many = whole();
    for (int i = 0; i < 1000; i++) bytes(&many, 8, "\x10\x11", 2);
    fails_as(&many, KILN_EUNSUPPORTED, "it imports operators 1001 times, which is more than 1000");
    /* Five million empty nodes take ten megabytes in a file; as structs they would take hundreds. */
    const size_t n = 10000000;
    uint8_t *wide = malloc(n + 16);
    Message head = {.n = 0};
    varint(&head, 7 << 3 | 2), varint(&head, n);
    memcpy(wide, head.at, head.n);
    for (size_t i = 0; i < n; i += 2) memcpy(wide + head.n + i, "\x0a\0", 2);
    fails(wide, head.n + n, KILN_EFORMAT, "the file is made of too many small messages");
    free(wide);
}

/* A model whose graph, or which itself, has so many times the field, each with a name of its own behind the same bytes. */
static uint8_t *made_of(bool in_graph, int field, const char *begin, size_t begins, int name, uint32_t n, size_t *size)
{
    uint8_t *all = malloc(64 + (size_t)n * (begins + 16));
    Message head = {.n = 0}, one, part;
    bytes(&head, 8, "\x10\x11", 2), integer(&head, 1, 8);
    if (!in_graph) bytes(&head, 7, "", 0);
    *size = 0;
    for (uint32_t i = 0; i < n; i++) {
        char number[16];
        part.n = 0;
        snprintf(number, sizeof number, "%x", i);
        memcpy(one.at, begin, begins), one.n = begins;
        text(&one, name, number), message(&part, field, &one);
        memcpy(all + 64 + *size, part.at, part.n), *size += part.n;
    }
    if (in_graph) varint(&head, 7 << 3 | 2), varint(&head, *size);
    memmove(all + head.n, all + 64, *size), memcpy(all, head.at, head.n);
    *size += head.n;
    return all;
}

static void memory_has_bounds(void **state)
{
    (void)state;
    size_t n;
    const int64_t before = kiln_memory_count().live_bytes;
    uint8_t *tensors = made_of(true, 5, "\x08\0\x10\x01", 4, 8, 685000, &n); /* each has no elements */
    kiln_onnx *m = kiln_onnx_load_memory(k, tensors, n);
    assert_non_null(m);
    assert_in_range(kiln_memory_count().peak_bytes - before, n, 16 * n + (64 << 20));
    FILE *nowhere = fopen("/dev/null", "w"); /* planned and looked at: what nobody reads takes no more than it did */
    assert_true(kiln_onnx_inputs(m, NULL, 0) == 0 && kiln_onnx_inspect(nowhere, m, false, NULL));
    fclose(nowhere);
    assert_in_range(kiln_memory_count().peak_bytes - before, n, 16 * n + (64 << 20));
    kiln_onnx_free(m);
    free(tensors);
    uint8_t *functions = made_of(false, 25, "", 0, 1, 1000000, &n);
    fails(functions, n, KILN_EUNSUPPORTED, "it has 1000000 functions, which is more than 65536");
    assert_in_range(kiln_memory_count().peak_bytes - before, n, 16 * n + (64 << 20));
    free(functions);
}

/* ---- other files -------------------------------------------------------------------------------------- */

static char folder[64];
static const char *in_folder(const char *name)
{
    static char path[4][160];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof *path, "%s/%s", folder, name);
    return p;
}

static void put(const char *path, const void *at, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(at, 1, n, f), n);
    fclose(f);
}

/* NULL: it is fine. */
static void names_file(const char *location, const char *offset, const char *length, const char *why)
{
    Message t = {.n = 0}, e = {.n = 0};
    const char *const pair[3][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    integer(&t, 1, 3), integer(&t, 1, 2), integer(&t, 2, 1), text(&t, 8, "w"), integer(&t, 14, 1);
    for (int i = 0; i < 3; i++) {
        if (!pair[i][1]) continue;
        e.n = 0, text(&e, 1, pair[i][0]), text(&e, 2, pair[i][1]), message(&t, 13, &e);
    }
    const Message g = small_graph(&t, "x"), m = model_of(&g, 17);
    put(in_folder("m.onnx"), m.at, m.n);
    kiln_onnx *x = kiln_onnx_load(k, in_folder("m.onnx"));
    if (!why)
        assert_false(kiln_failed(k));
    else if (x || !strstr(kiln_error(k)->text, why))
        fail_msg("%s: %s, in place of %s", location, kiln_failed(k) ? kiln_error(k)->text : "no error", why);
    kiln_clear(k);
    kiln_onnx_free(x);
}

static void other_files(void **state)
{
    (void)state;
    uint8_t data[32] = {0};
    strcpy(folder, "/tmp/kiln-onnx-XXXXXX");
    assert_non_null(mkdtemp(folder));
    mkdir(in_folder("sub"), 0700);
    mkdir(in_folder("sub/deep"), 0700);
    put(in_folder("w.bin"), data, 24), put(in_folder("sub/deep/w.bin"), data, 32), put(in_folder("twin.bin"), data, 24);
    put(in_folder("sub/secret"), data, 24);
    assert_int_equal(symlink("w.bin", in_folder("link.bin")), 0);
    assert_int_equal(symlink("sub", in_folder("linked")), 0);
    assert_int_equal(link(in_folder("twin.bin"), in_folder("sub/twin.bin")), 0);
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    names_file("w.bin", NULL, NULL, NULL);
    names_file("./w.bin", NULL, NULL, NULL);
    names_file("sub/deep/w.bin", "8", "24", NULL);
    names_file("sub/deep/w.bin", "9", NULL, "it has 24 bytes, from byte 9 of 'sub/deep/w.bin' on, which has 32");
    names_file("w.bin", "0", "23", "its length is said to be 23");
    names_file("w.bin", "18446744073709551615", NULL, "which has 24");
    names_file("w.bin", "18446744073709551616", NULL, "is no number of bytes");
    names_file("w.bin", "-8", NULL, "is no number of bytes");
    static const char *const outside[] = {"/etc/passwd", "../w.bin", "sub/../w.bin", "./../w.bin", ".//w.bin", "sub/./secret",
        "sub//deep/w.bin", "sub/", "..", ".", "./", "././"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        names_file(outside[i], NULL, NULL, "is no plain name below the model's folder");
    names_file("link.bin", NULL, NULL, "is a link");
    names_file("linked/secret", NULL, NULL, "a part of its name is a link, or no folder");
    names_file("twin.bin", NULL, NULL, "has a second name");
    names_file("sub", NULL, NULL, "is no regular file");
    names_file("pipe", NULL, NULL, "is no regular file");
    names_file("absent", NULL, NULL, "No such file or directory");
    names_file(NULL, NULL, NULL, "which has no name");
    static const char *const made[] = {"sub/deep/w.bin", "sub/deep", "sub/secret", "sub/twin.bin", "sub", "w.bin", "twin.bin",
        "link.bin", "linked", "pipe", "m.onnx", ""};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) remove(in_folder(made[i]));
}

static void files_that_are_none(void **state)
{
    (void)state;
    assert_null(kiln_onnx_load(k, "/nowhere/m.onnx"));
    assert_int_equal(kiln_error(k)->code, KILN_EIO);
    kiln_clear(k);
    assert_null(kiln_onnx_load(k, "/dev/null"));
    assert_non_null(strstr(kiln_error(k)->text, "not a regular file"));
    kiln_clear(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(is_described), ENGINE_TEST(numbers_in_pieces), ENGINE_TEST(damaged_anywhere),
        ENGINE_TEST(what_is_wrong_is_named), ENGINE_TEST(deep_and_wide), ENGINE_TEST(memory_has_bounds), ENGINE_TEST(other_files),
        ENGINE_TEST(files_that_are_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
