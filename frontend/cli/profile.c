/* profile: `kiln profile`: where the time of compiled code goes: of a module in text form, or of all functions of a program that
 * runs with KILN_PROFILE. */
#include <kiln/io.h>

#include "../check/profile.h"
#include "module.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char profile_help[] =
    "usage: kiln profile [--json] [-o FILE] [--device NAME] PROGRAM [ARGUMENT]...\n"
    "       kiln profile FILE [--input X.npy]... [--dim N=4]... [OPTION]...\n\n"
    "  kiln profile ./train            runs it, and tells at its end what its compiled functions spent their time on\n"
    "  kiln profile step.kiln          a module in text form, such as KILN_DUMP=ir writes, on made-up inputs\n\n"
    "For each step of compiled code: time and share, bytes and flops that it needs by definition, what part of the most\n"
    "that this machine can do that is, what operations became the step, and why others did not (docs/tour.md).\n"
    "A PROGRAM (an executable file) runs with KILN_PROFILE in its environment, and with KILN_COMPILE=wait unless that is\n"
    "set, so that its first calls are compiled, too. FILE may be `-`, standard input.\n\n"
    "  --json           for machines: times in seconds\n"
    "  --device NAME    where to run, one that kiln info lists (KILN_DEVICE, else cpu); of a PROGRAM: where its tensors\n"
    "                   lie, unless it says otherwise itself\n"
    "  -o FILE          of a PROGRAM: where the report goes (standard error)\n"
    "  --input X.npy    the next parameter's value; as many as the graph has, in order (without any: made up)\n"
    "  --dim N=4        the value of a size (its bound)\n"
    "  --threads N      in all, 1 to 1024 (one per core)\n"
    "  --seconds S      whole seconds of measuring, 1 to 600 (1)\n";

typedef struct ProfileOptions {
    const char *file, *out, *device, **input, **dim; /* device NULL: not given */
    int inputs, dims;
    long threads, seconds;
    bool json;
    kiln_run_dim *value;
    char *name;
} ProfileOptions;

static bool is_program(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode) && access(path, X_OK) == 0;
}

/* ---- a module ----------------------------------------------------------------------------------------------------------- */
static int profile_text(kiln *k, const ProfileOptions *o, const Text *text)
{
    KILN_SCOPE(k);
    KILN_DEVICE(k, o->device);
    const size_t bytes = (size_t)(o->inputs + 1) * sizeof(kiln_tensor *);
    kiln_tensor **in = mem_alloc(bytes);
    if (!in) return fprintf(stderr, "kiln profile: no memory\n"), NO_RESOURCE;
    for (int i = 0; i < o->inputs; i++) in[i] = kiln_npy_read_at((kiln_site){0}, k, o->input[i]);
    int status = kiln_failed(k) ? engine_error("profile", k) : FINE;
    const kiln_run_options dims = {.dims = o->value, .dims_count = o->dims};
    const kiln_profile_options how = {.seconds = (double)o->seconds, .json = o->json};
    if (status == FINE && !profile_module(k, stdout, text->at ? text->at : "", text->len, in, o->inputs, &dims, &how)) {
        const kiln_code code = kiln_error(k)->code;
        status = module_error("profile", o->file, k);
        if (code == KILN_ESHAPE) status = BAD_INPUT;
        if (code == KILN_EIO) status = NO_RESOURCE; /* what was read, was read before */
    }
    mem_free(in, bytes);
    return status;
}

static int profile_file(ProfileOptions *o)
{
    Text text = {0};
    int status = module_dims("profile", o->dim, o->dims, o->value, o->name);
    if (status) return status;
    if (o->out) return usage_error("profile", "-o is for a program; the report on a module goes to standard output");
    if (!module_read("profile", o->file, &text)) {
        text_free(&text);
        return BAD_INPUT;
    }
    kiln *k = kiln_open(&(kiln_options){.threads = (int)o->threads, .compile = KILN_WAIT, .device = "cpu"});
    if (!o->device) o->device = device_own();
    status = k ? device_check("profile", k, o->device) : NO_RESOURCE;
    if (k && status == FINE) status = profile_text(k, o, &text);
    if (!k) fprintf(stderr, "kiln profile: no memory for an engine\n");
    kiln_close(k);
    text_free(&text);
    return status;
}

