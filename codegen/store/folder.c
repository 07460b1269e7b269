/* folder: the files of a CodeStore. The folder and each file must be its owner's alone, which is asked of what was opened, not of a
 * name. Files appear whole, by a rename, or not at all, so that any number of processes may use the folder at once. Only files with
 * names of our form are ever removed. Relies on the system's files. Never knows what is in them. */
#define _GNU_SOURCE
#include "parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLD_TEMPORARY 600 /* seconds, after which a file that is still being written is a dead process' */

static bool say(char *why, size_t cap, const char *what, const char *reason)
{
    snprintf(why, cap, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    return false;
}

static bool owners_alone(const struct stat *s) { return s->st_uid == geteuid() && (s->st_mode & 077) == 0; }

/* ---- the folder ------------------------------------------------------------------------------ */

/* Without what would have the system follow a link at the end: slashes, and points behind them. False: it is too long. */
static bool bare_path(const char *path, char bare[PATH_MAX])
{
    size_t len = strlen(path);
    if (len >= PATH_MAX) return false;
    while (len > 1 && (path[len - 1] == '/' || (path[len - 1] == '.' && path[len - 2] == '/'))) len--;
    memcpy(bare, path, len);
    bare[len] = '\0';
    return true;
}

int folder_open(const char *named, char *why, size_t cap)
{
    struct stat s;
    char path[PATH_MAX];
    if (!bare_path(named, path)) return say(why, cap, "cannot make the folder", strerror(ENAMETOOLONG)), -1;
    if (getauxval(AT_SECURE)) return say(why, cap, "not used by a program that runs with others' rights", NULL), -1;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return say(why, cap, "cannot make the folder", strerror(errno)), -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        bool link = errno == ELOOP || (errno == ENOTDIR && lstat(path, &s) == 0 && S_ISLNK(s.st_mode));
        return say(why, cap, "cannot open the folder", link ? "it is a link" : strerror(errno)), -1;
    }
    if (fstat(fd, &s) == 0 && owners_alone(&s)) return fd;
    close(fd);
    return say(why, cap, "the folder is not its owner's alone (chmod 700)", NULL), -1;
}

/* ---- a file ---------------------------------------------------------------------------------- */

