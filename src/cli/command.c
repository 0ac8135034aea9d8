/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

const struct command *const commands[] = {&serve_command, &doctor_command, &migrate_command,
	&key_command, &vault_command, &import_command, &export_command, &version_command,
	&help_command, NULL};

int complain(int exit_code, const char *format, ...)
{
	char text[512];
	size_t len;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	len = strlen(text);
	fprintf(stderr, "review-fetcher: %s%s\n", text,
		len > 0 && strchr(".?!", text[len - 1]) != NULL ? "" : ".");
	return exit_code;
}

int complain_fault(const struct fault *f)
{
	return complain(f->kind == FAULT_INPUT ? EXIT_USAGE : EXIT_FAILED, "%s", f->text);
}

int show_help(const struct command *c)
{
	fputs(c->help, stdout);
	return EXIT_DONE;
}

int load_settings(
	const struct call *call, const struct options *o, struct settings **ret, struct fault *f)
{
	if (settings_load(o->settings_argc, o->settings_argv, call->envp, ret, f) < 0)
		return -1;
	log_set_level((*ret)->log_level);
	return 0;
}

static int refuse_newer(const struct store_version *v, struct fault *f)
{
	return fault_raise(f, FAULT_CONFLICT,
		"the database has schema version %" PRId64
		", and this program knows versions up to %" PRId64
		": start the newer program that made it, or take the database back with that "
		"program's \"migrate down %" PRId64 "\"",
		v->database, v->binary, v->binary);
}

static int refuse_original(struct fault *f)
{
	return fault_raise(f, FAULT_CONFLICT,
		"the database is the original service's and is not taken over, or not to the end: "
		"run \"review-fetcher migrate up\" first (docs/migrate.md)");
}

int bring_up(struct store *s, const struct store_version *v, int *ret_applied, struct fault *f)
{
	*ret_applied = 0;
	if (v->database > v->binary)
		return refuse_newer(v, f);
	if (v->is_original)
		return refuse_original(f);
	if (v->database == v->binary)
		return 0;
	return store_migrate_up(s, ret_applied, f);
}

static int make_ready(struct store *s, bool may_create, struct fault *f)
{
	struct store_version v;
	int applied;

	if (store_version(s, &v, f) < 0)
		return -1;
	if (v.database > v.binary)
		return refuse_newer(&v, f);
	if (v.is_original)
		return refuse_original(f);
	if (v.database == v.binary)
		return 0;
	if (v.database > 0)
		return fault_raise(f, FAULT_CONFLICT,
			"the database has schema version %" PRId64
			" and this program needs %" PRId64
			": run \"review-fetcher migrate up\" first",
			v.database, v.binary);
	if (!may_create)
		return fault_raise(f, FAULT_MISSING,
			"the database is empty: start \"review-fetcher serve\" or run "
			"\"review-fetcher migrate up\" first");
	return store_migrate_up(s, &applied, f);
}

int open_store(const struct settings *s, bool may_create, struct store **ret, struct fault *f)
{
	const struct store_options options = {.url = s->database_url, .connections = 2};
	AUTO(store_closep) struct store *store = NULL;

	if (store_open(&options, &store, f) < 0 || make_ready(store, may_create, f) < 0)
		return -1;
	*ret = TAKE(store);
	return 0;
}
