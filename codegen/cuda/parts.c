/* parts: cuts texts, has the parts compiled, and puts what came out side by side. Relies on parts.h. Never prints or loads. */
#include "parts.h"

#include <stdlib.h>

/* ---- texts ----------------------------------------------------------------------------------- */

static const char mark[] = "// part ";

/* The next such line from `at` on, which is the beginning of a line; NULL: there is none. */
static const char *next_mark(const char *at)
{
    while (strncmp(at, mark, sizeof mark - 1) != 0) {
        at = strchr(at, '\n');
        if (!at) return NULL;
        at++;
    }
    return at;
}

static uint32_t number_at(const char *line) { return (uint32_t)strtoul(line + sizeof mark - 1, NULL, 10); }

uint32_t parts_of(const char *source)
{
    uint32_t n = 1;
    for (const char *at = source; (at = next_mark(at)); at++) n = MAX_OF(n, number_at(at) + 1);
    return n;
}

/* Of n groups of parts. */
static void cut(const char *source, uint32_t group, uint32_t n, Text *out)
{
    const char *at = next_mark(source);
    text_add(out, source, at ? (size_t)(at - source) : strlen(source));
    for (const char *next; at; at = next) {
        next = next_mark(at + 1);
        if (number_at(at) % n == group) text_add(out, at, next ? (size_t)(next - at) : strlen(at));
    }
}

/* ---- compiling ------------------------------------------------------------------------------- */

typedef struct Building {
    const CudaDriver *driver;
    const char *source, *name;
    uint32_t n;
    struct {
        Text text, image;
        Status st;
    } part[CUDA_PARTS];
} Building;

static void build(void *arg, int64_t lo, int64_t hi)
{
    Building *b = arg;
    for (int64_t i = lo; i < hi; i++) {
        Text *text = &b->part[i].text;
        cut(b->source, (uint32_t)i, b->n, text);
        if (text->failed)
            status_fail(&b->part[i].st, ST_MEMORY, "cuda: no memory for the text of %s", b->name ? b->name : "a program");
        else
            b->driver->build(b->driver, text->at, b->name, &b->part[i].image, &b->part[i].st);
        text_free(text);
    }
}

/* ---- what came out ------------------------------------------------------------------------------ */

#define PART_ALIGN 64

typedef struct PartsHead {
    char magic[8];
    uint64_t n, at[CUDA_PARTS]; /* where each part begins; PTX ends in a zero byte */
} PartsHead;

static const char magic[8] = "KILNPART";

static size_t aligned(size_t n) { return (n + PART_ALIGN - 1) / PART_ALIGN * PART_ALIGN; }

static void put_together(const Building *b, Text *image)
{
    static const char zeros[PART_ALIGN];
    const uint32_t n = b->n;
    PartsHead head = {.n = n};
    size_t at = aligned(sizeof head);
    memcpy(head.magic, magic, sizeof magic);
    for (uint32_t i = 0; i < n; at += aligned(b->part[i].image.len + 1), i++) head.at[i] = at;
    text_add(image, (const char *)&head, sizeof head);
    text_add(image, zeros, aligned(sizeof head) - sizeof head);
    for (uint32_t i = 0; i < n; i++) {
        const Text *part = &b->part[i].image;
        text_add(image, part->at, part->len);
        text_add(image, zeros, aligned(part->len + 1) - part->len);
    }
}

bool parts_build(
    const CudaDriver *d, ThreadPool *threads, uint32_t n, const char *source, const char *name, Text *image, Status *st)
{
    Building *b = mem_zeros(1, sizeof *b);
    const Status *wrong = NULL;
    if (!b) return status_fail(st, ST_MEMORY, "cuda: no memory for a text in parts");
    b->n = n;
    b->driver = d;
    b->source = source;
    b->name = name;
    threads_run(threads, build, b, n, 1);
    for (uint32_t i = n; i-- > 0;)
        if (b->part[i].st.code != ST_OK) wrong = &b->part[i].st;
    if (wrong)
        status_fail(st, wrong->code, "%s", wrong->text);
    else
        put_together(b, image);
    for (uint32_t i = 0; i < n; i++) text_free(&b->part[i].image);
    mem_free(b, sizeof *b);
    if (image->failed) status_fail(st, ST_MEMORY, "cuda: no memory for the code of %s", name ? name : "a program");
    return !wrong && !image->failed;
}

const void *parts_image(const void *image, size_t bytes, uint32_t i, uint32_t *n)
{
    PartsHead head;
    *n = 1;
    if (bytes < sizeof head || memcmp(image, magic, sizeof magic) != 0) return image;
    memcpy(&head, image, sizeof head);
    *n = (uint32_t)MIN_OF(head.n, (uint64_t)CUDA_PARTS);
    return i < *n && head.at[i] < bytes ? (const char *)image + head.at[i] : NULL;
}
