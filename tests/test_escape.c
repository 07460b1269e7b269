/* escape: names from outside in what Kiln writes for machines and browsers: JSON, SVG, comments, generated CUDA, headers. */
#include "front.h"

#include <kiln/aot.h>
#include <kiln/io.h>
#include <locale.h>
#include <stdlib.h>

#include "codegen/cuda/print.h"
#include "frontend/cli/svg.c"
#include "frontend/engine/escape.h"

static const char *const hostile[] = {"</script>\"&<>*/ //", "*/ int evil(void); /*", "a\\", "?" "?/", "int", "for", "\xc3\xa9t\xc3\xa9", "\xff\xfe bytes",
    "\x01\x1f\x7f\t\n\r", "%s%n", "${x}`'", "\xed\xa0\x80", "\xf4\x90\x80\x80", "cut \xe2\x82", "\xef\xbf\xbe", "&amp;", ""};
#define HOSTILE (sizeof hostile / sizeof *hostile)

static void as_json(const char *s, const char *want)
{
    Text t = {0};
    text_json(&t, s);
    assert_string_equal(t.at, want);
    text_free(&t);
}

static void as_xml(const char *s, const char *want)
{
    Text t = {0};
    text_xml(&t, s);
    assert_string_equal(t.at ? t.at : "", want);
    text_free(&t);
}

static void known_forms(void **state)
{
    (void)state;
    as_json("plain \xc3\xa9", "\"plain \xc3\xa9\"");
    as_json("</script>\"&\\", "\"\\u003c/script\\u003e\\\"\\u0026\\\\\"");
    as_json("\x01\n\x7f", "\"\\u0001\\u000a\\u007f\"");
    as_json("a\xff" "b\xc3", "\"a\xef\xbf\xbd" "b\xef\xbf\xbd\"");
    as_json("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* half of a surrogate pair */
    as_xml("</script>\"&'<>", "&lt;/script&gt;&quot;&amp;&#39;&lt;&gt;");
    as_xml("a\x01\tb\xff\xef\xbf\xbe", "a\xef\xbf\xbd b\xef\xbf\xbd\xef\xbf\xbd");
}

/* Nothing that a reader could take for its own syntax, and all of it characters. */
static void no_name_gets_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTILE; i++) {
        Text j = {0}, x = {0}, c = {0};
        text_json(&j, hostile[i]);
        text_xml(&x, hostile[i]);
        text_comment(&c, hostile[i]);
        for (size_t at = 1; at + 1 < j.len; at++) {
            assert_true((unsigned char)j.at[at] >= ' ' && !strchr("<>&\x7f", j.at[at]));
            if (j.at[at] == '"') assert_true(j.at[at - 1] == '\\');
        }
        for (size_t at = 0, n; at < j.len; at += n) assert_true((n = utf8_one(j.at + at, j.len - at)) != 0);
        for (size_t at = 0, n; at < x.len; at += n) {
            assert_true((n = utf8_one(x.at + at, x.len - at)) != 0);
            assert_true((unsigned char)x.at[at] >= ' ' && !strchr("<>\"'", x.at[at]));
        }
        for (size_t at = 0; at < c.len; at++) assert_true(c.at[at] >= ' ' && c.at[at] <= '~' && c.at[at] != '*' && c.at[at] != '\\');
        text_free(&j), text_free(&x), text_free(&c);
    }
}

/* ---- where they are used ------------------------------------------------------------------------------------------------- */
static void charts(void **state)
{
    (void)state;
    const float y[3] = {1, 2, 3};
    for (size_t i = 0; i < HOSTILE; i++) {
        Text svg = {0};
        svg_print(&svg, hostile[i], hostile[i], hostile[i], &(Curve){hostile[i], hostile[i], y, 3}, 1);
        assert_false(svg.failed);
        size_t open = 0, close = 0;
        for (const char *c = svg.at; *c; c++) open += *c == '<', close += *c == '>', assert_true(*c == '\n' || (unsigned char)*c >= ' ');
        if (i == 0) assert_null(strstr(svg.at, "</script>"));
        static size_t first;
        if (i == 0) first = open;
        assert_int_equal(open, first);
        assert_int_equal(close, first);
        text_free(&svg);
    }
}

static void twice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], 2);
}

static void comparisons(void **state)
{
    kiln *k = *state;
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(4));
    for (size_t i = 0; i < HOSTILE; i++) {
        char *text = NULL, want[256];
        size_t bytes = 0;
        kiln_function *f = kiln_function_new(k, twice, NULL, &(kiln_function_options){.name = hostile[i]});
        FILE *to = open_memstream(&text, &bytes);
        bool same = kiln_compare(to, f, &x, 1, &(kiln_compare_options){.seconds = 1e-6, .json = true});
        fclose(to);
        if (kiln_error(k)->code == KILN_EDEVICE) {
            kiln_clear(k);
            free(text);
            printf("skip: the LLVM module is not at hand\n");
            skip();
        }
        assert_ok(k);
        assert_true(same);
        Text name = {0};
        text_json(&name, hostile[i]);
        snprintf(want, sizeof want, "{\"function\": %s, \"eager_seconds\": ", *hostile[i] ? name.at : "\"function\"");
        if (*hostile[i] && strncmp(text, want, strlen(want))) fail_msg("%s", text);
        text_free(&name);
        free(text);
        kiln_function_free(f);
    }
}

/* An error's text names what came from outside in one clean line, however long that is, and still says where. */
static void errors(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.no_log = true});
    char path[3000];
    for (size_t i = 0; i < HOSTILE; i++) {
        snprintf(path, sizeof path, "/nonexistent/%s", hostile[i]);
        assert_false(kiln_load_weights(k, path, NULL, 0));
        const char *text = kiln_error(k)->text;
        for (const char *p = text; *p; p += utf8_one(p, strlen(p))) {
            assert_true(utf8_one(p, strlen(p)) > 0);
            assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
        }
        assert_non_null(strstr(text, "test_escape.c:"));
        kiln_clear(k);
    }
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    assert_false(kiln_load_weights(k, path, NULL, 0));
    assert_non_null(strstr(kiln_error(k)->text, "xxx...  "));
    assert_non_null(strstr(kiln_error(k)->text, "test_escape.c:"));
    char line[] = "a\tb\nc\x1b[2J\xc2\x9b\xff\xc3\xa9";
    text_line(line);
    assert_string_equal(line, "a b c?[2J???\xc3\xa9");
    kiln_clear(k);
    kiln_close(k);
}

static void cuda_names(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena);
    const char *before = setlocale(LC_CTYPE, NULL);
    setlocale(LC_CTYPE, "en_US.ISO-8859-1"); /* where there is one, its letters are no letters of CUDA's */
    for (size_t i = 0; i < HOSTILE; i++) {
        Program p = {0};
        VEC_PUSH(&arena, &p.kernel)->name = hostile[i];
        const char *name = cuda_kernel_name(&arena, &p, 0);
        assert_true(!strncmp(name, "k0_", 3) && strlen(name) == 3 + strlen(hostile[i]));
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"), strlen(name));
    }
    setlocale(LC_CTYPE, before);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_forms), cmocka_unit_test(no_name_gets_out), cmocka_unit_test(charts),
        FRONT_TEST(comparisons), cmocka_unit_test(errors), cmocka_unit_test(cuda_names),
    };
    return cmocka_run_group_tests_name("escape", tests, NULL, NULL);
}