/* ---- a program ------------------------------------------------------------------------------------------------------------ */
static bool same_file(const struct stat *a, int file)
{
    struct stat b;
    return fstat(file, &b) == 0 && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

/* Empties the report's file, or makes it. `to` is where it is, for the program opens it once more at its end, wherever it works by
 * then, and follows no links. What the program writes to is no place for it: its buffers are written behind the report. */
static bool make_report(const char *path, char to[PATH_MAX])
{
    struct stat s;
    const char *why = NULL;
    const int file = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600);
    if (file < 0 || fstat(file, &s) != 0)
        why = strerror(errno);
    else if (!S_ISCHR(s.st_mode) && same_file(&s, STDOUT_FILENO))
        why = "this is standard output: name a file (without -o the report goes to standard error)";
    else if (!S_ISREG(s.st_mode) && !S_ISCHR(s.st_mode))
        why = "not a file (without -o the report goes to standard error)";
    else if (!realpath(path, to) || (S_ISREG(s.st_mode) && ftruncate(file, 0) != 0))
        why = strerror(errno);
    if (file >= 0) close(file);
    if (why) say("kiln profile: %s: %s", path, why);
    return !why;
}

/* Told here, where the program might not look for errors. */
static int has_device(const char *name)
{
    kiln *k = kiln_open(&(kiln_options){.no_log = true, .device = "cpu"});
    if (!k) return fprintf(stderr, "kiln profile: no memory for an engine\n"), NO_RESOURCE;
    const int status = device_check("profile", k, name);
    kiln_close(k);
    return status;
}

static int profile_program(const ProfileOptions *o, char **argv)
{
    if (o->inputs || o->dims || o->threads || o->seconds != 1)
        return usage_error("profile", "%s is a program: of the options only --json, -o and --device are for it", argv[0]);
    const int status = o->device ? has_device(o->device) : FINE;
    if (status) return status;
    char out[PATH_MAX];
    if (o->out && !make_report(o->out, out)) return NO_RESOURCE;
    if (setenv("KILN_PROFILE", o->json ? "json" : "1", 1) ||
        (o->out ? setenv("KILN_PROFILE_FILE", out, 1) : unsetenv("KILN_PROFILE_FILE")) || setenv("KILN_COMPILE", "wait", 0) ||
        (o->device && setenv("KILN_DEVICE", o->device, 1)))
        return say("kiln profile: no memory"), NO_RESOURCE;
    execv(argv[0], argv);
    say("kiln profile: %s: %s", argv[0], strerror(errno));
    return NO_RESOURCE;
}

/* Where the first argument stands that is neither an option nor an option's value; argc: nowhere. */
static int first_file(int argc, char **argv, const Option *options)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (!strcmp(argv[i], "--")) return i + 1;
        const Option *o = options;
        while (o->name && strcmp(o->name, argv[i])) o++;
        i += o->name && !o->flag;
    }
    return i < argc ? i : argc;
}

static int profile_options(ProfileOptions *o, int argc, char **argv)
{
    const Option options[] = {{"--json", .flag = &o->json}, {"-o", .text = &o->out}, {"--device", .text = &o->device},
        {"--input", .list = o->input, .listed = &o->inputs, .hi = argc}, {"--dim", .list = o->dim, .listed = &o->dims, .hi = argc},
        {"--threads", .count = &o->threads, .lo = 1, .hi = 1024}, {"--seconds", .count = &o->seconds, .lo = 1, .hi = 600}, {0}};
    const int at = first_file(argc, argv, options);
    const bool program = at < argc && is_program(argv[at]);
    const int status = options_parse("profile", program ? at : argc, argv, options, &o->file, 1);
    if (status) return status;
    if (program) return profile_program(o, argv + at);
    return o->file ? profile_file(o) : usage_error("profile", "no PROGRAM or FILE given");
}

int profile_command(int argc, char **argv)
{
    const size_t most = (size_t)argc;
    size_t bytes = most * (2 * sizeof(const char *) + sizeof(kiln_run_dim));
    for (int i = 0; i < argc; i++) bytes += strlen(argv[i]) + 1;
    const char **names = mem_alloc(bytes);
    if (!names) return fprintf(stderr, "kiln profile: no memory\n"), NO_RESOURCE;
    ProfileOptions o = {.seconds = 1, .input = names, .dim = names + most, .value = (kiln_run_dim *)(names + 2 * most)};
    o.name = (char *)(o.value + most);
    const int status = profile_options(&o, argc, argv);
    mem_free(names, bytes);
    return status;
}
