/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathers the text of each setting from flags, environment and file, keeping for each the source
 * that outranks the others, then hands it to the table's types and rules. Values pass through wiped
 * buffers.
 */
#include "core/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "core/nearest.h"
#include "core/settings_table.h"

#define VALUE_MOST (64 * 1024)
#define FILE_MOST (256 * 1024)

struct load {
	struct settings *settings;
	struct setting_given *given; /* one per row */
	const char *config_file;     /* borrowed from argv */
};

static void load_drop(struct load *l)
{
	settings_free(l->settings);
	if (l->given == NULL)
		return;
	for (size_t i = 0; i < settings_table_len; i++)
		buf_drop(&l->given[i].text);
	mem_free(l->given);
}

/* Keeps a value unless one of a higher source, or of a name that goes before, is there already. */
static void keep(struct load *l, const struct setting *row, unsigned name, enum setting_rank rank,
	const char *from, const char *value, size_t len)
{
	struct setting_given *given = &l->given[row - settings_table];

	if (len == 0 || rank < given->rank || (rank == given->rank && name > given->name))
		return;
	buf_drop(&given->text);
	given->text = BUF_INIT_WIPED(VALUE_MOST);
	buf_add(&given->text, value, len);
	given->rank = rank;
	given->name = name;
	snprintf(given->from, sizeof(given->from), "%s", from);
}

/* kind: "flag", with its dashes, or "setting". */
static int unknown(const char *where, const char *kind, const char *name, struct fault *f)
{
	bool is_flag = strcmp(kind, "flag") == 0;
	const char *near = setting_nearest(name);
	char flag[SETTING_FLAG_SIZE];

	if (near != NULL)
		return fault_input(f, name, "%sunknown %s %s%.60s; did you mean %s?", where, kind,
			is_flag ? "--" : "", name, is_flag ? setting_flag(near, flag) : near);
	return fault_input(f, name,
		"%sunknown %s %s%.60s; \"review-fetcher serve --help\" lists them all", where, kind,
		is_flag ? "--" : "", name);
}

/* ---- secrets from files ---- */

/* what: in words, "the settings file". */
static int read_whole(const char *path, const char *what, struct buf *ret, struct fault *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char piece[4096];
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, piece, sizeof(piece))) > 0 && !buf_failed(ret))
		buf_add(ret, piece, (size_t)n);
	if (n < 0)
		fault_input(f, "config", "cannot read %s %.120s: %s", what, path, strerror(errno));
	else if (buf_failed(ret))
		n = fault_input(
			f, "config", "%s %.120s is longer than %zu bytes", what, path, ret->max);
	if (fd >= 0)
		close(fd);
	secret_wipe(piece, sizeof(piece));
	return n < 0 ? -1 : 0;
}

/* KEY_FILE, for a secret KEY: containers and service managers hand secrets over as files. */
static const struct setting *find_file_of(const char *name, size_t len, unsigned *ret_name)
{
	const struct setting *row;

	if (len <= 5 || (strncmp(name + len - 5, "_FILE", 5) != 0 &&
				strncmp(name + len - 5, "-file", 5) != 0))
		return NULL;
	row = setting_find(name, len - 5, ret_name);
	return row != NULL && row->secret ? row : NULL;
}

static int keep_file_of(struct load *l, const struct setting *row, unsigned name,
	enum setting_rank rank, const char *path, struct fault *f)
{
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(VALUE_MOST);
	char from[64], what[96];

	if (*path == '\0')
		return 0;
	snprintf(from, sizeof(from), "%s_FILE", row->key);
	snprintf(what, sizeof(what), "the file of %s,", from);
	if (read_whole(path, what, &text, f) < 0)
		return -1;
	while (text.len > 0 && strchr("\r\n", text.data[text.len - 1]) != NULL)
		text.len--;
	if (text.len == 0 || memchr(text.data, '\0', text.len) != NULL)
		return fault_input(f, row->key, "%s %.120s, is %s", what, path,
			text.len == 0 ? "empty" : "no text file");
	keep(l, row, name, rank, from, text.data, text.len);
	return 0;
}

