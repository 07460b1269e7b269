/* perf: tells `perf` which compiled function lies where, if KILN_PERF asks: /tmp/perf-PID.map, a line for each function, by the
 * name of its program, what it does, and where that was written. The file is made anew, never through a link, and is its owner's
 * alone. Relies on program.h and image.h. Never removes the file: perf reads it after the process has ended. */
#define _GNU_SOURCE
#include "perf.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int file = -1; /* under lock, as is the process that it is of */
static pid_t owner;

/* ---- names ----------------------------------------------------------------------------------- */

/* The first step whose code is product `number`, in the order in which products are emitted (emit_contract.c). */
static const Step *find_product(const Step *step, uint32_t n, const Step **known, uint32_t *nknown, uint32_t most)
{
    for (uint32_t i = 0; i < n; i++) {
        const Step *s = &step[i], *found = NULL;
        bool is_new = s->kind == STEP_CONTRACT && !s->contract.host;
        for (uint32_t k = 0; is_new && k < *nknown; k++) is_new = !step_same_product(known[k], s);
        if (is_new && *nknown == most) return s;
        if (is_new) known[(*nknown)++] = s;
        for (uint32_t k = 0; k < s->nblock && !found; k++)
            found = find_product(s->block[k].step, s->block[k].n, known, nknown, most);
        if (found) return found;
    }
    return NULL;
}

static Loc product_place(const Program *p, uint32_t number)
{
    uint32_t nknown = 0;
    const Step **known = mem_zeros((size_t)number + 1, sizeof *known), *s;
    if (!known) return (Loc){0};
    s = find_product(p->step, p->nstep, known, &nknown, number);
    mem_free(known, ((size_t)number + 1) * sizeof *known);
    return s ? s->loc : (Loc){0};
}

/* "step.relu_0@train.c:41". symbol: as emit_kernel.c, emit_contract.c and emit_part.c name functions. */
static void put_name(Text *out, const Program *p, const char *symbol)
{
    unsigned number = 0;
    int used = 0;
    Loc at = {0};
    text_printf(out, "%s", p->name);
    if (sscanf(symbol, "k%u_%n", &number, &used) == 1 && used != 0 && number < p->kernel.len) {
        at = p->kernel.at[number].loc;
        text_printf(out, ".%s", symbol + used);
    } else if (sscanf(symbol, "product%u%n", &number, &used) == 1 && symbol[used] == '\0' && number < 1u << 16) {
        at = product_place(p, number);
        text_printf(out, ".matmul_%u", number);
    } else if (strcmp(symbol, "kiln_entry") != 0) {
        text_printf(out, ".%s", symbol);
    }
    if (!at.file) return;
    const char *slash = strrchr(at.file, '/');
    text_printf(out, "@%s:%d", slash ? slash + 1 : at.file, at.line);
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool open_file(char *why, size_t cap)
{
    char path[64];
    owner = getpid();
    snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)owner);
    if (file >= 0) close(file); /* of the process that this one was forked from */
    file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) snprintf(why, cap, "KILN_PERF: %s cannot be made: %s", path, strerror(errno));
    return file >= 0;
}

bool perf_open(char *why, size_t cap)
{
    pthread_mutex_lock(&lock);
    bool ok = false;
    if (getauxval(AT_SECURE))
        snprintf(why, cap, "KILN_PERF: not for a program that runs with others' rights");
    else
        ok = owner == getpid() ? file >= 0 : open_file(why, cap);
    if (!ok && owner == getpid() && !*why) snprintf(why, cap, "KILN_PERF: there is no map of this process");
    pthread_mutex_unlock(&lock);
    return ok;
}

static void add_lines(Text *out, const Program *p, const Image *m, const char *at)
{
    for (uint32_t i = 0; i < m->head->nsymbol; i++) {
        const ImageSymbol *s = &m->symbol[i];
        text_printf(out, "%llx %x ", (unsigned long long)(uintptr_t)(at + s->at), (unsigned)s->len);
        const size_t from = out->len;
        put_name(out, p, m->names + s->name);
        for (size_t k = from; k < out->len; k++) /* names are the user's */
            if ((unsigned char)out->at[k] < ' ') out->at[k] = '?';
        text_add(out, "\n", 1);
    }
}

void perf_note(const Program *p, const Image *m, const char *at)
{
    char why[128];
    Text lines = {0};
    pthread_mutex_lock(&lock);
    bool wanted = owner != 0 && (owner == getpid() || open_file(why, sizeof why)) && file >= 0;
    if (wanted) add_lines(&lines, p, m, at);
    if (wanted && lines.at && !lines.failed) (void)!write(file, lines.at, lines.len); /* at once, so that lines are whole */
    pthread_mutex_unlock(&lock);
    text_free(&lines);
}
