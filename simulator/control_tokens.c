/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "simulator/control.h"

#define MINT_MAX 1000000
#define GRANTS_PIECE 200

bool control_user(struct request *r, const json_t *body, uint64_t *ret)
{
	const json_t *value = json_member(body, "user");
	const struct world *w = &r->sim->overlay.world;

	*ret = WORLD_NONE;
	if (!value)
		return true;
	if (json_is_integer(value) && json_integer_value(value) >= 0 &&
		json_integer_value(value) < w->users)
		*ret = (uint64_t)json_integer_value(value);
	else
		*ret = world_user_find(w, json_string_value(value));
	if (*ret != WORLD_NONE)
		return true;
	answer_control_error(r, 400,
		"user must be an address such as manager-1@shop.example, or a number from 0");
	return false;
}

static void answer_count(struct request *r, const char *key, int64_t n)
{
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));

	json_open(&o, '{');
	json_add_int(&o, key, n);
	json_close(&o, '}');
}

static void kill_grants(struct request *r, const json_t *body)
{
	const char *refresh = json_text(body, "refresh_token"),
		   *client_id = json_text(body, "client_id");
	uint64_t user;

	if (!control_user(r, body, &user))
		return;
	if (refresh)
		answer_count(r, "killed", grants_kill_refresh(&r->sim->grants, refresh));
	else if (user != WORLD_NONE || client_id)
		answer_count(r, "killed", grants_kill(&r->sim->grants, user, client_id));
	else
		answer_control_error(r, 400, "say whose: refresh_token, user or client_id");
}

struct minting { /* one piece of the streamed answer at a time, so that a million needs no memory */
	struct simulator *sim;
	char *client_id, *scope;
	uint64_t user;
	int64_t n, count, expires_in, now_ms;
};

static void put_minted(struct minting *m, struct json_out *o)
{
	const struct world *w = &m->sim->overlay.world;
	uint64_t user = m->user == WORLD_NONE ? (uint64_t)(m->n % w->users) : m->user;
	struct issued issued = {0};
	char email[WORLD_NAME_SIZE];

	grants_mint(
		&m->sim->grants, m->client_id, user, m->scope, m->expires_in, m->now_ms, &issued);
	world_user_email(w, user, email);
	json_open(o, '{');
	json_add_text(o, "user", email);
	json_add_text(o, "client_id", m->client_id);
	json_add_text(o, "refresh_token", issued.refresh);
	json_add_text(o, "access_token", issued.access);
	json_add_int(o, "expires_in", issued.expires_in);
	json_add_text(o, "scope", issued.scope);
	json_close(o, '}');
	issued_drop(&issued);
}

static bool mint_piece(void *arg, struct buf *piece)
{
	struct minting *m = arg;
	struct json_out o = JSON_OUT(piece);

	buf_add_text(piece, m->n == 0 ? "{\"tokens\":[" : ",");
	for (int i = 0; i < GRANTS_PIECE && m->n < m->count; i++, m->n++)
		put_minted(m, &o);
	if (m->n < m->count)
		return true;
	buf_add_text(piece, "]}");
	return false;
}

static void drop_minting(void *arg)
{
	struct minting *m = arg;

	mem_free(m->client_id);
	mem_free(m->scope);
	mem_free(m);
}

static void mint(struct request *r, const json_t *body)
{
	const char *client_id = json_text(body, "client_id"),
		   *secret = json_text(body, "client_secret");
	const char *scope = json_text(body, "scope");
	int64_t count = json_int(body, "count", 1);
	struct minting *m;
	uint64_t user;

	if (!control_user(r, body, &user))
		return;
	if (!client_id || !*client_id || count < 1 || count > MINT_MAX) {
		answer_control_error(
			r, 400, "mint needs client_id, and count from 1 to %d", MINT_MAX);
		return;
	}
	if (secret && grants_check_client(&r->sim->grants, client_id, secret) != CLIENT_GOOD) {
		answer_control_error(r, 400, "this client has another secret");
		return;
	}
	answer_start(r, 200, ANSWER_JSON);
	m = mem_alloc(sizeof(*m));
	*m = (struct minting){.sim = r->sim,
		.client_id = mem_text(client_id),
		.scope = mem_text(scope ? scope : SCOPE_REVIEWS),
		.user = user,
		.count = count,
		.expires_in = json_int(body, "expires_in", 0),
		.now_ms = r->now_ms};
	r->answer.stream = (struct stream){.fill = mint_piece, .drop = drop_minting, .arg = m};
}

void control_tokens(struct request *r)
{
	static const char *const known[] = {"op", "client_id", "client_secret", "user", "scope",
		"count", "expires_in", "refresh_token", NULL};
	AUTO(json_drop) json_t *body = NULL;
	const char *op;

	if (!control_body(r, &body) || !control_keys(r, body, known))
		return;
	op = json_text(body, "op");
	if (text_equal(op, "expire_access")) {
		grants_expire_access(&r->sim->grants);
		control_ok(r);
	} else if (text_equal(op, "kill")) {
		kill_grants(r, body);
	} else if (text_equal(op, "mint")) {
		mint(r, body);
	} else {
		answer_control_error(r, 400, "op must be expire_access, kill or mint");
	}
}

/* ---- the list ---- */

struct grants_view {
	struct simulator *sim;
	uint64_t after;
	int64_t left;
	bool with_tokens;
};

static bool view_piece(void *arg, struct buf *piece)
{
	struct grants_view *v = arg;
	int64_t n = v->left < GRANTS_PIECE ? v->left : GRANTS_PIECE;

	v->after = grants_write(&v->sim->grants, v->after, n, v->with_tokens, piece);
	v->left -= n;
	return v->after != 0 && v->left > 0;
}

void control_grants(struct request *r)
{
	const char *after = params_get(&r->query, "after"), *limit = params_get(&r->query, "limit");
	struct grants_view view = {.sim = r->sim,
		.left = INT64_MAX,
		.with_tokens = text_equal(params_get(&r->query, "tokens"), "1")};
	int64_t first = 0;

	if ((after && text_parse_int(after, &first) != 0) ||
		(limit && text_parse_int(limit, &view.left) != 0)) {
		answer_control_error(r, 400, "after and limit must be whole numbers");
		return;
	}
	view.after = (uint64_t)first;
	answer_start(r, 200, "application/x-ndjson");
	r->answer.stream = (struct stream){.fill = view_piece,
		.drop = mem_free,
		.arg = memcpy(mem_alloc(sizeof(view)), &view, sizeof(view))};
}