/* ---- flags ---- */

static int keep_flag(
	struct load *l, const char *name, size_t name_len, const char *value, struct fault *f)
{
	char typed[64];
	const struct setting *row;
	unsigned alias;

	snprintf(typed, sizeof(typed), "%.*s", (int)name_len, name);
	if (strcmp(typed, "config") == 0) {
		l->config_file = value;
		return 0;
	}
	row = setting_find(name, name_len, &alias);
	if (row == NULL) {
		row = find_file_of(name, name_len, &alias);
		return row != NULL ? keep_file_of(l, row, alias, SETTING_FLAG, value, f)
				   : unknown("", "flag", typed, f);
	}
	if (row->type == SETTING_SECRET ||
		(strcmp(row->key, "TOKEN_MANAGEMENT_DATABASE_URL") == 0 &&
			setting_bears_password(value)))
		return fault_input(f, row->key,
			"%s is a secret, and every user of the machine can read a command line: "
			"give it "
			"in the environment, in the file of --config, or as %s_FILE",
			row->key, row->key);
	keep(l, row, alias, SETTING_FLAG, "flag", value, strlen(value));
	return 0;
}

static int read_flags(struct load *l, int argc, char *const argv[], struct fault *f)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + 2;
		const char *equals;

		if (!text_starts(argv[i], "--") || *name == '\0')
			return fault_input(f, "",
				"unexpected argument %.60s; settings are given as --key=value",
				argv[i]);
		equals = strchr(name, '=');
		if (equals != NULL) {
			if (keep_flag(l, name, (size_t)(equals - name), equals + 1, f) < 0)
				return -1;
			continue;
		}
		if (i + 1 == argc || text_starts(argv[i + 1], "--")) {
			unsigned alias;

			if (setting_find(name, strlen(name), &alias) == NULL &&
				find_file_of(name, strlen(name), &alias) == NULL &&
				strcmp(name, "config") != 0)
				return unknown("", "flag", name, f);
			return fault_input(
				f, name, "--%.60s needs a value: --%.60s=VALUE", name, name);
		}
		if (keep_flag(l, name, strlen(name), argv[++i], f) < 0)
			return -1;
	}
	return 0;
}

/* ---- environment ---- */

static int read_environment(struct load *l, char *const envp[], struct fault *f)
{
	for (; envp != NULL && *envp != NULL; envp++) {
		const char *equals = strchr(*envp, '=');
		const struct setting *row;
		unsigned alias;

		/* Exactly as written: the environment belongs to everybody, so "path" is not ours.
		 */
		if (equals == NULL ||
			strcspn(*envp, "-abcdefghijklmnopqrstuvwxyz=") != (size_t)(equals - *envp))
			continue;
		row = setting_find(*envp, (size_t)(equals - *envp), &alias);
		if (row != NULL)
			keep(l, row, alias, SETTING_ENVIRONMENT, "environment", equals + 1,
				strlen(equals + 1));
		else if ((row = find_file_of(*envp, (size_t)(equals - *envp), &alias)) != NULL &&
			 keep_file_of(l, row, alias, SETTING_ENVIRONMENT, equals + 1, f) < 0)
			return -1;
	}
	return 0;
}

/* ---- file ---- */

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
		text[--len] = '\0';
	return text;
}

/* Takes one pair of quotes off; NULL: they do not match. */
static char *unquote(char *value)
{
	size_t len = strlen(value);
	char quote = value[0];

	if (quote != '"' && quote != '\'')
		return value;
	if (len < 2 || value[len - 1] != quote || strchr(value + 1, quote) != value + len - 1)
		return NULL;
	value[len - 1] = '\0';
	return value + 1;
}

