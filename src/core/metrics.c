/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All metrics that were ever touched form a list that only grows, so that counting takes one atomic
 * addition and no lock, and reading needs no pause. Sorting by name happens when someone reads.
 */
#include "core/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static struct metric *_Atomic all;

void metric_register(struct metric *m)
{
	struct metric *first;

	if (atomic_load_explicit(&m->registered, memory_order_relaxed))
		return;
	if (atomic_exchange(&m->registered, true))
		return;
	first = atomic_load(&all);
	do {
		m->next = first;
	} while (!atomic_compare_exchange_weak(&all, &first, m));
}

void metric_add(struct metric *m, int64_t n)
{
	metric_register(m);
	atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

void metric_set(struct metric *m, int64_t value)
{
	metric_register(m);
	atomic_store_explicit(&m->value, value, memory_order_relaxed);
}

int64_t metric_value(struct metric *m)
{
	return atomic_load_explicit(&m->value, memory_order_relaxed);
}

static int by_name(const void *a, const void *b)
{
	const struct metric *const *x = a;
	const struct metric *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);

	return order != 0 ? order : strcmp((*x)->labels, (*y)->labels);
}

/* HELP text: only backslash and newline are escaped (text exposition 0.0.4). */
static void write_family(struct buf *to, const struct metric *m)
{
	buf_addf(to, "# HELP %s ", m->name);
	for (const char *c = m->help; *c != '\0'; c++) {
		if (*c == '\n')
			buf_add_text(to, "\\n");
		else if (*c == '\\')
			buf_add_text(to, "\\\\");
		else
			buf_add_char(to, *c);
	}
	buf_addf(to, "\n# TYPE %s %s\n", m->name,
		m->type == METRIC_IS_COUNTER ? "counter" : "gauge");
}

static void write_sample(struct buf *to, struct metric *m)
{
	buf_add_text(to, m->name);
	if (m->labels[0] != '\0')
		buf_addf(to, "{%s}", m->labels);
	buf_addf(to, " %" PRId64 "\n", metric_value(m));
}

void metrics_write(struct buf *ret)
{
	AUTO(mem_freep) struct metric **sorted = NULL;
	struct metric *first =
		atomic_load(&all); /* what is pushed from here on waits for the next read */
	const char *family = "";
	size_t n = 0;

	for (struct metric *m = first; m != NULL; m = m->next)
		n++;
	if (n == 0)
		return;
	sorted = mem_alloc_array(n, sizeof(*sorted));
	n = 0;
	for (struct metric *m = first; m != NULL; m = m->next)
		sorted[n++] = m;
	qsort(sorted, n, sizeof(struct metric *), by_name);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(sorted[i]->name, family) != 0)
			write_family(ret, sorted[i]);
		family = sorted[i]->name;
		write_sample(ret, sorted[i]);
	}
}
