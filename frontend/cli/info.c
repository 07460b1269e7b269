/* info: `kiln info`: what this build and this machine offer, one fact per line. Asking a backend
 * loads it. */
#include "cli.h"

#include <string.h>

#include "../internal.h"

const char info_help[] =
    "usage: kiln info\n\n"
    "  kiln info    version, CPU, threads, eager kernels, compilers, BLAS, GPUs; one per line\n";

static void backend_line(const char *label, const char *name)
{
    Status st = {0};
    char text[512] = "";
    const Backend *b = backend_get(name, &st);
    if (b && b->describe) b->describe(text, sizeof text);
    printf("%-10s %s\n", label, b ? text : *st.text ? st.text : "not part of this build");
}

int info(int argc, char **argv)
{
    if (argc > 1) return usage_error("info", "what is '%s'?", argv[1]);
    kiln *k = kiln_open(&(kiln_options){.no_log = true});
    if (!k) {
        fprintf(stderr, "kiln info: no memory for an engine\n");
        return NO_RESOURCE;
    }
    char cpu[256], blas[400];
    printf("%-10s %s\n", "version", kiln_version());
    printf("%-10s %s\n", "CPU", cpu_name(cpu, sizeof cpu));
    printf("%-10s %d\n", "threads", threads_count(k->threads));
    printf("%-10s %s\n", "eager", eager_tier());
    printf("%-10s %s\n", "BLAS", blas_use(blas, sizeof blas));
    backend_line("compiler", "cpu");
    backend_line("CUDA", "cuda");
    kiln_close(k);
    return FINE;
}
