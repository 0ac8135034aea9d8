/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/provider_metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct provider_metrics *all;

static void set(struct metric *m, enum metric_type type, const char *name, const char *help,
	const char *labels)
{
	m->type = type;
	m->name = name;
	m->help = help;
	m->labels = labels;
	metric_register(m);
}

/* A name is of characters that a label takes as they are (provider_file.c). */
static struct provider_metrics *make(const char *provider)
{
	struct provider_metrics *m = mem_alloc(sizeof(*m));
	const char *by = m->by_provider;

	snprintf(m->name, sizeof(m->name), "%s", provider);
	snprintf(m->by_provider, sizeof(m->by_provider), "provider=\"%s\"", m->name);
	for (int i = 0; i < TOKEN_CLASS_COUNT; i++) {
		snprintf(m->by_class[i], sizeof(m->by_class[i]), "outcome=\"%s\",provider=\"%s\"",
			token_class_name((enum token_class)i), m->name);
		set(&m->refreshes[i], METRIC_IS_COUNTER, "review_fetcher_token_refreshes_total",
			"Refresh requests to a provider, by outcome.", m->by_class[i]);
	}
	set(&m->background_started, METRIC_IS_COUNTER, "review_fetcher_background_refreshes_total",
		"Background refreshes begun.", by);
	set(&m->background_put_off, METRIC_IS_COUNTER, "review_fetcher_background_put_off_total",
		"Due refreshes put off because the provider refuses their OAuth app.", by);
	set(&m->background_running, METRIC_IS_GAUGE, "review_fetcher_background_running",
		"Background refreshes in flight.", by);
	set(&m->background_failing, METRIC_IS_GAUGE, "review_fetcher_background_provider_failing",
		"1 while the provider fails for all and the background only probes it.", by);
	set(&m->background_refused, METRIC_IS_GAUGE, "review_fetcher_background_apps_refused",
		"OAuth apps that the provider refuses and the background only probes.", by);
	return m;
}

struct provider_metrics *provider_metrics_of(const char *provider)
{
	struct provider_metrics *m;

	pthread_mutex_lock(&lock);
	for (m = all; m != NULL && strcmp(m->name, provider) != 0;)
		m = m->next;
	if (m == NULL) {
		m = make(provider);
		m->next = all;
		all = m;
	}
	pthread_mutex_unlock(&lock);
	return m;
}
