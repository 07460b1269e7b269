/* test_step_program: what the program of a training step has to do, and what it need not, read where KILN_DUMP writes it: an activation's operand is not
 * kept for the gradient, cotangents of windows that tile an image are moved and not added up. Eager code, compiled code and the reference agree on each. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "front.h"

#define S KILN_SHAPE

/* ---- the dumped text ------------------------------------------------------------------------------------------------ */

typedef struct Text {
    char *at;
    size_t len;
} Text;

static void append(Text *t, const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (size_t n = 1; n > 0; t->len += n) {
        t->at = realloc(t->at, t->len + 4097);
        assert_non_null(t->at);
        n = fread(t->at + t->len, 1, 4096, f);
        t->at[t->len + n] = 0;
    }
    fclose(f);
}

/* All that stages wrote into the folder, which goes. */
static Text dumped(const char *folder)
{
    Text t = {0};
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[600];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        append(&t, path);
        remove(path);
    }
    closedir(d);
    rmdir(folder);
    assert_non_null(t.at);
    return t;
}

/* How often the word, which is not part of a longer one, stands before `end`. */
static int occurrences(const char *text, const char *word, const char *end)
{
    int n = 0;
    const size_t len = strlen(word);
    for (; (text = strstr(text, word)) != NULL && (end == NULL || text < end); text += len)
        n += strchr(" (,", text[-1]) != NULL && strchr(" (,\n", text[len]) != NULL;
    return n;
}

/* f's gradient at x, compiled: what the stages were. Eager code has the same bits, and the reference agrees. */
static Text gradient_stages(kiln *k, kiln_body *f, const char *stages, kiln_tensor **x, int n)
{
    KILN_SCOPE(k);
    char folder[] = "/tmp/kiln-step-XXXXXX";
    kiln_tensor *compiled[4], *eager[4];
    kiln_function *g = kiln_grad(kiln_function_new(k, f, NULL, &(kiln_function_options){.inputs_count = n, .fixed_sizes = true}));
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", stages, 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    kiln_call_all(g, kiln_tensors(x, n), compiled, n);
    unsetenv("KILN_DUMP");
    Text t = dumped(folder);
    kiln_eager(k, true);
    kiln_call_all(g, kiln_tensors(x, n), eager, n);
    kiln_eager(k, false);
    assert_ok(k);
    for (int i = 0; i < n; i++) assert_memory_equal(kiln_data(compiled[i]), kiln_data(eager[i]), kiln_bytes(eager[i]));
    assert_int_equal(kiln_check(NULL, g, x, n), KILN_AGREE);
    return t;
}

#define BODY(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in, kiln_tensor **out, void *user KILN_UNUSED)

/* ---- activations ---------------------------------------------------------------------------------------------------- */

BODY(hidden_layer)
{
    kiln_tensor *h = kiln_relu(kiln_add(kiln_matmul(in[0], in[1]), in[2]));
    out[0] = kiln_sum(kiln_square(kiln_matmul(h, in[3])), KILN_ALL);
}

/* What the first product writes is read once, where the activation is made: the gradient asks the activation. */
static void what_goes_into_relu_is_not_kept(void **state)
{
    kiln *k = *state;
    kiln_variable *draw = kiln_generator(k, 3);
    kiln_tensor *x[4] = {kiln_uniform(draw, KILN_F32, S(32, 48), -1, 1), kiln_uniform(draw, KILN_F32, S(48, 64), -1, 1),
                         kiln_uniform(draw, KILN_F32, S(64), -1, 1), kiln_uniform(draw, KILN_F32, S(64, 8), -1, 1)};
    Text t = gradient_stages(k, hidden_layer, "program", x, 4);
    char product[16];
    const char *made = strstr(t.at, "  contract f32 [32,64] over 48"), *kernels = strstr(t.at, "\nkernel ");
    assert_non_null(made);
    assert_non_null(kernels);
    assert_int_equal(sscanf(strstr(made, "-> "), "-> %15s", product), 1);
    assert_int_equal(occurrences(strchr(made, '\n'), product, kernels), 1);
    free(t.at);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        FRONT_TEST(what_goes_into_relu_is_not_kept),
    };
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
