/* aot: an MLP's inference and its training step as object files: a plain C program that links them and libm alone gets the bits of a JIT
 * compiled without BLAS. Skipped without the LLVM module or a C compiler. */
#include "aot_test.h"

#include <kiln/aot.h>
#include <kiln/nn.h>

enum { IN = 20, HIDDEN = 33, OUT = 5, BATCH = 12, STEPS = 10 };

struct net { kiln_dense *hidden, *last; kiln_optimizer *sgd; };

static kiln_tensor *forward(struct net *net, kiln_tensor *x)
{
    return kiln_dense_apply(net->last, kiln_tanh(kiln_dense_apply(net->hidden, x)));
}

static void infer(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = forward(user, in[0]);
}

static void train(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct net *net = user;
    KILN_TAPE(k, tape);
    out[0] = kiln_cross_entropy(forward(net, in[0]), in[1]);
    kiln_optimizer_minimize(net->sgd, tape, out[0]);
}

static const char *const program =
    "#include <stdio.h>\n#include <stdlib.h>\n#include \"step.h\"\n#include \"infer.h\"\n"
    "_Alignas(64) static unsigned char work[STEP_WORKSPACE_BYTES], state[STEP_STATE_BYTES], iwork[INFER_WORKSPACE_BYTES], istate[INFER_STATE_BYTES];\n"
    "static float x[12 * 20], y[12 * 5];\nstatic int64_t label[12];\n"
    "int main(int argc, char **argv)\n{\n"
    "    FILE *f = fopen(argv[1], \"rb\");\n"
    "    if (argc < 2 || !f || fread(x, sizeof x, 1, f) != 1 || fread(label, sizeof label, 1, f) != 1) return 2;\n"
    "    step_init(state);\n    infer_init(istate);\n"
    "    for (int i = 0; i < 10; i++) {\n        float loss;\n"
    "        if (step(state, x, label, 12, &loss, work)) return 3;\n"
    "        fwrite(&loss, sizeof loss, 1, stdout);\n    }\n"
    "    if (step(state, x, label, 13, y, work) == 0) return 4;\n"
    "    if (infer(istate, x, y, iwork)) return 5;\n"
    "    fwrite(y, sizeof y, 1, stdout);\n"
    "    f = fopen(\"/proc/self/maps\", \"r\");\n    char line[512];\n"
    "    while (f && fgets(line, sizeof line, f)) {\n"
    "        for (char *c = line; *c; c++)\n"
    "            if (!strncmp(c, \"LLVM\", 4) || !strncmp(c, \"libkiln\", 7) || !strncmp(c, \"blas\", 4)) return 6;\n    }\n"
    "    return 0;\n}\n";

static void write_file(const char *path, const void *a, size_t an, const void *b, size_t bn)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fwrite(a, 1, an, f) == an && fwrite(b, 1, bn, f) == bn);
    fclose(f);
}

static void objects_train_and_infer_with_the_bits_of_the_jit(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *g = kiln_generator(k, 11);
    struct net net = {kiln_dense_new(k, IN, HIDDEN, g), kiln_dense_new(k, HIDDEN, OUT, g), kiln_sgd(k, 0.1, 0.9)};
    kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(BATCH, IN), 0, 1);
    kiln_tensor *label = kiln_argmax(kiln_slice(x, 1, 0, OUT, 1), 1);
    kiln_function *step = kiln_function_new(k, train, &net, &(kiln_function_options){
        .name = "step",
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 12), IN), KILN_SPEC(KILN_I64, KILN_DIM("N", 1, 12))}});
    kiln_function *eval = kiln_function_new(k, infer, &net, &(kiln_function_options){.name = "infer",
        .inputs = {KILN_SPEC(KILN_F32, BATCH, IN)}});
    kiln_tensor *logits = kiln_call(eval, x);
    kiln_variable *moments[16]; /* made by a first trace, so that the artifact's state has their first values */
    assert_ok(k);
    assert_true(kiln_aot(step, path_of("step"), NULL));
    assert_true(kiln_aot(eval, path_of("infer"), NULL));
    assert_ok(k);
    assert_int_equal(kiln_optimizer_variables(net.sgd, moments, 16), 5);

    float want[STEPS + BATCH * OUT];
    for (int i = 0; i < STEPS; i++)
        want[i] = (float)kiln_item(kiln_call(step, x, label));
    kiln_read(logits, want + STEPS, sizeof(float) * BATCH * OUT);
    assert_ok(k);

    write_file(path_of("main.c"), program, strlen(program), "", 0);
    write_file(path_of("data"), kiln_data(x), kiln_bytes(x), kiln_data(label), kiln_bytes(label));
    run("cc -std=c11 -Wall -Wextra -Werror -O1 -o %s/main %s/main.c %s/step.o %s/infer.o -lm", dir, dir, dir, dir);
    run("%s/main %s/data > %s/got", dir, dir, dir);
    run("! nm -u %s/step.o | grep -vE ' (mem(cpy|set|move)|[a-z0-9]+f?)$'", dir);
    float got[STEPS + BATCH * OUT];
    FILE *f = fopen(path_of("got"), "rb");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, sizeof got, f), sizeof got);
    fclose(f);
    assert_memory_equal(got, want, sizeof got);
}

