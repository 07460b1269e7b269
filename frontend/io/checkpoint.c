/* checkpoint: saves and restores named state of a training run in files of a folder, ckpt-STEP.safetensors, each written whole
 * before it gets its name. Optimisers are saved under the names of the variables that they train, so that a new one can be given
 * its moments before its first step. Relies on safetensors.h and nn/optimizer.h. Keeps no index of its own: the names in the folder
 * decide. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../nn/optimizer.h"
#include "safetensors.h"

#define WHAT "checkpoint"

struct kiln_checkpoint {
    Object o;
    char *folder;
    int keep;
    Named *entry; /* names are ours */
    int count, cap;
    kiln_optimizer **optimizer;
    int optimizers, optimizer_cap;
};

static void drop(char *s)
{
    if (s) mem_free(s, strlen(s) + 1);
}

static void clean(Object *o)
{
    kiln_checkpoint *c = (kiln_checkpoint *)o;
    for (int i = 0; i < c->count; i++) {
        drop((char *)(uintptr_t)c->entry[i].name);
        variable_unpin(c->entry[i].variable);
    }
    mem_free(c->entry, (size_t)c->cap * sizeof *c->entry);
    mem_free(c->optimizer, (size_t)c->optimizer_cap * sizeof *c->optimizer);
    drop(c->folder);
}

static bool no_memory(Thread *t, kiln_site at)
{
    fail(t, at, KILN_EMEMORY, WHAT ": no memory");
    return false;
}

static Thread *begin(kiln_site at, const kiln_checkpoint *c)
{
    Thread *t = c ? thread_of(c->o.k) : thread_last();
    if (c) return file_allowed(t, at, WHAT, c->folder) ? t : NULL;
    fail(t, at, KILN_ESTATE, WHAT ": the checkpoint is NULL");
    return NULL;
}

kiln_checkpoint *kiln_checkpoint_new_at(kiln_site at, kiln *k, const char *folder, int keep)
{
    Thread *t = thread_of(k);
    if (!file_allowed(t, at, WHAT, folder)) return NULL;
    if (keep < 0) return fail(t, at, KILN_EVALUE, WHAT ": keep is %d; it must be 0 (keep all) or more", keep), NULL;
    if (!file_folder(t, at, WHAT, folder)) return NULL;
    kiln_checkpoint *c = object_new(at, k, sizeof *c, clean);
    if (!c) return NULL;
    c->keep = keep;
    c->folder = mem_strdup(folder);
    if (c->folder) return c;
    no_memory(t, at);
    object_free(&c->o);
    return NULL;
}

void kiln_checkpoint_free(kiln_checkpoint *c)
{
    if (c) object_free(&c->o);
}

/* ---- what is in it ---------------------------------------------------------------------------------- */
static void *room(void *list, int count, int *cap, size_t each)
{
    if (count < *cap) return list;
    int more = *cap ? 2 * *cap : 16;
    void *p = mem_resize(list, (size_t)*cap * each, (size_t)more * each);
    if (p) *cap = more;
    return p;
}

bool kiln_checkpoint_add_at(kiln_site at, kiln_checkpoint *c, kiln_variable *v, const char *name)
{
    Thread *t = begin(at, c);
    if (!t) return false;
    if (!v || !v->alive || v->k != c->o.k) {
        fail(t, at, KILN_ESTATE, WHAT ": the variable is NULL, freed or another engine's");
        return false;
    }
    if (!name) name = v->name;
    const char *why = !*name ? "has no name" : NULL;
    for (int i = 0; i < c->count && !why; i++)
        why = strcmp(c->entry[i].name, name) == 0 ? "has the name of another (kiln_checkpoint_add_as gives it one of its own)"
              : c->entry[i].variable == v         ? "was added before"
                                                  : NULL;
    if (why) {
        fail(t, at, KILN_EVALUE, WHAT ": variable \"%s\" %s", name, why);
        return false;
    }
    Named *list = room(c->entry, c->count, &c->cap, sizeof *list);
    if (list) c->entry = list;
    char *copy = list ? mem_strdup(name) : NULL;
    if (!copy) return no_memory(t, at);
    c->entry[c->count++] = (Named){.name = copy, .variable = v};
    variable_pin(v);
    return true;
}

bool kiln_checkpoint_add_optimizer_at(kiln_site at, kiln_checkpoint *c, kiln_optimizer *o)
{
    Thread *t = begin(at, c);
    if (!t) return false;
    bool known = false;
    for (int i = 0; i < c->optimizers; i++) known |= c->optimizer[i] == o;
    if (!o || known) {
        fail(t, at, o ? KILN_EVALUE : KILN_ESTATE, WHAT ": the optimizer %s", o ? "was added before" : "is NULL");
        return false;
    }
    kiln_optimizer **list = room(c->optimizer, c->optimizers, &c->optimizer_cap, sizeof(kiln_optimizer *));
    if (!list) return no_memory(t, at);
    c->optimizer = list;
    c->optimizer[c->optimizers++] = o;
    return true;
}

/* ---- all state, under its names in a file -------------------------------------------------------------- */
typedef struct State {
    Named *list;
    int count, cap;
} State;

