/* devices: see devices.h. A kind of device is a row here: what its names begin with, how many there are, what one is, and what
 * makes a row of device.h's table of it. */
#include "devices.h"

#include "emu.h"
#include "gpu.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A name is the kind's, a colon and a number from 0. */
typedef struct Kind {
    const char *name;
    uint32_t (*count)(Status *st); /* 0: st says what was looked for and not found. It is asked often, and answers alike */
    void (*describe)(uint32_t ordinal, char *text, size_t cap);
    /* Opens one for good. name, number: what its row and its memory say; the name lasts. NULL: st */
    const Device *(*open)(uint32_t ordinal, const char *name, uint8_t number, Status *st);
} Kind;

static const Device *open_card(uint32_t ordinal, const char *name, uint8_t number, Status *st)
{
    const CudaDriver *driver = gpu_card(ordinal, st);
    return driver ? gpu_open(driver, name, number, st) : NULL;
}

static uint32_t count_emulated(Status *st) { return emu_driver(0, st) ? EMU_DEVICES : 0; }

static void describe_emulated(uint32_t ordinal, char *text, size_t cap)
{
    (void)ordinal;
    snprintf(text, cap, "an emulated CUDA device, whose kernels this machine's CPU runs");
}

static const Device *open_emulated(uint32_t ordinal, const char *name, uint8_t number, Status *st)
{
    const CudaDriver *driver = emu_driver((int)ordinal, st);
    return driver ? gpu_open(driver, name, number, st) : NULL;
}

static const Kind kinds[] = {
    {"gpu", gpu_cards, gpu_card_text, open_card}, {"emu", count_emulated, describe_emulated, open_emulated}, {0}};

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static char names[DEVICES][DEVICE_NAME]; /* of what was opened here */

/* ---- names -------------------------------------------------------------------------------------------------------- */
/* The kind that the name says, and the number behind the colon. NULL: it says none. */
static const Kind *kind_of(const char *name, uint32_t *ordinal)
{
    for (const Kind *k = kinds; k->name; k++) {
        const size_t n = strlen(k->name);
        if (strncmp(name, k->name, n) || name[n] != ':') continue;
        const char *digits = name + n + 1;
        const size_t len = strspn(digits, "0123456789");
        if (!len || len > 4 || digits[len] || (len > 1 && digits[0] == '0')) return NULL;
        *ordinal = (uint32_t)strtoul(digits, NULL, 10);
        return k;
    }
    return NULL;
}

static bool number_of(const char *name, uint32_t *number)
{
    for (uint32_t i = 0; device_at(i); i++)
        if (strcmp(device_at(i)->name, name) == 0) return *number = i, true;
    return false;
}

/* One that its kind counts. */
static bool counted(const char *name)
{
    Status ignored = {0};
    uint32_t ordinal;
    const Kind *k = kind_of(name, &ordinal);
    return k && ordinal < k->count(&ignored);
}

/* The CPU, then each kind's, then rows of no kind. */
static bool there_is(uint32_t i, DeviceOffer *o)
{
    if (i == 0) {
        snprintf(o->name, sizeof o->name, "%s", device_at(HOST)->name);
        snprintf(o->text, sizeof o->text, "this machine's CPU, kernels for %s", eager_tier());
        return true;
    }
    i--;
    for (const Kind *k = kinds; k->name; k++) {
        Status ignored = {0};
        const uint32_t n = k->count(&ignored);
        if (i < n) {
            snprintf(o->name, sizeof o->name, "%s:%u", k->name, i);
            k->describe(i, o->text, sizeof o->text);
            return true;
        }
        i -= n;
    }
    for (uint32_t row = HOST + 1; device_at(row); row++) {
        if (counted(device_at(row)->name) || i-- != 0) continue;
        const char *part = strchr(device_at(row)->name, '/');
        snprintf(o->name, sizeof o->name, "%s", device_at(row)->name);
        if (part)
            snprintf(o->text, sizeof o->text, "a part of %.*s, %zu bytes", (int)(part - device_at(row)->name), o->name,
                atomic_load(&device_use(row)->most));
        else
            snprintf(o->text, sizeof o->text, "a device of this program");
        return true;
    }
    return false;
}

/* ---- which of them may be named ---------------------------------------------------------------------------------------- */
static pthread_mutex_t showing = PTHREAD_MUTEX_INITIALIZER;
static char shown[DEVICES][DEVICE_NAME];
static int nshown; /* -1: all */
static pthread_once_t asked = PTHREAD_ONCE_INIT;

/* One that is none is left out here, and told of when it is named. */
static void ask_environment(void)
{
    const char *list = getenv("KILN_DEVICES");
    nshown = list && *list ? 0 : -1;
    while (nshown >= 0 && nshown < DEVICES && *list) {
        const size_t n = strcspn(list, ",");
        snprintf(shown[nshown++], DEVICE_NAME, "%.*s", (int)n, list);
        list += n + (list[n] != 0);
    }
}

/* A part of a card is shown with the card. */
static bool is_shown(const char *name)
{
    const size_t whole = strcspn(name, "/");
    pthread_once(&asked, ask_environment);
    pthread_mutex_lock(&showing);
    bool yes = nshown < 0 || strcmp(name, device_at(HOST)->name) == 0;
    for (int i = 0; i < nshown && !yes; i++) yes = strlen(shown[i]) == whole && memcmp(shown[i], name, whole) == 0;
    pthread_mutex_unlock(&showing);
    return yes;
}

bool device_offered(uint32_t i, DeviceOffer *o)
{
    for (uint32_t all = 0; there_is(all, o); all++)
        if (is_shown(o->name) && i-- == 0) return true;
    return false;
}