static void objects_are_the_same_bytes_each_time(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    struct net net = {kiln_dense_new(k, IN, HIDDEN, KILN_ZEROS), kiln_dense_new(k, HIDDEN, OUT, KILN_ZEROS), NULL};
    kiln_function *f = kiln_function_new(k, infer, &net, &(kiln_function_options){.name = "infer", .inputs = {KILN_SPEC(KILN_F32, BATCH, IN)}});
    assert_true(kiln_aot(f, path_of("a"), &(kiln_aot_options){.symbol = "same"}));
    assert_true(kiln_aot(f, path_of("b"), &(kiln_aot_options){.symbol = "same"}));
    assert_ok(k);
    run("cmp %s/a.o %s/b.o", dir, dir);
}

static void text_compiles_too(void **state)
{
    kiln *k = *state;
    static const char text[] = "module { dims N in [1,8] }\n\ngraph @axpy(%1: f32[], %2: f32[N], %3: f32[N]) -> (%6) {\n"
                               "  %4 = broadcast(%1) {[N]} : f32[N]\n  %5 = mul(%4, %2) : f32[N]\n  %6 = add(%5, %3) : f32[N]\n}\n";
    static const char main_c[] = "#include \"axpy.h\"\nint main(void)\n{\n    float a = 2, x[3] = {1, 2, 3}, y[3] = {10, 20, 30}, out[3];\n"
                                 "    if (axpy(0, &a, x, y, 3, out, 0)) return 1;\n    return !(out[0] == 12 && out[1] == 24 && out[2] == 36);\n}\n";
    assert_true(kiln_aot_text(k, text, strlen(text), path_of("axpy"), NULL));
    assert_ok(k);
    write_file(path_of("axpy_main.c"), main_c, strlen(main_c), "", 0);
    run("cc -std=c11 -Wall -Wextra -Werror %s/axpy_main.c %s/axpy.o -lm -o %s/axpy", dir, dir, dir);
    run("%s/axpy", dir);
    kiln_aot_text(k, text, strlen(text) - 20, path_of("cut"), NULL);
    assert_error(k, KILN_EFORMAT, ":");
}

static void codes_have_names(void **state)
{
    kiln *k = *state;
    static const char text[] = "module { dims N in [1,8] }\n\ngraph @main(%1: f32[N]) -> (%1) {\n  %2 = constant() {f32, 5, [N]}\n"
                               "  %3 = lt(%1, %2)\n  %4 = reduce_min(%3) {[0]}\n  assert(%4) {0}\n}\n";
    static const char main_c[] = "#include \"coded.h\"\nint main(void)\n{\n    float x[3] = {1, 2, 3}, out[3];\n"
                                 "    static _Alignas(64) unsigned char w[CODED_WORKSPACE_BYTES];\n"
                                 "    if (coded(0, x, 3, out, w) != CODED_OK) return 1;\n    x[2] = 6;\n"
                                 "    if (coded(0, x, 3, out, w) != CODED_EVALUE) return 2;\n"
                                 "    return coded(0, x, 9, out, w) != CODED_ESHAPE;\n}\n";
    assert_true(kiln_aot_text(k, text, strlen(text), path_of("coded"), NULL));
    assert_ok(k);
    write_file(path_of("coded_main.c"), main_c, strlen(main_c), "", 0);
    run("cc -std=c11 -Wall -Wextra -Werror %s/coded_main.c %s/coded.o -lm -o %s/coded", dir, dir, dir);
    run("%s/coded", dir);
}

static void doubled(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], kiln_static_i64(in[1]));
}

