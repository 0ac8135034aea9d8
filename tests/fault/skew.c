/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a process, it sets that process's wall clock off by SKEW_MS milliseconds. The
 * monotonic clock stays: it is what a machine has even when its time is wrong.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MS_A_SECOND 1000

static long skew_ms(void)
{
	static _Atomic long known;
	static _Atomic int is_known;
	const char *text;

	if (!is_known) {
		text = getenv("SKEW_MS"); /* NOLINT(concurrency-mt-unsafe): nobody writes it */
		known = text != NULL ? strtol(text, NULL, 10) : 0;
		is_known = 1;
	}
	return known;
}

/* Takes the place of the C library's. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
	long result = syscall(SYS_clock_gettime, id, ret), ms;

	if (result != 0 || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return (int)result;
	ms = ret->tv_nsec / 1000000 + skew_ms();
	ret->tv_sec += ms / MS_A_SECOND;
	ms %= MS_A_SECOND;
	if (ms < 0) {
		ms += MS_A_SECOND;
		ret->tv_sec--;
	}
	ret->tv_nsec = ms * 1000000 + ret->tv_nsec % 1000000;
	return 0;
}
