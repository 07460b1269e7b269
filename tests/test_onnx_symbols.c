/* test_onnx_symbols: ONNX models of open sizes: what they compute of sizes, and where they use it. Compiled once for all sizes, in
 * process and as an object, they give what the same model gives eagerly at each of them, to the bit. */
#include "aot_test.h"

#include <kiln/aot.h>
#include <kiln/onnx.h>

#include "onnx_bytes.h"

/* ---- models as text ------------------------------------------------------------------------------------------
 * "Shape x > s | Slice x #0 s > y axis=1": nodes with their operands, results and attributes, which are integers, or text behind a
 * colon. #1,2 is a row of integers, $1 one integer, %.5 one float, %1,2 a row of them. */

static const char *word(const char *s, char *to, size_t cap)
{
    while (*s == ' ') s++;
    const size_t n = strcspn(s, " ");
    assert_true(n < cap);
    memcpy(to, s, n);
    to[n] = '\0';
    return s + n;
}

static Message constant(const char *name)
{
    Message w = {.n = 0};
    int64_t whole[16];
    float real[16];
    int n = 0;
    const bool floats = *name == '%', row = *name == '#' || strchr(name, ',') != NULL;
    for (const char *s = name + 1; *s; s += *s == ',') {
        char *end;
        real[n] = strtof(s, &end);
        if (!floats) whole[n] = strtoll(s, &end, 10);
        n++, s = end;
    }
    if (row) integer(&w, 1, n);
    integer(&w, 2, floats ? 1 : 7), text(&w, 8, name);
    bytes(&w, 9, floats ? (const void *)real : whole, (size_t)n * (floats ? sizeof *real : sizeof *whole));
    return w;
}

static Message node_of_text(const char *s, Message *graph, char known[][64], int *constants)
{
    Message n = {.n = 0};
    char op[32], w[64];
    bool in = true;
    for (s = word(s, op, sizeof op), s = word(s, w, sizeof w); *w; s = word(s, w, sizeof w)) {
        char *value = strchr(w, '=');
        if (strcmp(w, ">") == 0) {
            in = false;
        } else if (value) {
            *value++ = '\0';
            Message a = attribute_of(w, *value == ':' ? 3 : 2);
            if (*value == ':')
                text(&a, 4, value + 1);
            else
                integer(&a, 3, strtoll(value, NULL, 10));
            message(&n, 5, &a);
        } else {
            bytes(&n, in ? 1 : 2, w, *w == '_' ? 0 : strlen(w));
            bool is_new = *w == '#' || *w == '$' || *w == '%';
            for (int i = 0; i < *constants; i++) is_new = is_new && strcmp(known[i], w) != 0;
            if (!is_new) continue;
            const Message c = constant(w);
            message(graph, 5, &c);
            strcpy(known[(*constants)++], w);
        }
    }
    text(&n, 4, op);
    return n;
}

static kiln_onnx *model(kiln *k, const char *nodes, int64_t version)
{
    static char known[64][64];
    int constants = 0;
    Message g = {.n = 0}, in = value_of("x"), out = {.n = 0};
    text(&out, 1, "y");
    for (const char *s = nodes; *s;) {
        char one[400];
        const size_t n = strcspn(s, "|");
        snprintf(one, sizeof one, "%.*s", (int)n, s);
        const Message node = node_of_text(one, &g, known, &constants);
        message(&g, 1, &node);
        s += n + (s[n] == '|');
    }
    message(&g, 11, &in), message(&g, 12, &out);
    const Message m = model_of(&g, version);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    if (!x) print_error("%s\n", kiln_error(k)->text);
    assert_non_null(x);
    return x;
}

/* ---- the same three ways --------------------------------------------------------------------------------------- */

enum { MOST = 9, ROOM = 1 << 16 };

static kiln_tensor *rows_of(kiln *k, int64_t n)
{
    float at[3 * MOST];
    for (int64_t i = 0; i < 3 * n; i++) at[i] = i % 7 == 3 ? -0.0f : (float)((i * 5 + n) % 11) - 4.5f;
    return kiln_from(k, KILN_F32, KILN_SHAPE(n, 3), at, 3 * n);
}

