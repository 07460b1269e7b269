/* nvrtc: compiles CUDA C to PTX or to a binary within the process. It gives no include path, since the text includes nothing.
 * Relies on api.h. */
#define _GNU_SOURCE
#include "api.h"

#include <dlfcn.h>
#include <stdio.h>

static bool failed(const Nvrtc *n, nvrtcResult e, Status *st, const char *doing)
{
    return e != 0 && !status_fail(st, ST_INTERNAL, "nvrtc: %s: %s", doing, n->nvrtcGetErrorString(e));
}

static void read_log(const Nvrtc *n, nvrtcProgram p, Text *log)
{
    size_t bytes = 0;
    if (n->nvrtcGetProgramLogSize(p, &bytes) != 0 || bytes <= 1) return;
    char *text = mem_alloc(bytes);
    if (text && n->nvrtcGetProgramLog(p, text) == 0) text_add(log, text, strnlen(text, bytes));
    if (!text) log->failed = true;
    mem_free(text, bytes);
}

static bool read_code(const Nvrtc *n, nvrtcProgram p, bool binary, Text *out, Status *st)
{
    size_t bytes = 0;
    if (failed(n, binary ? n->nvrtcGetCUBINSize(p, &bytes) : n->nvrtcGetPTXSize(p, &bytes), st, "reading the result")) return false;
    char *code = mem_alloc(bytes);
    if (!code) return status_fail(st, ST_MEMORY, "nvrtc: no memory for %zu bytes of code", bytes);
    bool ok = !failed(n, binary ? n->nvrtcGetCUBIN(p, code) : n->nvrtcGetPTX(p, code), st, "reading the result");
    if (ok) text_add(out, code, binary ? bytes : strnlen(code, bytes));
    mem_free(code, bytes);
    if (out->failed) status_fail(st, ST_MEMORY, "nvrtc: no memory for %zu bytes of code", bytes);
    return ok && !out->failed;
}

/* The log's last lines name the mistakes, and a Status holds only a few lines. */
static void report(nvrtcResult e, const Nvrtc *n, const char *name, int sm, const Text *log, Status *st)
{
    const char *text = log->at ? log->at : "no log";
    status_fail(st, ST_INTERNAL, "nvrtc: compiling %s for %d: %s: %.360s", name, sm, n->nvrtcGetErrorString(e), text);
}

static bool knows_own(const Nvrtc *n, Status *st)
{
    int major = 0, minor = 0;
    if (failed(n, n->nvrtcVersion(&major, &minor), st, "asking for the version")) return false;
    return major >= 12 || status_fail(st, ST_UNSUPPORTED, "nvrtc: code for sm_90a needs version 12.0; this is %d.%d", major, minor);
}

static const char *const common[] = {"-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true"};

bool cuda_compile(const char *source, const char *name, int sm, bool binary, Text *out, Text *log, Status *st)
{
    const Nvrtc *n = cuda_nvrtc(st);
    nvrtcProgram p = NULL;
    char arch[48], file[96];
    const char *options[1 + COUNT_OF(common) + 1] = {arch};
    int noptions = 1;
    Text said = {0};
    if (!n) return false;
    const bool own = strstr(source, CUDA_OWN_LINE);
    if (own && !knows_own(n, st)) return false;
    snprintf(arch, sizeof arch, "--gpu-architecture=%s_%d%s", binary ? "sm" : "compute", sm % CUDA_OWN, own ? "a" : "");
    snprintf(file, sizeof file, "%.80s.cu", name ? name : "kiln");
    for (size_t i = 0; i < COUNT_OF(common); i++) options[noptions++] = common[i];
    if (binary && log) options[noptions++] = "--ptxas-options=-v";
    if (failed(n, n->nvrtcCreateProgram(&p, source, file, 0, NULL, NULL), st, "starting")) return false;
    nvrtcResult e = n->nvrtcCompileProgram(p, noptions, options);
    read_log(n, p, &said);
    if (e != 0) report(e, n, file, sm, &said, st);
    bool ok = e == 0 && read_code(n, p, binary, out, st);
    if (log && said.len > 0) text_add(log, said.at, said.len);
    text_free(&said);
    n->nvrtcDestroyProgram(&p);
    return ok;
}

int cuda_compile_arch(int sm, Status *st)
{
    const Nvrtc *n = cuda_nvrtc(st);
    int count = 0, all[128], best = 0;
    if (!n) return 0;
    if (failed(n, n->nvrtcGetNumSupportedArchs(&count), st, "listing the architectures")) return 0;
    if (count > (int)COUNT_OF(all)) return status_fail(st, ST_INTERNAL, "nvrtc: it lists %d architectures", count), 0;
    if (failed(n, n->nvrtcGetSupportedArchs(all), st, "listing the architectures")) return 0;
    for (int i = 0; i < count; i++)
        if (all[i] <= sm % CUDA_OWN && all[i] > best) best = all[i];
    if (best == 0)
        status_fail(st, ST_DEVICE, "nvrtc: this version cannot compile for this device, sm_%d; its oldest architecture is newer",
            sm % CUDA_OWN);
    return best;
}

bool cuda_architecture(int sm, Status *st)
{
    const Nvrtc *n = cuda_nvrtc(st);
    int count = 0, all[128];
    Text known = {0};
    if (!n || failed(n, n->nvrtcGetNumSupportedArchs(&count), st, "listing the architectures")) return false;
    if (count > (int)COUNT_OF(all)) return status_fail(st, ST_INTERNAL, "nvrtc: it lists %d architectures", count);
    if (failed(n, n->nvrtcGetSupportedArchs(all), st, "listing the architectures")) return false;
    for (int i = 0; i < count; i++) {
        if (all[i] == sm) return text_free(&known), true;
        text_printf(&known, "%ssm_%d", i ? ", " : "", all[i]);
    }
    status_fail(
        st, ST_UNSUPPORTED, "nvrtc: this version does not compile for sm_%d; it knows %s", sm, known.at ? known.at : "none");
    text_free(&known);
    return false;
}

bool nvrtc_build(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st)
{
    const int arch = cuda_compile_arch(d->capability, st);
    return arch != 0 && cuda_compile(source, name, arch, arch == d->capability, image, NULL, st);
}

bool nvrtc_compiler(const CudaDriver *d, Text *key, char file[CUDA_PATH], Status *st)
{
    const Nvrtc *n = cuda_nvrtc(st);
    const int arch = n ? cuda_compile_arch(d->capability, st) : 0;
    int major = 0, minor = 0;
    Dl_info info;
    void *at = NULL;
    if (arch == 0 || failed(n, n->nvrtcVersion(&major, &minor), st, "asking for the version")) return false;
    text_printf(key, "NVRTC %d.%d, sm_%d for sm_%d", major, minor, arch, d->capability);
    for (size_t i = 0; i < COUNT_OF(common); i++) text_printf(key, " %s", common[i]);
    text_printf(key, "\n");
    memcpy(&at, &n->nvrtcVersion, sizeof at);
    const bool known = dladdr(at, &info) && info.dli_fname[0] == '/';
    snprintf(file, CUDA_PATH, "%s", known && strlen(info.dli_fname) < CUDA_PATH ? info.dli_fname : "");
    return true;
}