static void state_free(const kiln_checkpoint *c, State *s)
{
    for (int i = c->count; i < s->count; i++) drop((char *)(uintptr_t)s->list[i].name);
    mem_free(s->list, (size_t)s->cap * sizeof *s->list);
}

/* "optimizer/", "optimizer_1/" ... */
static void prefix(Text *to, int optimizer) { text_printf(to, optimizer ? "optimizer_%d/" : "optimizer/", optimizer); }

static bool add_state(Thread *t, kiln_site at, const kiln_checkpoint *c, int optimizer, OptimizerState x, State *s)
{
    const char *of = NULL;
    for (int i = 0; x.of && i < c->count && !of; i++)
        if (c->entry[i].variable == x.of) of = c->entry[i].name;
    if (x.of && !of) {
        fail(t, at, KILN_ESTATE, WHAT ": the optimizer trains variable \"%s\", which was not added", x.of->name);
        return false;
    }
    Text name = {0};
    prefix(&name, optimizer);
    text_printf(&name, of ? "%s/%s" : "%s", x.kind, of);
    char *copy = name.failed ? NULL : mem_strdup(name.at);
    text_free(&name);
    if (!copy) return no_memory(t, at);
    s->list[s->count++] = (Named){copy, x.state, of, true}; /* files of older versions hold narrower state */
    return true;
}

static bool state_gather(Thread *t, kiln_site at, const kiln_checkpoint *c, State *s)
{
    size_t n = (size_t)c->count + 1;
    for (int i = 0; i < c->optimizers; i++) n += (size_t)optimizer_state_count(c->optimizer[i]);
    *s = (State){.list = mem_zeros(n, sizeof *s->list), .cap = (int)n};
    if (!s->list) {
        s->cap = 0;
        return no_memory(t, at);
    }
    if (c->count) memcpy(s->list, c->entry, (size_t)c->count * sizeof *s->list);
    s->count = c->count;
    for (int i = 0; i < c->optimizers; i++)
        for (int j = 0; j < optimizer_state_count(c->optimizer[i]); j++) {
            OptimizerState x = optimizer_state(c->optimizer[i], j);
            if (x.state && !add_state(t, at, c, i, x, s)) return false;
        }
    return true;
}

/* ---- the folder --------------------------------------------------------------------------------------- */
typedef struct Steps {
    int64_t *at; /* ascending */
    int count, cap;
} Steps;

/* ckpt-STEP.safetensors, as save writes it; -1: another file. */
static int64_t step_of(const char *name)
{
    if (strncmp(name, "ckpt-", 5) != 0) return -1;
    const char *p = name + 5;
    int64_t n = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n)) return -1;
    bool one_way = p > name + 5 && (name[5] != '0' || p == name + 6);
    return one_way && strcmp(p, ".safetensors") == 0 ? n : -1;
}

