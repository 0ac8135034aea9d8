/* SPDX-License-Identifier: Apache-2.0 */
/* Account Management v1: accounts.list. */
#include "simulator/accounts_api.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "simulator/api.h"

#define PAGE 20

void account_write(const struct world *w, uint64_t account, struct json_out *o)
{
	char id[WORLD_ID_SIZE], name[WORLD_NAME_SIZE], title[WORLD_NAME_SIZE], number[32];
	const char *type = world_account_type(w, account);
	bool is_personal = strcmp(type, "PERSONAL") == 0;

	world_account_id(w, account, id);
	world_account_title(w, account, title);
	snprintf(name, sizeof(name), "accounts/%s", id);
	snprintf(number, sizeof(number), "%010llu",
		(unsigned long long)(world_dice(w, 'N', account, 0) % 10000000000));
	json_open(o, '{');
	json_add_text(o, "name", name);
	json_add_text(o, "accountName", title);
	json_add_text(o, "type", type);
	json_add_text(o, "role", is_personal ? "PRIMARY_OWNER" : "MANAGER");
	json_add_text(o, "verificationState", is_personal ? "UNVERIFIED" : "VERIFIED");
	json_add_text(o, "vettedState", "NOT_VETTED");
	if (!is_personal) {
		json_add_text(o, "accountNumber", number);
		json_add_text(o, "permissionLevel", "OWNER_LEVEL");
	}
	if (strcmp(type, "ORGANIZATION") == 0) {
		json_key(o, "organizationInfo");
		json_open(o, '{');
		json_add_text(o, "registeredDomain", "shop.example");
		json_close(o, '}');
	}
	if (world_dice(w, 'F', account, 0) % 3 == 0)
		json_add_text(o, "fieldOfTheFuture", "a reader passes over what it does not know");
	json_close(o, '}');
}

/* filter=type=USER_GROUP; NULL: all. False: answered. */
static bool read_filter(struct request *r, const char **ret_type)
{
	const char *filter = params_get(&r->query, "filter");

	*ret_type = NULL;
	if (!filter || !*filter)
		return true;
	if (!text_starts(filter, "type=")) {
		answer_invalid(
			r, "filter", "Only a filter of the form type=USER_GROUP is supported.");
		return false;
	}
	*ret_type = filter + strlen("type=");
	return true;
}

struct listing {
	const char *type;
	uint64_t first, end; /* account numbers */
	int64_t size;
};

static void write_page(struct request *r, const struct listing *l, uint64_t scope)
{
	const struct world *w = &r->sim->overlay.world;
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	uint64_t next = 0;
	int64_t n = 0;

	json_open(&o, '{');
	for (uint64_t account = l->first; account < l->end; account++) {
		if (l->type && strcmp(l->type, world_account_type(w, account)) != 0)
			continue;
		if (n == l->size) {
			next = account;
			break;
		}
		if (n++ == 0) {
			json_key(&o, "accounts");
			json_open(&o, '[');
		}
		account_write(w, account, &o);
	}
	if (n)
		json_close(&o, ']');
	if (next)
		api_token_add(r, &o, &(struct page_token){.scope = scope, .position = next});
	json_close(&o, '}');
}

void accounts_list(struct request *r)
{
	const struct world *w = &r->sim->overlay.world;
	const char *parent = params_get(&r->query, "parentAccount");
	const char *scope_parts[] = {"accounts", params_get(&r->query, "filter"), parent};
	uint64_t scope = api_scope(scope_parts, ARRAY_LEN(scope_parts)), user, parent_number;
	struct page_token after;
	struct listing l;
	bool is_first;

	if (!api_begin(r, API_ACCOUNTS, NULL, &user) || !read_filter(r, &l.type) ||
		!api_page_size(r,
			&(struct page_size){.text = params_get(&r->query, "pageSize"),
				.standard = PAGE,
				.most = PAGE},
			&l.size) ||
		!api_token_read(r, params_get(&r->query, "pageToken"), scope, &after, &is_first))
		return;
	l.first = user * (uint64_t)w->accounts;
	l.end = l.first + (uint64_t)w->accounts;
	if (parent && *parent) {
		if (!text_starts(parent, "accounts/")) {
			answer_invalid(r, "parent_account",
				"The parent account must look like accounts/{id}.");
			return;
		}
		if (!api_account(r, user, parent + strlen("accounts/"), &parent_number))
			return;
		l.end = l.first; /* no account of this world is inside another */
	}
	if (!is_first)
		l.first = after.position;
	write_page(r, &l, scope);
}
