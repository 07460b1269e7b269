/* file: see file.h. Temporary files have names that nobody can know beforehand, are made anew (no link, no file of another is ever
 * opened), and are locked while they grow. A killed process leaves its own behind, which the next save of the same name removes: by
 * the lock it knows the dead from the living. */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define ONE_CALL ((size_t)1 << 30) /* Linux moves at most 2 GiB in one call */

bool file_failed(Thread *t, kiln_site at, const char *what, const char *path, const char *doing)
{
    fail(t, at, KILN_EIO, "%s: %s: cannot %s: %s", what, path, doing, strerror(errno));
    return false;
}

bool file_allowed(Thread *t, kiln_site at, const char *what, const char *path)
{
    if (!t) return false;
    if (t->trace)
        fail(t, at, KILN_ESTATE, "%s: files are read and written by eager code only, not in a trace", what);
    else if (!path || !*path)
        fail(t, at, KILN_EVALUE, "%s: the path is %s", what, path ? "empty" : "NULL");
    else
        return true;
    return false;
}

bool file_folder(Thread *t, kiln_site at, const char *what, const char *path)
{
    struct stat s;
    if (mkdir(path, 0777) == 0) return true;
    if (errno != EEXIST) return file_failed(t, at, what, path, "make the folder");
    if (stat(path, &s) != 0) return file_failed(t, at, what, path, "stat");
    if (S_ISDIR(s.st_mode)) return true;
    fail(t, at, KILN_EIO, "%s: %s: not a folder", what, path);
    return false;
}

/* ---- reading ------------------------------------------------------------------------------------- */
bool file_open(FileIn *f, Thread *t, kiln_site at, const char *what, const char *path)
{
    *f = (FileIn){.t = t, .at = at, .what = what, .path = path};
    struct stat s;
    /* NONBLOCK: a pipe without a writer must not hang us */
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0) return file_failed(t, at, what, path, "open");
    bool seen = fstat(f->fd, &s) == 0;
    if (seen && S_ISREG(s.st_mode)) {
        f->size = (uint64_t)s.st_size;
        return true;
    }
    if (seen)
        fail(t, at, KILN_EIO, "%s: %s: not a regular file", what, path);
    else
        file_failed(t, at, what, path, "stat");
    file_close(f);
    return false;
}

