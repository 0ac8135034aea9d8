/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/process.h"
#include "cli/ring.h"
#include "token_management/token_management_import.h"
#include "vault/vault.h"

#define PIECE_BYTES (256 * 1024)
#define REPORT_PAGE 1000

static const char help[] =
	"Usage: review-fetcher import [FILE] [--on-conflict keep|replace]\n"
	"       review-fetcher import --status ID\n"
	"       review-fetcher import --report ID [--all]\n"
	"\n"
	"Takes in connections that have a refresh token already, from FILE or from standard "
	"input:\n"
	"JSON lines, one connection each, with client_id, client_secret, redirect_uri, branch_id,\n"
	"workspace_email, workspace_name and refresh_token, and if need be scope, provider and\n"
	"granted_at. Secrets are sealed before they reach the database. The server verifies each\n"
	"token by a refresh, at once when it runs, else when it is started. The same file may be\n"
	"sent again at any time: nothing is imported twice.\n"
	"\n"
	"  --on-conflict WHAT  keep (the default): a branch that exists stays as it is; replace: "
	"it\n"
	"                      gets the new token at once, and its old grant is given up\n"
	"  --status ID         how far an import is\n"
	"  --report ID         what became of each line that is not verified, as JSON lines; exit\n"
	"                      code 1 when there is any. With --all: of every line\n"
	"\n"
	"Takes every setting as a flag too; see \"review-fetcher serve --help\".\n";

static const struct actor self = {.name = "cli"};

struct house {
	struct settings *settings;
	struct store *store;
	struct vault *vault;
	struct token_management *tokens;
};

static void house_close(struct house *h)
{
	token_management_free(h->tokens);
	vault_close(h->vault);
	store_close(h->store);
	settings_free(h->settings);
}

MUST_CHECK static int house_open(
	const struct call *call, const struct options *o, struct house *h, struct fault *f)
{
	struct token_management_parts parts = {0};

	if (load_settings(call, o, &h->settings, f) < 0 ||
		open_store(h->settings, true, &h->store, f) < 0 ||
		ring_open(h->settings->vault_key_file, h->store, &h->vault, f) < 0)
		return -1;
	parts.settings = h->settings;
	parts.store = h->store;
	parts.vault = h->vault;
	return token_management_new(&parts, &h->tokens, f);
}

/* ---- telling ---- */

static int say_status(struct house *h, const char *id)
{
	struct import_status s;
	struct fault f;

	if (import_status(h->tokens, id, &s, &f) < 0)
		return complain_fault(&f);
	printf("Import %s: %s.\n"
	       "  %" PRId64 " lines: %" PRId64 " wait to be verified, %" PRId64
	       " verified, %" PRId64 " failed,\n"
	       "  %" PRId64 " with an app that the provider refuses, %" PRId64 " invalid, %" PRId64
	       " of branches that exist.\n",
		s.id,
		!s.is_whole     ? "not all lines have come; send the file again"
		: s.waiting > 0 ? "being verified"
				: "completed",
		s.lines, s.waiting, s.verified, s.failed, s.app_refused, s.invalid, s.exists);
	return EXIT_DONE;
}

struct reporting {
	int64_t last_line, n, n_bad;
};

static int print_row(void *arg, const struct import_report_row *row, struct fault *f)
{
	AUTO(buf_drop) struct buf line = BUF_INIT(64 * 1024);
	struct json_out o = JSON_OUT(&line);
	struct reporting *r = arg;

	(void)f;
	json_open(&o, '{');
	json_add_int(&o, "line", row->line);
	json_add_text(&o, "branch_id", row->branch_id);
	json_add_text(&o, "state", row->state);
	json_add_text(&o, "reason", row->reason);
	json_close(&o, '}');
	puts(buf_text(&line));
	r->last_line = row->line;
	r->n++;
	r->n_bad += strcmp(row->state, "verified") != 0;
	return 0;
}