static int by_step(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void steps_free(Steps *s) { mem_free(s->at, (size_t)s->cap * sizeof *s->at); }

/* Whether the name is a file, or a link to one; a folder or a fifo of such a name is not a checkpoint. */
static bool is_file(DIR *d, const char *name)
{
    struct stat s;
    return fstatat(dirfd(d), name, &s, 0) == 0 && S_ISREG(s.st_mode);
}

static bool steps_list(Thread *t, kiln_site at, const kiln_checkpoint *c, Steps *s)
{
    *s = (Steps){0};
    DIR *d = opendir(c->folder);
    if (!d) return file_failed(t, at, WHAT, c->folder, "list");
    bool ok = true;
    const struct dirent *e;
    while (errno = 0, ok && (e = readdir(d))) {
        int64_t step = step_of(e->d_name), *list = NULL;
        if (step < 0 || !is_file(d, e->d_name)) continue;
        list = room(s->at, s->count, &s->cap, sizeof *list);
        if (list)
            (s->at = list)[s->count++] = step;
        else
            ok = no_memory(t, at);
    }
    if (ok && errno) ok = file_failed(t, at, WHAT, c->folder, "list");
    closedir(d);
    if (ok && s->count) qsort(s->at, (size_t)s->count, sizeof *s->at, by_step);
    if (!ok) steps_free(s);
    return ok;
}

static bool path_of(Thread *t, kiln_site at, const kiln_checkpoint *c, int64_t step, Text *path)
{
    *path = (Text){0};
    text_printf(path, "%s/ckpt-%lld.safetensors", c->folder, (long long)step);
    if (!path->failed) return true;
    text_free(path);
    return no_memory(t, at);
}

int64_t kiln_checkpoint_latest_at(kiln_site at, kiln_checkpoint *c)
{
    Thread *t = begin(at, c);
    Steps s;
    if (!t || !steps_list(t, at, c, &s)) return -1;
    int64_t step = s.count ? s.at[s.count - 1] : -1;
    steps_free(&s);
    return step;
}

/* ---- saving ------------------------------------------------------------------------------------------- */
static bool delete_old(Thread *t, kiln_site at, const kiln_checkpoint *c)
{
    Steps s;
    Text path;
    if (c->keep == 0) return true;
    if (!steps_list(t, at, c, &s)) return false;
    bool ok = true;
    for (int i = 0; i < s.count - c->keep && ok; i++) {
        ok = path_of(t, at, c, s.at[i], &path);
        if (!ok) break;
        if (unlink(path.at) != 0 && errno != ENOENT) ok = file_failed(t, at, WHAT, path.at, "delete");
        text_free(&path);
    }
    steps_free(&s);
    return ok;
}

bool kiln_checkpoint_save_at(kiln_site at, kiln_checkpoint *c, int64_t step)
{
    Thread *t = begin(at, c);
    Steps s;
    if (!t || !steps_list(t, at, c, &s)) return false;
    int64_t newest = s.count ? s.at[s.count - 1] : -1;
    steps_free(&s);
    if (step < 0 || step < newest) {
        fail(t, at, KILN_EVALUE,
            WHAT ": step %lld comes before step %lld, which %s has; use another folder, or delete "
                 "what is newer",
            (long long)step, (long long)MAX_OF(newest, 0), c->folder);
        return false;
    }
    State state = {0};
    Text path = {0};
    /* Old files are deleted before a save as well, so that those that killed processes left do not pile up. */
    bool ok = state_gather(t, at, c, &state) && path_of(t, at, c, step, &path) && delete_old(t, at, c) &&
              named_save(t, at, WHAT, path.at, state.list, state.count, step, "ckpt") && delete_old(t, at, c);
    text_free(&path);
    state_free(c, &state);
    return ok;
}

/* ---- restoring ---------------------------------------------------------------------------------------- */
/* Makes the moments that the file has and the optimiser does not have yet. */
static bool make_moments(Thread *t, kiln_site at, const kiln_checkpoint *c, const kiln_safetensors *f)
{
    for (int i = 0; i < c->optimizers; i++)
        for (int j = 0; j < c->count; j++) {
            Text name = {0};
            prefix(&name, i);
            text_printf(&name, "first/%s", c->entry[j].name);
            bool has = !name.failed && kiln_safetensors_find(f, name.at) >= 0, ok = !name.failed || no_memory(t, at);
            text_free(&name);
            kiln_variable *v = c->entry[j].variable;
            if (!ok || (has && !kiln_optimizer_prepare_at(at, c->optimizer[i], &v, 1))) return false;
        }
    return true;
}

static bool right_step(Thread *t, kiln_site at, const kiln_safetensors *f, int64_t step)
{
    char want[24];
    const char *have = kiln_safetensors_metadata(f, SAFE_STEP);
    snprintf(want, sizeof want, "%lld", (long long)step);
    if (have && strcmp(have, want) == 0) return true;
    fail(t, at, KILN_EFORMAT, WHAT ": %s: the file says that it holds step %.24s", f->path, have ? have : "(none)");
    return false;
}

static bool restore(Thread *t, kiln_site at, kiln_checkpoint *c, int64_t step)
{
    Text path;
    if (!path_of(t, at, c, step, &path)) return false;
    State state = {0};
    kiln_safetensors *f = safe_open(t, at, WHAT, path.at);
    bool ok = f && right_step(t, at, f, step) && make_moments(t, at, c, f) && state_gather(t, at, c, &state) &&
              named_load(t, at, WHAT, f, state.list, state.count, true);
    kiln_safetensors_close(f);
    state_free(c, &state);
    text_free(&path);
    return ok;
}

bool kiln_checkpoint_restore_at(kiln_site at, kiln_checkpoint *c, int64_t step)
{
    Thread *t = begin(at, c);
    if (t && step < 0) return fail(t, at, KILN_EVALUE, WHAT ": step is %lld; it must be 0 or more", (long long)step), false;
    return t && restore(t, at, c, step);
}

int64_t kiln_checkpoint_restore_latest_at(kiln_site at, kiln_checkpoint *c)
{
    int64_t step = kiln_checkpoint_latest_at(at, c);
    return step >= 0 && restore(thread_of(c->o.k), at, c, step) ? step : -1;
}

/* Logs the thread's error, which tells this file's damage, and renames the file. */
static bool set_aside(Thread *t, kiln_site at, const kiln_checkpoint *c, int64_t step)
{
    Text path, aside = {0};
    kiln *k = t->k;
    log_line(k, "%s", t->failure.text);
    kiln_clear(k);
    if (!path_of(t, at, c, step, &path)) return false;
    text_printf(&aside, "%s.damaged", path.at);
    bool ok = !aside.failed || no_memory(t, at);
    if (ok && rename(path.at, aside.at) != 0) ok = file_failed(t, at, WHAT, path.at, "rename");
    text_free(&aside);
    text_free(&path);
    return ok;
}

int64_t kiln_checkpoint_restore_valid_at(kiln_site at, kiln_checkpoint *c)
{
    Thread *t = begin(at, c);
    if (!t || t->failure.code != KILN_OK) return -1; /* an older error would hide the file's damage */
    for (;;) {
        int64_t step = kiln_checkpoint_latest_at(at, c);
        if (step < 0 || restore(t, at, c, step)) return step;
        if (t->failure.code != KILN_EFORMAT || !set_aside(t, at, c, step)) return -1;
    }
}
