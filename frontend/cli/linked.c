/* linked: see linked.h. What stands between is a C file of this one's, which gives the typed entry a form that is the same for all
 * objects. Relies on entry.h, the C compiler that $CC names, else cc, and dlopen. */
#include "linked.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "entry.h"

extern char **environ;

/* ---- making it ------------------------------------------------------------------------------------------- */

static void put_outputs(Text *out, const Entry *e)
{
    int axis = 1, n = 0, sizes = 2;
    for (int i = 0; i < e->n; i++) sizes += e->at[i].kind == ARGUMENT_OUT ? e->at[i].rank : 0;
    text_printf(
        out, "int linked_outputs(int64_t *to)\n{\n    int64_t size[%d];\n    if (%s_needs(size)) return 1;\n", sizes, e->symbol);
    for (int i = 0; i < e->n; i++) {
        if (e->at[i].kind != ARGUMENT_OUT) continue;
        text_printf(out, "    to[%d] = (int64_t)sizeof(%s)", n++, e->at[i].type);
        for (int j = 0; j < e->at[i].rank; j++) text_printf(out, " * size[%d]", axis++);
        text_printf(out, ";\n");
    }
    text_printf(out, "    return 0;\n}\n");
}

static void put_call(Text *out, const Entry *e)
{
    int in = 0, to = 0;
    text_printf(out,
        "int linked_call(void *state, const void *weights, const void *const *in, void *const *out, void *work)\n{\n"
        "    int64_t told[%d];\n    (void)weights;\n    (void)in;\n    (void)out;\n    (void)told;\n    return %s(state",
        e->n + 1, e->symbol);
    for (int i = 0; i < e->n; i++) switch (e->at[i].kind) {
        case ARGUMENT_WEIGHTS: text_printf(out, ", weights"); break;
        case ARGUMENT_IN: text_printf(out, ", (const %s *)in[%d]", e->at[i].type, in++); break;
        case ARGUMENT_OUT: text_printf(out, ", (%s *)out[%d]", e->at[i].type, to++); break;
        case ARGUMENT_TOLD: text_printf(out, ", &told[%d]", i); break;
        case ARGUMENT_SYMBOL: break;
        }
    text_printf(out, ", work);\n}\n");
}

static bool write_between(const char *path, const Entry *e)
{
    Text t = {0};
    int outputs = 0, told = 0;
    bool weights = false;
    for (int i = 0; i < e->n; i++) {
        outputs += e->at[i].kind == ARGUMENT_OUT;
        told += e->at[i].kind == ARGUMENT_TOLD;
        weights |= e->at[i].kind == ARGUMENT_WEIGHTS;
    }
    text_printf(&t, "#include \"%s.h\"\nconst int64_t linked_bytes[3] = {%s_STATE_BYTES, %s_WORKSPACE_BYTES, ", e->symbol, e->upper,
        e->upper);
    text_printf(&t, weights ? "%s_WEIGHTS_BYTES" : "0", e->upper);
    text_printf(&t, "};\nconst int linked_count[2] = {%d, %d};\nvoid linked_init(void *state) { %s_init(state); }\n", outputs, told,
        e->symbol);
    put_outputs(&t, e);
    put_call(&t, e);
    FILE *f = t.failed ? NULL : fopen(path, "w");
    bool ok = f && fwrite(t.at, 1, t.len, f) == t.len;
    if (f) ok = fclose(f) == 0 && ok;
    text_free(&t);
    return ok;
}

