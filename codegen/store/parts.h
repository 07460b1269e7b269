/* parts: what the files of this room share. store.c finds and keeps programs, folder.c has the system's files: whose they are, and
 * which go when there is no room. Relies on store.h. */
#ifndef KILN_CODEGEN_STORE_PARTS_H
#define KILN_CODEGEN_STORE_PARTS_H

#include "../store.h"

#include <pthread.h>

struct CodeStore {
    int fd; /* of the folder; where its name leads to later does not matter */
    char *path;
    uint64_t most;
    StoreNote *note;
    void *user;
    pthread_mutex_t lock;
    StoreCount count; /* under lock, as is what follows */
    uint64_t grown;   /* bytes written since the folder was last looked through */
    bool looked;      /* through the folder, ever */
    bool told;        /* that nothing can be written */
};

/* folder.c. Names of files are FILE_NAME bytes: 32 digits, ".kiln" and the 0. */
#define FILE_NAME 38
int folder_open(const char *path, char *why, size_t cap); /* -1: why */
/* False: why, or an empty text where no file is of that name. */
bool folder_read(const CodeStore *s, const char *name, Found *out, char *why, size_t cap);
bool folder_write(CodeStore *s, const char *name, const char *bytes, size_t n, char *why, size_t cap);
void folder_look(
    CodeStore *s, uint64_t room); /* counts the files; what was used longest ago goes, if `room` bytes more do not fit */

#endif