/* Eager or compiled, a hit or a miss: the latest call's types count. */
static void the_latest_call_counts(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, doubled, NULL, &(kiln_function_options){.name = "doubled"});
    kiln_eager(k, true);
    kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(3, 5)), KILN_STATIC(2));
    kiln_eager(k, false);
    assert_true(kiln_aot(f, path_of("latest"), NULL));
    run("grep -q 'f32\\[3,5\\]' %s/latest.h", dir);
    for (int64_t n = 7; n < 12; n++) kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(n)), KILN_STATIC(2)); /* becomes a symbol */
    assert_true(kiln_aot(f, path_of("latest"), NULL));
    run("grep -q 'f32\\[11\\]' %s/latest.h", dir);
    kiln_call(f, kiln_ones(k, KILN_F64, KILN_SHAPE(4)), KILN_STATIC(2));
    kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(7)), KILN_STATIC(2)); /* a hit */
    assert_true(kiln_aot(f, path_of("latest"), NULL));
    run("grep -q 'f32\\[7\\]' %s/latest.h", dir);
    assert_ok(k);
}

static void misuse_is_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    struct net net = {kiln_dense_new(k, IN, HIDDEN, KILN_ZEROS), kiln_dense_new(k, HIDDEN, OUT, KILN_ZEROS), NULL};
    kiln_function *f = kiln_function_new(k, infer, &net, &(kiln_function_options){.name = "infer", .inputs_count = 1});
    kiln_aot(f, path_of("x"), NULL);
    assert_error(k, KILN_ESTATE, "never called");
    kiln_function *bare = kiln_function_new(k, infer, &net, &(kiln_function_options){.name = "bare"});
    kiln_aot(bare, path_of("x"), NULL);
    assert_error(k, KILN_EVALUE, "bare declares no inputs and was never called, so it was traced without any, and that failed; give .inputs, or call it once");
    kiln_function *open = kiln_function_new(k, infer, &net, &(kiln_function_options){.name = "open", .inputs = {{.dtype = KILN_F32, .rank = -1}}});
    kiln_aot(open, path_of("x"), NULL);
    assert_error(k, KILN_EVALUE, "open declares input 0 without a rank; an object needs one");
    kiln_call(f, kiln_zeros(k, KILN_F32, KILN_SHAPE(2, IN)));
    assert_ok(k);
    kiln_aot(f, path_of("no such folder/x"), NULL);
    assert_error(k, KILN_EIO, "no such folder");
    kiln_aot(f, path_of("9lives"), NULL);
    assert_error(k, KILN_EVALUE, "identifier");
    kiln_aot(f, path_of("x"), &(kiln_aot_options){.symbol = "int"});
    assert_error(k, KILN_EVALUE, "identifier");
    kiln_aot(f, path_of("x"), &(kiln_aot_options){.workspace_limit = 16});
    assert_error(k, KILN_EVALUE, "limit is 16");
    kiln_aot(f, path_of("x"), &(kiln_aot_options){.triple = "no-such-machine"});
    assert_error(k, KILN_EUNSUPPORTED, "no-such-machine");
    kiln_aot(f, path_of("x"), &(kiln_aot_options){.cpu = "no-such-cpu"});
    assert_error(k, KILN_EUNSUPPORTED, "cpu: LLVM knows no CPU 'no-such-cpu' for x86_64");
    kiln_aot(f, path_of("x"), &(kiln_aot_options){.cpu = "x86-64-v3", .features = "+avx2,+warp"});
    assert_error(k, KILN_EUNSUPPORTED, "features: LLVM knows no feature '+warp' for x86_64");
    kiln_aot(f, path_of("x"), &(kiln_aot_options){.features = "+avx2,fma"});
    assert_error(k, KILN_EUNSUPPORTED, "features: 'fma' must begin with + or -");
    kiln_aot(f, path_of("x"), &(kiln_aot_options){.triple = "aarch64-linux-gnu", .cpu = "znver4"});
    assert_error(k, KILN_EUNSUPPORTED, "knows no CPU 'znver4' for aarch64");
    assert_true(kiln_aot(f, path_of("other"), &(kiln_aot_options){.cpu = "native"}));
    assert_true(kiln_aot(f, path_of("other"), &(kiln_aot_options){.cpu = "x86-64-v3", .features = "-fma"}));
    assert_int_not_equal(access(path_of("x.o"), F_OK), 0);
    assert_int_not_equal(access(path_of("x.h"), F_OK), 0);
}

/* ---- names from outside, and what a call needs ------------------------------------------------------------------------ */
static bool compile_text(kiln *k, const char *name, const char *dim, const char *symbol)
{
    char text[1024];
    snprintf(text, sizeof text,
        "module {\n  dims %s in [1,9]\n}\ngraph @\"%s\"(%%1: f32[%s,3]) -> (%%2) {\n  %%2 = tanh(%%1) : f32[%s,3]\n}\n", dim, name, dim, dim);
    return kiln_aot_text(k, text, strlen(text), path_of("named"), &(kiln_aot_options){.symbol = symbol});
}

