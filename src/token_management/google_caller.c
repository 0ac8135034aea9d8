/* SPDX-License-Identifier: Apache-2.0 */
/* An OpenID Connect token that a push message bears: who posts it, and for whom it was made. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "jose/jose.h"
#include "token_management/internal.h"
#include "token_management/token_management_google.h"

#define CLOCKS_DIFFER_MS 60000
#define LIFE_MOST_MS (24 * 60 * 60 * 1000) /* Google's live for an hour */
#define EMAIL_MAX 320

struct asking {
	char *audience, *email;
	google_caller_done_fn *done;
	void *arg;
};

static bool is_in_time(const json_t *claims)
{
	int64_t now = clock_wall_ms(), issued_ms, ends_ms;

	return claim_time_ms(claims, "exp", &ends_ms) == 0 &&
	       claim_time_ms(claims, "iat", &issued_ms) == 0 && ends_ms > now - CLOCKS_DIFFER_MS &&
	       issued_ms < now + CLOCKS_DIFFER_MS && ends_ms - issued_ms <= LIFE_MOST_MS;
}

static bool is_caller(const struct asking *x, const struct google_jwt_result *r)
{
	return google_is_issuer(r->claims) && claim_has_audience(r->claims, x->audience) &&
	       json_flag(r->claims, "email_verified", false) &&
	       text_equal(x->email, claim_text(r->claims, "email", EMAIL_MAX)) &&
	       is_in_time(r->claims);
}

static void on_checked(void *arg, const struct google_jwt_result *r)
{
	struct asking *x = arg;
	enum google_caller caller = GOOGLE_CALLER_IS_NOT;

	if (r->outcome == GOOGLE_JWT_NO_KEYS)
		caller = GOOGLE_CALLER_UNKNOWN;
	else if (r->outcome == GOOGLE_JWT_GOOD && is_caller(x, r))
		caller = GOOGLE_CALLER_IS;
	x->done(x->arg, caller, r->retry_after_ms);
	mem_free(x->audience);
	mem_free(x->email);
	mem_free(x);
}

void google_caller_check(struct token_management *tm, const char *text, size_t len,
	const struct google_caller_wish *wish, google_caller_done_fn *done, void *arg)
{
	struct asking *x = mem_alloc(sizeof(*x));

	*x = (struct asking){.audience = mem_text(wish->audience),
		.email = mem_text(wish->email),
		.done = done,
		.arg = arg};
	google_jwt_check(tm, text, len, on_checked, x);
}
