/* info: `kiln info`: what this build and this machine offer, one fact per line. Asking a backend
 * loads it. */
#include "options.h"

#include <string.h>

#include "../../codegen/devices.h"
#include "../function/function.h"

const char info_help[] =
    "usage: kiln info [--json]\n\n"
    "  kiln info    version, CPU, threads, eager kernels, the folder of compiled code, compilers, devices; one per line\n\n"
    "  --json       one JSON object with the same facts; all are text but the number of threads and the devices\n";

typedef struct Fact {
    const char *name, *key; /* the beginning of its line; its key in JSON */
    char text[512];
} Fact;

static void backend_fact(Fact *f, const BackendRow *row)
{
    Status st = {0};
    const Backend *b = backend_get(row->name, &st);
    f->name = row->title;
    f->key = row->key;
    snprintf(f->text, sizeof f->text, "%s", *st.text ? st.text : "not part of this build");
    if (b) *f->text = 0;
    if (b && b->describe) b->describe(f->text, sizeof f->text);
}

/* Keeps the first line that the engine logs: why it does not use the folder of compiled code. */
static void keep_line(void *user, const char *text)
{
    Fact *f = user;
    if (!*f->text) snprintf(f->text, sizeof f->text, "%s", text + strcspn(text, ":") + 2);
}

static void cache_fact(Fact *f, kiln *k)
{
    kiln_cache_statistics s;
    if (kiln_cache_stats(k, &s))
        snprintf(f->text, sizeof f->text, "%s: %llu programs, %llu of %llu bytes", getenv("KILN_CACHE_DIR"),
            (unsigned long long)s.files, (unsigned long long)s.bytes, (unsigned long long)s.most);
    else if (!*f->text)
        snprintf(f->text, sizeof f->text, "none (KILN_CACHE_DIR names a folder)");
}

enum { VERSION, CPU, THREADS, EAGER_TIER, CACHE, BACKENDS, FACTS = BACKENDS + 8 };

/* ---- devices: a line each, or an object whose keys are their names ---- */
typedef bool Offers(uint32_t i, DeviceOffer *o);

static void print_offers(const char *title, const char *key, Offers *offers, bool json)
{
    DeviceOffer o;
    if (json) printf(",\n  \"%s\": {", key);
    for (uint32_t i = 0; offers(i, &o); i++) {
        if (!json) {
            printf("%-10s %s: %s\n", title, o.name, o.text);
            continue;
        }
        fputs(i ? ", " : "", stdout);
        print_json_text(stdout, o.name);
        fputs(": ", stdout);
        print_json_text(stdout, o.text);
    }
    if (json) putchar('}');
}

static void print(const Fact *fact, bool json)
{
    if (json) putchar('{');
    for (int i = 0; i < FACTS && fact[i].name; i++) {
        if (!json) {
            printf("%-10s %s\n", fact[i].name, fact[i].text);
            continue;
        }
        printf("%s\n  \"%s\": ", i ? "," : "", fact[i].key);
        if (i == THREADS)
            fputs(fact[i].text, stdout);
        else
            print_json_text(stdout, fact[i].text);
    }
    print_offers("device", "devices", device_offered, json);
    print_offers("no device", "absent_devices", device_absent, json);
    if (json) puts("\n}");
}

int info(int argc, char **argv)
{
    bool json = false;
    const Option options[] = {{"--json", .flag = &json}, {0}};
    int status = options_parse("info", argc, argv, options, NULL, 0);
    if (status) return status;
    static Fact fact[FACTS] = {[VERSION] = {"version", "version", ""},
        [CPU] = {"CPU", "cpu", ""},
        [THREADS] = {"threads", "threads", ""},
        [EAGER_TIER] = {"eager", "tier", ""},
        [CACHE] = {"code cache", "code_cache", ""}};
    kiln *k = kiln_open(&(kiln_options){.log = keep_line, .log_user = &fact[CACHE], .device = "cpu"});
    if (!k) {
        fprintf(stderr, "kiln info: no memory for an engine\n");
        return NO_RESOURCE;
    }
    snprintf(fact[VERSION].text, sizeof fact->text, "%s", kiln_version());
    cpu_name(fact[CPU].text, sizeof fact->text);
    snprintf(fact[THREADS].text, sizeof fact->text, "%d", threads_count(k->threads));
    snprintf(fact[EAGER_TIER].text, sizeof fact->text, "%s", eager_tier());
    cache_fact(&fact[CACHE], k);
    for (uint32_t i = 0; BACKENDS + i < FACTS && backend_row(i); i++) backend_fact(&fact[BACKENDS + i], backend_row(i));
    kiln_close(k);
    print(fact, json);
    return FINE;
}
