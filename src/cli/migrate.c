/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/ring.h"
#include "token_management/token_management_secrets.h"
#include "vault/vault.h"

static const char help[] =
	"Usage: review-fetcher migrate [status]\n"
	"       review-fetcher migrate up\n"
	"       review-fetcher migrate down VERSION [--yes]\n"
	"\n"
	"Schema migrations of the database that TOKEN_MANAGEMENT_DATABASE_URL names.\n"
	"\n"
	"  status   the database's schema version and this program's\n"
	"  up       applies what is missing; \"serve\" does that by itself on SQLite. Takes a\n"
	"           database of the original service over in place (docs/migrate.md)\n"
	"  down N   takes the schema back to version N. Down to 0 destroys everything stored, "
	"says\n"
	"           what that is, and is done only with --yes\n"
	"\n"
	"up and down are refused while a server runs on the SQLite database. Takes every setting\n"
	"as a flag too; see \"review-fetcher serve --help\".\n";

static int open_plain(const struct settings *s, bool exclusive, struct store **ret,
	struct store_version *ret_version, struct fault *f)
{
	const struct store_options options = {
		.url = s->database_url, .connections = 1, .exclusive = exclusive};
	AUTO(store_closep) struct store *store = NULL;

	if (store_open(&options, &store, f) < 0 || store_version(store, ret_version, f) < 0)
		return -1;
	*ret = TAKE(store);
	return 0;
}

static int status(const struct settings *s)
{
	AUTO(store_closep) struct store *store = NULL;
	struct store_version v;
	struct fault f;

	if (open_plain(s, false, &store, &v, &f) < 0)
		return complain_fault(&f);
	if (v.database > v.binary)
		return complain(EXIT_FAILED,
			"the database has schema version %" PRId64
			", and this program knows versions up to %" PRId64,
			v.database, v.binary);
	if (v.is_original) {
		puts("The database is the original service's: \"review-fetcher migrate up\" takes "
		     "it "
		     "over. See docs/migrate.md.");
		return EXIT_DONE;
	}
	printf("Schema version %" PRId64 " of %" PRId64, v.database, v.binary);
	if (v.database == v.binary)
		puts(": up to date.");
	else
		printf(": %" PRId64 " to apply; \"review-fetcher migrate up\" does it.\n",
			v.binary - v.database);
	return EXIT_DONE;
}

static void show_progress(void *arg, const struct takeover *t)
{
	(void)arg;
	if (t->n_clients % 1000 == 0 && t->n_clients > 0)
		printf("%" PRId64 " clients so far\n", t->n_clients);
	fflush(stdout);
}

/* Each step finds out by itself whether an earlier run has done it. */
MUST_CHECK static int take_steps(
	const struct settings *s, struct store *store, struct takeover *t, struct fault *f)
{
	AUTO(vault_closep) struct vault *vault = NULL;
	int applied;

	if (store_takeover_begin(store, f) < 0 || store_migrate_up(store, &applied, f) < 0 ||
		ring_open(s->vault_key_file, store, &vault, f) < 0 ||
		takeover_rows(store, vault, t, f) < 0)
		return -1;
	return store_takeover_end(store, f);
}

/* Another one at work beside us may come to the end first, and the tables go under our feet. */
static int end_beside(const struct settings *s, struct store *store, const struct fault *why)
{
	AUTO(vault_closep) struct vault *vault = NULL;
	struct store_version v;
	struct fault f;

	if (store_version(store, &v, &f) < 0 || !v.was_original || v.database != v.binary)
		return complain_fault(why);
	if (ring_open(s->vault_key_file, store, &vault, &f) < 0)
		return complain_fault(&f);
	puts("Taken over from the original service, by another \"migrate up\" that ran beside "
	     "this one.");
	return EXIT_DONE;
}

static int take_over(const struct settings *s, struct store *store)
{
	struct takeover t = {.progress = show_progress};
	struct store_version v;
	struct fault f;

	if (take_steps(s, store, &t, &f) < 0)
		return end_beside(s, store, &f);
	if (store_version(store, &v, &f) < 0)
		return complain_fault(&f);
	printf("Taken over from the original service: clients %" PRId64 ", connections %" PRId64
	       ", older tokens %" PRId64 ", each secret sealed under %s.\n",
		t.n_clients, t.n_tokens, t.n_former, s->vault_key_file);
	printf("Schema version %" PRId64 ": up to date.\n", v.binary);
	return EXIT_DONE;
}

