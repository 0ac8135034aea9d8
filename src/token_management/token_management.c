/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/token_management.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/internal.h"
#include "token_management/revoke.h"
#include "vault/vault.h"

/*
 * SQLite is served by one process alone (store_options.exclusive): whoever held a lease when this
 * one starts is gone, and nobody has to wait for it to run out.
 */
static int void_leases(struct db *db, void *arg, struct fault *f)
{
	(void)arg;
	if (db_engine(db) != DB_SQLITE)
		return 0;
	return db_exec(db,
		"UPDATE tokens SET lease_owner = NULL, lease_until_ms = NULL"
		" WHERE lease_owner IS NOT NULL",
		NULL, f);
}

static void ignore_change(void *arg, const char *kind, const char *ref)
{
	(void)arg;
	(void)kind;
	(void)ref;
}

static int start(struct token_management *tm, struct fault *f)
{
	if (providers_init(tm, f) < 0)
		return -1;
	if (tm->net != NULL && store_transact(tm->store, void_leases, NULL, f) < 0)
		return -1;
	/* First the place in the feed, then the keys: what changes between is read twice, not
	 * missed. */
	if (store_read_changes(tm->store, &tm->changes_cursor, ignore_change, NULL, f) < 0)
		return -1;
	if (keys_load(tm, NULL, f) < 0)
		return -1;
	if (sessions_load(tm, NULL, f) < 0)
		return -1;
	providers_start(tm);
	return 0;
}

static void free_all(struct token_management *tm)
{
	slots_done(&tm->slots);
	keys_done(&tm->keys);
	reads_done(&tm->reads);
	sessions_done(&tm->sessions);
	commit_queue_done(&tm->commits);
	providers_done(tm);
	google_keys_done(&tm->google_keys);
	work_list_done(&tm->work);
	mem_free(tm);
}

int token_management_new(
	const struct token_management_parts *parts, struct token_management **ret, struct fault *f)
{
	struct token_management *tm = mem_alloc(sizeof(*tm));

	tm->settings = parts->settings;
	tm->store = parts->store;
	tm->vault = parts->vault;
	tm->net = parts->net;
	tm->pool = parts->pool;
	tm->scheduler = parts->scheduler;
	tm->changes_cursor = -1;
	tm->vault_key = tm->vault != NULL ? vault_active_key(tm->vault) : 0;
	rand_uuid4(tm->instance);
	slots_init(&tm->slots);
	keys_init(&tm->keys);
	reads_init(&tm->reads);
	activity_init(&tm->activity);
	sessions_init(&tm->sessions);
	work_list_init(&tm->work);
	commit_queue_init(&tm->commits);
	google_keys_init(&tm->google_keys);
	if (start(tm, f) < 0) {
		free_all(tm);
		return -1;
	}
	*ret = tm;
	return 0;
}

/* Told when it begins to fail, not each time. */
static void write_reads(struct token_management *tm, bool all)
{
	struct fault f;
	const bool fails = reads_write_back(tm, all, &f) < 0;

	if (fails && !tm->reads.is_failing)
		log_event(LOG_ERROR, "audit.reads_not_written", F_FAULT(&f));
	tm->reads.is_failing = fails;
}

/* A gap in a chart is no reason to fail. */
static void write_activity(struct token_management *tm, bool now)
{
	struct fault f;

	if (activity_write(tm, now, &f) < 0)
		log_event(LOG_DEBUG, "activity.not_written", F_FAULT(&f));
}

void token_management_free(struct token_management *tm)
{
	if (tm == NULL)
		return;
	token_management_stop(tm, 0);
	pthread_mutex_lock(&tm->work.lock);
	while (tm->work.first != NULL)
		pthread_cond_wait(&tm->work.changed, &tm->work.lock);
	pthread_mutex_unlock(&tm->work.lock);
	write_reads(tm, true);
	if (tm->net != NULL)
		write_activity(tm, true);
	free_all(tm);
}

static void load_again(struct token_management *tm, const char *kind, const char *ref)
{
	const bool is_key = strcmp(kind, CHANGE_SESSION) != 0;
	const bool is_session = strcmp(kind, CHANGE_KEY) != 0;
	struct fault f = {0};

	if (is_key && keys_load(tm, ref, &f) < 0)
		log_event(LOG_ERROR, "key.reload_failed", F_STR("key", ref), F_FAULT(&f));
	if (is_session && sessions_load(tm, ref, &f) < 0)
		log_event(LOG_ERROR, "session.reload_failed", F_STR("session", ref), F_FAULT(&f));
}

static void take_change(void *arg, const char *kind, const char *ref)
{
	struct token_management *tm = arg;

	if (strcmp(kind, CHANGE_CLIENT) == 0) {
		slots_forget(tm, ref);
		due_hear_change(tm);
	} else if (strcmp(kind, CHANGE_DUE) == 0) {
		due_hear_now(tm);
	} else if (strcmp(kind, STORE_CHANGES_LOST) == 0) {
		slots_forget_all(tm);
		load_again(tm, kind, NULL);
	} else if (strcmp(kind, CHANGE_KEY) == 0 || strcmp(kind, CHANGE_SESSION) == 0) {
		load_again(tm, kind, ref);
	}
}

/* A key ring that cannot be taken is told once, and once more when all is well again. */
static void follow_vault(struct token_management *tm)
{
	struct fault f;
	bool fails = vault_follow(tm->vault, &f) < 0;
	uint32_t key = vault_active_key(tm->vault);

	if (fails && !tm->vault_fails)
		log_event(LOG_ERROR, "vault.ring_refused", F_FAULT(&f));
	else if (!fails && tm->vault_fails)
		log_event(LOG_INFO, "vault.ring_taken");
	if (key != tm->vault_key)
		log_event(LOG_INFO, "vault.key_changed", F_INT("key", key));
	tm->vault_fails = fails;
	tm->vault_key = key;
}

int token_management_follow(struct token_management *tm, struct fault *f)
{
	follow_vault(tm);
	slots_count_reads(&tm->slots);
	slots_sweep(tm);
	if (!tm->revokes_resumed && tm->net != NULL) {
		if (revoke_resume(tm, f) < 0)
			return -1;
		tm->revokes_resumed = true;
	}
	if (store_read_changes(tm->store, &tm->changes_cursor, take_change, tm, f) < 0)
		return -1;
	write_reads(tm, false);
	if (tm->net != NULL)
		write_activity(tm, false);
	if (tm->net != NULL && security_sweep(tm, f) < 0)
		return -1;
	if (keys_write_back(tm, f) < 0)
		return -1;
	if (sessions_write_back(tm, f) < 0)
		return -1;
	return audit_purge(tm, f);
}
