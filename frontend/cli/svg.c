/* svg: prints line charts as SVG 1.1. Points that are not finite are left out. */
#include "svg.h"

#include <math.h>

#include "../engine/escape.h"

enum { WIDTH = 800, HEIGHT = 480, LEFT = 70, RIGHT = 24, TOP = 52, BOTTOM = 56 };
#define POINTS_MAX 2000 /* of one curve; of a longer one only every n-th point is drawn */

typedef struct Chart {
    Text *out;
    double x_max, y_max;
} Chart;

static double x_at(const Chart *c, double x) { return LEFT + (WIDTH - LEFT - RIGHT) * x / c->x_max; }
static double y_at(const Chart *c, double y)
{
    double part = y / c->y_max;
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (part < 0 ? 0 : part > 1 ? 1 : part);
}

/* The distance between the marks of an axis: 1, 2 or 5 times a power of ten, so that about five of them cover the range. */
static double tick_step(double range)
{
    double raw = range / 5, power = pow(10, floor(log10(raw))), lead = raw / power;
    return (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10) * power;
}

/* The content and the end of a text element, whose beginning is printed already. */
static void label(const Chart *c, const char *text)
{
    text_xml(c->out, text);
    text_printf(c->out, "</text>\n");
}

static void axes(const Chart *c, const char *title, const char *x_name, const char *y_name)
{
    int bottom = HEIGHT - BOTTOM, right = WIDTH - RIGHT;
    double dx = tick_step(c->x_max), dy = tick_step(c->y_max);
    text_printf(c->out, "<text x=\"%d\" y=\"28\" font-size=\"17\" text-anchor=\"middle\">", (LEFT + right) / 2);
    label(c, title);
    for (double x = 0; x <= c->x_max * 1.0001; x += dx)
        text_printf(c->out,
            "<path d=\"M%.1f %d v5\" stroke=\"#444\"/><text x=\"%.1f\" y=\"%d\" "
            "text-anchor=\"middle\">%g</text>\n",
            x_at(c, x), bottom, x_at(c, x), bottom + 20, x);
    for (double y = 0; y <= c->y_max * 1.0001; y += dy)
        text_printf(c->out,
            "<path d=\"M%d %.1f H%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
            "text-anchor=\"end\">%g</text>\n",
            LEFT, y_at(c, y), right, LEFT - 8, y_at(c, y) + 4, y);
    text_printf(c->out, "<path d=\"M%d %d V%d H%d\" fill=\"none\" stroke=\"#444\"/>\n", LEFT, TOP, bottom, right);
    text_printf(c->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + right) / 2, HEIGHT - 14);
    label(c, x_name);
    text_printf(c->out, "<text transform=\"translate(20 %d) rotate(-90)\" text-anchor=\"middle\">", (TOP + bottom) / 2);
    label(c, y_name);
}

/* Draws, at each point, the mean of the last `window` values; a window of 1 draws the curve as it is. */
static void polyline(const Chart *c, const Curve *v, long window, double width, double opacity)
{
    text_printf(c->out, "<polyline fill=\"none\" stroke=\"");
    text_xml(c->out, v->colour);
    text_printf(c->out, "\" stroke-width=\"%g\" stroke-opacity=\"%g\" points=\"", width, opacity);
    long each = (v->n + POINTS_MAX - 1) / POINTS_MAX;
    for (long i = 0; i < v->n; i += each) {
        double sum = 0;
        long from = i + 1 > window ? i + 1 - window : 0;
        for (long j = from; j <= i; j++) sum += v->y[j];
        double mean = sum / (double)(i - from + 1);
        if (isfinite(mean)) text_printf(c->out, "%.1f,%.1f ", x_at(c, (double)i), y_at(c, mean));
    }
    text_printf(c->out, "\"/>\n");
}

static Chart measure(const Curve *curve, int curves)
{
    Chart c = {NULL, 1, 0};
    for (int i = 0; i < curves; i++) {
        c.x_max = fmax(c.x_max, (double)curve[i].n);
        for (long j = 0; j < curve[i].n; j++)
            if (isfinite(curve[i].y[j])) c.y_max = fmax(c.y_max, curve[i].y[j]);
    }
    c.y_max = c.y_max > 0 ? 1.05 * c.y_max : 1;
    return c;
}

void svg_print(Text *out, const char *title, const char *x_name, const char *y_name, const Curve *curve, int curves)
{
    Chart c = measure(curve, curves);
    c.out = out;
    text_printf(c.out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d "
        "%d\" "
        "font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" "
        "fill=\"white\"/>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT);
    axes(&c, title, x_name, y_name);
    for (int i = 0; i < curves; i++) {
        long window = curve[i].n / 40 + 1;
        polyline(&c, &curve[i], 1, 1, 0.3);
        polyline(&c, &curve[i], window, 2, 1);
        int y = TOP + 16 + 20 * i, x = WIDTH - RIGHT - 220;
        text_printf(c.out, "<path d=\"M%d %d h24\" stroke=\"", x, y);
        text_xml(c.out, curve[i].colour);
        text_printf(c.out, "\" stroke-width=\"3\"/><text x=\"%d\" y=\"%d\">", x + 32, y + 4);
        label(&c, curve[i].name);
    }
    text_printf(c.out, "</svg>\n");
}
