/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one seam for time. Wall time is Unix epoch milliseconds and may jump; monotonic time is for
 * durations and due times. Tests put a fake source in and move it by hand, so that nothing sleeps.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/attr.h"

struct clock_source {
	int64_t (*wall_ms)(void *arg);
	int64_t (*mono_ms)(void *arg);
	void (*sleep_ms)(void *arg, int64_t ms);
	void *arg;
};

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
void clock_sleep_ms(int64_t ms);
/* Tests: replaces the source for the whole process; NULL restores the system's. Before threads
 * start. */
void clock_use(const struct clock_source *source);

/* "2026-01-31T12:00:00Z", or with ".123" when the milliseconds are not zero. UTC, always Z. */
#define CLOCK_TEXT_SIZE 96 /* room for what gcc fears a year might be */
const char *clock_format_ms(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE]);

/*
 * Reads an RFC 3339 instant (section 5.6: any offset, 0 to 9 fraction digits, 'T' or 't') to epoch
 * microseconds; further digits are cut. 0 done, 1 not an instant (*ret_us untouched).
 */
MUST_CHECK int clock_parse_us(const char *text, int64_t *ret_us);

#endif