static const char *const program =
    "#include <stdio.h>\n#include <stdlib.h>\n#include \"net.h\"\n"
    "int main(int argc, char **argv)\n{\n"
    "    static _Alignas(64) unsigned char state[NET_STATE_BYTES + 1], work[NET_WORKSPACE_BYTES + 64];\n"
    "    static _Alignas(64) float x[27], y[1 << 16];\n    int64_t size[16];\n"
    "    FILE *f = argc > 1 ? fopen(argv[1], \"rb\") : NULL;\n    if (!f) return 2;\n    net_init(state);\n"
    "    for (int n = LEAST; n <= 9; n++) {\n"
    "        if (fread(x, sizeof *x, (size_t)(3 * n), f) != (size_t)(3 * n)) return 3;\n"
    "        if (net_needs(n, size)) return 4;\n        size_t all = 1;\n"
    "        for (int i = 1; i <= RANK; i++) all *= (size_t)size[i];\n"
    "        if (net(state, x, n, y, work) != NET_OK) return 5;\n"
    "        fwrite(y, sizeof *y, all, stdout);\n    }\n    return 0;\n}\n";

/* What one object gives for all sizes, one after the other, is what was gathered eagerly. */
static void object_gives(kiln *k, kiln_function *f, int least, int rank, const char *want, size_t bytes)
{
    static char got[ROOM];
    char flags[64];
    run("rm -f %s/x.raw", dir);
    for (int n = least; n <= MOST; n++) {
        float x[3 * MOST];
        kiln_read(rows_of(k, n), x, (size_t)(3 * n) * sizeof *x);
        put("x.raw", x, (size_t)(3 * n) * sizeof *x);
    }
    assert_true(kiln_aot(f, path_of("net"), NULL));
    FILE *c = fopen(path_of("main.c"), "w");
    assert_non_null(c);
    fputs(program, c);
    fclose(c);
    snprintf(flags, sizeof flags, "-DLEAST=%d -DRANK=%d", least, rank);
    program_gives(flags, "net.o", "x.raw", got, bytes);
    assert_memory_equal(got, want, bytes);
}

typedef struct Row {
    const char *nodes;
    int least;           /* N is that to 9 */
    int want[MOST + 1];  /* the size of y's first axis, for each N */
} Row;

static void row_agrees(kiln *k, const Row *r)
{
    static char all[ROOM];
    size_t used = 0;
    int rank = 0;
    KILN_SCOPE(k);
    kiln_onnx *m = model(k, r->nodes, 19);
    kiln_onnx_size size = {"N", r->least, MOST};
    kiln_function *f = kiln_onnx_declared(m, &(kiln_onnx_declaration){.sizes = &size, .sizes_count = 1});
    for (int n = r->least; n <= MOST; n++) {
        KILN_SCOPE(k);
        kiln_tensor *x = rows_of(k, n), *eager = NULL;
        kiln_eager(k, true);
        kiln_onnx_call(m, KILN_IN(x), &eager, 1);
        kiln_eager(k, false);
        kiln_tensor *traced = kiln_call(f, x);
        if (kiln_failed(k)) fail_msg("N = %d: %s: %s", n, r->nodes, kiln_error(k)->text);
        rank = kiln_rank(eager);
        bool same = rank == kiln_rank(traced) && kiln_dtype_of(eager) == KILN_F32 && kiln_dtype_of(traced) == KILN_F32;
        for (int i = 0; same && i < rank; i++) same = kiln_dim(eager, i) == kiln_dim(traced, i);
        if (!same || (rank && kiln_dim(eager, 0) != r->want[n - r->least]))
            fail_msg("N = %d: %s: axis 0 has %d and %d", n, r->nodes, rank ? (int)kiln_dim(eager, 0) : -1,
                kiln_rank(traced) ? (int)kiln_dim(traced, 0) : -1);
        const size_t bytes = (size_t)kiln_elements(eager) * sizeof(float);
        assert_true(used + 2 * bytes <= sizeof all);
        assert_true(kiln_read(eager, all + used, bytes) && kiln_read(traced, all + used + bytes, bytes));
        if (memcmp(all + used, all + used + bytes, bytes) != 0) fail_msg("N = %d: %s: elements differ", n, r->nodes);
        used += bytes;
    }
    object_gives(k, f, r->least, rank, all, used);
    kiln_onnx_free(m);
}

