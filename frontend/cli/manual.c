/* manual: the manual page and the words that a shell completes, made of the table of commands and what each says of itself, so that
 * they know no command and no option that it does not have. `make install` writes both. */
#include "cli.h"

#include <ctype.h>
#include <string.h>

/* As roff prints it as it is: a dot at a line's beginning would be a request, and these become other characters. */
static void put_lines(const char *text)
{
    static const char plain[] = "\\-'`^~", *const as[] = {"\\e", "\\-", "\\(aq", "\\(ga", "\\(ha", "\\(ti"};
    for (const char *c = text; *c; c++) {
        const char *p = strchr(plain, *c);
        if ((c == text || c[-1] == '\n') && *c == '.') fputs("\\&", stdout);
        if (p)
            fputs(as[p - plain], stdout);
        else
            putchar(*c);
    }
}

void manual_page(void)
{
    printf(".TH KILN 1 \"\" \"Kiln %s\" \"User Commands\"\n.SH NAME\nkiln \\- tensors, traced functions and ONNX models\n"
           ".SH SYNOPSIS\n.B kiln\nCOMMAND [OPTION]...\n.SH COMMANDS\n",
        kiln_version());
    for (const Command *c = commands; c->name; c++) {
        printf(".TP\n.B %s\n", c->name);
        put_lines(c->summary);
        putchar('\n');
    }
    for (const Command *c = commands; c->name; c++) {
        printf(".SH KILN %s\n.nf\n", c->name);
        put_lines(c->help);
        puts(".fi");
    }
    printf(".SH EXIT STATUS\n%s\n", exit_statuses);
}

/* "--json" of "  --json  one JSON object", each once. */
static void put_options(const char *help)
{
    for (const char *at = strchr(help, '-'); at; at = strchr(at + 1, '-')) {
        size_t n = 2;
        if (at == help || !strchr(" [\n", at[-1]) || at[1] != '-' || !islower((unsigned char)at[2])) continue;
        while (islower((unsigned char)at[n]) || at[n] == '-') n++;
        const char *before = help;
        while (before < at && (strncmp(before, at, n) != 0 || islower((unsigned char)before[n]) || before[n] == '-')) before++;
        if (before == at) printf(" %.*s", (int)n, at);
    }
}

void shell_words(void)
{
    puts(
        "# bash completion for kiln, made by `kiln help --completion`\n_kiln()\n{\n    local words= cur=${COMP_WORDS[COMP_CWORD]}\n"
        "    case $COMP_CWORD:${COMP_WORDS[1]} in");
    fputs("        1:* | 2:help) words='", stdout);
    for (const Command *c = commands; c->name; c++) printf("%s%s", c == commands ? "" : " ", c->name);
    puts("' ;;");
    for (const Command *c = commands; c->name; c++) {
        printf("        *:%s) words='", c->name);
        put_options(c->help);
        puts("' ;;");
    }
    puts(
        "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
        "    [[ $COMP_CWORD = 1 || $cur = -* ]] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F _kiln kiln");
}
