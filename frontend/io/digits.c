/* digits: a synthetic set of drawn digits, so that programs that learn from images need no
 * download. Each digit is a few strokes, bent by a random affine map, drawn with a pen of random
 * width and covered with noise. All arithmetic is on integers and each drawing has a random stream
 * of its own, so the same seed gives the same bytes on every machine and the first n drawings do
 * not depend on how many follow. Never reads a file. */
#include <kiln/data.h>

#include "../ops/ops.h"
#include "chance.h"

#define SIDE 28
#define ONE 256 /* a pixel */

/* Strokes on a field 40 wide and 60 high, y downwards. An arc runs from one angle to another in
 * 32nds of a turn, 0 east, 8 south; its centre is (a, b), its radii (c, d). A line runs from (a, b)
 * to (c, d). `often`: drawn in so many of 8 drawings. */
typedef struct Stroke {
    uint8_t digit, arc, often;
    int8_t a, b, c, d, from, to;
} Stroke;
#define LINE(digit, often, x0, y0, x1, y1)    \
    {                                         \
        digit, 0, often, x0, y0, x1, y1, 0, 0 \
    }
#define ARC(digit, x, y, rx, ry, from, to)  \
    {                                       \
        digit, 1, 8, x, y, rx, ry, from, to \
    }
static const Stroke strokes[] = {
    ARC(0, 20, 30, 15, 26, 0, 32),
    LINE(1, 8, 20, 4, 20, 56),
    LINE(1, 5, 20, 4, 10, 15),
    LINE(1, 2, 11, 56, 29, 56),
    ARC(2, 20, 18, 14, 14, 17, 36),
    LINE(2, 8, 30, 28, 6, 56),
    LINE(2, 8, 6, 56, 36, 56),
    ARC(3, 19, 17, 13, 13, 18, 40),
    ARC(3, 19, 43, 15, 13, 24, 46),
    LINE(4, 8, 26, 4, 5, 40),
    LINE(4, 8, 5, 40, 37, 40),
    LINE(4, 8, 28, 22, 28, 57),
    LINE(5, 8, 34, 4, 11, 4),
    LINE(5, 8, 11, 4, 10, 27),
    ARC(5, 19, 40, 16, 16, 21, 46),
    ARC(6, 20, 42, 14, 14, 0, 32),
    ARC(6, 34, 42, 28, 38, 16, 23),
    LINE(7, 8, 6, 5, 36, 5),
    LINE(7, 8, 36, 5, 16, 57),
    LINE(7, 2, 14, 32, 34, 32),
    ARC(8, 20, 17, 11, 13, 0, 32),
    ARC(8, 20, 43, 15, 13, 0, 32),
    ARC(9, 20, 18, 14, 14, 0, 32),
    ARC(9, 6, 18, 28, 38, 0, 7),
};

/* sin(2 pi i / 32) of the first quarter, times 1024. */
static const int16_t quarter[9] = {0, 200, 392, 569, 724, 851, 946, 1004, 1024};

static int sine(int turn32)
{
    int i = turn32 & 31;
    int v = quarter[i % 16 <= 8 ? i % 16 : 16 - i % 16];
    return i < 16 ? v : -v;
}

/* ---- chance -------------------------------------------------------------------------------------- */
/* -r ... r, thick in the middle. */
static int jitter(uint64_t *state, int r)
{
    uint64_t bits = chance_next(state);
    uint64_t span = (uint64_t)r + 1;
    return (int)((bits >> 32) % span) - (int)((bits & 0xffffffffu) % span);
}

/* ---- drawing ------------------------------------------------------------------------------------- */
typedef struct Pen {
    int xx, xy, yx, yy;    /* field to pixels: 1/256 pixel per field unit */
    int x, y;              /* the field's centre, 1/256 pixel */
    int radius;            /* 1/256 pixel */
    int near[SIDE * SIDE]; /* squared distance of each pixel from the nearest stroke, (1/256 pixel)^2 */
} Pen;

typedef struct Point {
    int x, y;
} Point;

static Point place(const Pen *p, int x, int y) /* x, y: 1/1024 of a field unit, from the field's centre */
{
    return (Point){(int)(((int64_t)p->xx * x + (int64_t)p->xy * y) / 1024) + p->x,
        (int)(((int64_t)p->yx * x + (int64_t)p->yy * y) / 1024) + p->y};
}

static int clamp(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }

