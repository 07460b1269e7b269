/* main: the `kiln` command: its table of commands, its help and its errors. Each command has a file of its own. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../engine/escape.h"

const char exit_statuses[] = "0 fine, 1 a check failed, 2 wrong usage, 3 bad input, 4 no resource";

static void overview(FILE *to)
{
    fputs("usage: kiln COMMAND [OPTION]...\n\n"
          "  kiln demo                 train two small networks, eager and traced, and compare\n"
          "  kiln bench --filter mlp   time workloads, eager against graph\n"
          "  kiln info                 what this build and this machine offer\n\n"
          "commands:\n",
        to);
    for (const Command *c = commands; c->name; c++) fprintf(to, "  %-10s %s\n", c->name, c->summary);
    fputs("\n`kiln help COMMAND` or `kiln COMMAND --help` says more; `kiln version` prints the "
          "version.\n"
          "exit status: ",
        to);
    fprintf(to, "%s\n", exit_statuses);
}

static const Command *find(const char *name)
{
    for (const Command *c = commands; c->name; c++)
        if (!strcmp(c->name, name)) return c;
    return NULL;
}

void say(const char *format, ...)
{
    char text[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_line(text);
    fprintf(stderr, "%s\n", text);
}

static int unknown(const char *name)
{
    say("kiln: unknown command '%s'; `kiln help` lists the commands", name);
    return BAD_USAGE;
}

static int help(int argc, char **argv)
{
    if (argc > 2) return usage_error("help", "one command at a time");
    if (argc < 2) {
        overview(stdout);
        return FINE;
    }
    const Command *c = find(argv[1]);
    const bool man = !strcmp(argv[1], "--man"), words = !strcmp(argv[1], "--completion");
    if (man) manual_page();
    if (words) shell_words();
    if (man || words) return FINE;
    if (!c) return unknown(argv[1]);
    fputs(c->help, stdout);
    return FINE;
}

static int version(int argc, char **argv)
{
    if (argc > 1) return usage_error("version", "unexpected argument '%s'", argv[1]);
    printf("kiln %s\n", kiln_version());
    return FINE;
}

int demo(int argc, char **argv);
int bench(int argc, char **argv);
int info(int argc, char **argv);
int compile(int argc, char **argv);
int run_command(int argc, char **argv);
int profile_command(int argc, char **argv);
int inspect_command(int argc, char **argv);
int check_command(int argc, char **argv);
int export_command(int argc, char **argv);
extern const char demo_help[], bench_help[], info_help[], compile_help[], run_help[], profile_help[], inspect_help[], check_help[],
    export_help[];

const Command commands[] = {
    {"demo", "train a small MLP and a convnet, eager and traced, and compare", demo_help, demo, false},
    {"bench", "time workloads, eager against graph", bench_help, bench, false},
    {"compile", "a traced module in text form, or an ONNX model, to an object file and a header", compile_help, compile, false},
    {"run", "a module in text form, or an ONNX model, on tensors from files", run_help, run_command, false},
    {"profile", "where the time of compiled code goes, in a program or a module in text form", profile_help, profile_command, true},
    {"inspect", "what an ONNX model holds", inspect_help, inspect_command, false},
    {"check", "an ONNX model against results that are known", check_help, check_command, false},
    {"export", "a module in text form as an ONNX model", export_help, export_command, false},
    {"info", "what this build and this machine offer", info_help, info, false},
    {"version", "the version of Kiln", "usage: kiln version\n", version, false},
    {"help", "this list, or the help of one command",
        "usage: kiln help [COMMAND]\n\n  --man         all of it as a manual page\n  --completion  words for bash to complete\n",
        help, false},
    {NULL, NULL, NULL, NULL, false},
};

int usage_error(const char *command, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say("kiln %s: %s", command, text);
    say("`kiln help %s` shows how it is used", command);
    return BAD_USAGE;
}

int engine_error(const char *command, kiln *k)
{
    const kiln_failure *e = kiln_error(k);
    kiln_code code = e->code;
    const size_t n = strlen(command); /* the text may begin with the command's name, which would stand there twice */
    bool twice = !strncmp(e->text, command, n) && !strncmp(e->text + n, ": ", 2);
    say("kiln %s: %s", command, e->text + (twice ? n + 2 : 0));
    kiln_clear(k);
    switch (code) {
    case KILN_EIO:
    case KILN_EFORMAT: return BAD_INPUT;
    case KILN_EMEMORY:
    case KILN_EDEVICE:
    case KILN_EUNSUPPORTED: return NO_RESOURCE;
    default: return CHECK_FAILED;
    }
}

const char *device_own(void)
{
    const char *name = getenv("KILN_DEVICE");
    return name && *name ? name : "cpu";
}

bool device_slow(const char *name) { return !strncmp(name, "emu:", 4); }

int device_check(const char *command, kiln *k, const char *name)
{
    kiln_device_block b = kiln_device_open_at((kiln_site){0}, k, name);
    kiln_device_close(&b);
    return kiln_failed(k) ? engine_error(command, k) : FINE;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        overview(stderr);
        return BAD_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) return help(1, argv);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) return version(argc - 1, argv + 1);
    const Command *c = find(argv[1]);
    if (!c) return unknown(argv[1]);
    for (int i = 2; i < argc && (argv[i][0] == '-' || !c->passes_on); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(c->help, stdout);
            return FINE;
        }
    return c->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int status = run(argc, argv);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "kiln: cannot write to standard output: %s\n", strerror(errno));
        return status ? status : NO_RESOURCE;
    }
    return status;
}
