/* onnx_object: cases compiled ahead of time. Each becomes an object, its header, a file with its inputs and with the bits that
 * compiled code gives, and a C function that calls the one on the other; then all become one program that needs libm alone, whose
 * argument says which case it runs. Relies on onnx_case.h. */
#ifndef KILN_TESTS_ONNX_OBJECT_H
#define KILN_TESTS_ONNX_OBJECT_H

#include "onnx_case.h"

#include <sys/wait.h>

#include <kiln/aot.h>

static char object_dir[64];

static const char object_main[] = "#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
                                  "static void *room(long long n) { return memset(aligned_alloc(64, (size_t)(n + 64) / 64 * 64), "
                                  "0x55, (size_t)(n + 64) / 64 * 64); }\n"
                                  "static void *part(FILE *f, size_t n)\n{\n    void *p = room((long long)n);\n    if (fread(p, 1, "
                                  "n, f) != n) exit(90);\n    return p;\n}\n"
                                  "static int differs(FILE *f, const void *p, size_t n)\n{\n    void *want = part(f, n);\n    "
                                  "const int c = memcmp(p, want, n);\n    free(want);\n    return c != 0;\n}\n"
                                  "static long long product(const int64_t *n, int rank)\n{\n    long long all = 1;\n    for (int i "
                                  "= 0; i < rank; i++) all *= n[i];\n    return all;\n}\n";

/* The arguments of the entry, after the state, in the order in which the header has them: i: an input, o: an output, n: a size that
 * is told. */
static int header_arguments(const char *header, char *to, int cap)
{
    FILE *f = fopen(header, "r");
    char line[2000];
    int n = 0;
    bool inside = false;
    while (f && n + 1 < cap && fgets(line, sizeof line, f)) {
        if (strncmp(line, "static inline int ", 18) == 0 && strstr(line, "(void *state")) inside = true;
        if (!inside) continue;
        if (strstr(line, " *in"))
            to[n++] = 'i';
        else if (strstr(line, " *out"))
            to[n++] = 'o';
        else if (strstr(line, " *n_"))
            to[n++] = 'n';
        if (strstr(line, "void *workspace)")) break;
    }
    if (f) fclose(f);
    to[n] = 0;
    return n;
}

static void write_tensors(FILE *f, kiln_tensor **x, int n)
{
    for (int i = 0; i < n; i++) {
        void *bytes = calloc(1, kiln_bytes(x[i]) + 1);
        kiln_read(x[i], bytes, kiln_bytes(x[i]));
        fwrite(bytes, 1, kiln_bytes(x[i]), f);
        free(bytes);
    }
}

/* The function run_NUMBER; what it returns: 0: all bits are as they must be; 1 and on: output 0 and on differs; 100 and on: the
 * entry refused. */
static void write_caller(FILE *f, int number, const char *arguments, kiln_tensor **in, kiln_tensor **got, int nout)
{
    int i = 0, o = 0, s = 0, at = 1;
    fprintf(f,
        "#include \"c%d.h\"\nstatic int run_%d(void)\n{\n    FILE *f = fopen(\"%s/c%d.bin\", \"rb\");\n    if (!f) return 91;\n",
        number, number, object_dir, number);
    fprintf(f, "    int64_t size[600], told[64];\n    (void)size, (void)told;\n");
    fprintf(f, "    void *state = room(C%d_STATE_BYTES), *work = room(C%d_WORKSPACE_BYTES);\n    c%d_init(state);\n", number,
        number, number);
    fprintf(f, "    if (c%d_needs(size)) return 92;\n", number);
    for (const char *a = arguments; *a; a++)
        if (*a == 'i') {
            fprintf(f, "    void *in%d = part(f, %zu);\n", i, kiln_bytes(in[i]));
            i++;
        } else if (*a == 'o' && o < nout) {
            fprintf(f, "    void *out%d = room(product(size + %d, %d) * %zu);\n", o, at, kiln_rank(got[o]),
                kiln_dtype_bytes(kiln_dtype_of(got[o])));
            at += kiln_rank(got[o++]);
        }
    fprintf(f, "    int rc = c%d(state", number);
    i = o = 0;
    for (const char *a = arguments; *a; a++)
        if (*a == 'n')
            fprintf(f, ", &told[%d]", s++);
        else
            fprintf(f, ", %s%d", *a == 'i' ? "in" : "out", *a == 'i' ? i++ : o++);
    fprintf(f, ", work);\n    if (rc) return 100 + rc;\n");
    for (i = 0; i < nout; i++) fprintf(f, "    if (differs(f, out%d, %zu)) return %d;\n", i, kiln_bytes(got[i]), i + 1);
    fprintf(f, "    return 0;\n}\n");
}