static void compile_header(void)
{
    run("cd '%s' && printf '#include \"named.h\"\\n' > n.c && cp n.c n.cc && cc -std=c11 -Wall -Wextra -Werror -pedantic -fsyntax-only n.c", dir);
    run("cd '%s' && cc -std=gnu11 -Wall -Wextra -Werror -fsyntax-only n.c", dir);
    run("cd '%s' && if c++ --version > /dev/null 2>&1; then c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only n.cc; fi", dir);
}

static void headers_compile_whatever_the_names(void **state)
{
    static const char *const dims[] = {"int", "for", "state", "buf", "workspace", "rc", "dim", "size", "all", "in0", "out0", "typeof", "linux",
        "unix", "class", "new", "template", "co_await", "NULL", "INT64_MAX", "memcpy", "__FILE", "_", "n_n", "named", "NAMED_ALIGN", "errno"};
    static const char *const graphs[] = {"x */ int evil(void){return 42;} /*", "/* /* //", "*/\\n#error no", "a?\?/b", "caf\303\251 \342\200\256", "%s%n"};
    static const char *const refused[] = {"int", "typeof", "linux", "unix", "co_await", "and_eq", "memcpy", "int64_t", "INT8_MAX", "__x", "_X", "main", "NULL", "wchar_t",
        "std", "malloc", "exp", "tgamma", "read", "environ", "FILE", "uint", "pthread_mutex" /* _init */, "atomic"};
    kiln *k = *state;
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        assert_true(compile_text(k, "f", dims[i], "named"));
        compile_header();
    }
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        if (!compile_text(k, graphs[i], "N", "named")) { /* no name of a graph in text */
            assert_error(k, KILN_EFORMAT, "");
            continue;
        }
        compile_header();
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_false(compile_text(k, "f", "N", refused[i]));
        assert_error(k, KILN_EVALUE, "identifier");
    }
}

#define HEADERS "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg stdatomic stdbool stddef stdint stdio stdlib " \
                "stdnoreturn string tgmath threads time uchar wchar wctype"

/* Every macro of C's headers is refused; what is not refused compiles behind all of them. */
static void a_header_stands_behind_all_of_the_c_library(void **state)
{
    static const char *const fine[] = {"stream", "memory_net", "internal", "step", "token", "Encoder", "MLP", "signals", "isolated", "near", "print"};
    kiln *k = *state;
    char word[256];
    int macros = 0;
    run("cd '%s' && for h in " HEADERS "; do echo \"#include <$h.h>\"; done > all.h && cc -std=c11 -dM -E all.h | sed 's/#define \\([A-Za-z0-9_]*\\).*/\\1/' > macros", dir);
    FILE *in = fopen(path_of("macros"), "r");
    assert_non_null(in);
    while (fscanf(in, "%255s", word) == 1) {
        if (word[0] == '_') continue;
        if (compile_text(k, "f", "N", word)) fail_msg("%s is a macro", word);
        assert_error(k, KILN_EVALUE, "an identifier of C or its library");
        macros++;
    }
    fclose(in);
    assert_true(macros > 400);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        if (!compile_text(k, "f", "N", fine[i])) fail_msg("%s", kiln_error(k)->text);
        run("cd '%s' && cat all.h named.h > n.c && cc -std=gnu11 -Wall -Wextra -Werror -fsyntax-only n.c", dir);
    }
}

static const char *const needs_program =
    "#include <stdio.h>\n#include \"needs.h\"\n_Alignas(64) static unsigned char work[NEEDS_WORKSPACE_BYTES];\n"
    "int main(void)\n{\n    int64_t size[3];\n    static float x[9 * 9], y[9 * 9];\n    for (int i = 0; i < 81; i++) x[i] = (float)i;\n"
    "    for (int n = 1; n < 10; n++) {\n        if (needs_needs(n, size) || size[1] != n || size[2] != n) return 1;\n"
    "        if (size[0] < n * n * 4 || size[0] > (n * n * 4 + 63) / 64 * 64 + NEEDS_WORKSPACE_BYTES - 9 * 9 * 4) return 2;\n"
    "        for (size_t i = 0; i < sizeof work; i++) work[i] = 0xa5;\n"
    "        if (needs((void *)0, x, n, y, work)) return 3;\n"
    "        for (size_t i = (size_t)size[0]; i < sizeof work; i++) if (work[i] != 0xa5) return 4;\n    }\n"
    "    return needs_needs(10, size) != NEEDS_ESHAPE;\n}\n";

