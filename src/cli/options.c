/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "core/nearest.h"
#include "core/settings_table.h"

static struct option *find_option(struct options *o, const char *name, size_t len)
{
	for (size_t i = 0; i < o->n; i++) {
		if (strlen(o->list[i].name) == len && strncmp(o->list[i].name, name, len) == 0)
			return &o->list[i];
	}
	return NULL;
}

static bool is_setting(const char *name, size_t len)
{
	unsigned alias;

	return (len == strlen("config") && strncmp(name, "config", len) == 0) ||
	       setting_find(name, len, &alias) != NULL;
}

static int unknown(const struct call *call, const struct options *o, const char *name, size_t len,
	struct fault *f)
{
	char typed[64];
	char flag[SETTING_FLAG_SIZE];
	struct nearest n = NEAREST(typed);
	const char *setting;

	snprintf(typed, sizeof(typed), "%.*s", (int)len, name);
	setting = setting_nearest(typed);
	nearest_offer(&n, "config");
	nearest_offer(&n, "help");
	if (setting != NULL)
		nearest_offer(&n, setting);
	for (size_t i = 0; i < o->n; i++)
		nearest_offer(&n, o->list[i].name);
	if (n.best == NULL)
		return fault_input(f, typed,
			"unknown flag --%s; \"review-fetcher %s --help\" lists them", typed,
			call->argv[0]);
	return fault_input(
		f, typed, "unknown flag --%s; did you mean %s?", typed, setting_flag(n.best, flag));
}

/* Answers whether argv[i + 1] was used too. */
static int take_option(
	const struct call *call, int i, struct option *option, const char *equals, struct fault *f)
{
	const char *value = equals != NULL ? equals + 1 : NULL;
	int used = 0;

	if (option->is_switch && value != NULL)
		return fault_input(f, option->name, "--%s takes no value", option->name);
	if (!option->is_switch && value == NULL) {
		if (i + 1 == call->argc || text_starts(call->argv[i + 1], "--"))
			return fault_input(f, option->name, "--%s needs a value: --%s=VALUE",
				option->name, option->name);
		value = call->argv[i + 1];
		used = 1;
	}
	if (option->n > 0 && !option->may_repeat)
		return fault_input(f, option->name, "--%s is given twice", option->name);
	if (option->n == OPTION_VALUES_MOST)
		return fault_input(f, option->name, "--%s is given more than %d times",
			option->name, OPTION_VALUES_MOST);
	option->values[option->n++] = value;
	return used;
}

static void pass_on(struct options *o, char *argument)
{
	o->settings_argv[o->settings_argc++] = argument;
}

/* Answers whether argv[i + 1] was used too. */
static int take_flag(const struct call *call, int i, struct options *o, struct fault *f)
{
	const char *name = call->argv[i] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
	struct option *option = find_option(o, name, len);

	if (option != NULL)
		return take_option(call, i, option, equals, f);
	if (!is_setting(name, len))
		return unknown(call, o, name, len, f);
	pass_on(o, call->argv[i]);
	if (equals != NULL || i + 1 == call->argc || text_starts(call->argv[i + 1], "--"))
		return 0;
	pass_on(o, call->argv[i + 1]);
	return 1;
}

int options_take(const struct call *call, struct options *o, struct fault *f)
{
	bool only_words = false; /* behind "--", for an id that looks like a flag */

	o->settings_argv = mem_alloc_array((size_t)call->argc + 1, sizeof(char *));
	o->settings_argv[0] = call->argv[0];
	o->settings_argc = 1;
	for (int i = 1; i < call->argc; i++) {
		const char *argument = call->argv[i];
		int used;

		if (!only_words && strcmp(argument, "--") == 0) {
			only_words = true;
		} else if (!only_words &&
			   (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)) {
			o->wants_help = true;
		} else if (!only_words && text_starts(argument, "--")) {
			used = take_flag(call, i, o, f);
			if (used < 0)
				return o->wants_help ? 0 : -1;
			i += used;
		} else if (o->n_words == WORDS_MOST) {
			return fault_input(f, "", "unexpected argument %.60s", argument);
		} else {
			o->words[o->n_words++] = argument;
		}
	}
	return 0;
}

void options_drop(struct options *o)
{
	mem_free(o->settings_argv);
	o->settings_argv = NULL;
}