/* Runs it, with what it says in the file `log`. Its exit status; -1: it could not be run. */
static int run(char *const *argv, const char *log)
{
    posix_spawn_file_actions_t files;
    pid_t child;
    int status = -1;
    if (posix_spawn_file_actions_init(&files) != 0) return -1;
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    const int rc = posix_spawnp(&child, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    errno = rc;
    if (rc != 0) return -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void first_line(const char *path, char *to, size_t cap)
{
    FILE *f = fopen(path, "r");
    if (!f || !fgets(to, (int)cap, f)) snprintf(to, cap, "no reason given");
    if (f) fclose(f);
    to[strcspn(to, "\n")] = 0;
}

const char *linked_build(const char *folder, const char *symbol, char *why, size_t cap)
{
    char header[1200], between[1200], object[1200], library[1200], log[1200], reason[200];
    const char *own = getenv("CC");
    char *cc = (char *)(uintptr_t)(own && *own && !strchr(own, ' ') ? own : "cc");
    Entry e;
    snprintf(header, sizeof header, "%s/%s.h", folder, symbol);
    snprintf(between, sizeof between, "%s/linked.c", folder);
    snprintf(object, sizeof object, "%s/%s.o", folder, symbol);
    snprintf(library, sizeof library, "%s/%s.so", folder, symbol);
    snprintf(log, sizeof log, "%s/linked.log", folder);
    if (!entry_read(header, symbol, &e)) return "its header cannot be read again";
    for (int i = 0; i < e.n; i++)
        if (e.at[i].kind == ARGUMENT_SYMBOL) return "a size stayed open";
    if (!write_between(between, &e)) return "the temporary folder cannot be written";
    char *const argv[] = {cc, "-O1", "-shared", "-fPIC", "-o", library, between, object, "-lm", NULL};
    const int rc = run(argv, log);
    if (rc == 0) return NULL;
    if (rc < 0) return snprintf(why, cap, "no C compiler to link it: %s: %s", cc, strerror(errno)), why;
    first_line(log, reason, sizeof reason);
    snprintf(why, cap, "%s ended with %d: %s", cc, rc, reason);
    return why;
}

/* ---- opening it ------------------------------------------------------------------------------------------ */

static bool map_weights(Linked *l, const char *folder, const char *symbol)
{
    char path[1200];
    if (l->bytes[2] == 0) return true;
    snprintf(path, sizeof path, "%s/%s.weights", folder, symbol);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *at = fd >= 0 ? mmap(NULL, (size_t)l->bytes[2], PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (fd >= 0) close(fd);
    if (at != MAP_FAILED) l->weights = at;
    return at != MAP_FAILED;
}

static void *room(int64_t bytes)
{
    void *at = mem_alloc_aligned((size_t)bytes + 64, 64);
    if (at) memset(at, 0, MIN_OF((size_t)bytes, 64)); /* the rest is written before it is read */
    return at;
}

const char *linked_open(Linked *l, const char *folder, const char *symbol)
{
    char path[1200];
    *l = (Linked){.library = NULL};
    snprintf(path, sizeof path, "%s/%s.so", folder, symbol);
    if (!(l->library = dlopen(path, RTLD_NOW | RTLD_LOCAL))) return dlerror();
    const int64_t *bytes = dlsym(l->library, "linked_bytes");
    const int *count = dlsym(l->library, "linked_count");
    int (*outputs)(int64_t *) = (int (*)(int64_t *))dlsym(l->library, "linked_outputs");
    void (*init)(void *) = (void (*)(void *))dlsym(l->library, "linked_init");
    l->call = (int (*)(void *, const void *, const void *const *, void *const *, void *))dlsym(l->library, "linked_call");
    if (!bytes || !count || !outputs || !init || !l->call || count[0] > VALUES) return "it is not what was linked";
    memcpy(l->bytes, bytes, sizeof l->bytes);
    if (outputs(l->out_bytes)) return "its sizes are outside their bounds";
    if (!map_weights(l, folder, symbol)) return "its weights cannot be mapped";
    l->state = room(l->bytes[0]);
    l->workspace = room(l->bytes[1]);
    l->counts = count[1] != 0;
    bool ok = l->state && l->workspace;
    for (; ok && l->nout < count[0]; l->nout += ok) ok = (l->out[l->nout] = room(l->out_bytes[l->nout]));
    if (!ok) return "no memory for its state, workspace and results";
    init(l->state);
    return NULL;
}

static void drop(void *at, int64_t bytes)
{
    if (at) mem_free_aligned(at, (size_t)bytes + 64, 64);
}

void linked_close(Linked *l)
{
    drop(l->state, l->bytes[0]);
    drop(l->workspace, l->bytes[1]);
    for (int i = 0; i < l->nout; i++) drop(l->out[i], l->out_bytes[i]);
    if (l->weights) munmap(l->weights, (size_t)l->bytes[2]);
    if (l->library) dlclose(l->library);
    *l = (Linked){.library = NULL};
}
