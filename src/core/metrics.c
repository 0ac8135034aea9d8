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
static struct metric_timing *_Atomic timings;

/* In ms; as a label, in seconds. */
static const struct {
	int64_t ms;
	const char *le;
} bounds[METRIC_BOUNDS] = {
	{10, "0.01"},
	{25, "0.025"},
	{50, "0.05"},
	{100, "0.1"},
	{250, "0.25"},
	{500, "0.5"},
	{1000, "1"},
	{2500, "2.5"},
	{5000, "5"},
	{10000, "10"},
	{20000, "20"},
	{30000, "30"},
};

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

void metric_timing_register(struct metric_timing *t)
{
	struct metric_timing *first;

	if (atomic_load_explicit(&t->registered, memory_order_relaxed))
		return;
	if (atomic_exchange(&t->registered, true))
		return;
	first = atomic_load(&timings);
	do {
		t->next = first;
	} while (!atomic_compare_exchange_weak(&timings, &first, t));
}

void metric_timing_add(struct metric_timing *t, int64_t ms)
{
	size_t i = 0;

	metric_timing_register(t);
	while (i < METRIC_BOUNDS && ms > bounds[i].ms)
		i++;
	atomic_fetch_add_explicit(&t->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&t->sum_ms, ms, memory_order_relaxed);
}

int64_t metrics_sum(const char *name, const char *label)
{
	int64_t sum = 0;

	for (struct metric *m = atomic_load(&all); m != NULL; m = m->next)
		if (strcmp(m->name, name) == 0 && (label == NULL || strstr(m->labels, label)))
			sum += metric_value(m);
	return sum;
}

static int by_name(const void *a, const void *b)
{
	const struct metric *const *x = a;
	const struct metric *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);

	return order != 0 ? order : strcmp((*x)->labels, (*y)->labels);
}

/* HELP text: only backslash and newline are escaped (text exposition 0.0.4). */
static void write_head(struct buf *to, const char *name, const char *help, const char *type)
{
	buf_addf(to, "# HELP %s ", name);
	for (const char *c = help; *c != '\0'; c++) {
		if (*c == '\n')
			buf_add_text(to, "\\n");
		else if (*c == '\\')
			buf_add_text(to, "\\\\");
		else
			buf_add_char(to, *c);
	}
	buf_addf(to, "\n# TYPE %s %s\n", name, type);
}

static void write_sample(struct buf *to, struct metric *m)
{
	buf_add_text(to, m->name);
	if (m->labels[0] != '\0')
		buf_addf(to, "{%s}", m->labels);
	buf_addf(to, " %" PRId64 "\n", metric_value(m));
}

/* The count is the last bucket's, so that the three agree whatever is added meanwhile. */
static void write_timings(struct buf *to)
{
	for (struct metric_timing *t = atomic_load(&timings); t != NULL; t = t->next) {
		const int64_t sum_ms = atomic_load_explicit(&t->sum_ms, memory_order_relaxed);
		int64_t n = 0;

		write_head(to, t->name, t->help, "histogram");
		for (size_t i = 0; i <= METRIC_BOUNDS; i++) {
			n += atomic_load_explicit(&t->buckets[i], memory_order_relaxed);
			buf_addf(to, "%s_bucket{le=\"%s\"} %" PRId64 "\n", t->name,
				i < METRIC_BOUNDS ? bounds[i].le : "+Inf", n);
		}
		buf_addf(to, "%s_sum %" PRId64 ".%03d\n%s_count %" PRId64 "\n", t->name,
			sum_ms / 1000, (int)(sum_ms % 1000), t->name, n);
	}
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
	write_timings(ret);
	if (n == 0)
		return;
	sorted = mem_alloc_array(n, sizeof(*sorted));
	n = 0;
	for (struct metric *m = first; m != NULL; m = m->next)
		sorted[n++] = m;
	qsort(sorted, n, sizeof(struct metric *), by_name);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(sorted[i]->name, family) != 0)
			write_head(ret, sorted[i]->name, sorted[i]->help,
				sorted[i]->type == METRIC_IS_COUNTER ? "counter" : "gauge");
		family = sorted[i]->name;
		write_sample(ret, sorted[i]);
	}
}
