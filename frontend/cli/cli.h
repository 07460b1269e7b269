/* cli: what the files of the `kiln` command share. The command uses the public API and, beyond it, only what `kiln info` tells.
 * Results go to stdout, messages to stderr. */
#ifndef KILN_FRONTEND_CLI_H
#define KILN_FRONTEND_CLI_H

#include <kiln/data.h>
#include <kiln/kiln.h>
#include <kiln/nn.h>

typedef enum Exit {
    FINE,         /* did what was asked */
    CHECK_FAILED, /* ran, and a result was not what it must be */
    BAD_USAGE,    /* the command line was wrong */
    BAD_INPUT,    /* a file was missing, damaged, or not what it must be */
    NO_RESOURCE   /* memory, a device, a place to write to or a compiler was missing */
} Exit;

typedef struct Command {
    const char *name, *summary, *help;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an Exit */
    bool passes_on;                    /* what follows its first argument that is no option may be somebody else's */
} Command;
extern const Command commands[]; /* the last has a NULL name */
extern const char exit_statuses[];

/* manual.c: to stdout, of the table above. */
void manual_page(void);
void shell_words(void);

void say(const char *format, ...) __attribute__((format(printf, 1, 2))); /* one clean line (text_line) to stderr */
/* Writes the text to stderr after "kiln NAME: ", points to the help, returns BAD_USAGE. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Writes k's error to stderr, clears it, and returns the Exit that fits it. */
int engine_error(const char *command, kiln *k);
/* Where --device says nothing: what KILN_DEVICE in the environment names, else "cpu". */
const char *device_own(void);
bool device_slow(const char *name); /* an emulated one: so slow that sizes are small and things are measured a few times only */
/* Opens it, so that what is missing is told before anything else is done: an Exit. */
int device_check(const char *command, kiln *k, const char *name);

double median(double *v, int n);                          /* sorts v; n > 0 */
double percentile(const double *sorted, int n, double p); /* percentile p in 0 ... 100, interpolated; n > 0 */
void print_json_text(FILE *to, const char *text);         /* as a JSON string, quotes included */
const char *duration(double seconds, char buf[32]);       /* "1.23 ms" */
const char *cpu_name(char *buf, size_t cap);
void print_machine(FILE *to, kiln *k); /* one line: CPU, threads, tier */

/* Shows a progress line on stderr; does nothing unless stderr is a terminal. */
void progress(const char *what, long done, long total, const char *note);
void progress_end(void);

#endif
