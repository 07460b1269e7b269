/* launches: see launches.h. */
#include "launches.h"

#include <stdio.h>
#include <string.h>

#include "codegen/cuda/api.h"
#include "codegen/emu.h"
#include "codegen/gpu.h"

static const CudaDriver *under;
static CudaDriver noting;
static struct {
    CUfunction f;
    char name[96];
} function[512];
static int nfunction, noperands;
static struct {
    char name[96];
    int n;
} operands[512];
static char lines[1 << 16], told[1 << 16];

static CUresult get_function(CUfunction *f, CUmodule m, const char *name)
{
    const CUresult r = under->ModuleGetFunction(f, m, name);
    if (r == 0 && nfunction < 512) {
        function[nfunction].f = *f;
        snprintf(function[nfunction++].name, sizeof function->name, "%s", name);
    }
    return r;
}

static CUresult launch(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream s,
    void **params, void **extra)
{
    int i = nfunction - 1, n = noperands - 1; /* the newest: handles are used again */
    while (i > 0 && function[i].f != f) i--;
    while (n > 0 && strcmp(operands[n].name, function[i].name) != 0) n--;
    const size_t at = strlen(lines);
    snprintf(lines + at, sizeof lines - at, "%s %u,%u,%u %u,%u,%u %d\n", function[i].name, gx, gy, gz, bx, by, bz, operands[n].n);
    return under->LaunchKernel(f, gx, gy, gz, bx, by, bz, shared, s, params, extra);
}

/* How many parameters each kernel of the text has. */
static bool build(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st)
{
    static const char mark[] = "__global__ void ";
    for (const char *at = source; (at = strstr(at, mark)) && noperands < 512;) {
        at += sizeof mark - 1;
        if (strncmp(at, "__launch_bounds__(", 18) == 0) at = strchr(at, ')') + 2;
        const char *open = strchr(at, '(');
        snprintf(operands[noperands].name, sizeof operands->name, "%.*s", (int)(open - at), at);
        operands[noperands].n = 1;
        for (; *open != ')'; open++) operands[noperands].n += *open == ',';
        noperands++;
        at = open;
    }
    return under->build(d, source, name, image, st);
}

bool launches_device(void)
{
    Status st = {0};
    if (under) return true;
    if (!(under = emu_driver(0, &st))) return false;
    noting = *under;
    noting.ModuleGetFunction = get_function;
    noting.LaunchKernel = launch;
    noting.build = build;
    noting.compiler = NULL; /* every text is built, and so seen */
    noting.GraphCreate = NULL;
    noting.GraphAddNode = NULL;
    const Device *d = gpu_open(&noting, "noted:0", (uint8_t)device_next(), &st);
    if (!d) return false;
    device_add(d);
    return true;
}

const char *launches_noted(void)
{
    memcpy(told, lines, sizeof told);
    *lines = 0;
    return told;
}
