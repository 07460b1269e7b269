/* onnx_list: the committed results of ONNX's cases, tests/conformance/onnx.list: a line for each, NAME FOLDER MARKS [WHY], where
 * the marks, one for each mode in order, are + (passes), - (fails) and . (nobody tried), and WHY is the first failing mode's.
 * Relies on onnx_case.h. */
#ifndef KILN_TESTS_ONNX_LIST_H
#define KILN_TESTS_ONNX_LIST_H

#include "onnx_case.h"

typedef struct Listed {
    char name[120], folder[40], mark[MODES + 1], why[300];
} Listed;

typedef struct List {
    Listed *at;
    int n;
} List;

static int by_listed(const void *a, const void *b) { return strcmp(((const Listed *)a)->name, ((const Listed *)b)->name); }

static Listed *list_add(List *l, const char *name)
{
    if (l->n % 64 == 0) l->at = realloc(l->at, (size_t)(l->n + 64) * sizeof *l->at);
    Listed *x = &l->at[l->n++];
    *x = (Listed){.mark = "....."};
    snprintf(x->name, sizeof x->name, "%s", name);
    return x;
}

static Listed *list_find(const List *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->at[i].name, name) == 0) return &l->at[i];
    return NULL;
}

static List list_read(const char *path)
{
    List l = {0};
    FILE *f = fopen(path, "r");
    char line[1000], name[120], folder[40], mark[20], why[300];
    while (f && fgets(line, sizeof line, f)) {
        why[0] = 0;
        if (line[0] == '#' || sscanf(line, "%119s %39s %19s %299[^\n]", name, folder, mark, why) < 3) continue;
        Listed *x = list_add(&l, name);
        snprintf(x->folder, sizeof x->folder, "%s", folder);
        snprintf(x->mark, sizeof x->mark, "%.*s", MODES, mark);
        snprintf(x->why, sizeof x->why, "%s", why);
    }
    if (f) fclose(f);
    return l;
}

/* Says what is not as it was, and takes it over. A case that the list has not must pass. */
static void list_judge(List *l, const char *name, const char *folder, uint32_t tried, const Verdict *v, int *worse, int *better)
{
    Listed *x = list_find(l, name);
    const bool known = x != NULL;
    if (!known) x = list_add(l, name);
    const Listed was = *x;
    if (strcmp(folder, "onnx") != 0 || !known)
        snprintf(x->folder, sizeof x->folder, "%s", folder); /* the spread's is no folder of ONNX's */
    const char *why = NULL;
    for (int mode = 0; mode < MODES; mode++) {
        if (!(tried & 1u << mode)) continue;
        x->mark[mode] = v[mode].ok ? '+' : '-';
        if (!v[mode].ok && !why) why = v[mode].why;
        if (v[mode].ok && was.mark[mode] == '-') ++*better, printf("    better: %s, %s\n", name, mode_name[mode]);
        if (v[mode].ok || (known && was.mark[mode] == '-')) continue;
        ++*worse;
        printf("    %s, %s: %s\n", name, mode_name[mode], v[mode].why);
    }
    if (!strchr(x->mark, '-')) x->why[0] = 0;
    if (!why) return;
    snprintf(x->why, sizeof x->why, "%s", why);
    for (char *c = x->why; *c; c++)
        if (*c == '\n') *c = ' ';
}

static void list_write(List *l, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) return;
    fputs("# What ONNX's cases give, as `make conformance RECORD=1` found it: name, folder, a mark for each of eager, compiled, "
          "object, ref and device\n"
          "# (+ passes, - fails, . not tried), and why the first of them fails.\n",
        f);
    qsort(l->at, (size_t)l->n, sizeof *l->at, by_listed);
    for (int i = 0; i < l->n; i++)
        fprintf(f, "%s %s %s%s%s\n", l->at[i].name, l->at[i].folder, l->at[i].mark, l->at[i].why[0] ? " " : "", l->at[i].why);
    fclose(f);
}

#endif
