/* named: finds out whether LLVM knows the CPU and the features that a caller names. LLVM takes any name: if it does not know one,
 * it says so on stderr and ignores it, and its C API cannot be asked. So a target machine is made while stderr leads into memory.
 * What other threads write there meanwhile is passed on afterwards. */
#define _GNU_SOURCE /* memfd_create */
#include "cpu.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static const char unknown[] = "' is not a recognized ";

/* 'bogus' is not a recognized processor for this target (ignoring processor) */
static void judge(const Machine *m, const char *line, Status *st)
{
    const char *end = strstr(line, unknown), *what = end + strlen(unknown), *start = end;
    while (start > line && start[-1] != '\'') start--;
    bool feature = strncmp(what, "feature", 7) == 0;
    status_fail(st, ST_UNSUPPORTED, "%s: LLVM knows no %s '%.*s' for %s (llc -mtriple=%s -mattr=help lists them)",
        feature ? "features" : "cpu", feature ? "feature" : "CPU", (int)MIN_OF(end - start, 100), start, m->triple, m->triple);
}

/* Lines that are not LLVM's go where they were meant to go. */
static void sort_out(const Machine *m, int fd, Status *st)
{
    FILE *f = fdopen(fd, "r");
    char line[1024];
    if (!f) {
        close(fd);
        return;
    }
    rewind(f);
    while (fgets(line, sizeof line, f))
        if (!strstr(line, unknown))
            (void)!write(STDERR_FILENO, line, strlen(line));
        else if (st->code == ST_OK)
            judge(m, line, st);
    fclose(f);
}

/* LLVM reads a feature without its sign as the opposite. */
static bool signs(const Machine *m, Status *st)
{
    for (const char *at = m->features; *at; at += strcspn(at, ","), at += *at == ',')
        if (*at != '+' && *at != '-')
            return status_fail(
                st, ST_UNSUPPORTED, "features: '%.*s' must begin with + or -", (int)MIN_OF(strcspn(at, ","), 100), at);
    return true;
}

bool machine_known(const Machine *m, Status *st)
{
    if (!signs(m, st)) return false;
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    Status mine = {0};
    pthread_mutex_lock(&one);
    int said = memfd_create("kiln-llvm", MFD_CLOEXEC);
    int before = dup(STDERR_FILENO); /* -1: stderr is closed */
    if (said < 0 || dup2(said, STDERR_FILENO) < 0) {
        status_fail(&mine, ST_IO, "llvm: cannot make a temporary file for the messages of LLVM");
    } else {
        LLVMTargetMachineRef tm = machine_target(m, &mine);
        if (tm) LLVMDisposeTargetMachine(tm);
        if (before >= 0)
            dup2(before, STDERR_FILENO);
        else
            close(STDERR_FILENO);
        sort_out(m, said, &mine);
        said = -1;
    }
    if (said >= 0) close(said);
    if (before >= 0) close(before);
    pthread_mutex_unlock(&one);
    return mine.code == ST_OK || status_fail(st, mine.code, "%s", mine.text);
}
