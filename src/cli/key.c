/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/command.h"
#include "token_management/token_management.h"

#define MINUTE_MS (INT64_C(60) * 1000)
#define DAY_MS (24 * 60 * MINUTE_MS)
#define EXPIRY_MOST_MS (3650 * DAY_MS)
#define BRANCHES_MOST 10000

#define GIVE_THE_ID "give the key's id, not the key: the part between its first two underscores"

static const char help[] =
	"Usage: review-fetcher key create --name NAME --scope SCOPE[,SCOPE...]\n"
	"                                 [--branch BRANCH[,BRANCH...]] [--expires TIME]\n"
	"       review-fetcher key list\n"
	"       review-fetcher key revoke ID\n"
	"       review-fetcher key sign-in-link ID [--expires TIME]\n"
	"\n"
	"API keys, for those who call the service. A running server hears of every change within\n"
	"a second.\n"
	"\n"
	"  create   prints a new key on stdout, this once: only its hash is stored\n"
	"  list     all keys, without the keys themselves\n"
	"  revoke   ends a key for good; ID is what \"key list\" shows, and the part of the key\n"
	"           between its first two underscores; sessions that were begun with it end too\n"
	"  sign-in-link  prints an address that signs one browser in with the rights of a key, "
	"once\n"
	"\n"
	"  --name NAME       who or what uses the key\n"
	"  --scope SCOPES    what it may do: clients:read, clients:write, tokens:read,\n"
	"                    tokens:manage, reviews:read, reviews:fetch, reviews:reply, or admin\n"
	"                    for all of it; can be given more than once\n"
	"  --branch BRANCHES the only branches that exist for it (default: all); can be given "
	"more\n"
	"                    than once\n"
	"  --expires TIME    when it ends, from now: 90d, 12h, 30m or 8w (default: never; a link:\n"
	"                    1h, and at most 7d)\n"
	"\n"
	"Takes every setting as a flag too; see \"review-fetcher serve --help\".\n";

static const struct actor self = {.name = "cli"};

static int open_tokens(const struct settings *s, bool may_create, struct store **ret_store,
	struct token_management **ret, struct fault *f)
{
	struct token_management_parts parts = {.settings = s};

	if (open_store(s, may_create, ret_store, f) < 0)
		return -1;
	parts.store = *ret_store;
	return token_management_new(&parts, ret, f);
}

static void free_tokens(struct token_management **tm)
{
	token_management_free(*tm);
}

/* ---- create ---- */

/* "90d" and the like to an instant. */
static int parse_expiry(const char *text, int64_t *ret_at_ms, struct fault *f)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'m', MINUTE_MS}, {'h', 60 * MINUTE_MS}, {'d', DAY_MS}, {'w', 7 * DAY_MS}};
	char *end = NULL;
	int64_t count = isdigit((unsigned char)text[0]) ? strtoll(text, &end, 10) : 0;

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (count < 1 || end[0] != units[i].unit || end[1] != '\0' ||
			count > EXPIRY_MOST_MS / units[i].ms)
			continue;
		*ret_at_ms = clock_wall_ms() + count * units[i].ms;
		return 0;
	}
	return fault_input(f, "expires",
		"--expires=%.40s must be a whole number of minutes, hours, days or weeks, as in "
		"30m, 12h, "
		"90d or 8w, and at most 3650d",
		text);
}

/* The comma-separated values of a repeatable option, one string a piece; all of it lives in
 * *ret_text. */
struct pieces {
	char *text;
	const char **list;
	size_t n;
};

static void pieces_drop(struct pieces *p)
{
	mem_free(p->text);
	mem_free(p->list);
}

static int split(const struct option *option, struct pieces *ret, struct fault *f)
{
	AUTO(buf_drop) struct buf all = BUF_INIT(1024 * 1024);
	char *rest, *piece;

	for (size_t i = 0; i < option->n; i++) {
		buf_add_text(&all, i > 0 ? "," : "");
		buf_add_text(&all, option->values[i]);
	}
	if (buf_failed(&all))
		return fault_input(f, option->name, "--%s is too long", option->name);
	ret->text = mem_text(buf_text(&all));
	ret->list = mem_alloc_array(BRANCHES_MOST, sizeof(*ret->list));
	rest = ret->text;
	while ((piece = strsep(&rest, ",")) != NULL) {
		piece += strspn(piece, " \t");
		piece[strcspn(piece, " \t")] = '\0';
		if (*piece == '\0')
			return fault_input(f, option->name, "--%s names nothing between two commas",
				option->name);
		if (ret->n == BRANCHES_MOST)
			return fault_input(f, option->name, "--%s names more than %d", option->name,
				BRANCHES_MOST);
		ret->list[ret->n++] = piece;
	}
	return 0;
}

