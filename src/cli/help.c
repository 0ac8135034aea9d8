/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

static int list_commands(void)
{
	puts("review-fetcher keeps the Google connections of business branches alive, hands out "
	     "access\n"
	     "tokens that work, and fetches the branches' reviews.\n"
	     "\n"
	     "Usage: review-fetcher COMMAND [ARGUMENTS]\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; commands[i] != NULL; i++)
		printf("  %-9s %s\n", commands[i]->name, commands[i]->summary);
	puts("\n"
	     "\"review-fetcher COMMAND --help\" says more; \"review-fetcher serve --help\" lists "
	     "every\n"
	     "setting.");
	return EXIT_DONE;
}

/* "help key" asks "key" for its help in its own words. */
static int help_run(struct call *call)
{
	char asked[] = "--help";

	if (call->argc < 2 || call->argv[1][0] == '-')
		return list_commands();
	for (size_t i = 0; commands[i] != NULL; i++) {
		char *argv[] = {call->argv[1], asked, NULL};
		struct call other = {.argc = 2, .argv = argv, .envp = call->envp};

		if (commands[i] != &help_command && strcmp(call->argv[1], commands[i]->name) == 0)
			return commands[i]->run(&other);
	}
	return complain(EXIT_USAGE,
		"there is no command %.60s; \"review-fetcher help\" lists those there are",
		call->argv[1]);
}

const struct command help_command = {
	.name = "help",
	.summary = "this list, or what a command does: help COMMAND",
	.run = help_run,
};
