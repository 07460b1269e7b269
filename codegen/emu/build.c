/* build: CUDA C to modules of emulated devices, by the host's C++ compiler: $CXX, which may have arguments, else c++. Relies on
 * posix_spawn. Never loads or keeps anything. */
#define _GNU_SOURCE
#include "../module.h"
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the compiler ------------------------------------------------------------------------------------------------- */
static const char flags[] =
    "-std=c++17 -Og -w -ffp-contract=off -fno-math-errno -fno-strict-aliasing -fwrapv -fno-exceptions "
    "-fno-rtti -fsanitize=thread,bounds -fno-asynchronous-unwind-tables -fvisibility=hidden -fPIC -shared -nostdlib";
/* clang leaves out the reads that a write to the same place follows, but they come first. */
static const char clang_flags[] = " -mllvm -tsan-instrument-read-before-write=1";

typedef struct Compiler {
    char command[512], version[256]; /* the first line of what it says of itself */
} Compiler;

enum { ARGS = 64 };

/* Cuts a line at its spaces, in place. */
static size_t split(char *line, char **argv, size_t n)
{
    for (char *rest = line, *word; n + 1 < ARGS && (word = strtok_r(rest, " ", &rest));) argv[n++] = word;
    argv[n] = NULL;
    return n;
}

/* 0, or what the system says of it; *status: as waitpid gives it. What it says goes to `log`, and nowhere without one. */
static int spawn(char *const *argv, const char *log, int *status)
{
    posix_spawn_file_actions_t files;
    pid_t child;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, log ? log : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    const int wrong = posix_spawnp(&child, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (wrong != 0) return wrong;
    while (waitpid(child, status, 0) < 0)
        if (errno != EINTR) return errno;
    return 0;
}

static bool ask_version(Compiler *c, Status *st)
{
    char line[sizeof c->command + 16], log[EMU_PATH], *argv[ARGS];
    int status = 0;
    Text said = {0};
    const int fd = emu_temporary(log, "version");
    if (fd < 0) return status_fail(st, ST_IO, "emu: no folder for modules: %s", strerror(errno));
    close(fd);
    snprintf(line, sizeof line, "%s --version", c->command);
    split(line, argv, 0);
    const int wrong = argv[0] ? spawn(argv, log, &status) : ENOENT;
    emu_read(&said, log);
    unlink(log);
    snprintf(c->version, sizeof c->version, "%.*s", said.at ? (int)strcspn(said.at, "\n") : 0, said.at ? said.at : "");
    text_free(&said);
    if (wrong == 0 && status == 0) return true;
    return status_fail(st, ST_DEVICE,
        "emu: no C++ compiler, which emulated devices need at run time: %s --version: %s (CXX names another one)", c->command,
        wrong != 0 ? strerror(wrong) : "it failed");
}

/* $CXX may change; it is asked once for each. */
static bool compiler_now(Compiler *c, Status *st)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static Compiler known;
    const char *cxx = getenv("CXX");
    Compiler now = {0};
    snprintf(now.command, sizeof now.command, "%s", cxx && *cxx ? cxx : "c++");
    pthread_mutex_lock(&lock);
    const bool ok = strcmp(now.command, known.command) == 0 || ask_version(&now, st);
    if (ok && !*now.version) now = known;
    if (ok) *c = known = now;
    pthread_mutex_unlock(&lock);
    return ok;
}

bool emu_compiles(Status *st)
{
    Compiler c;
    return module_possible("emu: a module", st) && compiler_now(&c, st);
}

/* The log's first lines name the mistakes, and a Status holds only a few. */
static bool complain(Status *st, const Compiler *c, const char *name, const char *log)
{
    Text said = {0};
    emu_read(&said, log);
    unlink(log);
    status_fail(st, ST_INTERNAL, "emu: %s cannot compile %.80s: %.300s", c->command, name, said.at ? said.at : "it says nothing");
    text_free(&said);
    return false;
}

static bool compile(const Compiler *c, const char *from, const char *to, const char *name, Status *st)
{
    char words[sizeof flags + sizeof clang_flags], line[sizeof c->command], log[EMU_PATH + 8], *argv[ARGS + 16];
    int status = 0;
    memcpy(line, c->command, sizeof line);
    snprintf(words, sizeof words, "%s%s", flags, strstr(c->version, "clang") ? clang_flags : "");
    /* No library is named: reading theirs takes longer than all else that the linker does, and the process has what kernels call.
     */
    size_t n = split(words, argv, split(line, argv, 0));
    const char *const rest[] = {"-x", "c++", from, "-o", to, NULL};
    for (size_t i = 0; i < COUNT_OF(rest); i++) argv[n + i] = (char *)(uintptr_t)rest[i];
    snprintf(log, sizeof log, "%s.log", to);
    const int wrong = spawn(argv, log, &status);
    if (wrong != 0) return status_fail(st, ST_DEVICE, "emu: cannot run %s: %s", c->command, strerror(wrong));
    if (status != 0) return complain(st, c, name, log);
    unlink(log);
    return true;
}

