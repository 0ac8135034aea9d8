/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/token_management_secrets.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"
#include "token_management/audit.h"
#include "token_management/internal.h"
#include "token_management/reseal.h"
#include "vault/vault.h"

/*
 * What a server sealed with the old key, just before it saw the new one, is stored within that
 * time: it waits for the database's writers at most.
 */
#define FORGET_GRACE_MS 10000

static void end_rotation(struct vault_rotation **r)
{
	vault_rotation_end(*r);
}

void rotation_done(struct rotation *x)
{
	for (size_t i = 0; i < ROTATION_FAILURES_NAMED; i++) {
		mem_free(x->failures[i]);
		x->failures[i] = NULL;
	}
}

static size_t count_state(struct vault *v, enum vault_key_state state, uint32_t *ret_number)
{
	struct vault_key keys[VAULT_KEYS_MAX];
	size_t n_keys = vault_keys(v, keys), n = 0;

	for (size_t i = 0; i < n_keys; i++) {
		if (keys[i].state != state)
			continue;
		*ret_number = keys[i].number;
		n++;
	}
	return n;
}

/* ---- the audit ---- */

struct noting {
	const struct actor *who;
	const char *action, *detail;
};

static int note_body(struct db *db, void *arg, struct fault *f)
{
	const struct noting *n = arg;

	return audit_write(db, n->who, n->action, NULL, n->detail, f);
}

MUST_CHECK static int note(struct token_management *tm, const struct rotation *x,
	const char *action, struct buf *detail, struct fault *f)
{
	struct noting n = {.who = x->who, .action = action, .detail = buf_text(detail)};

	return store_transact(tm->store, note_body, &n, f);
}

/*
 * Before the file says that it is done: a rotation that dies in between is noted twice, and none is
 * not noted.
 */
MUST_CHECK static int note_rotated(
	struct token_management *tm, const struct rotation *x, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(512);

	buf_addf(&detail,
		"{\"key\":%" PRIu32 ",\"resealed\":%" PRId64 ",\"overtaken\":%" PRId64
		",\"failed\":%" PRId64 ",\"resumed\":%s}",
		x->key, x->n_resealed, x->n_overtaken, x->n_failed,
		x->is_resumed ? "true" : "false");
	return note(tm, x, "vault.rotated", &detail, f);
}

/* ---- rotating ---- */

/* What is retiring has been left behind by a rotation that did not end. */
MUST_CHECK static int change_key(
	struct token_management *tm, struct vault_rotation *r, struct rotation *x, struct fault *f)
{
	uint32_t number;

	x->is_resumed = count_state(tm->vault, VAULT_KEY_RETIRING, &number) > 0;
	if (!x->is_resumed &&
		(vault_rotation_prepare(r, f) < 0 || vault_rotation_activate(r, f) < 0))
		return -1;
	x->key = vault_active_key(tm->vault);
	return 0;
}

static size_t count_opening(struct vault *v)
{
	uint32_t number;

	return count_state(v, VAULT_KEY_RETIRED, &number) +
	       count_state(v, VAULT_KEY_RETIRING, &number);
}

int secrets_rotate(struct token_management *tm, struct rotation *x, struct fault *f)
{
	AUTO(end_rotation) struct vault_rotation *r = NULL;
	bool in_use[VAULT_KEYS_MAX];
	int outcome;

	if (vault_rotation_begin(tm->vault, &r, f) < 0 || change_key(tm, r, x, f) < 0)
		return -1;
	outcome = reseal_all(tm, x, in_use, f);
	x->n_kept = count_opening(tm->vault);
	if (outcome != ROTATION_DONE)
		return outcome;
	return note_rotated(tm, x, f) < 0 || vault_rotation_finish(r, f) < 0 ? -1 : ROTATION_DONE;
}

int secrets_prepare(struct token_management *tm, struct rotation *x, struct fault *f)
{
	AUTO(end_rotation) struct vault_rotation *r = NULL;
	AUTO(buf_drop) struct buf detail = BUF_INIT(64);

	if (vault_rotation_begin(tm->vault, &r, f) < 0)
		return -1;
	x->is_resumed = count_state(tm->vault, VAULT_KEY_NEXT, &x->key) > 0;
	if (x->is_resumed)
		return ROTATION_DONE;
	if (vault_rotation_prepare(r, f) < 0)
		return -1;
	count_state(tm->vault, VAULT_KEY_NEXT, &x->key);
	buf_addf(&detail, "{\"key\":%" PRIu32 "}", x->key);
	return note(tm, x, "vault.key_prepared", &detail, f);
}

/* ---- forgetting ---- */

/* Those of the retired keys that nothing stored needs. */
static size_t pick_unused(struct vault *v, const bool in_use[static VAULT_KEYS_MAX],
	uint32_t ret[static VAULT_KEYS_MAX])
{
	struct vault_key keys[VAULT_KEYS_MAX];
	size_t n_keys = vault_keys(v, keys), n = 0;

	for (size_t i = 0; i < n_keys; i++)
		if (keys[i].state == VAULT_KEY_RETIRED && !in_use[i])
			ret[n++] = keys[i].number;
	return n;
}

MUST_CHECK static int note_forgotten(struct token_management *tm, const struct rotation *x,
	const uint32_t *numbers, size_t n, struct fault *f)
{
	AUTO(buf_drop) struct buf detail = BUF_INIT(2048);

	buf_addf(&detail, "{\"keys\":[");
	for (size_t i = 0; i < n; i++)
		buf_addf(&detail, "%s%" PRIu32, i > 0 ? "," : "", numbers[i]);
	buf_add_text(&detail, "]}");
	return note(tm, x, "vault.keys_forgotten", &detail, f);
}

int secrets_forget(struct token_management *tm, struct rotation *x, struct fault *f)
{
	AUTO(end_rotation) struct vault_rotation *r = NULL;
	uint32_t unused[VAULT_KEYS_MAX];
	bool in_use[VAULT_KEYS_MAX];
	int outcome;

	if (vault_rotation_begin(tm->vault, &r, f) < 0)
		return -1;
	x->key = vault_active_key(tm->vault);
	x->is_resumed = count_state(tm->vault, VAULT_KEY_RETIRING, unused) > 0;
	if (count_opening(tm->vault) == 0)
		return ROTATION_DONE;
	clock_sleep_ms(FORGET_GRACE_MS);
	outcome = reseal_all(tm, x, in_use, f);
	if (outcome != ROTATION_DONE)
		return outcome;
	if (((x->is_resumed || x->n_resealed > 0) && note_rotated(tm, x, f) < 0) ||
		vault_rotation_finish(r, f) < 0)
		return -1;
	x->n_forgotten = pick_unused(tm->vault, in_use, unused);
	if (x->n_forgotten > 0 && (note_forgotten(tm, x, unused, x->n_forgotten, f) < 0 ||
					  vault_rotation_forget(r, unused, x->n_forgotten, f) < 0))
		return -1;
	x->n_kept = count_opening(tm->vault);
	return ROTATION_DONE;
}