/* The first data set of the case. */
static Verdict object_write(const char *folder, int number)
{
    char path[1100], arguments[200];
    Verdict v = {.ok = true};
    kiln *k = case_engine(OBJECT, "cpu");
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    kiln_onnx *m = kiln_onnx_load(k, path);
    kiln_tensor *got[MOST];
    Set set;
    kiln_scope scope = kiln_scope_open(k);
    snprintf(path, sizeof path, "%s/test_data_set_0", folder);
    if (m) read_set(k, m, path, &set);
    kiln_function *f = m && !kiln_failed(k) ? for_inputs(&set) : NULL;
    const int nout = f ? call_flat(f, &set, got) : 0;
    if (nout) {
        snprintf(path, sizeof path, "%s/c%d", object_dir, number);
        /* Called again: what draws goes on from where it is, as the object does, which has the state of now. */
        if (kiln_aot(f, path, NULL) && call_flat(f, &set, got)) {
            snprintf(path, sizeof path, "%s/c%d.h", object_dir, number);
            header_arguments(path, arguments, sizeof arguments);
            snprintf(path, sizeof path, "%s/c%d.bin", object_dir, number);
            FILE *data = fopen(path, "wb");
            snprintf(path, sizeof path, "%s/c%d.c", object_dir, number);
            FILE *caller = fopen(path, "w");
            if (data && caller)
                write_tensors(data, set.in.at, set.in.tensors), write_tensors(data, got, nout),
                    write_caller(caller, number, arguments, set.in.at, got, nout);
            if (!data || fclose(data) != 0 || !caller || fclose(caller) != 0) wrong(&v, "%s cannot be written", path);
        }
    }
    fine(k, &v);
    kiln_scope_close(&scope);
    kiln_onnx_free(m);
    if (kiln_close(k) != 0) wrong(&v, "something was left when the engine closed");
    return v;
}

static bool object_written(int number)
{
    char path[100];
    snprintf(path, sizeof path, "%s/c%d.c", object_dir, number);
    return access(path, F_OK) == 0;
}

/* All that were written, as one program. False: it does not compile or link. */
static bool object_link(int most)
{
    char path[100], command[400];
    snprintf(path, sizeof path, "%s/main.c", object_dir);
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fputs(object_main, f);
    for (int i = 0; i < most; i++)
        if (object_written(i)) fprintf(f, "#include \"c%d.c\"\n", i);
    fputs("int main(int n, char **v)\n{\n    switch (n > 1 ? atoi(v[1]) : -1) {\n", f);
    for (int i = 0; i < most; i++)
        if (object_written(i)) fprintf(f, "    case %d: return run_%d();\n", i, i);
    fputs("    }\n    return 93;\n}\n", f);
    fclose(f);
    snprintf(
        command, sizeof command, "cd '%s' && ${CC:-cc} -std=gnu11 -O0 -Wno-unused-function -o all main.c c*.o -lm", object_dir);
    return system(command) == 0;
}

/* Runs it in a process of its own, which is this one. */
static void object_exec(int number)
{
    char path[100], text[20];
    snprintf(path, sizeof path, "%s/all", object_dir);
    snprintf(text, sizeof text, "%d", number);
    execl(path, path, text, (char *)NULL);
    _exit(94);
}

static Verdict object_verdict(int status)
{
    Verdict v = {.ok = true};
    const int rc = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (rc < 0)
        wrong(&v, "the object's program ended by signal %d", WTERMSIG(status));
    else if (rc >= 100)
        wrong(&v, "the object returned %d", rc - 100);
    else if (rc >= 90)
        wrong(&v, "the object's program could not run (%d)", rc);
    else if (rc != 0)
        wrong(&v, "the object's output %d has other bits than compiled code", rc - 1);
    return v;
}

#endif
