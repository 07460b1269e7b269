/* entry: reads the prototype that artifact_header.c wrote, and writes programs around it. Relies on the form of that prototype: one
 * argument a line, its type in a comment. */
#include "entry.h"

#include <ctype.h>
#include <string.h>

/* "f32[N,3]", and perhaps more, as dtype and sizes. */
static void read_type(const char *s, Argument *a)
{
    size_t n = strcspn(s, "[ ");
    snprintf(a->dtype, sizeof a->dtype, "%.*s", (int)MIN_OF(n, sizeof a->dtype - 1), s);
    for (s += n; (*s == '[' || *s == ',') && s[1] != ']' && a->rank < 8; s += n) {
        s++;
        n = 0;
        for (int deep = 0; s[n] && (deep || !strchr(",]", s[n])); n++) deep += s[n] == '(' ? 1 : s[n] == ')' ? -1 : 0;
        snprintf(a->size[a->rank++], sizeof a->size[0], "%.*s", (int)MIN_OF(n, sizeof a->size[0] - 1), s);
    }
}

static void read_line(const char *line, Entry *e)
{
    Argument a = {.kind = ARGUMENT_OUT};
    const char *comment = strstr(line, "/* ");
    char name[80], type[16];
    const bool constant = strncmp(line, "    const ", 10) == 0;
    if (e->n == (int)COUNT_OF(e->at) || sscanf(line + (constant ? 10 : 4), "%15s %79[*A-Za-z0-9_]", type, name) != 2) return;
    if (strcmp(name, "*workspace") == 0) return;
    snprintf(a.type, sizeof a.type, "%s", type);
    snprintf(a.name, sizeof a.name, "%s", name + (*name == '*'));
    if (strcmp(a.name, "weights") == 0)
        a.kind = ARGUMENT_WEIGHTS;
    else if (constant)
        a.kind = ARGUMENT_IN;
    else if (strncmp(a.name, "n_", 2) == 0)
        a.kind = *name == '*' ? ARGUMENT_TOLD : ARGUMENT_SYMBOL;
    if (comment && a.kind == ARGUMENT_SYMBOL) sscanf(comment, "/* %lld to %lld", &a.lo, &a.hi);
    if (comment && (a.kind == ARGUMENT_IN || a.kind == ARGUMENT_OUT)) read_type(comment + 3, &a);
    e->at[e->n++] = a;
}

bool entry_read(const char *header, const char *symbol, Entry *e)
{
    char line[4096], begin[200];
    bool inside = false;
    FILE *f = fopen(header, "r");
    *e = (Entry){.n = 0};
    snprintf(e->symbol, sizeof e->symbol, "%s", symbol);
    for (int i = 0; e->symbol[i]; i++) e->upper[i] = (char)toupper((unsigned char)e->symbol[i]);
    snprintf(begin, sizeof begin, "static inline int %s(void *state", symbol);
    while (f && fgets(line, sizeof line, f)) {
        if (inside) read_line(line, e);
        if (strncmp(line, begin, strlen(begin)) == 0) inside = true;
        if (inside && strstr(line, "void *workspace)")) break;
    }
    if (f) fclose(f);
    return inside;
}

/* ---- an example ------------------------------------------------------------------------------------------ */

static void put_symbols(Text *out, const Entry *e, const char *after)
{
    for (int i = 0; i < e->n; i++)
        if (e->at[i].kind == ARGUMENT_SYMBOL) text_printf(out, "%s%s", e->at[i].name, after);
}

/* A size as C: a number, or a symbol's argument. */
static void put_elements(Text *out, const Argument *a)
{
    text_printf(out, "(size_t)1");
    for (int i = 0; i < a->rank; i++)
        text_printf(out, " * %s%s", isdigit((unsigned char)a->size[i][0]) ? "" : "(size_t)n_", a->size[i]);
}

static void put_helpers(Text *out, const Entry *e)
{
    text_printf(out,
        "/* Calls %s once. Arguments: a file of bare elements for each input that is not fixed; those left out are zeros. */\n"
        "#include <stdio.h>\n#include <stdlib.h>\n#include <time.h>\n\n#include \"%s.h\"\n\n"
        "static void *room(size_t bytes)\n{\n    void *p = aligned_alloc(%s_ALIGN, (bytes / %s_ALIGN + 1) * %s_ALIGN);\n"
        "    if (!p) exit(2);\n    return memset(p, 0, bytes);\n}\n\n"
        "static void *load(const char *path, size_t bytes)\n{\n    void *p = room(bytes);\n    FILE *f = path ? fopen(path, "
        "\"rb\") : NULL;\n"
        "    if (path && (!f || fread(p, 1, bytes, f) != bytes)) {\n        fprintf(stderr, \"%%s: not the %%zu bytes that are "
        "wanted\\n\", path, bytes);\n"
        "        exit(1);\n    }\n    if (f) fclose(f);\n    return p;\n}\n\n"
        "static double now(void)\n{\n    struct timespec t;\n    timespec_get(&t, TIME_UTC);\n    return (double)t.tv_sec + "
        "(double)t.tv_nsec * 1e-9;\n}\n\n",
        e->symbol, e->symbol, e->upper, e->upper, e->upper);
}