static bool read_all(int fd, char *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, to + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static bool read_opened(int fd, uint64_t most, Found *out, char *why, size_t cap)
{
    struct stat s;
    if (fstat(fd, &s) != 0) return say(why, cap, "cannot be looked at", strerror(errno));
    if (!S_ISREG(s.st_mode)) return say(why, cap, "it is no regular file", NULL);
    if (!owners_alone(&s)) return say(why, cap, "it is not its owner's alone", NULL);
    if (s.st_nlink > 1) return say(why, cap, "it has another name, too", NULL); /* 0: another process has just made room */
    if (s.st_size <= 0 || (uint64_t)s.st_size > MIN_OF(most, STORE_MOST)) return say(why, cap, "its size", NULL);
    out->bytes = (size_t)s.st_size;
    out->file = mem_alloc_aligned(out->bytes, STORE_ALIGN);
    if (!out->file) return say(why, cap, "no memory", NULL);
    if (!read_all(fd, out->file, out->bytes)) return say(why, cap, "it cannot be read whole", NULL);
    (void)!futimens(fd, (struct timespec[2]){{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}}); /* it was used now */
    return true;
}

bool folder_read(const CodeStore *s, const char *name, Found *out, char *why, size_t cap)
{
    *out = (Found){0};
    *why = '\0';
    /* NONBLOCK: a pipe without a writer must not hang us */
    int fd = openat(s->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno != ENOENT && say(why, cap, "cannot be opened", errno == ELOOP ? "it is a link" : strerror(errno));
    bool ok = read_opened(fd, s->most, out, why, cap);
    close(fd);
    if (!ok) found_free(out);
    return ok;
}

static bool write_all(int fd, const char *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(fd, bytes + done, n - done);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return false;
        done += (size_t)k;
    }
    return true;
}

/* A file larger than the process may write would not only fail, but end it by a signal. */
static bool may_write(size_t n)
{
    struct rlimit most;
    return getrlimit(RLIMIT_FSIZE, &most) != 0 || most.rlim_cur == RLIM_INFINITY || n <= most.rlim_cur;
}

bool folder_write(CodeStore *s, const char *name, const char *bytes, size_t n, char *why, size_t cap)
{
    char temporary[FILE_NAME + 32];
    uint64_t chance;
    if (!may_write(n)) return say(why, cap, "cannot write", strerror(EFBIG));
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != sizeof chance) return say(why, cap, "no random name", strerror(errno));
    snprintf(temporary, sizeof temporary, ".%.32s.%016" PRIx64 ".tmp", name, chance);
    int fd = openat(s->fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return say(why, cap, "cannot make a file", strerror(errno));
    bool ok = fchmod(fd, 0600) == 0 && write_all(fd, bytes, n); /* whatever the umask */
    ok = close(fd) == 0 && ok && renameat(s->fd, temporary, s->fd, name) == 0;
    if (!ok) {
        say(why, cap, "cannot write", strerror(errno));
        unlinkat(s->fd, temporary, 0);
    }
    return ok;
}

/* ---- room ------------------------------------------------------------------------------------ */

typedef struct Aged {
    struct timespec used;
    uint64_t bytes;
    char name[FILE_NAME];
} Aged;

static int older_first(const void *x, const void *y)
{
    const struct timespec *a = &((const Aged *)x)->used, *b = &((const Aged *)y)->used;
    if (a->tv_sec != b->tv_sec) return a->tv_sec < b->tv_sec ? -1 : 1;
    return (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}

static bool is_ours(const char *name) { return strspn(name, "0123456789abcdef") == 32 && strcmp(name + 32, ".kiln") == 0; }

/* .DIGITS.DIGITS.tmp */
static bool is_temporary(const char *name)
{
    return name[0] == '.' && strspn(name + 1, "0123456789abcdef") == 32 && name[33] == '.' &&
           strspn(name + 34, "0123456789abcdef") == 16 && strcmp(name + 50, ".tmp") == 0;
}

typedef struct Files {
    Aged *at;
    size_t len, cap;
    uint64_t bytes;
} Files;

static void add_file(Files *f, const char *name, const struct stat *s)
{
    f->bytes += (uint64_t)s->st_size;
    if (f->len == f->cap) {
        Aged *more = mem_resize(f->at, f->cap * sizeof *f->at, (2 * f->cap + 64) * sizeof *f->at);
        if (!more) return; /* it is counted, and stays this time */
        f->at = more;
        f->cap = 2 * f->cap + 64;
    }
    Aged *a = &f->at[f->len++];
    *a = (Aged){.used = s->st_mtim, .bytes = (uint64_t)s->st_size};
    memcpy(a->name, name, FILE_NAME);
}

static void list_files(const CodeStore *s, Files *f)
{
    struct stat st;
    int fd = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0) close(fd);
        return;
    }
    const time_t now = time(NULL);
    for (const struct dirent *e; (e = readdir(d));) {
        bool ours = is_ours(e->d_name);
        if ((!ours && !is_temporary(e->d_name)) || fstatat(s->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (ours)
            add_file(f, e->d_name, &st);
        else if (st.st_mtim.tv_sec < now - OLD_TEMPORARY)
            unlinkat(s->fd, e->d_name, 0);
    }
    closedir(d);
}

/* Down to three quarters, so that this is not done again for each new file. */
void folder_look(CodeStore *s, uint64_t room)
{
    Files f = {0};
    list_files(s, &f);
    s->count.files = f.len;
    if (f.bytes + room > s->most) {
        if (f.len != 0) qsort(f.at, f.len, sizeof *f.at, older_first);
        for (size_t i = 0; i < f.len && f.bytes + room > s->most / 4 * 3; i++) {
            unlinkat(s->fd, f.at[i].name, 0); /* another process may have been faster */
            f.bytes -= f.at[i].bytes;
            s->count.evicted++;
            s->count.files--;
        }
    }
    s->count.bytes = f.bytes;
    s->grown = 0;
    s->looked = true;
    mem_free(f.at, f.cap * sizeof *f.at);
}
