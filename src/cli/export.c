/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cli/archive.h"
#include "cli/command.h"
#include "cli/house.h"
#include "cli/process.h"

static const char help[] =
	"Usage: review-fetcher export [--what connections|reviews|all] [--passphrase-file FILE]\n"
	"                             > FILE\n"
	"\n"
	"Writes what the database holds as JSON lines on standard output: for a backup, and for\n"
	"moving from SQLite to PostgreSQL and back (\"review-fetcher import FILE\"). It is one\n"
	"consistent view, taken beside servers that run. Secrets are sealed anew under the\n"
	"passphrase, so the file can be opened without the key ring of this house, and by nobody\n"
	"without the passphrase.\n"
	"\n"
	"  --what WHAT             connections (clients, tokens, API keys, audit), reviews\n"
	"                          (accounts, locations, reviews, jobs) or all (the default)\n"
	"  --passphrase-file FILE  its first line is the passphrase: at least 12 bytes; needed "
	"but\n"
	"                          for reviews\n"
	"\n"
	"Takes every setting as a flag too; see \"review-fetcher serve --help\".\n";

static int export_to(struct house *h, const char *what, const struct secret *passphrase)
{
	struct archive_out x = {.store = h->store,
		.vault = h->vault,
		.passphrase = secret_is_set(passphrase) ? passphrase : NULL,
		.what = archive_what(what),
		.what_word = what,
		.to = stdout};
	struct fault f;

	if (archive_write(&x, &f) < 0)
		return complain_fault(&f);
	fprintf(stderr, "%" PRId64 " rows were written.\n", x.n_rows);
	return EXIT_DONE;
}

static int export_run(struct call *call)
{
	struct option list[] = {{.name = "what"}, {.name = "passphrase-file"}};
	AUTO(options_drop) struct options o = {.list = list, .n = ARRAY_LEN(list)};
	AUTO(house_close) struct house h = {0};
	AUTO(secret_drop) struct secret passphrase = {0};
	const char *what;
	struct fault f;

	if (options_take(call, &o, &f) < 0)
		return complain_fault(&f);
	if (o.wants_help)
		return show_help(&export_command);
	what = list[0].n > 0 ? list[0].values[0] : "all";
	if (archive_what(what) == 0)
		return complain(
			EXIT_USAGE, "--what=%.40s must be connections, reviews or all", what);
	if (o.n_words > 0)
		return complain(EXIT_USAGE,
			"unexpected argument %.60s: the export goes to standard output",
			o.words[0]);
	if (archive_what(what) != ARCHIVE_REVIEWS && list[1].n == 0)
		return complain(EXIT_USAGE,
			"connections have secrets: say under which passphrase they are to be "
			"sealed (--passphrase-file FILE)");
	process_harden();
	if ((list[1].n > 0 && passphrase_read(list[1].values[0], &passphrase, &f) < 0) ||
		house_open(call, &o, false, &h, &f) < 0)
		return complain_fault(&f);
	return export_to(&h, what, &passphrase);
}

const struct command export_command = {
	.name = "export",
	.summary = "everything as JSON lines, for a backup or another database",
	.help = help,
	.run = export_run,
};
