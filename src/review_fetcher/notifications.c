/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The notification setting of an account (Notifications API v1): one topic an account, and the
 * kinds that are told. A person asks for it, rarely: no job, no queue, but the same budget as all
 * else; where it is used up, the answer is when to come again.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/review_fetcher_push.h"
#include "store/store.h"
#include "token_management/token_management.h"
#include "token_management/token_management_audit.h"

#define REPLY_MAX (64 * 1024)
#define BRANCHES_MAX 16

struct notifying {
	struct review_fetcher *rf;
	enum notification_wish wish;
	char *account_id, *topic, *branch_id;
	char *project;
	notification_done_fn *done;
	void *arg;
	struct net_reply reply;
	struct task task;
};

static void finish(struct notifying *x, const struct notification_result *r)
{
	x->done(x->arg, r);
	buf_drop(&x->reply.body);
	mem_free(x->account_id);
	mem_free(x->topic);
	mem_free(x->branch_id);
	mem_free(x->project);
	mem_free(x);
}

static void fail(struct notifying *x, const struct fault *f)
{
	finish(x, &(struct notification_result){.fault = f});
}

/* ---- the budget ---- */

/* Tells the rows, and takes what is asked for. */
static int settle(struct notifying *x, struct budget_ask *a, struct fault *f)
{
	a->project = x->project;
	a->api = gate_api_key(GOOGLE_NOTIFICATIONS);
	a->paces = budget_paces(x->rf->parts.settings->google_requests_per_minute);
	return store_transact(x->rf->parts.store, budget_settle, a, f);
}

/* 0: it may be sent now. */
static int take_start(struct notifying *x, struct fault *f)
{
	const struct budget_paces paces =
		budget_paces(x->rf->parts.settings->google_requests_per_minute);
	struct budget_ask a = {.n_reserve = paces.has_reserve, .n_work = !paces.has_reserve};
	int64_t at_us;

	if (settle(x, &a, f) < 0)
		return -1;
	at_us = paces.has_reserve ? a.reserve_first_us : a.work_first_us;
	if (a.paused)
		at_us = a.paused_until_us;
	if (at_us <= a.now_us)
		return 0;
	(void)fault_raise(
		f, FAULT_THROTTLED, "Google's quota is used up at the moment: ask again later");
	f->retry_after_ms = (uint32_t)((at_us - a.now_us) / 1000 + 1);
	return -1;
}

/* What Google said, for all processes; e NULL: it answered. */
static void tell(struct notifying *x, const struct google_error *e, int64_t hint_ms)
{
	struct budget_ask a = {.answered = e == NULL};
	struct fault f = {0};

	if (e != NULL && e->class == GOOGLE_PROJECT_REFUSED)
		a.diagnosis = e->text;
	else if (e != NULL && e->class == GOOGLE_THROTTLED)
		a.pause_us = hint_ms * 1000;
	else if (e != NULL)
		return;
	if (settle(x, &a, &f) < 0)
		log_event(LOG_WARN, "google.budget_failed", F_STR("api", a.api), F_FAULT(&f));
}

static int64_t pause_of(const struct google_error *e, const struct net_reply *reply)
{
	const int64_t ms = reply->retry_after_ms >= 0 ? reply->retry_after_ms : e->retry_after_ms;

	if (ms < 0)
		return THROTTLE_FLOOR_MS;
	return ms < 1000 ? 1000 : ms > THROTTLE_HINT_MAX_MS ? THROTTLE_HINT_MAX_MS : ms;
}

/* ---- the answer ---- */

static enum fault_kind kind_of(enum google_class class)
{
	switch (class) {
	case GOOGLE_THROTTLED:
		return FAULT_THROTTLED;
	case GOOGLE_TENANT_REFUSED:
	case GOOGLE_TOKEN_REFUSED:
		return FAULT_CONFLICT;
	case GOOGLE_RESOURCE_REFUSED:
		return FAULT_MISSING;
	case GOOGLE_BUG:
		return FAULT_INPUT;
	default:
		return FAULT_UPSTREAM;
	}
}

/* What a setting is known to have. Google may say more one day, and our callers were promised this.
 */