static int up(const struct settings *s)
{
	AUTO(store_closep) struct store *store = NULL;
	struct store_version v;
	struct fault f;
	int applied;

	if (open_plain(s, false, &store, &v, &f) < 0)
		return complain_fault(&f);
	if (v.is_original)
		return take_over(s, store);
	if (v.database == v.binary) {
		printf("Schema version %" PRId64 ": up to date, nothing to do.\n", v.database);
		return EXIT_DONE;
	}
	store_close(TAKE(store));
	if (open_plain(s, true, &store, &v, &f) < 0 || bring_up(store, &v, &applied, &f) < 0)
		return complain_fault(&f);
	printf("Schema version %" PRId64 ": %d applied.\n", v.binary, applied);
	return EXIT_DONE;
}

struct holdings {
	int64_t clients, connections, keys, reviews, audit;
};

static int read_holdings(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct holdings *h = arg;

	(void)n_cols, (void)f;
	h->clients = db_get_int(&cols[0]);
	h->connections = db_get_int(&cols[1]);
	h->keys = db_get_int(&cols[2]);
	h->reviews = db_get_int(&cols[3]);
	h->audit = db_get_int(&cols[4]);
	return 1;
}

static int count_holdings(struct db *db, void *arg, struct fault *f)
{
	return db_read(db,
		"SELECT (SELECT count(*) FROM clients), (SELECT count(*) FROM tokens),"
		" (SELECT count(*) FROM api_keys), (SELECT count(*) FROM reviews),"
		" (SELECT count(*) FROM audit)",
		read_holdings, arg, f);
}

static int ask_first(struct store *store)
{
	struct holdings h = {0};
	struct fault f;

	if (store_use(store, count_holdings, &h, &f) < 0)
		return complain_fault(&f);
	return complain(EXIT_USAGE,
		"down to 0 destroys all that is stored: clients %" PRId64
		", of them with tokens %" PRId64 ", API keys %" PRId64 ", reviews %" PRId64
		", audit entries %" PRId64 "; say --yes to do it",
		h.clients, h.connections, h.keys, h.reviews, h.audit);
}

static int down(const struct settings *s, const char *word, bool is_sure)
{
	AUTO(store_closep) struct store *store = NULL;
	struct store_version v;
	struct fault f;
	int64_t to;
	int undone;

	if (text_parse_int(word, &to) != 0 || to < 0)
		return complain(EXIT_USAGE,
			"%.60s is not a schema version: give a whole number from 0", word);
	if (open_plain(s, true, &store, &v, &f) < 0)
		return complain_fault(&f);
	if (to > v.database)
		return complain(EXIT_USAGE,
			"the database has schema version %" PRId64
			", so it cannot go down to %" PRId64,
			v.database, to);
	if (to < 1 && v.database > 0 && !is_sure && !v.was_original && !v.is_original)
		return ask_first(store);
	if (store_migrate_down(store, to, &undone, &f) < 0)
		return complain_fault(&f);
	printf("Schema version %" PRId64 ": %d undone.\n", to, undone);
	return EXIT_DONE;
}

static int migrate_run(struct call *call)
{
	struct option list[] = {{.name = "yes", .is_switch = true}};
	AUTO(options_drop) struct options o = {.list = list, .n = ARRAY_LEN(list)};
	AUTO(settings_freep) struct settings *s = NULL;
	const char *what;
	struct fault f;

	if (options_take(call, &o, &f) < 0)
		return complain_fault(&f);
	if (o.wants_help)
		return show_help(&migrate_command);
	what = o.n_words > 0 ? o.words[0] : "status";
	if (strcmp(what, "status") != 0 && strcmp(what, "up") != 0 && strcmp(what, "down") != 0)
		return complain(EXIT_USAGE, "migrate knows status, up and down, not %.60s", what);
	if (strcmp(what, "down") == 0 && o.n_words < 2)
		return complain(EXIT_USAGE, "say down to which version: migrate down VERSION");
	if (o.n_words > (strcmp(what, "down") == 0 ? 2u : 1u))
		return complain(EXIT_USAGE, "unexpected argument %.60s", o.words[o.n_words - 1]);
	if (load_settings(call, &o, &s, &f) < 0)
		return complain_fault(&f);
	if (strcmp(what, "status") == 0)
		return status(s);
	if (strcmp(what, "up") == 0)
		return up(s);
	return down(s, o.words[1], list[0].n > 0);
}

const struct command migrate_command = {
	.name = "migrate",
	.summary = "the database's schema: migrate [status|up|down VERSION]",
	.help = help,
	.run = migrate_run,
};
