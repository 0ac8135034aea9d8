/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/archive.h"
#include "cli/command.h"
#include "cli/house.h"
#include "cli/process.h"
#include "token_management/token_management_import.h"

#define PIECE_BYTES (256 * 1024)
#define REPORT_PAGE 1000

static const char help[] =
	"Usage: review-fetcher import [FILE] [--on-conflict keep|replace]\n"
	"       review-fetcher import [FILE] --passphrase-file FILE [--merge]\n"
	"       review-fetcher import --status ID\n"
	"       review-fetcher import --report ID [--all]\n"
	"\n"
	"Takes in what FILE (or standard input) holds; its first line says which it is:\n"
	"\n"
	"Connections that have a refresh token already: JSON lines, one connection each, with\n"
	"client_id, client_secret, redirect_uri, branch_id, workspace_email, workspace_name and\n"
	"refresh_token, and if need be scope, provider and granted_at. Secrets are sealed before\n"
	"they reach the database. The server verifies each token by a refresh, at once when it\n"
	"runs, else when it is started.\n"
	"\n"
	"What \"review-fetcher export\" made: everything comes back as it was, into an empty\n"
	"database. No server may run on it meanwhile.\n"
	"\n"
	"Either may be interrupted at any moment; the same file again goes on where it was.\n"
	"\n"
	"  --on-conflict WHAT      keep (the default): a branch that exists stays as it is;\n"
	"                          replace: it gets the new token at once, and its old grant is\n"
	"                          given up\n"
	"  --passphrase-file FILE  whose first line the export was made with\n"
	"  --merge                 add to a database that is not empty: what is there stays\n"
	"  --status ID             how far an import is\n"
	"  --report ID             what became of each line that is not verified, as JSON lines;\n"
	"                          exit code 1 when there is any. With --all: of every line\n"
	"\n"
	"Takes every setting as a flag too; see \"review-fetcher serve --help\".\n";

static const struct actor self = {.name = "cli"};

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

struct source {
	FILE *from;
	char *piece;
	size_t len; /* of the first piece, which says what it is */
};

static void source_drop(struct source *s)
{
	if (s->from != NULL && s->from != stdin)
		fclose(s->from);
	if (s->piece != NULL)
		mem_wipe_free(s->piece);
}

MUST_CHECK static int source_open(struct source *s, const char *path, struct fault *f)
{
	s->from = path != NULL && strcmp(path, "-") != 0 ? fopen(path, "re") : stdin;
	if (s->from == NULL)
		return fault_input(
			f, "file", "%.150s cannot be read: give a file of JSON lines", path);
	setvbuf(s->from, NULL, _IONBF, 0); /* no copy of a secret in the library's buffer */
	s->piece = mem_alloc(PIECE_BYTES);
	s->len = fread(s->piece, 1, PIECE_BYTES, s->from);
	return s->len > 0 ? 0 : fault_input(f, "file", "there is nothing to import: no line came");
}

MUST_CHECK static int take_all(struct import *x, struct source *s, struct fault *f)
{
	int outcome = 0;

	do {
		outcome = import_take(x, s->piece, s->len, f);
		if (outcome == 0)
			s->len = fread(s->piece, 1, PIECE_BYTES, s->from);
	} while (outcome == 0 && s->len > 0);
	if (outcome == 0 && ferror(s->from))
		outcome = fault_raise(f, FAULT_INPUT, "the file cannot be read to its end");
	return outcome < 0 ? -1 : import_end(x, f);
}

static int import_connections(struct house *h, struct source *from, bool replaces)
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

static int import_archive(
	struct house *h, struct source *from, const struct secret *passphrase, bool merges)
{
	struct archive_in x = {.store = h->store,
		.vault = h->vault,
		.passphrase = secret_is_set(passphrase) ? passphrase : NULL,
		.merges = merges,
		.from = from->from,
		.start = from->piece,
		.start_len = from->len};
	struct fault f;

	if (archive_read(&x, &f) < 0)
		return complain_fault(&f);
	printf("%" PRId64 " rows are here: %" PRId64 " from an earlier run, %" PRId64
	       " that were there already.\n",
		x.n_rows, x.n_before, x.n_kept);
	return EXIT_DONE;
}

/* ---- */

enum {
	OPTION_CONFLICT,
	OPTION_STATUS,
	OPTION_REPORT,
	OPTION_ALL,
	OPTION_PASSPHRASE,
	OPTION_MERGE,
	OPTIONS
};

static int import_source(struct call *call, struct options *o, bool replaces)
{
	AUTO(house_close) struct house h = {0};
	AUTO(source_drop) struct source from = {0};
	AUTO(secret_drop) struct secret passphrase = {0};
	const struct option *list = o->list;
	bool is_archive;
	struct fault f;

	if (source_open(&from, o->n_words > 0 ? o->words[0] : NULL, &f) < 0)
		return complain_fault(&f);
	is_archive = from.len >= strlen(ARCHIVE_START) &&
		     memcmp(from.piece, ARCHIVE_START, strlen(ARCHIVE_START)) == 0;
	if (list[OPTION_PASSPHRASE].n > 0 &&
		passphrase_read(list[OPTION_PASSPHRASE].values[0], &passphrase, &f) < 0)
		return complain_fault(&f);
	/* An export is not poured into a house where somebody works. */
	if (house_open(call, o, is_archive, &h, &f) < 0)
		return complain_fault(&f);
	if (is_archive)
		return import_archive(&h, &from, &passphrase, list[OPTION_MERGE].n > 0);
	return import_connections(&h, &from, replaces);
}

static int import_look(struct call *call, struct options *o)
{
	AUTO(house_close) struct house h = {0};
	struct fault f;

	if (house_open(call, o, false, &h, &f) < 0)
		return complain_fault(&f);
	if (o->list[OPTION_STATUS].n > 0)
		return say_status(&h, o->list[OPTION_STATUS].values[0]);
	return print_report(&h, o->list[OPTION_REPORT].values[0], o->list[OPTION_ALL].n > 0);
}

static int import_run(struct call *call)
{
	struct option list[OPTIONS] = {{.name = "on-conflict"}, {.name = "status"},
		{.name = "report"}, {.name = "all", .is_switch = true}, {.name = "passphrase-file"},
		{.name = "merge", .is_switch = true}};
	AUTO(options_drop) struct options o = {.list = list, .n = ARRAY_LEN(list)};
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
	if (list[OPTION_STATUS].n > 0 || list[OPTION_REPORT].n > 0)
		return import_look(call, &o);
	return import_source(call, &o, strcmp(conflict, "replace") == 0);
}

const struct command import_command = {
	.name = "import",
	.summary = "takes in an export, or connections that have a refresh token",
	.help = help,
	.run = import_run,
};
