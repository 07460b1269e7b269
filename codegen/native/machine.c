/* machine: the CPU that this process runs on: what lowering asks about it, and what tells it from others, known without LLVM. Asks
 * the CPU itself, not the system's files. */
#include "machine.h"

#include "../../ir/scalar.h"

#include <inttypes.h>
#include <pthread.h>
#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <sys/auxv.h>
#endif

bool native_target(Target *t, Status *st)
{
    (void)st;
#if defined(__x86_64__)
    const bool wide = __builtin_cpu_supports("avx2");
#else
    const bool wide = false;
#endif
    *t = cpu_target(wide ? 32 : 16, cpu_has_fma());
    return true;
}

#if defined(__x86_64__)

/* What LLVM looks at to name a CPU and its features. Left out is what tells one core or one moment from another. */
static void ask(Text *out)
{
    static const struct {
        uint32_t leaf, part;
        bool a, b, c, d;
    } asked[] = {
        {0, 0, .b = true, .c = true, .d = true},            /* vendor */
        {1, 0, .a = true, .c = true, .d = true},            /* family, model; features */
        {7, 0, .b = true, .c = true, .d = true},            /* features */
        {7, 1, .a = true, .b = true, .c = true, .d = true}, /* features */
        {0xd, 1, .a = true},                                /* how state is saved */
        {0x14, 0, .b = true},                               /* tracing */
        {0x19, 0, .b = true},                               /* key locker */
        {0x1e, 1, .a = true},                               /* AMX */
        {0x24, 0, .b = true},                               /* AVX10 */
        {0x80000001, 0, .c = true, .d = true},
        {0x80000008, 0, .b = true},
    };
    text_printf(out, "x86-64");
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        uint32_t a = 0, b = 0, c = 0, d = 0;
        if (!__get_cpuid_count(asked[i].leaf, asked[i].part, &a, &b, &c, &d)) continue;
        text_printf(out, " %" PRIx32 ".%" PRIx32 ":%" PRIx32 ",%" PRIx32 ",%" PRIx32 ",%" PRIx32, asked[i].leaf, asked[i].part,
            asked[i].a ? a : 0, asked[i].b ? b : 0, asked[i].c ? c : 0, asked[i].d ? d : 0);
        if (asked[i].leaf == 1 && (c & bit_OSXSAVE)) { /* which registers the system saves */
            uint32_t low, high;
            __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
            text_printf(out, " xcr0:%" PRIx32 "%08" PRIx32, high, low);
        }
    }
    text_printf(out, "\n");
}

#else

static void ask(Text *out) { text_printf(out, "hwcap %lx %lx\n", getauxval(AT_HWCAP), getauxval(AT_HWCAP2)); }

#endif

/* Asked once: under a hypervisor each answer takes as long as reading a small file. */
void machine_text(Text *out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char kept[1500];
    pthread_mutex_lock(&lock);
    if (!*kept) {
        Text now = {0};
        ask(&now);
        if (!now.failed && now.len < sizeof kept)
            memcpy(kept, now.at, now.len + 1);
        else
            out->failed = true; /* nothing is kept on disk */
        text_free(&now);
    }
    text_add(out, kept, strlen(kept));
    pthread_mutex_unlock(&lock);
}