static int write_known(const json_t *from, struct buf *ret, struct fault *f)
{
	const char *name = json_text(from, "name"), *topic = json_text(from, "pubsubTopic");
	const json_t *types = json_member(from, "notificationTypes");
	struct json_out o = JSON_OUT(ret);

	if (name == NULL)
		return fault_raise(f, FAULT_UPSTREAM, "Google's answer is no notification setting");
	json_open(&o, '{');
	json_add_text(&o, "name", name);
	if (topic)
		json_add_text(&o, "pubsubTopic", topic);
	if (json_is_array(types)) {
		json_key(&o, "notificationTypes");
		json_open(&o, '[');
		for (size_t i = 0; i < json_array_size(types); i++)
			if (json_is_string(json_array_get(types, i)))
				json_put_text(&o, json_string_value(json_array_get(types, i)));
		json_close(&o, ']');
	}
	json_close(&o, '}');
	return 0;
}

static void tell_setting(struct notifying *x)
{
	AUTO(json_drop) json_t *root = NULL;
	AUTO(buf_drop) struct buf setting = BUF_INIT(2 * REPLY_MAX);
	struct fault f = {0};

	if (json_parse(buf_text(&x->reply.body), x->reply.body.len, &root, &f) < 0)
		fault_raise(&f, FAULT_UPSTREAM, "Google's answer is not JSON");
	else if (write_known(root, &setting, &f) == 0) {
		finish(x, &(struct notification_result){
				  .setting = buf_text(&setting), .len = setting.len});
		return;
	}
	fail(x, &f);
}

/* Worker. */
static void read_answer(struct task *task)
{
	struct notifying *x = CONTAINER_OF(task, struct notifying, task);
	struct google_error e;
	struct fault f = {0};

	if (x->reply.result == NET_ANSWERED && x->reply.status == 200) {
		tell(x, NULL, 0);
		tell_setting(x);
		return;
	}
	if (x->reply.result != NET_ANSWERED) {
		fault_raise(&f, FAULT_UPSTREAM, "Google could not be asked: %s", x->reply.error);
	} else {
		google_error_read(GOOGLE_NOTIFICATIONS, x->reply.status, buf_text(&x->reply.body),
			x->reply.body.len, false, &e);
		fault_raise(&f, kind_of(e.class), "%s", e.text);
		if (e.class == GOOGLE_THROTTLED)
			f.retry_after_ms = (uint32_t)pause_of(&e, &x->reply);
		tell(x, &e, f.retry_after_ms);
	}
	fail(x, &f);
}

/* Net thread. */
static void on_reply(void *arg, struct net_reply *reply)
{
	struct notifying *x = arg;

	x->reply = *reply;
	reply->body = (struct buf){0};
	x->task.run = read_answer;
	pool_submit(x->rf->parts.pool, &x->task);
}

/* ---- the question ---- */

/* What is emptied is off. */
static void write_setting(const struct notifying *x, struct buf *ret)
{
	struct json_out o = JSON_OUT(ret);
	char name[600];

	snprintf(name, sizeof(name), "accounts/%s/notificationSetting", x->account_id);
	json_open(&o, '{');
	json_add_text(&o, "name", name);
	json_add_text(&o, "pubsubTopic", x->wish == NOTIFICATIONS_SET ? x->topic : "");
	json_key(&o, "notificationTypes");
	json_open(&o, '[');
	if (x->wish == NOTIFICATIONS_SET) {
		json_put_text(&o, "NEW_REVIEW");
		json_put_text(&o, "UPDATED_REVIEW");
	}
	json_close(&o, ']');
	json_close(&o, '}');
}

static void send(struct notifying *x, const struct token_view *token)
{
	AUTO(buf_drop) struct buf url = BUF_INIT(LIMIT_URL_BYTES * 2);
	struct net_request request = {
		.method = "GET",
		.bearer = secret_from(token->access_token, token->access_token_len),
		.timeout_ms = GOOGLE_TIMEOUT_MS,
		.max_reply_bytes = REPLY_MAX,
	};

	buf_addf(&url, "%s/v1/accounts/", x->rf->parts.settings->google_notifications_url);
	text_percent_encode(&url, x->account_id, strlen(x->account_id));
	buf_add_text(&url, "/notificationSetting");
	if (x->wish != NOTIFICATIONS_SHOW) {
		net_url_add(&url, "updateMask", "pubsubTopic,notificationTypes");
		request.method = "PATCH";
		request.content_type = "application/json";
		request.body = BUF_INIT(REPLY_MAX);
		write_setting(x, &request.body);
	}
	request.url = buf_text(&url);
	net_send(x->rf->parts.net, &request, on_reply, x);
}