static void segment(Pen *p, Point a, Point b)
{
    int reach = p->radius + ONE;
    int x0 = clamp((MIN_OF(a.x, b.x) - reach) / ONE, 0, SIDE - 1), x1 = clamp((MAX_OF(a.x, b.x) + reach) / ONE, 0, SIDE - 1);
    int y0 = clamp((MIN_OF(a.y, b.y) - reach) / ONE, 0, SIDE - 1), y1 = clamp((MAX_OF(a.y, b.y) + reach) / ONE, 0, SIDE - 1);
    int64_t dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++) {
            int64_t px = x * ONE + ONE / 2 - a.x, py = y * ONE + ONE / 2 - a.y;
            int64_t along = px * dx + py * dy; /* of length; clamped to the segment */
            along = length == 0 || along < 0 ? 0 : along > length ? length : along;
            int64_t ex = px - (length ? dx * along / length : 0), ey = py - (length ? dy * along / length : 0);
            int64_t squared = ex * ex + ey * ey;
            int *near = &p->near[y * SIDE + x];
            if (squared < *near) *near = (int)squared;
        }
}

static void draw(Pen *p, const Stroke *s)
{
    Point last;
    if (!s->arc) {
        last = place(p, (s->a - 20) * 1024, (s->b - 30) * 1024);
        segment(p, last, place(p, (s->c - 20) * 1024, (s->d - 30) * 1024));
        return;
    }
    for (int i = s->from; i <= s->to; i++) {
        Point at = place(p, (s->a - 20) * 1024 + s->c * sine(i + 8), (s->b - 30) * 1024 + s->d * sine(i));
        if (i > s->from) segment(p, last, at);
        last = at;
    }
}

static int root(int v) /* floor of the square root */
{
    int r = 0;
    for (int bit = 1 << 14; bit; bit >>= 1)
        if ((r + bit) * (r + bit) <= v) r += bit;
    return r;
}

/* Ink is full inside the pen, none a pixel beyond its edge, and linear between. */
static void ink(const Pen *p, uint64_t *state, uint8_t *out)
{
    int full = 200 + (int)(chance_next(state) % 56), noise = 8 + (int)(chance_next(state) % 25);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int beyond = p->near[i] == INT32_MAX ? ONE : root(p->near[i]) - p->radius + ONE / 2;
        int v = full * (ONE - clamp(beyond, 0, ONE)) / ONE + jitter(state, noise);
        out[i] = (uint8_t)clamp(v, 0, 255);
    }
}

static uint8_t drawing(uint64_t seed, int64_t index, uint8_t *out)
{
    uint64_t state = seed * 0xd1342543de82ef95u + (uint64_t)index;
    state = chance_next(&state);
    uint8_t digit = (uint8_t)(chance_next(&state) % 10);
    Pen p;
    /* A field unit is about a third of a pixel; sizes, slant and turn vary by a quarter or so. */
    p.xx = 88 + jitter(&state, 20);
    p.yy = 84 + jitter(&state, 16);
    p.xy = -6 + jitter(&state, 26);
    p.yx = jitter(&state, 16);
    p.x = SIDE * ONE / 2 + jitter(&state, 2 * ONE);
    p.y = SIDE * ONE / 2 + jitter(&state, 2 * ONE);
    p.radius = 270 + jitter(&state, 150);
    for (int i = 0; i < SIDE * SIDE; i++) p.near[i] = INT32_MAX;
    for (size_t i = 0; i < COUNT_OF(strokes); i++) {
        Stroke s = strokes[i];
        if (s.digit != digit || chance_next(&state) % 8 >= s.often) continue;
        s.a = (int8_t)(s.a + jitter(&state, 2));
        s.b = (int8_t)(s.b + jitter(&state, 2));
        s.c = (int8_t)(s.c + jitter(&state, 2));
        s.d = (int8_t)(s.d + jitter(&state, 2));
        draw(&p, &s);
    }
    ink(&p, &state, out);
    return digit;
}

bool kiln_digits_at(kiln_site at, kiln *k, int64_t count, uint64_t seed, kiln_tensor **images, kiln_tensor **labels)
{
    Thread *t = thread_of(k);
    if (!t || !images || !labels) {
        fail(t, at, KILN_EVALUE, "digits: a pointer for a result is NULL");
        return false;
    }
    *images = *labels = &k->poison;
    kiln_shape shape = KILN_SHAPE(count, SIDE, SIDE);
    Type type;
    if (!type_from_shape(t, at, "digits", KILN_U8, &shape, &type)) return false;
    kiln_tensor *x = tensor_empty(t, at, &type);
    type.rank = 1;
    kiln_tensor *y = x ? tensor_empty(t, at, &type) : NULL;
    if (!y) return false;
    for (int64_t i = 0; i < count; i++) y->data[i] = (char)drawing(seed, i, (uint8_t *)x->data + i * SIDE * SIDE);
    *images = tensor_place(t, at, x);
    *labels = tensor_place(t, at, y);
    return tensor_ok(*images) && tensor_ok(*labels);
}