static int print_report(struct house *h, const char *id, bool all)
{
	struct reporting r = {0};
	struct import_status s;
	struct fault f;

	if (import_status(h->tokens, id, &s, &f) < 0)
		return complain_fault(&f);
	do {
		r.n = 0;
		if (import_report(h->tokens, id, r.last_line, REPORT_PAGE, all, print_row, &r, &f) <
			0)
			return complain_fault(&f);
	} while (r.n == REPORT_PAGE);
	return r.n_bad > 0 ? EXIT_FAILED : EXIT_DONE;
}

/* ---- taking in ---- */

MUST_CHECK static int take_all(struct import *x, FILE *from, struct fault *f)
{
	char *piece = mem_alloc(PIECE_BYTES);
	int outcome = 0;
	size_t n;

	while (outcome == 0 && (n = fread(piece, 1, PIECE_BYTES, from)) > 0)
		outcome = import_take(x, piece, n, f);
	mem_wipe_free(piece);
	if (outcome == 0 && ferror(from))
		outcome = fault_raise(f, FAULT_INPUT, "the file cannot be read to its end");
	return outcome < 0 ? -1 : import_end(x, f);
}

static int import_file(struct house *h, FILE *from, bool replaces)
{
	const struct import_options options = {.who = &self, .replaces = replaces};
	struct import *x = NULL;
	struct fault f;
	int code = EXIT_DONE;

	if (import_begin(h->tokens, &options, &x, &f) < 0)
		return complain_fault(&f);
	if (take_all(x, from, &f) < 0)
		code = complain(EXIT_FAILED, "%s; send the whole file again to go on", f.text);
	else
		code = say_status(h, import_id(x));
	import_free(x);
	return code;
}

static int open_and_import(struct house *h, const char *path, bool replaces)
{
	FILE *from = path != NULL && strcmp(path, "-") != 0 ? fopen(path, "re") : stdin;
	int code;

	if (from == NULL)
		return complain(
			EXIT_USAGE, "%.200s cannot be read: give a file of JSON lines", path);
	setvbuf(from, NULL, _IONBF, 0); /* no copy of a secret in the library's buffer */
	code = import_file(h, from, replaces);
	if (from != stdin)
		fclose(from);
	return code;
}

/* ---- */

enum { OPTION_CONFLICT, OPTION_STATUS, OPTION_REPORT, OPTION_ALL };

static int import_run(struct call *call)
{
	struct option list[] = {{.name = "on-conflict"}, {.name = "status"}, {.name = "report"},
		{.name = "all", .is_switch = true}};
	AUTO(options_drop) struct options o = {.list = list, .n = ARRAY_LEN(list)};
	AUTO(house_close) struct house h = {0};
	const char *conflict;
	struct fault f;

	if (options_take(call, &o, &f) < 0)
		return complain_fault(&f);
	if (o.wants_help)
		return show_help(&import_command);
	conflict = list[OPTION_CONFLICT].n > 0 ? list[OPTION_CONFLICT].values[0] : "keep";
	if (strcmp(conflict, "keep") != 0 && strcmp(conflict, "replace") != 0)
		return complain(
			EXIT_USAGE, "--on-conflict=%.40s must be keep or replace", conflict);
	if (o.n_words > 1)
		return complain(EXIT_USAGE, "unexpected argument %.60s", o.words[1]);
	process_harden();
	if (house_open(call, &o, &h, &f) < 0)
		return complain_fault(&f);
	if (list[OPTION_STATUS].n > 0)
		return say_status(&h, list[OPTION_STATUS].values[0]);
	if (list[OPTION_REPORT].n > 0)
		return print_report(&h, list[OPTION_REPORT].values[0], list[OPTION_ALL].n > 0);
	return open_and_import(
		&h, o.n_words > 0 ? o.words[0] : NULL, strcmp(conflict, "replace") == 0);
}

const struct command import_command = {
	.name = "import",
	.summary = "connections that have a refresh token: import FILE of JSON lines",
	.help = help,
	.run = import_run,
};