static void agree(kiln *k, const Row *row, size_t n)
{
    for (size_t i = 0; i < n; i++) row_agrees(k, &row[i]);
}

#define AGREE(k, ...) agree(k, (const Row[]){__VA_ARGS__}, sizeof((const Row[]){__VA_ARGS__}) / sizeof(Row))
#define T "Shape x > s | Gather s #0 > t | "

/* ---- where sizes are used ---------------------------------------------------------------------------------------- */

static void slices(void **state)
{
    AGREE(*state, {T "Div t #2 > h | Slice x #0 h > y", 1, {0, 1, 1, 2, 2, 3, 3, 4, 4}},
        {T "Div t #2 > h | Slice x h #99 > y", 1, {1, 1, 2, 2, 3, 3, 4, 4, 5}},
        {T "Add t #3 > e | Slice x #1 e > y", 0, {0, 0, 1, 2, 3, 4, 5, 6, 7, 8}},
        {T "Sub t #4 > e | Slice x #0 e > y", 1, {0, 0, 2, 0, 1, 2, 3, 4, 5}}, /* below 0 it counts from the end */
        {T "Neg t > b | Add b #4 > b4 | Slice x b4 #-1 > y", 1, {0, 0, 1, 3, 0, 1, 2, 3, 4}},
        {T "Div t #2 > h | Neg h > m | Slice x m #99 > y", 1, {1, 1, 1, 2, 2, 3, 3, 4, 4}},
        {T "Div t #2 > h | Slice x h #-99 #0 #-1 > y", 0, {0, 1, 2, 2, 3, 3, 4, 4, 5, 5}},
        {T "Sub t #3 > e | Slice x #-1 e #0 #-2 > y", 1, {1, 0, 1, 1, 1, 1, 1, 1, 1}},
        {T "Mul t #2 > d | Slice x #0 d #0 #3 > y", 1, {1, 1, 1, 2, 2, 2, 3, 3, 3}},
        {T "Sub #6 t > e | Slice x t e > y", 1, {0, 0, 0, 0, 0, 0, 0, 0, 0}},
        {T "Sub t #1 > e | Slice x #1 e #0 #2 > y", 1, {0, 0, 1, 1, 2, 2, 3, 3, 4}});
}

static void pads(void **state)
{
    AGREE(*state, {T "Concat #0,0 t #0 > p axis=0 | Pad x p > y", 0, {0, 2, 4, 6, 8, 10, 12, 14, 16, 18}},
        {T "Sub #9 t > more | Concat more #1,0,0 > p axis=0 | Pad x p %2.5 > y mode=:constant", 1, {9, 9, 9, 9, 9, 9, 9, 9, 9}},
        {T "Sub #5 t > more | Concat #0,0 more #-1 > p axis=0 | Pad x p > y", 1, {5, 5, 5, 5, 5, 5, 5, 5, 5}},
        {T "Sub #4 t > more | Concat more #0,0,0 > p axis=0 | Pad x p %1.5 > y", 1, {4, 4, 4, 4, 4, 4, 4, 4, 4}},
        {T "Sub #3 t > more | Sub t #2 > less | Div less #2 > low | Concat low #0 more #1 > p axis=0 | Pad x p %1.5 > y", 2,
            {3, 3, 4, 4, 5, 5, 6, 6}},
        {T "Div t #2 > h | Neg h > m | Concat m #0,0,0 > p axis=0 | Pad x p > y", 1, {1, 1, 2, 2, 3, 3, 4, 4, 5}},
        {T "Concat t #0,1,0 > p axis=0 | Pad x p > y mode=:edge", 1, {3, 5, 7, 9, 11, 13, 15, 17, 19}},
        {T "Concat t #0,0,0 > p axis=0 | Pad x p > y mode=:reflect", 1, {2, 4, 6, 8, 10, 12, 14, 16, 18}},
        {T "Mul t #2 > d | Concat #0,0 d #0 > p axis=0 | Pad x p > y mode=:wrap", 1, {3, 6, 9, 12, 15, 18, 21, 24, 27}},
        {T "Div t #2 > h | Concat h #5 > w axis=0 | CenterCropPad x w > y", 1, {0, 1, 1, 2, 2, 3, 3, 4, 4}},
        {T "Concat #4,2 > w axis=0 | CenterCropPad x w > y", 0, {4, 4, 4, 4, 4, 4, 4, 4, 4, 4}},
        {T "Sub #9 t > w | Concat w #3 > ww axis=0 | CenterCropPad x ww > y", 0, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}});
}

