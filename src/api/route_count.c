/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers by route and by the hundred of their status. A route's own counters are made when it is
 * first answered, so that what nobody uses costs no line in /metrics.
 */
#include <stdio.h>

#include "api/route.h"
#include "base/mem.h"
#include "core/metrics.h"

#define NAME "review_fetcher_http_requests_total"
#define HELP "HTTP requests answered, by route and by the hundred of the answer's status."
#define CLASSES 5

struct labelled {
	struct metric metric;
	char labels[200];
};
struct route_count {
	const struct route *route;
	struct labelled *_Atomic by_class[CLASSES];
};

static struct route_count no_route;

static struct labelled *make(const struct route_count *count, unsigned class)
{
	struct labelled *made = mem_alloc(sizeof(*made));
	const struct route *r = count->route;

	snprintf(made->labels, sizeof(made->labels), "method=\"%s\",route=\"%s\",status=\"%uxx\"",
		r ? r->method : "", r ? r->path : "", class + 1);
	made->metric = (struct metric)METRIC_COUNTER(NAME, HELP, made->labels);
	return made;
}

static struct labelled *find(struct route_count *count, unsigned class)
{
	struct labelled *there =
		atomic_load_explicit(&count->by_class[class], memory_order_acquire);
	struct labelled *made;

	if (there)
		return there;
	made = make(count, class);
	if (atomic_compare_exchange_strong(&count->by_class[class], &there, made)) {
		metric_register(&made->metric);
		return made;
	}
	mem_free(made);
	return there;
}

void route_count(struct route_count *count, unsigned status)
{
	if (status >= 100 && status < 100 * (CLASSES + 1))
		metric_add(&find(count ? count : &no_route, status / 100 - 1)->metric, 1);
}

void route_count_start(void)
{
	for (unsigned class = 1; class < CLASSES; class ++)
		(void)find(&no_route, class);
}

struct route_count *route_count_new(const struct route *route)
{
	struct route_count *count = mem_alloc(sizeof(*count));

	count->route = route;
	return count;
}