bool file_read(FileIn *f, uint64_t offset, void *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(f->fd, (char *)to + done, MIN_OF(bytes - done, ONE_CALL), (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return file_failed(f->t, f->at, f->what, f->path, "read");
        if (n == 0) {
            fail(f->t, f->at, KILN_EIO, "%s: %s: the file became shorter while it was read (byte %llu)", f->what, f->path,
                (unsigned long long)(offset + done));
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

void file_close(FileIn *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}

/* ---- writing ------------------------------------------------------------------------------------- */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static bool no_memory(const FileOut *f)
{
    fail(f->t, f->at, KILN_EMEMORY, "%s: %s: no memory", f->what, f->path);
    return false;
}

/* The folder of the file's name, for system calls; NULL: recorded. folder_free gives it back. */
static char *folder_of(const FileOut *f)
{
    size_t n = folder_length(f->path);
    char *folder = n ? mem_strdup(f->path) : mem_strdup(".");
    if (!folder) no_memory(f);
    if (folder && n) folder[n] = '\0';
    return folder;
}

static void folder_free(const FileOut *f, char *folder)
{
    if (folder) mem_free(folder, folder_length(f->path) ? strlen(f->path) + 1 : 2);
}

#define DIGITS 16        /* of a temporary file's name */
#define LONGEST_STEM 200 /* file systems take names of 255 bytes, with what is put around it */

/* FOLDER/.STEM.DIGITS.tmp, which nobody can know beforehand. A long stem's hash stands for it. */
static bool name_temporary(FileOut *f, const char *stem)
{
    Text text = {0};
    size_t n = folder_length(f->path);
    uint64_t chance;
    ssize_t got;
    do got = getrandom(&chance, sizeof chance, 0);
    while (got < 0 && errno == EINTR);
    if (got != sizeof chance) return file_failed(f->t, f->at, f->what, f->path, "find a name for a temporary file");
    if (!stem) stem = f->path + n;
    char hash[DIGITS + 1];
    snprintf(hash, sizeof hash, "%016" PRIx64, hash_bytes(0, stem, strlen(stem)));
    text_add(&text, f->path, n);
    text_printf(&text, ".%s.%016" PRIx64 ".tmp", strlen(stem) > LONGEST_STEM ? hash : stem, chance);
    f->temporary = text.failed ? NULL : mem_strdup(text.at);
    text_free(&text);
    return f->temporary || no_memory(f);
}

static void drop_name(FileOut *f)
{
    if (f->temporary) mem_free(f->temporary, strlen(f->temporary) + 1);
    f->temporary = NULL;
}

static void end(FileOut *f)
{
    if (f->fd >= 0) close(f->fd); /* and the lock goes */
    f->fd = -1;
    drop_name(f);
}

typedef enum Locked { LOCKED, LOCKED_ELSEWHERE, NO_LOCKS } Locked; /* some network file systems have none */

static Locked lock(int fd)
{
    int rc;
    do rc = flock(fd, LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? LOCKED : errno == EWOULDBLOCK ? LOCKED_ELSEWHERE : NO_LOCKS;
}

/* Before its lock, another process may have taken our file for a dead one's and removed it. */
static bool still_named(const FileOut *f)
{
    struct stat s;
    return fstat(f->fd, &s) == 0 && s.st_nlink != 0;
}

/* Who could not read the old file cannot read the new one. */
static bool keep_mode(const FileOut *f)
{
    struct stat old;
    return lstat(f->path, &old) != 0 || !S_ISREG(old.st_mode) || fchmod(f->fd, old.st_mode & 0777) == 0;
}

static bool open_temporary(FileOut *f, const char *stem)
{
    for (int again = 0; again < 100; again++) {
        if (!name_temporary(f, stem)) return false;
        f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (f->fd >= 0 && !keep_mode(f)) {
            file_failed(f->t, f->at, f->what, f->path, "copy the permissions of");
            file_abandon(f);
            return false;
        }
        if (f->fd >= 0 && lock(f->fd) != LOCKED_ELSEWHERE && still_named(f)) return true;
        if (f->fd < 0 && errno != EEXIST) return file_failed(f->t, f->at, f->what, f->path, "create");
        end(f);
    }
    fail(f->t, f->at, KILN_EIO, "%s: %s: another program keeps removing the temporary file", f->what, f->path);
    return false;
}

/* Whether name is that of a temporary file for what f writes, but not f's own. */
static bool is_sibling(const FileOut *f, const char *name)
{
    const char *own = f->temporary + folder_length(f->path);
    size_t n = strlen(own), head = n - DIGITS - strlen(".tmp");
    return strlen(name) == n && strcmp(name, own) != 0 && memcmp(name, own, head) == 0 &&
           strspn(name + head, "0123456789abcdef") == DIGITS && strcmp(name + head + DIGITS, ".tmp") == 0;
}

/* A file that a dead process left is removed; false: a living one fills it. What is no file of ours to write stays. */
static bool sweep(int folder, const char *name)
{
    int fd = openat(folder, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return true;
    struct stat s;
    bool plain = fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
    Locked l = plain ? lock(fd) : NO_LOCKS;
    if (l == LOCKED) unlinkat(folder, name, 0);
    close(fd);
    return l != LOCKED_ELSEWHERE;
}

/* Whoever comes second, while another fills a temporary file for the same name, sees it here: it is there before its owner looks.
 */
static bool alone(const FileOut *f)
{
    char *name = folder_of(f);
    DIR *d = name ? opendir(name) : NULL;
    if (name && !d) file_failed(f->t, f->at, f->what, name, "list");
    folder_free(f, name);
    if (!d) return false;
    bool ok = true;
    for (const struct dirent *e; ok && (e = readdir(d));)
        if (is_sibling(f, e->d_name)) ok = sweep(dirfd(d), e->d_name);
    closedir(d);
    if (!ok) fail(f->t, f->at, KILN_ESTATE, "%s: %s: another process or thread is saving this file now", f->what, f->path);
    return ok;
}

/* A pipe or a terminal has nothing to keep, and no name may be put in its place. */
static bool open_stream(FileOut *f)
{
    f->fd = open(f->path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    return f->fd >= 0 || file_failed(f->t, f->at, f->what, f->path, "open");
}

bool file_begin(FileOut *f, Thread *t, kiln_site at, const char *what, const char *path, const char *stem)
{
    struct stat s;
    *f = (FileOut){.t = t, .at = at, .what = what, .path = path, .fd = -1};
    mode_t mode = stat(path, &s) == 0 ? s.st_mode : S_IFREG;
    if (S_ISCHR(mode) || S_ISFIFO(mode)) return open_stream(f);
    if (!S_ISREG(mode)) {
        fail(t, at, KILN_EIO, "%s: %s: cannot write: %s", what, path, S_ISDIR(mode) ? "it is a folder" : "not a regular file");
        return false;
    }
    if (!open_temporary(f, stem)) return end(f), false;
    if (alone(f)) return true;
    file_abandon(f);
    return false;
}

bool file_create(FileOut *f, Thread *t, kiln_site at, const char *what, const char *path)
{
    *f = (FileOut){.t = t, .at = at, .what = what, .path = path};
    f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return f->fd >= 0;
}

bool file_write(FileOut *f, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(f->fd, (const char *)bytes + done, MIN_OF(n - done, ONE_CALL));
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return file_failed(f->t, f->at, f->what, f->path, "write");
        done += (size_t)k;
    }
    return true;
}

/* So that a new name in it can be brought to the disk; -1: recorded. */
static int open_folder(const FileOut *f)
{
    char *folder = folder_of(f);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder && fd < 0) file_failed(f->t, f->at, f->what, folder, "open the folder");
    folder_free(f, folder);
    return fd;
}

/* Closes it. EINVAL: this file system needs none. */
static bool sync_folder(const FileOut *f, int folder)
{
    bool ok = fsync(folder) == 0 || errno == EINVAL || file_failed(f->t, f->at, f->what, f->path, "sync the folder");
    close(folder);
    return ok;
}

bool file_commit(FileOut *f)
{
    if (!f->temporary) { /* a stream */
        bool closed = close(f->fd) == 0 || file_failed(f->t, f->at, f->what, f->path, "close");
        f->fd = -1;
        return closed;
    }
    int folder = fsync(f->fd) == 0 ? open_folder(f) : (file_failed(f->t, f->at, f->what, f->path, "sync"), -1);
    bool ok = folder >= 0 && (rename(f->temporary, f->path) == 0 || file_failed(f->t, f->at, f->what, f->path, "rename"));
    if (!ok) {
        if (folder >= 0) close(folder);
        file_abandon(f);
        return false;
    }
    ok = sync_folder(f, folder);
    end(f);
    return ok;
}

bool file_put(Thread *t, kiln_site at, const char *what, const char *path, const void *bytes, size_t n)
{
    FileOut f;
    if (!file_begin(&f, t, at, what, path, NULL)) return false;
    if (file_write(&f, bytes, n)) return file_commit(&f);
    file_abandon(&f);
    return false;
}

/* What a's name held lies at `aside` as well until b has its name, too; file systems without links lend it the name alone. */
static bool name_pair(FileOut *a, FileOut *b, const char *aside)
{
    if (fsync(a->fd) != 0) return file_failed(a->t, a->at, a->what, a->path, "sync");
    if (fsync(b->fd) != 0) return file_failed(b->t, b->at, b->what, b->path, "sync");
    bool had = link(a->path, aside) == 0 || rename(a->path, aside) == 0;
    if (!had && errno != ENOENT) return file_failed(a->t, a->at, a->what, a->path, "replace");
    bool ok = rename(a->temporary, a->path) == 0 || file_failed(a->t, a->at, a->what, a->path, "rename");
    if (ok && rename(b->temporary, b->path) != 0) {
        ok = file_failed(b->t, b->at, b->what, b->path, "rename");
        if (!had) unlink(a->path);
    }
    if (had && !ok) (void)rename(aside, a->path); /* of two links to one file it leaves both */
    if (had) unlink(aside);
    return ok;
}

bool file_commit_pair(FileOut *a, FileOut *b)
{
    Text aside = {0};
    bool ok = a->temporary && b->temporary;
    const FileOut *stream = a->temporary ? b : a;
    if (!ok) fail(a->t, a->at, KILN_EIO, "%s: %s: cannot write: not a regular file", stream->what, stream->path);
    text_printf(&aside, "%s.old", ok ? a->temporary : "");
    if (aside.failed) ok = no_memory(a); /* all that can fail for want of memory comes before the first name */
    int folder = ok ? open_folder(a) : -1;
    ok = folder >= 0 && name_pair(a, b, aside.at);
    text_free(&aside);
    if (!ok) {
        if (folder >= 0) close(folder);
        file_abandon(a);
        file_abandon(b);
        return false;
    }
    ok = sync_folder(a, folder);
    end(a);
    end(b);
    return ok;
}

void file_abandon(FileOut *f)
{
    if (f->temporary && f->fd >= 0) unlink(f->temporary);
    end(f);
}
