/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/process.h"
#include "cli/ring.h"
#include "token_management/token_management_secrets.h"
#include "vault/vault.h"

#define PROGRESS_EVERY_MS 1000

static const char help[] =
	"Usage: review-fetcher vault rotate [--prepare | --forget-retired]\n"
	"\n"
	"Makes a new key in the key ring (VAULT_KEY_FILE) and seals every stored secret anew "
	"under\n"
	"it, beside servers that run: they take the new key up by themselves. It may be "
	"interrupted\n"
	"at any moment; run again, it goes on where it was. Exit code 1: it did not end, or there\n"
	"are values that cannot be opened, which it names and leaves as they are.\n"
	"\n"
	"Older keys stay in the ring, since backups made before need them.\n"
	"\n"
	"  --prepare         only adds the key that the next rotation will use. For a ring that "
	"is\n"
	"                    copied to several machines: prepare, copy it to all of them, rotate,\n"
	"                    copy it again\n"
	"  --forget-retired  makes no new key, but takes out of the ring the older keys that no\n"
	"                    stored value uses. Takes some ten seconds\n"
	"\n"
	"Takes every setting as a flag too; see \"review-fetcher serve --help\".\n";

static const struct actor self = {.name = "cli"};

static volatile sig_atomic_t is_stopped;

static void stop(int number)
{
	(void)number;
	is_stopped = 1;
}

/* The first Ctrl-C ends it with a word on how far it got; the next one at once, which is as safe.
 */
