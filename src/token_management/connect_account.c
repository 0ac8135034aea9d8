/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the account that consented is the one that was meant. Addresses are compared without
 * regard to ASCII case and otherwise byte by byte: dots, "+tags" and second names of a domain mean
 * the same at some providers and not at others, so they are not guessed away.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "core/limits.h"
#include "store/store.h"
#include "token_management/connect_exchange.h"
#include "token_management/siblings.h"

#define ASK_MS 10000

/*
 * No address in the answer: the scopes were asked for in the browser's address line, where whoever
 * holds the link can take them out. So where an address was asked for, its lack is no proof of
 * innocence, and refusing does not let it pass.
 */
static bool was_asked(const struct exchange *x)
{
	AUTO(buf_drop) struct buf missing = BUF_INIT(64);

	scopes_missing("email", x->scope, &missing);
	return missing.len == 0;
}

bool connect_refuses_account(struct exchange *x)
{
	const char *email = x->identity.email;
	const bool refuses = x->work.tm->settings->connect_wrong_account == WRONG_ACCOUNT_REFUSE;

	if (email[0] == '\0')
		x->is_wrong_account = refuses && was_asked(x);
	else
		x->is_wrong_account = strcasecmp(email, x->grant.workspace_email) != 0;
	return refuses && x->is_wrong_account;
}

/* ---- giving the grant back ---- */

struct asking {
	struct exchange *x;
	bool may_hide; /* connections whose account nobody knows */
};

/*
 * Whose grants the provider would end with this one. The branch itself counts too: it may live by
 * an earlier consent of that very account.
 */
static int find_siblings(struct db *db, void *arg, struct fault *f)
{
	struct asking *asking = arg;
	struct exchange *x = asking->x;
	struct siblings s = {0};
	struct grant g = {
		.oauth_id = x->grant.oauth_id,
		.provider = x->provider,
		.subject = x->identity.subject,
	};
	int result = siblings_find(db, x->work.tm, &g, &s, f);

	x->siblings = s.total;
	siblings_done(&s);
	if (result < 0)
		return result;
	return siblings_may_hide(db, x->work.tm, &g, &asking->may_hide, f);
}

static void step_given_back(struct work *w)
{
	struct exchange *x = CONTAINER_OF(w, struct exchange, work);

	x->is_given_back = x->answer.result == NET_ANSWERED && x->answer.status >= 200 &&
			   x->answer.status < 300;
	connect_end_unconnected(x, CONNECT_WRONG_ACCOUNT);
}

/* Net thread. */
static void on_reply(void *arg, struct net_reply *reply)
{
	struct exchange *x = arg;

	token_reply_take(reply, &x->answer);
	work_submit(&x->work, step_given_back);
}

static int prepare(
	struct exchange *x, const struct provider *p, struct net_request *ret, struct fault *f)
{
	const struct secret *token = secret_is_set(&x->response.refresh_token)
					     ? &x->response.refresh_token
					     : &x->response.access_token;
	AUTO(buf_drop) struct buf form = BUF_INIT_WIPED(4 * LIMIT_ACCESS_TOKEN_BYTES);
	AUTO(app_done) struct app app = {0};

	if (grant_app(x->work.tm, p, &x->grant, false, &app, f) < 0)
		return -1;
	net_form_add(&form, "token", token->bytes, token->len);
	return provider_request(p, p->revoke_url, &app, &form, ASK_MS, ret, f);
}

/* False: nothing was sent. */
static bool ask(struct exchange *x, const struct provider *p)
{
	struct token_management *tm = x->work.tm;
	struct net_request request = {0};
	struct fault f = {0};

	if (prepare(x, p, &request, &f) < 0)
		return false;
	if (!work_send_begin(tm)) {
		buf_drop(&request.body);
		secret_drop(&request.basic);
		return false;
	}
	buf_drop(&x->answer.body);
	net_send(tm->net, &request, on_reply, x);
	work_send_end(tm);
	return true;
}

void connect_give_back(struct exchange *x)
{
	const struct provider *p = provider_find(x->work.tm, x->provider);
	struct asking asking = {.x = x};
	struct fault f = {0};
	bool is_alone = x->identity.subject[0] != '\0' && p != NULL && p->revoke_url != NULL;

	if (is_alone && store_use(x->work.tm->store, find_siblings, &asking, &f) < 0)
		is_alone = false; /* nobody knows: then nobody is hurt */
	if (!is_alone || x->siblings > 0 || asking.may_hide || !ask(x, p))
		connect_end_unconnected(x, CONNECT_WRONG_ACCOUNT);
}
