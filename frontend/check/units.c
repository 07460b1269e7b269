/* units: numbers for tables. */
#include "check.h"

#include <stdio.h>

const char *quantity_text(double v, const char *const unit[4], char *buf, size_t cap)
{
    int i = 0;
    while (i < 3 && v >= 1000) {
        v /= 1000;
        i++;
    }
    snprintf(buf, cap, v < 10 && i ? "%.2f %s" : v < 100 && i ? "%.1f %s" : "%.0f %s", v, unit[i]);
    return buf;
}

const char *time_text(double s, char *buf, size_t cap)
{
    static const char *const unit[4] = {"ns", "us", "ms", "s"};
    return quantity_text(s * 1e9, unit, buf, cap);
}

const char *bytes_text(double b, char *buf, size_t cap)
{
    static const char *const unit[4] = {"B", "kB", "MB", "GB"};
    return quantity_text(b, unit, buf, cap);
}