static void catch_signals(void)
{
	const struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* ---- what people see ---- */

struct progress {
	const struct rotation *rotation;
	int64_t next_ms;
};

static int show_progress(void *arg, int64_t done, int64_t total)
{
	struct progress *p = arg;
	int64_t now_ms = clock_mono_ms();

	if (is_stopped)
		return 1;
	if (now_ms < p->next_ms)
		return 0;
	p->next_ms = now_ms + PROGRESS_EVERY_MS;
	fprintf(stderr, "%s %" PRId64 " of %" PRId64 " values\n",
		p->rotation->n_walks > 1 ? "checked" : "sealed", done, total);
	return 0;
}

static const char *plural(int64_t n)
{
	return n == 1 ? "" : "s";
}

/* What could not be opened, on stderr; answers the exit code. */
static int show_failures(const struct rotation *x)
{
	if (x->n_failed == 0)
		return EXIT_DONE;
	for (size_t i = 0; i < ROTATION_FAILURES_NAMED && x->failures[i] != NULL; i++)
		complain(EXIT_FAILED, "%s", x->failures[i]);
	return complain(EXIT_FAILED,
		"%" PRId64 " value%s cannot be opened and stay%s as before: put back the key ring "
		"or the rows of their time and run this again, or connect those branches again",
		x->n_failed, plural(x->n_failed), x->n_failed == 1 ? "s" : "");
}

static int show_rotated(const struct rotation *x)
{
	if (x->is_resumed)
		printf("The rotation to key %" PRIu32 " is ended: %" PRId64
		       " more value%s brought under it.\n",
			x->key, x->n_resealed, plural(x->n_resealed));
	else
		printf("Key %" PRIu32 " seals from now on: %" PRId64 " value%s brought under it.\n",
			x->key, x->n_resealed, plural(x->n_resealed));
	if (x->n_kept > 0)
		printf("The ring keeps %zu older key%s, which backups made before need; \"vault "
		       "rotate --forget-retired\" takes out those that no stored value uses.\n",
			x->n_kept, plural((int64_t)x->n_kept));
	return show_failures(x);
}

static int show_prepared(const struct rotation *x)
{
	printf("Key %" PRIu32 " %s in the ring and will seal after the next \"vault rotate\".\n",
		x->key, x->is_resumed ? "was already" : "is");
	return EXIT_DONE;
}

static int show_forgotten(const struct rotation *x)
{
	if (x->n_resealed > 0)
		printf("%" PRId64 " value%s brought under key %" PRIu32 " first.\n", x->n_resealed,
			plural(x->n_resealed), x->key);
	if (x->n_forgotten == 0)
		printf("There is no key to take out; key %" PRIu32 " seals", x->key);
	else
		printf("Took %zu older key%s out of the ring; key %" PRIu32 " seals",
			x->n_forgotten, plural((int64_t)x->n_forgotten), x->key);
	if (x->n_kept > 0)
		printf(", and %zu that stored values use %s kept", x->n_kept,
			x->n_kept == 1 ? "is" : "are");
	puts(".");
	return show_failures(x);
}

/* ---- */

struct way {
	int (*run)(struct token_management *tm, struct rotation *x, struct fault *f);
	int (*show)(const struct rotation *x);
};

static void free_tokens(struct token_management **tm)
{
	token_management_free(*tm);
}

static int rotate(const struct settings *s, const struct way *way)
{
	AUTO(vault_closep) struct vault *vault = NULL;
	AUTO(store_closep) struct store *store = NULL;
	AUTO(free_tokens) struct token_management *tm = NULL;
	struct token_management_parts parts = {.settings = s};
	AUTO(rotation_done) struct rotation x = {.who = &self, .progress = show_progress};
	struct progress progress = {&x, clock_mono_ms() + PROGRESS_EVERY_MS};
	struct fault f;
	int outcome;

	if (open_store(s, false, &store, &f) < 0 ||
		ring_open(s->vault_key_file, store, &vault, &f) < 0)
		return complain_fault(&f);
	x.arg = &progress;
	parts.vault = vault;
	parts.store = store;
	if (token_management_new(&parts, &tm, &f) < 0)
		return complain_fault(&f);
	outcome = way->run(tm, &x, &f);
	if (outcome < 0)
		return complain_fault(&f);
	if (outcome == ROTATION_STOPPED)
		return complain(EXIT_FAILED,
			"stopped, with %" PRId64 " value%s brought under key %" PRIu32
			"; run it again to go on",
			x.n_resealed, plural(x.n_resealed), x.key);
	return way->show(&x);
}

static int wrong_words(const struct options *o)
{
	if (o->n_words == 0)
		return complain(EXIT_USAGE, "say what to do with the vault: vault rotate");
	if (strcmp(o->words[0], "rotate") != 0)
		return complain(EXIT_USAGE, "vault knows rotate, not %.60s", o->words[0]);
	if (o->n_words > 1)
		return complain(EXIT_USAGE, "unexpected argument %.60s", o->words[1]);
	if (o->list[0].n > 0 && o->list[1].n > 0)
		return complain(EXIT_USAGE,
			"--prepare and --forget-retired are two ways: give one of them");
	return EXIT_DONE;
}

static int vault_run(struct call *call)
{
	static const struct way rotating = {secrets_rotate, show_rotated},
				preparing = {secrets_prepare, show_prepared},
				forgetting = {secrets_forget, show_forgotten};
	struct option known[] = {{.name = "prepare", .is_switch = true},
		{.name = "forget-retired", .is_switch = true}};
	AUTO(options_drop) struct options o = {.list = known, .n = ARRAY_LEN(known)};
	AUTO(settings_freep) struct settings *s = NULL;
	struct fault f;
	int wrong;

	if (options_take(call, &o, &f) < 0)
		return complain_fault(&f);
	if (o.wants_help)
		return show_help(&vault_command);
	wrong = wrong_words(&o);
	if (wrong != EXIT_DONE)
		return wrong;
	process_harden();
	if (load_settings(call, &o, &s, &f) < 0)
		return complain_fault(&f);
	catch_signals();
	if (known[0].n > 0)
		return rotate(s, &preparing);
	return rotate(s, known[1].n > 0 ? &forgetting : &rotating);
}

const struct command vault_command = {
	.name = "vault",
	.summary = "the key that seals stored secrets: vault rotate",
	.help = help,
	.run = vault_run,
};
