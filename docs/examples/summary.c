/* A quadratic is minimised in 1000 traced steps; the loss of every hundredth goes to a file that
 * TensorBoard shows: tensorboard --logdir FOLDER. A folder as argument keeps the file. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include <kiln/io.h>
#include <kiln/kiln.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static kiln_variable *x;
static kiln_optimizer *sgd;

KILN_FUNCTION(step, k)
{
    KILN_TAPE(k, tape);
    kiln_tensor *loss = kiln_square(kiln_sub(x, 1.0));
    kiln_optimizer_minimize(sgd, tape, loss);
    return loss;
}

/* Its event files, removed if asked: how many, and of how many bytes. */
static int look(const char *folder, int remove_them, long *bytes)
{
    int n = 0;
    DIR *d = opendir(folder);
    *bytes = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!strstr(e->d_name, "tfevents")) continue;
        char path[700];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        FILE *f = fopen(path, "rb");
        if (f && fseek(f, 0, SEEK_END) == 0) *bytes += ftell(f);
        if (f) fclose(f);
        if (remove_them) remove(path);
        n++;
    }
    if (d) closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    char made[300];
    const char *tmp = getenv("TMPDIR"), *folder = argc > 1 ? argv[1] : made;
    snprintf(made, sizeof made, "%s/kiln-example-XXXXXX", tmp ? tmp : "/tmp");
    if (argc == 1 && !mkdtemp(made)) return 1;

    kiln *k = kiln_open(NULL);
    int points = 0;
    {
        KILN_SCOPE(k);
        x = kiln_variable_new(k, "x", KILN_F32, 0.0);
        sgd = kiln_sgd(k, 0.01, 0);
        kiln_summary *log = kiln_summary_open(k, folder);
        for (int i = 1; i <= 1000; i++) {
            KILN_SCOPE(k);
            kiln_tensor *loss = step(k);
            if (i % 100 == 0) points += kiln_summary_scalar(log, "loss", i, loss);
        }
        kiln_summary_close(log);
    }
    long bytes;
    int files = look(folder, argc == 1, &bytes);
    printf("%d points in %d file of %ld bytes\n", points, files, bytes);
    if (argc == 1) rmdir(made);
    return kiln_close(k);
}