/* Worker. */
static void on_token(void *arg, const struct token_result *result)
{
	struct notifying *x = arg;
	struct fault f = {0};

	if (result->outcome == TOKEN_READY) {
		send(x, result->view);
		return;
	}
	fault_raise(&f, result->outcome == TOKEN_UNAVAILABLE ? FAULT_UPSTREAM : FAULT_CONFLICT,
		"branch '%.60s': %.150s", x->branch_id, result->reason);
	f.retry_after_ms = result->retry_after_ms;
	fail(x, &f);
}

/* ---- whose grant ---- */

struct finding {
	const struct notification_ask *ask;
	char *branches[BRANCHES_MAX];
	size_t n;
};

static bool sees(const struct review_scope *scope, const char *branch_id)
{
	bool may = scope->branches == NULL;

	for (size_t i = 0; i < scope->n && !may; i++)
		may = strcmp(scope->branches[i], branch_id) == 0;
	return may;
}

static int see_branch(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct finding *x = arg;

	(void)n_cols;
	(void)f;
	if (sees(&x->ask->scope, db_get_text(&cols[0])))
		x->branches[x->n++] = mem_text(db_get_text(&cols[0]));
	return x->n == BRANCHES_MAX;
}

static int find_body(struct db *db, void *arg, struct fault *f)
{
	struct finding *x = arg;

	return db_read(db,
		"SELECT branch_id FROM accounts WHERE account_id = $1 AND branch_id <> ''"
		" ORDER BY branch_id",
		see_branch, x, f, db_text(x->ask->account_id));
}

/* *ret is owned. */
static int find_branch(
	struct review_fetcher *rf, const struct notification_ask *ask, char **ret, struct fault *f)
{
	struct finding x = {.ask = ask};
	int result = store_use(rf->parts.store, find_body, &x, f);

	if (result == 0 && x.n == 0)
		result = fault_raise(f, FAULT_MISSING, "Account not found");
	for (size_t i = 0; i < x.n; i++) {
		if (result == 0 && *ret == NULL && job_check_branch(rf, x.branches[i], f) == 0)
			*ret = TAKE(x.branches[i]);
		mem_free(x.branches[i]);
	}
	return *ret != NULL ? 0 : -1;
}

static int find_project(struct notifying *x, struct fault *f)
{
	struct client client = {0};

	if (clients_get_by_branch(x->rf->parts.token_management, x->branch_id, &client, f) < 0)
		return -1;
	x->project = mem_text(client.client_oauth_id ? client.client_oauth_id : "");
	x->project[project_length(x->project)] = '\0';
	client_done(&client);
	return 0;
}

static int note(const struct notifying *x, const struct actor *who, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(4096);
	struct json_out o = JSON_OUT(&detail);
	bool sets = x->wish == NOTIFICATIONS_SET;

	if (x->wish == NOTIFICATIONS_SHOW)
		return 0;
	json_open(&o, '{');
	json_add_text(&o, "account", x->account_id);
	if (sets)
		json_add_text(&o, "topic", x->topic);
	json_close(&o, '}');
	return audit_note(x->rf->parts.token_management, who,
		sets ? "notifications.set" : "notifications.removed", x->branch_id,
		buf_text(&detail), f);
}

void notifications_ask(struct review_fetcher *rf, const struct notification_ask *ask,
	notification_done_fn *done, void *arg)
{
	struct notifying *x = mem_alloc(sizeof(*x));
	struct fault f = {0};

	*x = (struct notifying){.rf = rf,
		.wish = ask->wish,
		.account_id = mem_text(ask->account_id),
		.topic = mem_text(ask->topic != NULL ? ask->topic : ""),
		.done = done,
		.arg = arg};
	if (find_branch(rf, ask, &x->branch_id, &f) < 0 || find_project(x, &f) < 0 ||
		take_start(x, &f) < 0 || note(x, ask->who, &f) < 0)
		fail(x, &f);
	else
		tokens_obtain(rf->parts.token_management, x->branch_id, GOOGLE_TIMEOUT_MS, false,
			on_token, x);
}
