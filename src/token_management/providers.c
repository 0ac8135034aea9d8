/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/providers.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "token_management/internal.h"

#define OLD_MS (INT64_C(24) * 60 * 60 * 1000)
#define DOUBT_LEAST_MS 60000

/* ---- the table ---- */

struct provider_entry *providers_entry(const struct token_management *tm, const char *name)
{
	for (size_t i = 0; name != NULL && i < tm->providers.n; i++) {
		if (strcmp(tm->providers.entries[i].own->p.name, name) == 0)
			return &tm->providers.entries[i];
	}
	return NULL;
}

const struct provider *provider_find(const struct token_management *tm, const char *name)
{
	struct provider_entry *e = providers_entry(tm, name);

	return e != NULL ? atomic_load(&e->now) : NULL;
}

/* RFC 9207 section 4: who is told from whom by the issuer must have one of its own. */
static bool have_one_issuer(const struct provider *a, const struct provider *b)
{
	if (a->issuer == NULL || b->issuer == NULL)
		return false;
	return strcmp(a->issuer, b->issuer) == 0 || text_equal(a->issuer_alias, b->issuer) ||
	       text_equal(b->issuer_alias, a->issuer);
}

static int check_among(const struct provider_table *t, size_t i, struct fault *f)
{
	const struct provider *p = &t->entries[i].own->p;

	for (size_t before = 0; before < i; before++) {
		const struct provider *other = &t->entries[before].own->p;

		if (strcmp(other->name, p->name) == 0)
			return fault_input(f, "PROVIDERS_FILE",
				"providers[%zu].name is '%s', which %s has already: give it "
				"another",
				i - 1, p->name,
				before == 0 ? "the built-in provider" : "a record before");
		if (have_one_issuer(other, p))
			return fault_input(f, "PROVIDERS_FILE",
				"providers[%zu].issuer is that of provider '%s': two with one "
				"issuer"
				" could be mixed up (RFC 9207); take one of them out",
				i - 1, other->name);
	}
	return 0;
}

static void add(struct token_management *tm, struct provider_record *moved)
{
	struct provider_entry *e = &tm->providers.entries[tm->providers.n++];

	e->tm = tm;
	e->own = moved;
	atomic_init(&e->now, &moved->p);
	pthread_mutex_init(&e->lock, NULL);
	due_init(&e->due, tm, moved->p.name);
}

int providers_init(struct token_management *tm, struct fault *f)
{
	struct provider_record *records[PROVIDERS_MOST];
	struct provider_record *google = mem_alloc(sizeof(*google));
	size_t n = 0;
	int result = 0;

	if (tm->settings->providers_file != NULL)
		result = provider_file_read(
			tm->settings->providers_file, PROVIDERS_MOST, records, &n, f);
	provider_google(tm->settings, &google->p);
	tm->providers.entries = mem_alloc_array(n + 1, sizeof(*tm->providers.entries));
	add(tm, google);
	/* Records of a file that is not sound may lack anything, a name too. */
	for (size_t i = 0; i < n; i++) {
		if (result < 0)
			provider_record_free(records[i]);
		else
			add(tm, records[i]);
	}
	if (result == 0)
		result = provider_check(&google->p, f);
	for (size_t i = 1; result == 0 && i < tm->providers.n; i++)
		result = check_among(&tm->providers, i, f);
	return result;
}

void providers_start(struct token_management *tm)
{
	for (size_t i = 0; i < tm->providers.n; i++) {
		if (tm->providers.entries[i].own->p.metadata_url != NULL)
			discovery_begin(&tm->providers.entries[i]);
	}
}

void providers_done(struct token_management *tm)
{
	for (size_t i = 0; i < tm->providers.n; i++) {
		struct provider_entry *e = &tm->providers.entries[i];

		due_done(&e->due);
		while (e->found != NULL) {
			struct provider_record *r = e->found;

			e->found = r->next_found;
			provider_record_free(r);
		}
		provider_record_free(e->own);
		pthread_mutex_destroy(&e->lock);
	}
	mem_free(tm->providers.entries);
	tm->providers = (struct provider_table){0};
}

/* ---- asking ---- */

/* Its metadata is older than that, and nobody reads it anew. */
static bool is_older(struct provider_entry *e, int64_t ms)
{
	bool is_old;

	pthread_mutex_lock(&e->lock);
	is_old =
		!e->is_asking && (e->found_mono_ms == 0 || clock_mono_ms() - e->found_mono_ms > ms);
	pthread_mutex_unlock(&e->lock);
	return is_old;
}

static void say_unfound(struct provider_entry *e, struct fault *f)
{
	pthread_mutex_lock(&e->lock);
	fault_raise(f, FAULT_UPSTREAM, "the metadata of %s cannot be read yet: %.150s",
		e->own->p.title, e->reason[0] != '\0' ? e->reason : "it was just asked for");
	pthread_mutex_unlock(&e->lock);
	f->retry_after_ms = 5000;
}

const struct provider *providers_ready(
	const struct token_management *tm, const char *name, struct fault *f)
{
	struct provider_entry *e = providers_entry(tm, name);
	const struct provider *p;

	if (e == NULL) {
		fault_raise(f, FAULT_CONFLICT, PROVIDER_GONE, name != NULL ? name : "");
		return NULL;
	}
	p = atomic_load(&e->now);
	if (p->metadata_url != NULL && is_older(e, OLD_MS))
		discovery_begin(e);
	if (provider_is_found(p))
		return p;
	say_unfound(e, f);
	return NULL;
}

void providers_doubt(struct token_management *tm, const char *name)
{
	struct provider_entry *e = providers_entry(tm, name);

	if (e != NULL && e->own->p.metadata_url != NULL && is_older(e, DOUBT_LEAST_MS))
		discovery_begin(e);
}
