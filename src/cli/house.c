/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/house.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/ring.h"
#include "token_management/token_management.h"
#include "vault/vault.h"

#define PASSPHRASE_MOST 1024

void house_close(struct house *h)
{
	token_management_free(h->tokens);
	vault_close(h->vault);
	store_close(h->store);
	settings_free(h->settings);
}

MUST_CHECK static int open_alone(const struct settings *s, struct store **ret, struct fault *f)
{
	const struct store_options options = {
		.url = s->database_url, .connections = 2, .exclusive = true};
	struct store_version v;
	int applied;

	if (store_open(&options, ret, f) < 0) {
		if (f->kind == FAULT_CONFLICT)
			return fault_raise(f, FAULT_CONFLICT,
				"a server runs on this database: stop it first, and start it again "
				"when the import is done");
		return -1;
	}
	return store_version(*ret, &v, f) < 0 ? -1 : bring_up(*ret, &v, &applied, f);
}

int house_open(const struct call *call, const struct options *o, bool exclusive, struct house *ret,
	struct fault *f)
{
	struct token_management_parts parts = {0};

	if (load_settings(call, o, &ret->settings, f) < 0)
		return -1;
	if ((exclusive ? open_alone(ret->settings, &ret->store, f)
		       : open_store(ret->settings, true, &ret->store, f)) < 0 ||
		ring_open(ret->settings->vault_key_file, ret->store, &ret->vault, f) < 0)
		return -1;
	parts.settings = ret->settings;
	parts.store = ret->store;
	parts.vault = ret->vault;
	return token_management_new(&parts, &ret->tokens, f);
}

/* ---- the passphrase ---- */

MUST_CHECK static int check_file(int fd, const char *path, struct fault *f)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fault_input(f, "passphrase-file", "%.120s cannot be looked at", path);
	if (S_ISREG(st.st_mode) && (st.st_mode & 077) != 0)
		return fault_input(f, "passphrase-file",
			"%.120s can be read by others: run \"chmod 600\" on it", path);
	return 0;
}

int passphrase_read(const char *path, struct secret *ret, struct fault *f)
{
	char text[PASSPHRASE_MOST];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return fault_input(f, "passphrase-file", "%.120s cannot be read: %s", path,
			strerrordesc_np(errno));
	if (check_file(fd, path, f) < 0) {
		close(fd);
		return -1;
	}
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n > 0) {
		size_t len = 0;

		while (len < (size_t)n && text[len] != '\n' && text[len] != '\r')
			len++;
		if (len > 0 && len < sizeof(text))
			*ret = secret_from(text, len);
	}
	secret_wipe(text, sizeof(text));
	return secret_is_set(ret) ? 0
				  : fault_input(f, "passphrase-file",
					    "the first line of %.120s must be a passphrase of at "
					    "most %d bytes",
					    path, PASSPHRASE_MOST - 1);
}