struct create_options {
	const struct option *name, *scope, *branch, *expires;
};

static int parse_create(const struct create_options *o, struct key_input *ret,
	struct pieces *ret_scopes, struct pieces *ret_branches, struct fault *f)
{
	AUTO(buf_drop) struct buf scopes = BUF_INIT(4096);

	if (o->name->n == 0 || o->scope->n == 0)
		return fault_input(f, o->name->n == 0 ? "name" : "scope",
			"key create needs --name and --scope, as in: key create --name reports "
			"--scope reviews:read");
	if (split(o->scope, ret_scopes, f) < 0)
		return -1;
	for (size_t i = 0; i < ret_scopes->n; i++)
		buf_addf(&scopes, "%s%s", i > 0 ? "," : "", ret_scopes->list[i]);
	if (key_scopes_parse(buf_text(&scopes), &ret->scopes, f) < 0)
		return -1;
	if (o->branch->n > 0 && split(o->branch, ret_branches, f) < 0)
		return -1;
	if (o->expires->n > 0 && parse_expiry(o->expires->values[0], &ret->expires_at_ms, f) < 0)
		return -1;
	ret->name = o->name->values[0];
	ret->branches = ret_branches->list;
	ret->n_branches = ret_branches->n;
	return 0;
}

/* The key alone on stdout, so that it can be piped; words about it on stderr. */
static void present(const char *id, const struct secret *key)
{
	fwrite(key->bytes, 1, key->len, stdout);
	putchar('\n');
	fflush(stdout);
	fprintf(stderr,
		"This is key %s. Keep it now: it is shown this once, and only its hash is "
		"stored.\n",
		id);
}

static int create(const struct settings *s, const struct create_options *o)
{
	AUTO(pieces_drop) struct pieces scopes = {0};
	AUTO(pieces_drop) struct pieces branches = {0};
	AUTO(store_closep) struct store *store = NULL;
	AUTO(free_tokens) struct token_management *tm = NULL;
	AUTO(secret_drop) struct secret key = {0};
	struct key_input input = {0};
	struct fault f;
	char id[16];

	if (parse_create(o, &input, &scopes, &branches, &f) < 0 ||
		open_tokens(s, true, &store, &tm, &f) < 0 ||
		keys_create(tm, &input, &self, &key, id, &f) < 0)
		return complain_fault(&f);
	present(id, &key);
	return EXIT_DONE;
}

/* ---- list ---- */

/* A name is somebody's text: it must not steer the terminal. */
static void print_plain(const char *text, int width)
{
	int shown = 0;

	for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
		putchar(*c < ' ' || *c == 0x7f ? '?' : *c);
		shown += (*c & 0xc0) != 0x80; /* a character, not a byte */
	}
	printf("%*s  ", shown < width ? width - shown : 0, "");
}

static void print_day(int64_t at_ms, const char *never)
{
	char text[CLOCK_TEXT_SIZE];

	printf("%-20s  ", at_ms > 0 ? clock_format_ms(at_ms / 1000 * 1000, text) : never);
}

