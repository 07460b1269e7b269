/* test_onnx_files: files of one value as ONNX's test data have them: tensors, sequences, optionals; and those that somebody made to
 * harm: cut off, of other kinds, of sizes that nothing holds. */
#include <stdlib.h>
#include <unistd.h>

#include "onnx_load.h"

static char path[64];
static kiln_tensor *room[8];

static bool read_as(kiln_onnx_kind kind, const Message *m, kiln_onnx_list *to)
{
    strcpy(path, "/tmp/kiln-onnx-XXXXXX");
    const int file = mkstemp(path);
    assert_true(file >= 0 && write(file, m->at, m->n) == (ssize_t)m->n && close(file) == 0);
    *to = (kiln_onnx_list){.at = room, .count = 77, .cap = 8};
    const bool ok = kiln_onnx_read(k, kind, path, to);
    assert_int_equal(unlink(path), 0);
    return ok;
}

static void refuses(kiln_onnx_kind kind, const Message *m, kiln_code code, const char *what)
{
    kiln_onnx_list l;
    assert_false(read_as(kind, m, &l));
    assert_int_equal(l.count, 0);
    says(NULL, code, what);
}

/* f32[2] of a and a + 1. */
static Message pair(float a)
{
    const float v[2] = {a, a + 1};
    Message x = {.n = 0};
    integer(&x, 1, 2), integer(&x, 2, 1), bytes(&x, 9, v, sizeof v);
    return x;
}

static Message sequence_of(const Message *x, int n)
{
    Message s = {.n = 0};
    text(&s, 1, "s"), integer(&s, 2, 1);
    for (int i = 0; i < n; i++) message(&s, 3, &x[i]);
    return s;
}

static Message optional_of(int type, const Message *x)
{
    Message o = {.n = 0};
    text(&o, 1, "o"), integer(&o, 2, type);
    if (x) message(&o, type, x);
    return o;
}

static void values_are_read(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message x[3] = {pair(1), pair(3), pair(5)}, s = sequence_of(x, 3), empty = sequence_of(NULL, 0),
                  none = optional_of(0, NULL);
    Message o;
    kiln_onnx_list l;
    assert_true(read_as(KILN_ONNX_TENSOR, &x[1], &l) && l.count == 1);
    EXACTLY(room[0], KILN_F32, KILN_SHAPE(2), 3, 4);
    assert_true(read_as(KILN_ONNX_SEQUENCE, &s, &l) && l.count == 3);
    EXACTLY(room[2], KILN_F32, KILN_SHAPE(2), 5, 6);
    assert_true(read_as(KILN_ONNX_SEQUENCE, &empty, &l) && l.count == 0);
    assert_true(read_as(KILN_ONNX_OPTIONAL, &none, &l) && l.count == KILN_ONNX_NONE);
    o = optional_of(1, NULL), message(&o, 3, &x[2]);
    assert_true(read_as(KILN_ONNX_OPTIONAL, &o, &l) && l.count == 1);
    EXACTLY(room[0], KILN_F32, KILN_SHAPE(2), 5, 6);
    o = optional_of(3, NULL), message(&o, 5, &s);
    assert_true(read_as(KILN_ONNX_OPTIONAL_SEQUENCE, &o, &l) && l.count == 3);
    o = optional_of(3, NULL), message(&o, 5, &empty);
    assert_true(read_as(KILN_ONNX_OPTIONAL_SEQUENCE, &o, &l) && l.count == 0);
}

static void what_has_no_room_is_not_made(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    Message x[12];
    kiln_onnx_list l;
    for (int i = 0; i < 12; i++) x[i] = pair((float)i);
    const Message s = sequence_of(x, 12);
    assert_true(read_as(KILN_ONNX_SEQUENCE, &s, &l));
    assert_int_equal(l.count, 12);
    EXACTLY(room[7], KILN_F32, KILN_SHAPE(2), 7, 8);
    assert_false(kiln_onnx_read(k, KILN_ONNX_SEQUENCE, "/nowhere", NULL));
    says(NULL, KILN_EVALUE, "there is no list to read into");
    assert_false(kiln_onnx_read(k, KILN_ONNX_OTHER, "/nowhere", &l));
    says(NULL, KILN_EVALUE, "the kind is none that is read");
    assert_false(kiln_onnx_read(k, KILN_ONNX_SEQUENCE, "/nowhere", &l));
    says(NULL, KILN_EIO, "/nowhere");
}

