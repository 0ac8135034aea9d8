/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct clock_source *source; /* NULL: the system's; set before threads start */

static int64_t read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
	return source ? source->wall_ms(source->arg) : read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_ms(void)
{
	return source ? source->mono_ms(source->arg) : read_clock(CLOCK_MONOTONIC);
}

void clock_sleep_ms(int64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	if (source) {
		source->sleep_ms(source->arg, ms);
		return;
	}
	if (ms <= 0)
		return;
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

void clock_use(const struct clock_source *replacement)
{
	source = replacement;
}

/* Days since 1970-01-01 of a proleptic Gregorian date (years may be any). */
static int64_t days_from_date(int64_t y, int64_t m, int64_t d)
{
	int64_t era, year_of_era, day_of_year, day_of_era;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	year_of_era = y - era * 400;
	day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	return era * 146097 + day_of_era - 719468;
}

const char *clock_format_ms(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE])
{
	int64_t seconds = wall_ms / 1000, ms = wall_ms % 1000;
	time_t t;
	struct tm utc;

	if (ms < 0) {
		ms += 1000;
		seconds--;
	}
	t = (time_t)seconds;
	if (!gmtime_r(&t, &utc)) {
		text[0] = '\0';
		return text;
	}
	if (ms)
		snprintf(text, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
			utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
			utc.tm_sec, (int)ms);
	else
		snprintf(text, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ",
			utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
			utc.tm_sec);
	return text;
}

/* Exactly n digits at *p, which moves behind them; -1 when they are not there. */
static int take_digits(const char **p, int n)
{
	int value = 0;

	for (; n > 0; n--, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		value = value * 10 + (**p - '0');
	}
	return value;
}

static bool take_char(const char **p, const char *any_of)
{
	if (!**p || !strchr(any_of, **p))
		return false;
	(*p)++;
	return true;
}

static int days_in_month(int y, int m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[m - 1] + (m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0));
}

/* ".123" as microseconds: 1 to 9 digits, those past the sixth cut. -1 malformed; 0 without a dot.
 */
static int64_t take_fraction_us(const char **p)
{
	int64_t us = 0;
	int n = 0;

	if (**p != '.')
		return 0;
	(*p)++;
	for (; **p >= '0' && **p <= '9'; (*p)++, n++)
		if (n < 6)
			us = us * 10 + (**p - '0');
	if (n < 1 || n > 9)
		return -1;
	for (; n < 6; n++)
		us *= 10;
	return us;
}

static bool take_number(const char **p, int n_digits, int least, int most, int *ret)
{
	*ret = take_digits(p, n_digits);
	return *ret >= least && *ret <= most;
}

/* "Z" or "+hh:mm" as minutes east; false when neither. */
static bool take_offset(const char **p, int *ret_minutes)
{
	int sign, h, m;

	*ret_minutes = 0;
	if (take_char(p, "Zz"))
		return true;
	sign = **p == '-' ? -1 : 1;
	if (!take_char(p, "+-") || !take_number(p, 2, 0, 23, &h) || !take_char(p, ":") ||
		!take_number(p, 2, 0, 59, &m))
		return false;
	*ret_minutes = sign * (h * 60 + m);
	return true;
}

static bool take_date(const char **p, int64_t *ret_days)
{
	int y, m, d;

	if (!take_number(p, 4, 0, 9999, &y) || !take_char(p, "-") ||
		!take_number(p, 2, 1, 12, &m) || !take_char(p, "-") ||
		!take_number(p, 2, 1, days_in_month(y, m), &d))
		return false;
	*ret_days = days_from_date(y, m, d);
	return true;
}

static bool take_time(const char **p, int *ret_seconds)
{
	int h, m, s;

	/* second 60: a leap second, the same instant as the next minute */
	if (!take_number(p, 2, 0, 23, &h) || !take_char(p, ":") || !take_number(p, 2, 0, 59, &m) ||
		!take_char(p, ":") || !take_number(p, 2, 0, 60, &s))
		return false;
	*ret_seconds = h * 3600 + m * 60 + s;
	return true;
}

int clock_parse_us(const char *text, int64_t *ret_us)
{
	const char *p = text;
	int64_t us, days;
	int seconds, offset;

	if (!take_date(&p, &days) || !take_char(&p, "Tt ") || !take_time(&p, &seconds))
		return 1;
	us = take_fraction_us(&p);
	if (us < 0 || !take_offset(&p, &offset) || *p)
		return 1;
	*ret_us = (days * 86400 + seconds - offset * 60) * 1000000 + us;
	return 0;
}