static int keep_line(struct load *l, const char *from, char *line, struct fault *f)
{
	char where[80];
	char *equals = strchr(line, '=');
	const struct setting *row;
	char *key = line;
	char *value;
	unsigned alias;
	bool is_file;

	snprintf(where, sizeof(where), "%s: ", from);
	if (equals == NULL)
		return fault_input(f, "config",
			"%sa line must be KEY=value, or a comment that starts with #", where);
	*equals = '\0';
	key = trim(key);
	row = setting_find(key, strlen(key), &alias);
	is_file = row == NULL;
	if (is_file)
		row = find_file_of(key, strlen(key), &alias);
	if (row == NULL)
		return unknown(where, "setting", key, f);
	value = unquote(trim(equals + 1));
	if (value == NULL)
		return fault_input(f, row->key, "%sthe quotes around the value of %s do not match",
			where, row->key);
	if (l->given[row - settings_table].rank == SETTING_FILE &&
		l->given[row - settings_table].name == alias)
		return fault_input(f, row->key, "%s%s stands a second time, first at %s", where,
			row->key, l->given[row - settings_table].from);
	if (is_file)
		return keep_file_of(l, row, alias, SETTING_FILE, value, f);
	keep(l, row, alias, SETTING_FILE, from, value, strlen(value));
	return 0;
}

static int read_file(struct load *l, struct fault *f)
{
	AUTO(buf_drop) struct buf text = BUF_INIT_WIPED(FILE_MOST);
	const char *name = strrchr(l->config_file, '/');
	char from[64];
	char *line;
	unsigned number = 0;

	name = name != NULL ? name + 1 : l->config_file;
	if (read_whole(l->config_file, "the settings file", &text, f) < 0)
		return -1;
	if (text.len == 0)
		return 0;
	if (memchr(text.data, '\0', text.len) != NULL)
		return fault_input(
			f, "config", "the settings file %.120s is not a text file", l->config_file);
	line = text.data;
	while (line != NULL) {
		char *end = strchr(line, '\n');

		if (end != NULL)
			*end = '\0';
		number++;
		line = trim(line);
		snprintf(from, sizeof(from), "%.40s:%u", name, number);
		if (*line != '\0' && *line != '#' && keep_line(l, from, line, f) < 0)
			return -1;
		line = end != NULL ? end + 1 : NULL;
	}
	return 0;
}

/* ---- all of it ---- */

static int assign_all(struct load *l, struct fault *f)
{
	for (size_t i = 0; i < settings_table_len; i++) {
		const struct setting *row = &settings_table[i];

		if (l->given[i].rank == SETTING_DEFAULT) {
			if (row->fallback == NULL)
				continue;
			l->given[i].text = BUF_INIT_WIPED(VALUE_MOST);
			buf_add_text(&l->given[i].text, row->fallback);
		}
		if (setting_assign(l->settings, row, &l->given[i], f) < 0)
			return -1;
	}
	return 0;
}

int settings_load(
	int argc, char *const argv[], char *const envp[], struct settings **ret, struct fault *f)
{
	AUTO(load_drop) struct load l = {0};

	l.settings = mem_alloc(sizeof(*l.settings));
	l.given = mem_alloc_array(settings_table_len, sizeof(*l.given));
	if (read_flags(&l, argc, argv, f) < 0)
		return -1;
	if (read_environment(&l, envp, f) < 0)
		return -1;
	if (l.config_file != NULL && read_file(&l, f) < 0)
		return -1;
	if (assign_all(&l, f) < 0 || settings_relate(l.settings, l.given, f) < 0)
		return -1;
	*ret = TAKE(l.settings);
	return 0;
}

void settings_free(struct settings *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < settings_table_len; i++) {
		const struct setting *row = &settings_table[i];

		if (row->type == SETTING_TEXT || row->type == SETTING_BASE ||
			row->type == SETTING_ADDRESS)
			mem_wipe_free(setting_text(s, row));
	}
	secret_drop(&s->google_client_secret);
	secret_drop(&s->webhook_secret);
	secret_drop(&s->database_password);
	mem_free(s);
}

void settings_freep(struct settings **s)
{
	settings_free(*s);
}