static void repeats(void **state)
{
    AGREE(*state, {T "Concat t #1 > r axis=0 | Tile x r > y", 0, {0, 1, 4, 9, 16, 25, 36, 49, 64, 81}},
        {T "Concat t #1,1 > r axis=0 | Expand %1.5 r > y", 0, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Mul t t > a | ConstantOfShape a > y", 0, {0, 1, 4, 9, 16, 25, 36, 49, 64, 81}},
        {T "Squeeze t > u | Range $-2 u $1 > i | Cast i > y to=1", 0, {2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
        {T "Squeeze t > u | Sub u $1 > e | Range e $-1 $-1 > i | Cast i > y to=1", 0, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Squeeze t > u | Neg u > m | Range m u $3 > i | Cast i > y to=1", 0, {0, 1, 2, 2, 3, 4, 4, 5, 6, 6}},
        {T "Squeeze t > u | Cast u > f to=1 | Range %0 f %1 > y", 0, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}});
}

static void parts(void **state)
{
    AGREE(*state, {T "Sub t #1 > r | Concat #1 r > p axis=0 | Split x p > u y axis=0", 1, {0, 1, 2, 3, 4, 5, 6, 7, 8}},
        {T "Div t #2 > h | Sub t h > r | Concat h r > p axis=0 | Split x p > u y axis=0", 0, {0, 1, 1, 2, 2, 3, 3, 4, 4, 5}},
        {T "Sub t #1 > r | Concat #1 r > p axis=0 | SplitToSequence x p > q axis=0 | SequenceAt q $1 > y", 1, {0, 1, 2, 3, 4, 5, 6, 7, 8}},
        {"Split x > a b y axis=0 num_outputs=3", 1, {0, 0, 1, 0, 1, 2, 1, 2, 3}},
        {"Split x > y b c axis=0 num_outputs=3", 1, {1, 1, 1, 2, 2, 2, 3, 3, 3}},
        {T "TopK x t > y i axis=0", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Add t #2 > a | Div a #2 > h | TopK x h > v i axis=0 largest=0 | Cast i > y to=1", 2, {2, 2, 3, 3, 4, 4, 5, 5}},
        {T "Min t #4 > m | TopK x m > y i axis=0", 1, {1, 2, 3, 4, 4, 4, 4, 4, 4}});
}

/* To sizes that are plain, or depend on N; where they are what x has, its elements, which no weight of 0 touches. */
static void resizes(void **state)
{
#define FOUR T "Unsqueeze x #0,1 > i | "
#define BACK " | Squeeze r #0,1 > y"
    AGREE(*state, {FOUR "Resize i _ _ #1,1,5,3 > r mode=:linear" BACK, 1, {5, 5, 5, 5, 5, 5, 5, 5, 5}},
        {FOUR "Concat #1,1 t t > z axis=0 | Resize i _ _ z > r mode=:linear coordinate_transformation_mode=:align_corners" BACK, 1,
            {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {FOUR "Add t #5 > a | Div a #2 > h | Concat #1,1 h #3 > z axis=0 | Resize i _ _ z > r mode=:cubic" BACK, 1,
            {3, 3, 4, 4, 5, 5, 6, 6, 7}},
        {FOUR "Div t #2 > h | Concat #1,1 h #4 > z axis=0 | "
              "Resize i _ _ z > r mode=:linear coordinate_transformation_mode=:pytorch_half_pixel" BACK,
            0, {0, 0, 1, 1, 2, 2, 3, 3, 4, 4}},
        {FOUR "Mul t #2 > d | Concat #1,1 d #3 > z axis=0 | Resize i _ _ z > r" BACK, 0, {0, 2, 4, 6, 8, 10, 12, 14, 16, 18}},
        {FOUR "Sub #10 t > d | Concat #1,1 d #3 > z axis=0 | "
              "Resize i _ _ z > r mode=:nearest nearest_mode=:floor coordinate_transformation_mode=:asymmetric" BACK,
            1, {9, 8, 7, 6, 5, 4, 3, 2, 1}},
        {FOUR "Resize i _ %1,1,1.3,1 > r mode=:linear" BACK, 1, {1, 2, 3, 5, 6, 7, 9, 10, 11}},
        {FOUR "Mul t #2 > d | Concat #1,1 d #5 > z axis=0 | "
              "Resize i %0,0,.25,0,1,1,.75,1 _ z > r mode=:linear coordinate_transformation_mode=:tf_crop_and_resize" BACK,
            1, {2, 4, 6, 8, 10, 12, 14, 16, 18}});
}

static void diagonals(void **state)
{
    AGREE(*state, {T "Sub #2 t > k | Squeeze k > kk | Trilu x kk > y", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Div t #2 > k | Trilu x k > y upper=0", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {"EyeLike x > y k=-1", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Sub t #1 > e | OneHot e t %2,3 > y", 1, {1, 1, 1, 1, 1, 1, 1, 1, 1}});
}

/* ---- what is computed of sizes -------------------------------------------------------------------------------------- */

static void arithmetic(void **state)
{
    AGREE(*state, {T "Mul t #-1 > m | Add m #12 > a | ConstantOfShape a > y", 1, {11, 10, 9, 8, 7, 6, 5, 4, 3}},
        {T "Mul t #-3 > m | Neg m > a | Sub a t > b | ConstantOfShape b > y", 0, {0, 2, 4, 6, 8, 10, 12, 14, 16, 18}},
        {T "Sub t #5 > d | Abs d > a | ConstantOfShape a > y", 0, {5, 4, 3, 2, 1, 0, 1, 2, 3, 4}},
        {T "Sub t #5 > d | Div d #2 > q | Add q #2 > a | ConstantOfShape a > y", 0, {0, 0, 1, 1, 2, 2, 2, 3, 3, 4}}, /* towards 0 */
        {T "Sub t #5 > d | Mod d #3 > a | ConstantOfShape a > y", 0, {1, 2, 0, 1, 2, 0, 1, 2, 0, 1}},
        {T "Sub #2 t > d | Mod d #4 > a | ConstantOfShape a > y", 0, {2, 1, 0, 3, 2, 1, 0, 3, 2, 1}},
        {T "Max t #4 > a | Min a #7 > b | ConstantOfShape b > y", 0, {4, 4, 4, 4, 4, 5, 6, 7, 7, 7}},
        {T "Clip t $2 $6 > b | ConstantOfShape b > y", 0, {2, 2, 2, 3, 4, 5, 6, 6, 6, 6}},
        {T "Mod #-1 t > b | ConstantOfShape b > y", 1, {0, 1, 2, 3, 4, 5, 6, 7, 8}},
        {T "Mod #5 t > b | ConstantOfShape b > y", 1, {0, 1, 2, 1, 0, 5, 5, 5, 5}},
        {T "Mod #-5 t > b | ConstantOfShape b > y", 1, {0, 1, 1, 3, 0, 1, 2, 3, 4}},
        {T "Mod t #4 > m | Sub #4 m > l | Mod l #4 > p | Add t p > all | Mod #2 all > b | ConstantOfShape b > y", 1,
            {2, 2, 2, 2, 2, 2, 2, 2, 2}},
        {T "Div t #2 > h | Mod h t > b | ConstantOfShape b > y", 1, {0, 1, 1, 2, 2, 3, 3, 4, 4}},
        {T "Mul t t > a | Div a t > b | ConstantOfShape b > y", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {"Shape x > s | ReduceProd s > p keepdims=0 | Unsqueeze p #0 > a | ConstantOfShape a > y", 0, {0, 3, 6, 9, 12, 15, 18, 21, 24, 27}},
        {"Shape x > s | ReduceSum s > a | ConstantOfShape a > y", 0, {3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
        {"Shape x > s | ReduceMin s > a | ConstantOfShape a > y", 0, {0, 1, 2, 3, 3, 3, 3, 3, 3, 3}});
}

static void choices(void **state)
{
    AGREE(*state, {T "Less t #4 > l | Where l #7 t > a | ConstantOfShape a > y", 0, {7, 7, 7, 7, 4, 5, 6, 7, 8, 9}},
        {T "GreaterOrEqual t #4 > g | Equal t #2 > e | Or g e > o | Where o t #1 > a | ConstantOfShape a > y", 0,
            {1, 1, 2, 1, 4, 5, 6, 7, 8, 9}},
        {T "Greater t #2 > g | LessOrEqual t #6 > l | And g l > o | Not o > n | Cast n > i to=7 | Add i t > a | ConstantOfShape a > y",
            0, {1, 2, 3, 3, 4, 5, 6, 8, 9, 10}},
        {T "Equal t #5 > e | Cast e > f to=1 | Add x f > y", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Less t #0 > l | Cast l > i to=6 | Cast i > f to=1 | Sub x f > y", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}});
}

static void floats(void **state)
{
    AGREE(*state, {T "Cast t > f to=1 | Mul f %1.5 > g | Floor g > h | Cast h > a to=7 | ConstantOfShape a > y", 0,
                      {0, 1, 3, 4, 6, 7, 9, 10, 12, 13}},
        {T "Cast t > f to=1 | Div f %3 > g | Ceil g > h | Cast h > a to=7 | ConstantOfShape a > y", 0, {0, 1, 1, 1, 2, 2, 2, 3, 3, 3}},
        {T "Cast t > f to=1 | Sub f %4.5 > g | Cast g > i to=7 | Abs i > a | ConstantOfShape a > y", 0,
            {4, 3, 2, 1, 0, 0, 1, 2, 3, 4}},
        {T "Cast t > f to=1 | Mul f %1.3 > g | Floor g > h | Cast h > a to=7 | ConstantOfShape a > y", 0,
            {0, 1, 2, 3, 5, 6, 7, 9, 10, 11}},
        {T "Cast t > f to=1 | Mul f %.7 > g | Ceil g > h | Cast h > a to=7 | ConstantOfShape a > y", 0, {0, 1, 2, 3, 3, 4, 5, 5, 6, 7}},
        {T "Cast t > f to=1 | Mul %.7 f > g | Cast g > a to=7 | ConstantOfShape a > y", 0, {0, 0, 1, 2, 2, 3, 4, 4, 5, 6}},
        {T "Cast t > f to=1 | Mul f %.7 > g | Mul x g > y", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Cast t > f to=1 | Div f %3 > g | Mul x g > y", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Cast t > f to=11 | Mul f f > g | Cast g > h to=1 | Sub x h > y", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Sub #2 t > m | Cast m > f to=1 | Mul x f > y", 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}});
}

static void rows(void **state)
{
    AGREE(*state, /* as torch writes pads: pairs of the last axis first, turned round */
        {T "Concat #0,1 #0 t > l axis=0 | Reshape l #-1,2 > r | Slice r #-1 #-99 #0 #-1 > b | Transpose b > c | Reshape c #-1 > p | Pad x p > y",
            1, {2, 4, 6, 8, 10, 12, 14, 16, 18}},
        {"Shape x > s | Slice s #-1 #-99 #0 #-1 > b | Tile b #2 > c | Split c #1,3 > d e axis=0 | Gather e #0 > a | ConstantOfShape a > y",
            0, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {T "Concat #1 t > v axis=0 | OneHot $0 $2 v > o | Slice o #0 #0 > n | Concat n #-1 > m axis=0 | Reshape o m > r | Tile x r > y", 0,
            {0, 1, 4, 9, 16, 25, 36, 49, 64, 81}},
        {"Shape x > s | ScatterElements s #-1 #7 > u axis=0 | GatherElements u #1,0 > v axis=0 | ReduceProd v #0 > a | ConstantOfShape a > y", 0,
            {0, 7, 14, 21, 28, 35, 42, 49, 56, 63}},
        {T "Squeeze t > u | Expand u #2 > e | Unsqueeze e #1 > c | Squeeze c #1 > d | Slice d #1 #2 > a | ConstantOfShape a > y", 0,
            {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}});
}

/* ---- what is refused ----------------------------------------------------------------------------------------------- */

static void what_is_open_is_refused(void **state)
{
    static const struct {
        const char *nodes, *why;
    } row[] = {{T "Sub #5 t > r | Concat #0,0 r #0 > p axis=0 | Sub t #12 > n | Concat n p > q axis=0 | Slice q #0 #4 > pp | Pad x pp > y",
                   "Pad (ai.onnx 19): pads that may cut off more than axis 0 has is not supported"},
        {T "Div t #2 > h | Concat h h > p axis=0 | Split x p > y z axis=0",
            "Split (ai.onnx 19): parts that do not make up axis 0 whatever the symbols are is not supported"},
        {T "Sub t #2 > r | Concat #2 r > p axis=0 | Split x p > y z axis=0",
            "Split (ai.onnx 19): part 1, whose size may be below 0, is not supported"},
        {T "Sub t #2 > r | ConstantOfShape r > y", "a size of the result, N-2, may be negative"},
        {T "Sub t #20 > r | ConstantOfShape r > y", "ConstantOfShape (ai.onnx 19): a size is -11 at most"},
        {T "Squeeze t > u | SplitToSequence x u > q axis=0 | SequenceAt q $0 > y", "as many parts as follow from a size that is a symbol, along axis 0,"},
        {T "Squeeze t > u | CumSum x u > y", "CumSum (ai.onnx 19): input 1, 'u', that depends on a size that is a symbol, is not supported"},
        {T "Unsqueeze x #0,1 > i | Concat #1,1,5 #3 > z axis=0 | Resize i _ _ z > r antialias=1 mode=:linear | Squeeze r #0,1 > y",
            "the size of axis 2 must be known where antialias or an aspect is asked for"}};
    kiln *k = *state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        KILN_SCOPE(k);
        kiln_onnx *m = model(k, row[i].nodes, 19);
        kiln_onnx_size size = {"N", 1, MOST};
        kiln_call(kiln_onnx_declared(m, &(kiln_onnx_declaration){.sizes = &size, .sizes_count = 1}), rows_of(k, 4));
        if (!kiln_failed(k) || !strstr(kiln_error(k)->text, row[i].why))
            fail_msg("%s: %s", row[i].nodes, kiln_failed(k) ? kiln_error(k)->text : "no error");
        kiln_clear(k);
        kiln_onnx_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(slices), WAIT_TEST(pads), WAIT_TEST(repeats), WAIT_TEST(parts), WAIT_TEST(resizes), WAIT_TEST(diagonals), WAIT_TEST(arithmetic),
        WAIT_TEST(choices), WAIT_TEST(floats), WAIT_TEST(rows), WAIT_TEST(what_is_open_is_refused)};
    return cmocka_run_group_tests(tests, aot_set_up, aot_tear_down);
}
