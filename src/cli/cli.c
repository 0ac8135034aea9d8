/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/command.h"
#include "core/nearest.h"

static const struct command *find_command(const char *name)
{
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return &help_command;
	if (strcmp(name, "--version") == 0)
		return &version_command;
	for (size_t i = 0; commands[i] != NULL; i++) {
		if (strcmp(name, commands[i]->name) == 0)
			return commands[i];
	}
	return NULL;
}

static int unknown_command(const char *name)
{
	struct nearest n = NEAREST(name);

	for (size_t i = 0; commands[i] != NULL; i++)
		nearest_offer(&n, commands[i]->name);
	if (n.best != NULL)
		return complain(
			EXIT_USAGE, "there is no command %.60s; did you mean %s?", name, n.best);
	return complain(EXIT_USAGE,
		"there is no command %.60s; \"review-fetcher help\" lists those there are", name);
}

int cli_main(int argc, char *argv[], char *envp[])
{
	struct call call = {.envp = envp, .started_ms = clock_mono_ms()};
	const struct command *command;
	int exit_code;

	/* Whatever is created – database, key ring, lock – is for this user alone. */
	umask(077);
	hash_init();
	json_start();
	if (argc < 2)
		return complain(
			EXIT_USAGE, "say what to do: \"review-fetcher help\" lists the commands");
	command = find_command(argv[1]);
	if (command == NULL)
		return unknown_command(argv[1]);
	call.argc = argc - 1;
	call.argv = argv + 1;
	exit_code = command->run(&call);
	/* A full disk behind a redirection must not pass for success. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && exit_code == EXIT_DONE)
		return complain(EXIT_FAILED, "the output could not be written");
	return exit_code;
}
