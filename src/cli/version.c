/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/command.h"

static int version_run(struct call *call)
{
	AUTO(options_drop) struct options o = {0};
	struct fault f;

	if (options_take(call, &o, &f) < 0)
		return complain_fault(&f);
	if (o.wants_help)
		return show_help(&version_command);
	if (o.n_words > 0)
		return complain(EXIT_USAGE, "version takes no argument %.60s", o.words[0]);
	puts("review-fetcher " CLI_VERSION);
	return EXIT_DONE;
}

const struct command version_command = {
	.name = "version",
	.summary = "the version of this program",
	.help = "Usage: review-fetcher version\n\nPrints the version of this program.\n",
	.run = version_run,
};