bool devices_show(const char *const *list, int n, Status *st)
{
    DeviceOffer o;
    if (n >= DEVICES) return status_fail(st, ST_DEVICE, "%d devices; there are at most %d", n, DEVICES - 1);
    for (int i = 0; i < n; i++) {
        uint32_t all = 0;
        while (list[i] && there_is(all, &o) && strcmp(o.name, list[i]) != 0) all++;
        if (!list[i] || !there_is(all, &o))
            return status_fail(st, ST_DEVICE, "there is no device \"%.60s\"", list[i] ? list[i] : "");
    }
    pthread_once(&asked, ask_environment);
    pthread_mutex_lock(&showing);
    nshown = list ? n : -1;
    for (int i = 0; i < n; i++) snprintf(shown[i], DEVICE_NAME, "%s", list[i]);
    pthread_mutex_unlock(&showing);
    return true;
}

bool device_absent(uint32_t i, DeviceOffer *o)
{
    for (const Kind *k = kinds; k->name; k++) {
        Status st = {0};
        if (k->count(&st) || i-- != 0) continue;
        snprintf(o->name, sizeof o->name, "%s", k->name);
        snprintf(o->text, sizeof o->text, "%.160s", st.text);
        return true;
    }
    return false;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */
static bool unknown(const char *name, Status *st)
{
    Text all = {0};
    DeviceOffer o;
    for (uint32_t i = 0; device_offered(i, &o); i++) text_printf(&all, i ? ", %s" : "%s", o.name);
    if (is_shown(name))
        status_fail(st, ST_DEVICE, "there is no device \"%.60s\"; there are %s", name, all.failed ? "others" : all.at);
    else
        status_fail(st, ST_DEVICE, "device \"%.60s\" is none of those that are visible (kiln_devices_visible, KILN_DEVICES): %s",
            name, all.failed ? "others" : all.at);
    text_free(&all);
    return false;
}

/* Whether there is one of that kind and number. False: st. */
static bool has(const Kind *k, uint32_t ordinal, const char *name, Status *st)
{
    Status why = {0};
    const uint32_t n = k->count(&why);
    if (ordinal < n) return true;
    return n ? unknown(name, st) : status_fail(st, why.code, "%.20s cannot be had here: %s", name, why.text);
}

static bool open_one(const Kind *k, uint32_t ordinal, const char *name, uint32_t *number, Status *st)
{
    const uint32_t next = device_next();
    if (next == DEVICES) return status_fail(st, ST_DEVICE, "%s: all %d devices are open", name, DEVICES);
    snprintf(names[next], sizeof names[next], "%s", name);
    const Device *d = k->open(ordinal, names[next], (uint8_t)next, st);
    if (!d) return false;
    device_add(d);
    *number = next;
    return true;
}

bool device_named(const char *name, uint32_t *number, Status *st)
{
    uint32_t ordinal;
    if (!is_shown(name)) return unknown(name, st);
    if (number_of(name, number)) return true;
    const Kind *k = kind_of(name, &ordinal);
    if (!k) return unknown(name, st);
    if (!has(k, ordinal, name, st)) return false;
    pthread_mutex_lock(&opening);
    const bool ok = number_of(name, number) || open_one(k, ordinal, name, number, st);
    pthread_mutex_unlock(&opening);
    return ok;
}

/* ---- parts of one ------------------------------------------------------------------------------------------------- */
static bool split(const Kind *k, uint32_t ordinal, const char *name, const size_t *bytes, uint32_t n, Status *st)
{
    const Device *part[DEVICES];
    const uint32_t first = device_next();
    uint32_t number;
    char one[DEVICE_NAME];
    snprintf(one, sizeof one, "%s/0", name);
    if (number_of(one, &number)) return status_fail(st, ST_STATE, "%s was split before", name);
    if (n > DEVICES - first)
        return status_fail(
            st, ST_DEVICE, "%s into %u parts: there are at most %d devices, and %u are open", name, n, DEVICES, first);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(names[first + i], sizeof names[first + i], "%s/%u", name, i);
        part[i] = k->open(ordinal, names[first + i], (uint8_t)(first + i), st);
        if (!part[i]) return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        atomic_store(&device_use(first + i)->most, bytes[i]);
        device_add(part[i]);
    }
    return true;
}

bool device_split(const char *name, const size_t *bytes, uint32_t n, Status *st)
{
    uint32_t ordinal, number;
    if (!is_shown(name)) return unknown(name, st);
    const Kind *k = kind_of(name, &ordinal);
    if (!k) return number_of(name, &number) ? status_fail(st, ST_UNSUPPORTED, "%s cannot be split", name) : unknown(name, st);
    if (!has(k, ordinal, name, st)) return false;
    pthread_mutex_lock(&opening);
    const bool ok = split(k, ordinal, name, bytes, n, st);
    pthread_mutex_unlock(&opening);
    return ok;
}

/* ---- code for one that is not here -------------------------------------------------------------------------------- */
bool device_target(const char *name, Arena *arena, DeviceTarget *out, Status *st)
{
    if (strcmp(name, "emu") == 0)
        out->there = emu_driver(0, st);
    else if (strncmp(name, "sm_", 3) == 0)
        out->there = gpu_architecture(name, arena, st);
    else
        return status_fail(st, ST_VALUE,
            "code cannot be compiled for a device \"%.40s\": it may be an architecture of cards, sm_90, or emu", name);
    out->backend = backend_get("cuda", st);
    return out->there && out->backend;
}

void *device_emulated(const char *symbol) { return emu_symbol(symbol); }