static void print_branches(const char *json)
{
	AUTO(json_drop) json_t *list = NULL;
	struct fault f;
	json_t *name;
	size_t i;

	if (json == NULL || json_parse(json, strlen(json), &list, &f) < 0) {
		puts(json == NULL ? "all" : "?");
		return;
	}
	json_array_foreach(list, i, name)
	{
		if (i > 0)
			putchar(',');
		for (const char *c = json_string_value(name); c != NULL && *c != '\0'; c++)
			putchar((unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c);
	}
	putchar('\n');
}

static int print_row(void *arg, const struct key_row *k, struct fault *f)
{
	size_t *n = arg;
	const char *state = "good";

	(void)f;
	if (k->revoked_at_ms > 0)
		state = "revoked";
	else if (k->expires_at_ms > 0 && k->expires_at_ms <= clock_wall_ms())
		state = "expired";
	if ((*n)++ == 0)
		printf("%-10s  %-20s  %-8s  %-20s  %-20s  %-20s  %-26s  %s\n", "ID", "NAME",
			"STATE", "CREATED", "EXPIRES", "LAST USED", "SCOPES", "BRANCHES");
	printf("%-10s  ", k->id);
	print_plain(k->name, 20);
	printf("%-8s  ", state);
	print_day(k->created_at_ms, "-");
	print_day(k->expires_at_ms, "never");
	print_day(k->last_used_at_ms, "never");
	print_plain(k->scopes, 26);
	print_branches(k->branches);
	return 0;
}

static int list(const struct settings *s)
{
	AUTO(store_closep) struct store *store = NULL;
	AUTO(free_tokens) struct token_management *tm = NULL;
	struct fault f;
	size_t n = 0;

	if (open_tokens(s, false, &store, &tm, &f) < 0 || keys_list(tm, print_row, &n, &f) < 0)
		return complain_fault(&f);
	if (n == 0)
		puts("There are no keys yet; \"review-fetcher key create\" makes one.");
	return EXIT_DONE;
}

/* ---- revoke ---- */

static int revoke(const struct settings *s, const char *id)
{
	AUTO(store_closep) struct store *store = NULL;
	AUTO(free_tokens) struct token_management *tm = NULL;
	struct fault f;

	/* A whole key in the place of its id would pass through the process list: say so. */
	if (strncmp(id, "rf_", 3) == 0)
		return complain(EXIT_USAGE, GIVE_THE_ID);
	if (open_tokens(s, false, &store, &tm, &f) < 0 || keys_revoke(tm, id, &self, &f) < 0)
		return complain_fault(&f);
	printf("Key %s is revoked.\n", id);
	return EXIT_DONE;
}

/* ---- sign-in-link ---- */

static int make_link(const struct settings *s, const char *id, const struct option *expires)
{
	AUTO(store_closep) struct store *store = NULL;
	AUTO(free_tokens) struct token_management *tm = NULL;
	AUTO(buf_drop) struct buf url = BUF_INIT_WIPED(4096);
	int64_t until_ms, life_ms = SIGN_IN_LINK_MS;
	struct fault f;

	if (strncmp(id, "rf_", 3) == 0)
		return complain(EXIT_USAGE, GIVE_THE_ID);
	if (expires->n > 0) {
		if (parse_expiry(expires->values[0], &until_ms, &f) < 0)
			return complain_fault(&f);
		life_ms = until_ms - clock_wall_ms();
		if (life_ms > 7 * DAY_MS)
			return complain(EXIT_USAGE, "a sign-in link lives 7d at most");
	}
	if (open_tokens(s, false, &store, &tm, &f) < 0 ||
		sign_in_link(tm, id, life_ms, &self, &url, &f) < 0)
		return complain_fault(&f);
	puts(buf_text(&url));
	return EXIT_DONE;
}

/* ---- */

static const struct {
	const char *name;
	bool takes_id;
	const char *options; /* their first letters */
} actions[] = {{"create", false, "nsbe"}, {"list", false, ""}, {"revoke", true, ""},
	{"sign-in-link", true, "e"}};

static int wrong_words(const struct options *o)
{
	size_t at = 0;

	if (o->n_words == 0)
		return complain(EXIT_USAGE,
			"say what to do with keys: key create, key list, key revoke or key "
			"sign-in-link");
	while (at < ARRAY_LEN(actions) && strcmp(o->words[0], actions[at].name) != 0)
		at++;
	if (at == ARRAY_LEN(actions))
		return complain(EXIT_USAGE,
			"key knows create, list, revoke and sign-in-link, not %.60s", o->words[0]);
	if (actions[at].takes_id && o->n_words < 2)
		return complain(EXIT_USAGE, "say which key: key %s ID (\"key list\" shows the ids)",
			actions[at].name);
	if (o->n_words > (actions[at].takes_id ? 2u : 1u))
		return complain(EXIT_USAGE, "unexpected argument %.60s", o->words[o->n_words - 1]);
	for (size_t i = 0; i < o->n; i++) {
		if (o->list[i].n > 0 && strchr(actions[at].options, o->list[i].name[0]) == NULL)
			return complain(
				EXIT_USAGE, "key %s takes no --%s", o->words[0], o->list[i].name);
	}
	return EXIT_DONE;
}

static int key_run(struct call *call)
{
	struct option known[] = {{.name = "name"}, {.name = "scope", .may_repeat = true},
		{.name = "branch", .may_repeat = true}, {.name = "expires"}};
	const struct create_options all = {&known[0], &known[1], &known[2], &known[3]};
	AUTO(options_drop) struct options o = {.list = known, .n = ARRAY_LEN(known)};
	AUTO(settings_freep) struct settings *s = NULL;
	struct fault f;
	int wrong;

	if (options_take(call, &o, &f) < 0)
		return complain_fault(&f);
	if (o.wants_help)
		return show_help(&key_command);
	wrong = wrong_words(&o);
	if (wrong != EXIT_DONE)
		return wrong;
	if (load_settings(call, &o, &s, &f) < 0)
		return complain_fault(&f);
	if (strcmp(o.words[0], "create") == 0)
		return create(s, &all);
	if (strcmp(o.words[0], "list") == 0)
		return list(s);
	if (strcmp(o.words[0], "revoke") == 0)
		return revoke(s, o.words[1]);
	return make_link(s, o.words[1], all.expires);
}

const struct command key_command = {
	.name = "key",
	.summary = "API keys: key create, key list, key revoke ID, key sign-in-link ID",
	.help = help,
	.run = key_run,
};
