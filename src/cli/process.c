/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/process.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SAME_WISH_MS 500

static const int end_signals[] = {SIGTERM, SIGINT, SIGHUP};
static int64_t first_ms;

static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

void process_harden(void)
{
	const struct rlimit none = {0, 0};

	/* Secrets live in this memory: it must reach neither a core file nor another process. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	raise_descriptors();
	/* One heap for a dozen threads: an arena each would cost more memory than its lock costs
	 * time. */
	(void)mallopt(M_ARENA_MAX, 2);
	(void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

static void end_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(end_signals); i++)
		sigaddset(set, end_signals[i]);
}

void process_block_signals(void)
{
	sigset_t set;

	end_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* A peer that left and a file that may not grow are errors of one write, not the end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/* Reading the clock and _exit are all that it does: both are safe in a signal handler. */
static void end_at_once(int number)
{
	(void)number;
	if (clock_mono_ms() - first_ms > SAME_WISH_MS)
		_exit(130);
}

bool process_ends_within(int64_t ms)
{
	const struct timespec limit = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	sigset_t set;

	end_set(&set);
	return sigtimedwait(&set, NULL, &limit) > 0;
}

int process_wait_for_end(void)
{
	const struct sigaction action = {.sa_handler = end_at_once, .sa_flags = SA_RESTART};
	sigset_t set;
	int number = 0;

	end_set(&set);
	while (sigwait(&set, &number) != 0)
		;
	first_ms = clock_mono_ms();
	for (size_t i = 0; i < ARRAY_LEN(end_signals); i++)
		sigaction(end_signals[i], &action, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return number;
}