static void needs_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *p = kiln_matmul(in[0], in[0]);
    out[0] = kiln_matmul(p, in[0]);
}

static void a_header_tells_what_a_call_needs(void **state)
{
    kiln *k = *state;
    kiln_function *f = kiln_function_new(k, needs_body, NULL, &(kiln_function_options){
        .name = "needs", .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("for", 1, 9), KILN_DIM("for", 1, 9))}});
    assert_true(kiln_aot(f, path_of("needs"), NULL));
    write_file(path_of("needs_main.c"), needs_program, strlen(needs_program), "", 0);
    run("cd '%s' && cc -o needs needs_main.c needs.o -lm && ./needs", dir);
}

/* A fused group is what our own passes make, of a bounded length: none is taken from outside, wherever it stands and however long it is. */
static void no_kernel_comes_from_text(void **state)
{
    kiln *k = *state;
    static const char *const entry[] = {"  %2 = kernel(%1) {@body, -1, [4, 1]}\n", "  %3 = constant() {i64, 2, []}\n  %2 = loop(%3, %1) {@step, 1, 0, 0, 0, 2, []}\n"};
    enum { LONG = 200000 };
    char *text = malloc(1000 + 40 * (size_t)LONG);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(4)), *out;
    for (int inside = 0; inside < 2; inside++)
        for (int n = 1; n <= LONG; n *= LONG) {
            size_t at = (size_t)sprintf(text, "module {}\n\ngraph @main(%%1: f32[4]) -> (%%2) {\n%s}\n\n", entry[inside]);
            if (inside) at += (size_t)sprintf(text + at, "graph @step(%%1: i64[], %%2: f32[4]) -> (%%3) {\n  %%3 = kernel(%%2) {@body, -1, [4, 1]}\n}\n\n");
            at += (size_t)sprintf(text + at, "graph @body(%%1: f32[4]) -> (%%%d) {\n", n + 1);
            for (int i = 0; i < n; i++) at += (size_t)sprintf(text + at, "  %%%d = tanh(%%%d)\n", i + 2, i + 1);
            at += (size_t)sprintf(text + at, "}\n");
            assert_false(kiln_aot_text(k, text, at, path_of("kernel"), NULL));
            assert_error(k, KILN_EUNSUPPORTED, "holds kernel, which is not compiled from text");
            assert_int_equal(kiln_run_text_at(KILN_HERE, k, text, at, kiln_tensors(&x, 1), &out, 1), -1);
            assert_error(k, KILN_EUNSUPPORTED, "holds kernel, which is not compiled from text");
        }
    free(text);
}

static void both_files_or_neither(void **state)
{
    kiln *k = *state;
    assert_true(compile_text(k, "f", "N", "first"));
    run("cd '%s' && cp named.o kept.o && rm named.h && mkdir named.h", dir);
    assert_false(compile_text(k, "g", "M", "second"));
    assert_error(k, KILN_EIO, "named.h");
    run("cd '%s' && cmp named.o kept.o && rmdir named.h && rm named.o && mkdir named.h", dir);
    assert_false(compile_text(k, "g", "M", "second"));
    kiln_clear(k);
    run("cd '%s' && test ! -e named.o && rmdir named.h && test -z \"$(ls -A | grep -e tmp -e old)\"", dir);
    run("cd '%s' && echo precious > precious && ln -s precious .named.o.tmp && ln -sf precious named.o", dir);
    assert_true(compile_text(k, "g", "M", "second"));
    run("cd '%s' && grep -q precious precious && test ! -L named.o && rm .named.o.tmp", dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(objects_train_and_infer_with_the_bits_of_the_jit), FRONT_TEST(objects_are_the_same_bytes_each_time), FRONT_TEST(text_compiles_too),
        FRONT_TEST(the_latest_call_counts), FRONT_TEST(codes_have_names), FRONT_TEST(misuse_is_named),
        FRONT_TEST(headers_compile_whatever_the_names), FRONT_TEST(a_header_stands_behind_all_of_the_c_library), FRONT_TEST(a_header_tells_what_a_call_needs), FRONT_TEST(both_files_or_neither),
        FRONT_TEST(no_kernel_comes_from_text),
    };
    return cmocka_run_group_tests_name("aot", tests, aot_set_up, aot_tear_down);
}
