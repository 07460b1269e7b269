/* artifact_name: what an artifact may be called. Its header declares a function of the plain name, others with endings, and the
 * object defines some of them: none may be a word of C or C++, a name that either's standard reserves, a macro of the C library's
 * headers, or what the library itself exports, which is asked of the one that runs. */
#define _GNU_SOURCE /* dladdr, RTLD_NOLOAD */
#include <dlfcn.h>
#include <stdio.h>

#include "aot.h"

/* Of ASCII, whatever the locale. */
static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool capital(char c) { return c >= 'A' && c <= 'Z'; }
static bool letter(char c) { return (c >= 'a' && c <= 'z') || capital(c); }

static bool starts(const char *name, const char *first) { return strncmp(name, first, strlen(first)) == 0; }

static bool ends(const char *name, const char *last)
{
    const size_t n = strlen(name), l = strlen(last);
    return n > l && strcmp(name + n - l, last) == 0;
}

/* Of C and C++ of any year, with GNU's words; macros and types of the C library that no rule below names; builtins that it need not
 * have. */
static bool is_word(const char *name)
{
    /* clang-format off */
    static const char words[] =
        " alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class "
        "co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue "
        "decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto "
        "i386 if inline int linux long main mutable namespace new noexcept not not_eq nullptr operator or or_eq "
        "private protected public register reinterpret_cast requires restrict return short signed sizeof static static_assert "
        "static_cast std struct switch template this thread_local throw true try typedef typeid typename typeof typeof_unqual "
        "union unix unsigned using virtual void volatile wchar_t while xor xor_eq "
        "BIG_ENDIAN BUFSIZ BYTE_ORDER CHAR_BIT CLOCKS_PER_SEC CMPLX CMPLXF CMPLXL DECIMAL_DIG DIR FD_CLR FD_ISSET FD_SET FD_SETSIZE FD_ZERO FILE "
        "I INFINITY LITTLE_ENDIAN L_tmpnam NAN NGREG NSIG NULL ONCE_FLAG_INIT PDP_ENDIAN PIPE_BUF TIME_UTC TSS_DTOR_ITERATIONS WEOF "
        "alloca assert complex errno fd_set fpclassify imaginary isfinite isgreater isgreaterequal isless islessequal islessgreater "
        "isnormal isunordered jmp_buf kill_dependency math_errhandling memory_order noreturn offsetof once_flag pow10 pow10f pow10l "
        "sa_handler sa_sigaction sigjmp_buf sigmask signbit sigsetjmp strdupa strlcat strlcpy strndupa u_char u_int u_long u_short uint ulong "
        "ushort va_arg va_copy va_end va_list va_start ";
    /* clang-format on */
    char spaced[160];
    const int n = snprintf(spaced, sizeof spaced, " %s ", name);
    return n >= (int)sizeof spaced || strstr(words, spaced);
}

/* C11 7.31 and POSIX 2.2.2, but for their reserved beginnings of functions (str, mem, is, to ...): the functions that there are
 * suffice. */
static bool is_reserved(const char *name)
{
    static const char *const first[] = {"ATOMIC_", "BUS_", "CLD_", "CLOCK_", "DBL_", "DEC_", "EXIT_", "FE_", "FLT_", "FPE_", "FP_",
        "HUGE_VAL", "ILL_", "LC_", "LDBL_", "MATH_ERR", "M_", "POLL_", "POSIX_", "SA_", "SEEK_", "SEGV_", "SIG_", "SI_", "SS_",
        "TIMER_", "atomic_", "cnd_", "mtx_", "thrd_", "tss_"};
    static const char *const last[] = {"_t", "_MIN", "_MAX", "_WIDTH"};
    for (size_t i = 0; i < COUNT_OF(first); i++)
        if (starts(name, first[i])) return true;
    for (size_t i = 0; i < COUNT_OF(last); i++)
        if (ends(name, last[i])) return true;
    if ((starts(name, "INT") || starts(name, "UINT")) && ends(name, "_C")) return true;
    if ((starts(name, "PRI") || starts(name, "SCN")) && (name[3] == 'X' || (letter(name[3]) && !capital(name[3])))) return true;
    if (starts(name, "SIG") && capital(name[3])) return true;
    if (name[0] == 'E' && (digit(name[1]) || capital(name[1]))) return true;
    return name[0] == '_' && (name[1] == '_' || capital(name[1]));
}

/* By the library that has `known`. */
static bool exported_beside(const char *known, const char *name)
{
    Dl_info at;
    void *of = dlsym(RTLD_DEFAULT, known), *library = of && dladdr(of, &at) ? dlopen(at.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    const bool found = library && dlsym(library, name);
    if (library) dlclose(library);
    return found;
}

static bool is_taken(const char *name)
{
    return is_word(name) || is_reserved(name) || exported_beside("lldiv", name) || exported_beside("tgamma", name);
}

bool artifact_symbol(const char *path, const kiln_aot_options *o, char *symbol, size_t cap, Status *st)
{
    static const char *const ending[] = {"", "_entry", "_sizes", "_init", "_needs", "_initial", "_constants", "_device", "_open",
        "_open_by", "_close", "_begin", "_end", "_copy", "_table", "_image", "_ptx"};
    const char *slash = strrchr(path, '/'), *name = o->symbol ? o->symbol : slash ? slash + 1 : path;
    const size_t n = strlen(name);
    if (n == 0 || n >= cap) return status_fail(st, ST_VALUE, "aot: the symbol \"%s\" must have 1 to %zu characters", name, cap - 1);
    for (size_t i = 0; i < n; i++)
        if (digit(name[0]) || (!letter(name[i]) && !digit(name[i]) && name[i] != '_'))
            return status_fail(st, ST_VALUE, "aot: \"%s\" is not a C identifier; give .symbol", name);
    for (size_t i = 0; i < COUNT_OF(ending); i++) {
        char whole[160];
        snprintf(whole, sizeof whole, "%s%s", name, ending[i]);
        if (is_taken(whole))
            return status_fail(st, ST_VALUE,
                "aot: the symbol \"%s\" would define %s, an identifier of C or its library; give .symbol", name, whole);
    }
    memcpy(symbol, name, n + 1);
    return true;
}
