/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands share: their table, their options, opening what they work on. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "base/attr.h"
#include "base/fault.h"
#include "core/settings.h"
#include "store/store.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct call {
	int argc; /* argv[0] is the subcommand's own name */
	char **argv;
	char **envp;
	int64_t started_ms; /* monotonic */
};

struct command {
	const char *name;
	const char *summary;           /* one line for the list */
	const char *help;              /* behind --help, without settings */
	int (*run)(struct call *call); /* answers an exit code */
};

extern const struct command serve_command, doctor_command, migrate_command, key_command,
	vault_command, import_command, export_command, version_command, help_command;
extern const struct command *const commands[]; /* ended by NULL */

/* An option of a subcommand, filled by options_take. */
#define OPTION_VALUES_MOST 64
struct option {
	const char *name; /* "expires", without the dashes */
	bool is_switch;   /* takes no value */
	bool may_repeat;
	const char *values[OPTION_VALUES_MOST]; /* borrowed from argv */
	size_t n;
};

#define WORDS_MOST 4
struct options {
	struct option *list;
	size_t n;
	const char *words[WORDS_MOST]; /* what is no option, in order */
	size_t n_words;
	bool wants_help;
	char **settings_argv; /* flags for settings_load, behind one unused entry */
	int settings_argc;
};

/*
 * Sorts the arguments into the options of the list, plain words, and the flags of settings, which
 * every subcommand takes. -1 FAULT_INPUT: unknown (with the nearest known one), without its value,
 * twice, or too many words.
 */
MUST_CHECK int options_take(const struct call *call, struct options *o, struct fault *f);
void options_drop(struct options *o); /* for AUTO */

/* "review-fetcher: TEXT." on stderr; answers the exit code. */
int complain(int exit_code, const char *format, ...) PRINTF_LIKE(2, 3);
int complain_fault(const struct fault *f); /* EXIT_USAGE for FAULT_INPUT, else EXIT_FAILED */
/* The help of a command on stdout; EXIT_DONE. */
int show_help(const struct command *c);

MUST_CHECK int load_settings(
	const struct call *call, const struct options *o, struct settings **ret, struct fault *f);
/*
 * Opens the database for a short command beside a server that may be running. An empty one is
 * brought up to date when may_create; else one that is older or newer than this program is refused.
 */
MUST_CHECK int open_store(
	const struct settings *s, bool may_create, struct store **ret, struct fault *f);
/* Migrates up or refuses, as serve does: FAULT_CONFLICT on a newer schema. */
MUST_CHECK int bring_up(
	struct store *s, const struct store_version *v, int *ret_applied, struct fault *f);

#endif
