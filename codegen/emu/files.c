/* files: the folder in which a process keeps what it compiles for emulated devices, until it ends. Relies on the system's files. */
#define _GNU_SOURCE
#include "../store.h"
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    char path[EMU_PATH - 64];
    pid_t owner; /* a child has a folder of its own */
    bool registered;
    CodeStore *store; /* opened in it; it stays until the process ends */
} folder = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void remove_folder(void)
{
    if (folder.owner != getpid()) return;
    DIR *d = opendir(folder.path);
    if (!d) return;
    for (const struct dirent *f; (f = readdir(d));) unlinkat(dirfd(d), f->d_name, 0);
    closedir(d);
    rmdir(folder.path);
}

/* Under the lock. */
static bool make_folder(void)
{
    const char *under = getenv("TMPDIR");
    if (folder.owner == getpid()) return true;
    if (!under || !*under) under = "/tmp";
    if ((size_t)snprintf(folder.path, sizeof folder.path, "%s/kiln-emu-XXXXXX", under) >= sizeof folder.path) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!mkdtemp(folder.path)) return false;
    folder.owner = getpid();
    folder.store = NULL; /* a parent's */
    if (!folder.registered) atexit(remove_folder);
    folder.registered = true;
    return true;
}

struct CodeStore *emu_store(void)
{
    pthread_mutex_lock(&folder.lock);
    if (make_folder() && !folder.store) folder.store = store_open(folder.path, (uint64_t)256 << 20, NULL, NULL);
    CodeStore *s = folder.store;
    pthread_mutex_unlock(&folder.lock);
    return s;
}

int emu_temporary(char path[EMU_PATH], const char *name)
{
    pthread_mutex_lock(&folder.lock);
    const bool ok = make_folder();
    if (ok) snprintf(path, EMU_PATH, "%s/%.40s-XXXXXX", folder.path, name);
    pthread_mutex_unlock(&folder.lock);
    return ok ? mkostemp(path, O_CLOEXEC) : -1;
}

bool emu_write(int fd, const char *at, size_t n)
{
    while (n > 0) {
        const ssize_t k = write(fd, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

bool emu_read(Text *out, const char *path)
{
    char part[1 << 14];
    ssize_t n;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    while ((n = read(fd, part, sizeof part)) > 0) text_add(out, part, (size_t)n);
    close(fd);
    return n == 0 && !out->failed;
}
