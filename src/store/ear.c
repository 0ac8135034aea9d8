/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_ear.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/db.h"

#define PAUSE_LEAST_MS 500
#define PAUSE_MOST_MS 30000

struct store_ear {
	const struct db_ops *ops;
	struct db_listening listening;
	pthread_t thread;
};

static bool ends_within(const struct store_ear *e, int ms)
{
	struct pollfd p = {.fd = e->listening.end_fd, .events = POLLIN};

	return poll(&p, 1, ms) > 0;
}

static void *run(void *arg)
{
	struct store_ear *e = arg;
	int pause_ms = PAUSE_LEAST_MS, outcome;
	struct fault f;

	do {
		outcome = e->ops->listen(&e->listening, &f);
		if (outcome >= 0)
			break;
		/* Whoever reads the feed tells of a database that is away. */
		log_event(LOG_DEBUG, "changes.deaf", F_FAULT(&f));
		if (e->listening.has_listened)
			pause_ms = PAUSE_LEAST_MS;
		else if (pause_ms < PAUSE_MOST_MS)
			pause_ms *= 2;
		e->listening.has_listened = false;
	} while (!ends_within(e, pause_ms));
	if (outcome == DB_LISTEN_CANNOT)
		log_event(LOG_DEBUG, "changes.polled");
	return NULL;
}

struct store_ear *store_ear_open(struct store *s, void (*heard)(void *arg), void *arg)
{
	const struct db_ops *ops = store_ops(s);
	struct store_ear *e;
	int fd;

	if (ops->listen == NULL)
		return NULL;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return NULL;
	e = mem_alloc(sizeof(*e));
	e->ops = ops;
	e->listening = (struct db_listening){
		.site = store_site(s), .end_fd = fd, .heard = heard, .arg = arg};
	if (pthread_create(&e->thread, NULL, run, e) != 0) {
		close(fd);
		mem_free(e);
		return NULL;
	}
	pthread_setname_np(e->thread, "ear");
	return e;
}

void store_ear_close(struct store_ear *e)
{
	if (e == NULL)
		return;
	(void)eventfd_write(e->listening.end_fd, 1);
	pthread_join(e->thread, NULL);
	close(e->listening.end_fd);
	mem_free(e);
}
