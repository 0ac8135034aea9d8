/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define DAY_MS INT64_C(86400000)

enum type { TYPE_INT, TYPE_TEXT, TYPE_FLAG };
static const struct option {
	const char *name;
	enum type type;
	size_t offset;
	int64_t standard, least, most;
	const char *text; /* default of TYPE_TEXT; NULL: none */
	bool is_world;
	const char *help;
} table[] = {
#define INT_OPTION(name, member, standard, least, most, is_world, help)                        \
	{                                                                                      \
		name, TYPE_INT, offsetof(struct options, member), standard, least, most, NULL, \
			is_world, help                                                         \
	}
#define TEXT_OPTION(name, member, text, is_world, help)                                          \
	{                                                                                        \
		name, TYPE_TEXT, offsetof(struct options, member), 0, 0, 0, text, is_world, help \
	}
	INT_OPTION("port", port, 8085, 0, 65535, false, "port to listen on; 0 picks a free one"),
	TEXT_OPTION("host", host, "127.0.0.1", false, "address to listen on"),
	INT_OPTION("threads", threads, 2, 1, 64, false, "HTTP threads"),
	TEXT_OPTION("state", state, NULL, false,
		"file that keeps grants, clients and changes over a restart"),
	INT_OPTION("seed", seed, 1, 0, INT64_MAX, true, "which world it is"),
	INT_OPTION("users", users, 3, 1, 1000000, true, "people who can allow access"),
	INT_OPTION("accounts", accounts, 2, 1, 100000, true, "accounts of each person"),
	INT_OPTION("locations", locations, 6, 0, 1000000, true, "locations of each account"),
	INT_OPTION("reviews", reviews, 70, 0, 20000000, true, "reviews of a location, on average"),
	{"reviews-exact", TYPE_FLAG, offsetof(struct options, reviews_exact), 0, 0, 0, NULL, true,
		"every location has exactly that many"},
	INT_OPTION("shared", shared, 0, 0, 1000000, true,
		"so many locations of a person's first account show in the others too"),
	INT_OPTION("unverified-every", unverified_every, 0, 0, 1000000, true,
		"every so many-th location is unverified; 0: none"),
	TEXT_OPTION("end", end, NULL, true,
		"instant of the newest reviews (default: last midnight, UTC)"),
	INT_OPTION("quota", quota, -1, -1, 1000000000, false,
		"requests a minute per project and API; -1: no limit; 0: as if not approved"),
	INT_OPTION("edits", edits, -1, -1, 1000000000, false,
		"replies a minute per location; -1: no limit"),
	INT_OPTION("token-ttl", token_ttl, 3599, 1, 1000000000, false,
		"seconds that an access token lives"),
	TEXT_OPTION(
		"issuer", issuer, "https://accounts.google.com", false, "the iss of its answers"),
	TEXT_OPTION("auto-consent", auto_consent, "ask", false,
		"ask shows the consent page; allow or deny answers at once"),
	{"help", TYPE_FLAG, offsetof(struct options, wants_help), 0, 0, 0, NULL, false,
		"this text"},
};

static int set(const struct option *option, const char *value, struct options *o, struct fault *f)
{
	void *at = (char *)o + option->offset;
	int64_t n;

	o->is_world_given |= option->is_world;
	switch (option->type) {
	case TYPE_TEXT:
		*(const char **)at = value;
		return 0;
	case TYPE_FLAG:
		if (value && !text_equal(value, "true") && !text_equal(value, "false"))
			return fault_input(f, option->name,
				"--%s takes true or false, not \"%.40s\"", option->name, value);
		*(bool *)at = !text_equal(value, "false");
		return 0;
	case TYPE_INT:
		if (text_parse_int(value, &n) != 0 || n < option->least || n > option->most)
			return fault_input(f, option->name,
				"--%s takes a whole number from %lld to %lld, not \"%.40s\"",
				option->name, (long long)option->least, (long long)option->most,
				value);
		*(int64_t *)at = n;
		return 0;
	}
	return 0;
}

static void set_standards(struct options *o)
{
	*o = (struct options){0};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		void *at = (char *)o + table[i].offset;

		if (table[i].type == TYPE_INT)
			*(int64_t *)at = table[i].standard;
		else if (table[i].type == TYPE_TEXT)
			*(const char **)at = table[i].text;
	}
}

static int read_environment(struct options *o, struct fault *f)
{
	char name[64];
	const char *value;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		snprintf(name, sizeof(name), "SIMULATOR_%s", table[i].name);
		for (char *c = name; *c; c++)
			*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
		value = getenv(name);
		if (value && *value && set(&table[i], value, o, f) < 0)
			return -1;
	}
	return 0;
}

static const struct option *find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
			return &table[i];
	return NULL;
}

int options_read(int argc, char *const argv[], struct options *ret, struct fault *f)
{
	const struct option *option;
	const char *name, *value;

	set_standards(ret);
	if (read_environment(ret, f) < 0)
		return -1;
	for (int i = 1; i < argc; i++) {
		name = argv[i];
		if (!text_starts(name, "--"))
			return fault_input(f, "", "\"%.60s\" is not a flag; see --help", name);
		name += 2;
		value = strchr(name, '=');
		option = find(name, value ? (size_t)(value - name) : strlen(name));
		if (!option)
			return fault_input(f, "", "there is no flag --%.60s; see --help", name);
		if (value)
			value++;
		else if (option->type != TYPE_FLAG && !(value = argv[++i]))
			return fault_input(f, option->name, "--%s needs a value", option->name);
		if (set(option, value, ret, f) < 0)
			return -1;
	}
	return 0;
}

void options_help(struct buf *ret)
{
	char flag[40];

	buf_add_text(ret, "google-simulator plays the parts of Google that review-fetcher needs; "
			  "nothing in it is real.\n\n"
			  "Flags, or environment variables such as SIMULATOR_PORT:\n");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		snprintf(flag, sizeof(flag), "--%s%s", table[i].name,
			table[i].type == TYPE_FLAG  ? ""
			: table[i].type == TYPE_INT ? " N"
						    : " TEXT");
		buf_addf(ret, "  %-24s %s", flag, table[i].help);
		if (table[i].type == TYPE_INT)
			buf_addf(ret, " (%lld)", (long long)table[i].standard);
		else if (table[i].text)
			buf_addf(ret, " (%s)", table[i].text);
		buf_add_char(ret, '\n');
	}
	buf_add_text(ret,
		"\nGET /_control on the running simulator explains its faults and switches.\n");
}

int options_world(const struct options *o, int64_t now_ms, struct world *ret, struct fault *f)
{
	int64_t end_us = (now_ms - now_ms % DAY_MS) * 1000;

	if (o->end && clock_parse_us(o->end, &end_us) != 0)
		return fault_input(f, "end",
			"--end takes an instant such as 2026-01-31T00:00:00Z, not \"%.40s\"",
			o->end);
	*ret = (struct world){.seed = (uint64_t)o->seed,
		.users = o->users,
		.accounts = o->accounts,
		.locations = o->locations,
		.reviews = o->reviews,
		.reviews_exact = o->reviews_exact,
		.shared = o->shared,
		.unverified_every = o->unverified_every,
		.end_us = end_us - end_us % 1000000};
	return 0;
}