/* ---- the text ----------------------------------------------------------------------------------------------------- */
/* For each kernel a function that takes its parameters from an array of pointers to them, and a row of the table of kernels. */
static void add_kernels(Text *t, const char *source)
{
    static const char mark[] = "__global__ void ";
    Text rows = {0};
    for (const char *at = source; (at = strstr(at, mark));) {
        at += sizeof mark - 1;
        if (strncmp(at, "__launch_bounds__(", 18) == 0) at += strcspn(at, ")") + 1, at += strspn(at, " ");
        const int n = (int)strcspn(at, "(");
        const char *param = at + n + 1, *end = param + strcspn(param, ")");
        if (strncmp(param, "void)", 5) == 0) param = end;
        text_printf(t, "extern \"C\" EMU_OWN void emu_call_%.*s(void **p) { %.*s(", n, at, n, at);
        for (uint32_t i = 0; param < end; i++, param += strcspn(param, ",)") + 1)
            text_printf(t, "%sEmuParam{p[%u]}", i ? ", " : "", i);
        text_printf(t, "); }\n");
        text_printf(&rows, "    emu_kernel(\"%.*s\", %.*s, emu_call_%.*s),\n", n, at, n, at, n, at);
    }
    text_printf(t, "static const EmuKernel emu_table[] = {\n%s    {}};\n", rows.at ? rows.at : "");
    text_printf(t, "extern \"C\" __attribute__((visibility(\"default\"))) const EmuModule emu_module = {&emu_state, emu_table, "
                   "__start_emu_shared, __stop_emu_shared};\n");
    t->failed |= rows.failed;
    text_free(&rows);
}

/* Reading what tensor cores' instructions are made of takes as long as most kernels do. */
static void add_device_side(Text *t, const char *source)
{
    static const char *const group[] = {"wgmma", "group_", "shared_written", "shared_at", "KILN_SHARED"};
    bool groups = false;
    for (size_t i = 0; i < COUNT_OF(group); i++) groups = groups || strstr(source, group[i]);
    text_printf(t, "#define KILN_DEVICE_SIDE\n");
    if (groups) text_printf(t, "#define EMU_GROUPS\n");
    if (groups || strstr(source, "mma_") || strstr(source, "fragments") || strstr(source, "to_tf32"))
        text_printf(t, "#define EMU_TENSOR\n");
    text_printf(t, "%s\n", emu_device_side);
}

static bool write_text(int fd, const Text *t)
{
    const bool ok = emu_write(fd, t->at, t->len);
    return close(fd) == 0 && ok;
}

/* To the file `to`. */
static bool make(const Compiler *c, const Text *t, const char *name, char to[EMU_PATH], Status *st)
{
    char from[EMU_PATH];
    const int fd = emu_temporary(from, "text");
    if (fd < 0) return status_fail(st, ST_IO, "emu: no file for the text of %.80s: %s", name, strerror(errno));
    snprintf(to, EMU_PATH, "%.*s.so", EMU_PATH - 4, from);
    bool ok = write_text(fd, t) || status_fail(st, ST_IO, "emu: cannot write %s: %s", from, strerror(errno));
    ok = ok && compile(c, from, to, name, st);
    unlink(from);
    return ok;
}

static void append(Text *image, const char *object, size_t bytes, Status *st)
{
    ImageHead head = {.bytes = bytes};
    memcpy(head.magic, IMAGE_MAGIC, sizeof head.magic);
    text_add(image, (const char *)&head, sizeof head);
    text_add(image, object, bytes);
    if (image->failed) status_fail(st, ST_MEMORY, "emu: no memory for %zu bytes of code", bytes);
}

bool emu_build(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st)
{
    Text t = {0}, object = {0};
    Compiler c;
    char file[EMU_PATH];
    (void)d;
    if (!compiler_now(&c, st)) return false;
    if (!name) name = "a program";
    add_device_side(&t, source);
    text_printf(&t, "%s\n", source);
    add_kernels(&t, source);
    bool ok = !t.failed || status_fail(st, ST_MEMORY, "emu: no memory for the text of %.80s", name);
    ok = ok && make(&c, &t, name, file, st);
    if (ok && !emu_read(&object, file))
        ok =
            status_fail(st, object.failed ? ST_MEMORY : ST_IO, "emu: %s %s", object.failed ? "no memory for" : "cannot read", file);
    if (ok) {
        unlink(file);
        append(image, object.at, object.len, st);
    }
    text_free(&object);
    text_free(&t);
    return ok && st->code == ST_OK;
}

/* ---- what it is kept under ---------------------------------------------------------------------------------------- */
/* The file that the command names; an empty text: it is not found. */
static void file_of(const char *command, char path[CUDA_PATH])
{
    const int n = (int)strcspn(command, " ");
    const char *folder = getenv("PATH");
    snprintf(path, CUDA_PATH, "%.*s", n, command);
    if (memchr(command, '/', (size_t)n)) return;
    for (; folder && *folder; folder += strcspn(folder, ":"), folder += *folder == ':') {
        snprintf(path, CUDA_PATH, "%.*s/%.*s", (int)strcspn(folder, ":"), folder, n, command);
        if (access(path, X_OK) == 0) return;
    }
    *path = '\0';
}

bool emu_compiler(const CudaDriver *d, Text *key, char file[CUDA_PATH], Status *st)
{
    Compiler c;
    (void)d;
    if (!compiler_now(&c, st)) return false;
    text_printf(
        key, "%s, %s, %s%s\n%s\n", c.command, c.version, flags, strstr(c.version, "clang") ? clang_flags : "", emu_device_side);
    file_of(c.command, file);
    return true;
}
