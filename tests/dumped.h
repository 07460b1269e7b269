/* dumped: what KILN_DUMP wrote into a folder. Relies on cmocka. */
#ifndef KILN_TESTS_DUMPED_H
#define KILN_TESTS_DUMPED_H

#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* lines[i]: in how many lines of the folder's files says[i] stands, of n; empties the folder. */
static inline void dumped_lines(const char *folder, const char *const *says, int n, int *lines)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    memset(lines, 0, (size_t)n * sizeof *lines);
    for (struct dirent *e; (e = readdir(d));) {
        char path[600], line[1000];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!f) continue;
        while (fgets(line, sizeof line, f))
            for (int i = 0; i < n; i++) lines[i] += strstr(line, says[i]) != NULL;
        fclose(f);
        remove(path);
    }
    closedir(d);
}

#endif