static void other_kinds(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message x[2] = {pair(1), pair(3)}, inner = sequence_of(x, 2);
    Message s = sequence_of(x, 1), o;
    message(&s, 5, &inner);
    refuses(KILN_ONNX_SEQUENCE, &s, KILN_EUNSUPPORTED, "a sequence of sequences is not supported, only one of tensors");
    s = sequence_of(x, 0), message(&s, 7, &inner);
    refuses(KILN_ONNX_SEQUENCE, &s, KILN_EUNSUPPORTED, "a sequence of optionals is not supported");
    s = (Message){.n = 0}, integer(&s, 2, 4);
    refuses(KILN_ONNX_SEQUENCE, &s, KILN_EUNSUPPORTED, "a sequence of values of type 4 is not supported");
    o = optional_of(5, NULL), message(&o, 7, &inner);
    refuses(KILN_ONNX_OPTIONAL, &o, KILN_EUNSUPPORTED, "an optional of type 5 is not supported, only of a tensor or a sequence");
    o = optional_of(1, NULL), message(&o, 3, &x[0]);
    refuses(KILN_ONNX_OPTIONAL_SEQUENCE, &o, KILN_EFORMAT, "it holds a tensor, but a sequence is wanted");
    o = optional_of(3, NULL), message(&o, 5, &inner);
    refuses(KILN_ONNX_OPTIONAL, &o, KILN_EFORMAT, "it holds a sequence, but a tensor is wanted");
}

static void tensors_that_are_wrong(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    Message huge = {.n = 0}, far = {.n = 0}, text8 = {.n = 0}, integers = {.n = 0}, outside = {.n = 0}, entry = {.n = 0};
    integer(&huge, 1, INT64_C(1) << 40), integer(&huge, 2, 1), bytes(&huge, 9, "abcd", 4);
    integer(&far, 1, INT64_C(1) << 62), integer(&far, 1, 8), integer(&far, 2, 1);
    integer(&text8, 1, 1), integer(&text8, 2, 8), text(&text8, 6, "word");
    integer(&integers, 1, 1), integer(&integers, 2, 7), integer(&integers, 7, 4);
    text(&entry, 1, "location"), text(&entry, 2, "/etc/passwd");
    integer(&outside, 1, 1), integer(&outside, 2, 1), message(&outside, 13, &entry), integer(&outside, 14, 1);
    Message s = sequence_of((Message[]){pair(1), huge}, 2);
    refuses(KILN_ONNX_SEQUENCE, &s, KILN_EFORMAT, "tensor 1 of the sequence: it holds 4 bytes in place of 4398046511104");
    s = sequence_of(&far, 1);
    refuses(KILN_ONNX_SEQUENCE, &s, KILN_EFORMAT, "tensor 0 of the sequence: the product of its sizes does not fit into 60 bits");
    s = sequence_of(&text8, 1);
    refuses(KILN_ONNX_SEQUENCE, &s, KILN_EUNSUPPORTED, ": tensor '' has the dtype string, which Kiln has not");
    refuses(KILN_ONNX_SEQUENCE, &s, KILN_EUNSUPPORTED, "onnx: /tmp/kiln-onnx-");
    s = sequence_of((Message[]){pair(1), integers}, 2);
    refuses(KILN_ONNX_SEQUENCE, &s, KILN_EFORMAT, "tensor 1 of the sequence has another dtype than tensor 0");
    s = sequence_of(&outside, 1);
    refuses(KILN_ONNX_SEQUENCE, &s, KILN_EFORMAT, "tensor 0 of the sequence:");
}

/* A sequence that says that it has 2^40 bytes of tensors; one of more tensors than its bytes can pay for; all lengths that are cut.
 */
static void what_is_cut_off(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message x[2] = {pair(1), pair(3)}, s = sequence_of(x, 2);
    Message long_one = {.n = 0};
    varint(&long_one, 3 << 3 | 2), varint(&long_one, UINT64_C(1) << 40);
    refuses(KILN_ONNX_SEQUENCE, &long_one, KILN_EFORMAT, "in a message sequence: a length goes beyond the end");
    for (size_t n = 0; n < s.n; n++) {
        Message part = s;
        kiln_onnx_list l;
        part.n = n;
        const bool ok = read_as(KILN_ONNX_SEQUENCE, &part, &l);
        assert_true(ok != kiln_failed(k)); /* what ends between two fields is whole */
        assert_true(l.count < 2);
        kiln_clear(k);
        Message o = optional_of(3, NULL);
        message(&o, 5, &part);
        assert_true(read_as(KILN_ONNX_OPTIONAL_SEQUENCE, &o, &l) == ok);
        kiln_clear(k);
    }
}

static void more_tensors_than_memory_for_them(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    enum { MANY = 1 << 21 };
    uint8_t *at = malloc(2 * MANY);
    kiln_onnx_list l = {.cap = 0};
    for (int i = 0; i < MANY; i++) at[2 * i] = 3 << 3 | 2, at[2 * i + 1] = 0; /* empty messages */
    strcpy(path, "/tmp/kiln-onnx-XXXXXX");
    const int file = mkstemp(path);
    assert_true(file >= 0 && write(file, at, 2 * MANY) == 2 * MANY && close(file) == 0);
    free(at);
    assert_false(kiln_onnx_read(k, KILN_ONNX_SEQUENCE, path, &l));
    assert_int_equal(unlink(path), 0);
    says(NULL, KILN_EFORMAT, "the file is made of too many small messages");
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(values_are_read), ENGINE_TEST(what_has_no_room_is_not_made),
        ENGINE_TEST(other_kinds), ENGINE_TEST(tensors_that_are_wrong), ENGINE_TEST(what_is_cut_off),
        ENGINE_TEST(more_tensors_than_memory_for_them)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