static void put_inputs(Text *out, const Entry *e, const char *const *fixed)
{
    int in = 0, left = 0;
    for (int i = 0; i < e->n; i++) {
        const Argument *a = &e->at[i];
        if (a->kind == ARGUMENT_SYMBOL)
            text_printf(out, "    const int64_t %s = %lld; /* %lld to %lld */\n", a->name,
                a->lo > 0 ? a->lo
                : a->hi   ? 1
                          : 0,
                a->lo, a->hi);
    }
    for (int i = 0; i < e->n; i++) {
        const Argument *a = &e->at[i];
        if (a->kind == ARGUMENT_WEIGHTS)
            text_printf(out, "    const void *weights = load(\"%s.weights\", %s_WEIGHTS_BYTES);\n", e->symbol, e->upper);
        if (a->kind != ARGUMENT_IN) continue;
        if (fixed[in])
            text_printf(out, "    const %s %s[] = {%s}; /* fixed */\n", a->type, a->name, fixed[in]);
        else {
            text_printf(out, "    const %s *%s = load(argc > %d ? argv[%d] : NULL, (", a->type, a->name, left + 1, left + 1);
            put_elements(out, a);
            text_printf(out, ") * sizeof(%s));\n", a->type);
            left++;
        }
        in++;
    }
    text_printf(out, "    (void)argc;\n    (void)argv;\n");
}

static void put_call(Text *out, const Entry *e)
{
    text_printf(out, "    int rc = %s(state, ", e->symbol);
    for (int i = 0; i < e->n; i++) text_printf(out, "%s%s, ", e->at[i].kind == ARGUMENT_TOLD ? "&" : "", e->at[i].name);
    text_printf(out, "workspace);\n");
}

static void put_outputs(Text *out, const Entry *e, int sizes)
{
    int at = 1;
    text_printf(out, "    int64_t size[%d];\n    if (%s_needs(", sizes, e->symbol);
    put_symbols(out, e, ", ");
    text_printf(out, "size)) return 3;\n");
    for (int i = 0; i < e->n; i++) {
        const Argument *a = &e->at[i];
        if (a->kind == ARGUMENT_TOLD) text_printf(out, "    int64_t %s;\n", a->name);
        if (a->kind != ARGUMENT_OUT) continue;
        text_printf(out, "    const size_t elements_%s = (size_t)1", a->name);
        for (int j = 0; j < a->rank; j++) text_printf(out, " * (size_t)size[%d]", at++);
        text_printf(out, ";\n    %s *%s = room(elements_%s * sizeof(%s));\n", a->type, a->name, a->name, a->type);
    }
}

/* A size of letters as C, once the call has told what it counted; false: it says more than sums and products of arguments. */
static bool size_as_c(Text *out, const Entry *e, const char *size)
{
    for (size_t n; *size; size += n) {
        n = strspn(size, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
        const bool name = n && !isdigit((unsigned char)*size);
        bool known = !name && (n || strchr(" +-*()", *size));
        for (int i = 0; name && i < e->n; i++) {
            const Argument *a = &e->at[i];
            known |= (a->kind == ARGUMENT_SYMBOL || a->kind == ARGUMENT_TOLD) && strlen(a->name) == n + 2 &&
                     strncmp(a->name + 2, size, n) == 0;
        }
        if (!known) return false;
        if (n == 0) n = 1;
        text_printf(out, "%s%.*s", name ? "n_" : "", (int)n, size);
    }
    return true;
}

/* How many elements came out: where nodes count some, no more than there was room for. */
static void put_count(Text *out, const Entry *e, const Argument *a, int at)
{
    text_printf(out, "    const size_t count_%s = (size_t)1", a->name);
    for (int j = 0; j < a->rank; j++) {
        Text size = {0};
        const bool known = !isdigit((unsigned char)a->size[j][0]) && size_as_c(&size, e, a->size[j]);
        if (known)
            text_printf(out, " * (size_t)(%s)", size.at);
        else
            text_printf(out, " * (size_t)size[%d]", at + j);
        text_free(&size);
    }
    text_printf(out, ";\n");
}

static void put_prints(Text *out, const Entry *e)
{
    int at = 1;
    for (int i = 0; i < e->n; i++) {
        const Argument *a = &e->at[i];
        if (a->kind != ARGUMENT_OUT) continue;
        const bool real = strcmp(a->type, "float") == 0 || strcmp(a->type, "double") == 0;
        put_count(out, e, a, at);
        text_printf(out,
            "    printf(\"%s:\");\n    for (size_t i = 0; i < count_%s && i < 8; i++) printf(\" %s\", (%s)%s[i]);\n    "
            "puts(\"\");\n",
            a->name, a->name, real ? "%.9g" : "%lld", real ? "double" : "long long", a->name);
        at += a->rank;
    }
}

void entry_example(Text *out, const Entry *e, const char *const *fixed)
{
    int sizes = 2;
    for (int i = 0; i < e->n; i++) sizes += e->at[i].kind == ARGUMENT_OUT ? e->at[i].rank : 0;
    put_helpers(out, e);
    text_printf(out, "int main(int argc, char **argv)\n{\n");
    put_inputs(out, e, fixed);
    text_printf(out, "    void *state = room(%s_STATE_BYTES), *workspace = room(%s_WORKSPACE_BYTES);\n    %s_init(state);\n",
        e->upper, e->upper, e->symbol);
    put_outputs(out, e, sizes);
    text_printf(out, "    const double start = now();\n");
    put_call(out, e);
    text_printf(out,
        "    const double spent = now() - start;\n    if (rc) {\n        fprintf(stderr, \"%s returned %%d\\n\", rc);\n        "
        "return rc;\n    }\n",
        e->symbol);
    put_prints(out, e);
    text_printf(out, "    fprintf(stderr, \"%%.3f ms\\n\", spent * 1e3);\n    return 0;\n}\n");
}
