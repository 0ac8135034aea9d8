/* SPDX-License-Identifier: Apache-2.0 */
#include "token_management/client_check.h"

#include <string.h>

#include "base/text.h"
#include "core/limits.h"
#include "net/net.h"

int client_check_text(const char *text, size_t max, const char *field, struct fault *f)
{
	size_t len = text != NULL ? strlen(text) : 0;

	if (len == 0 || len > max)
		return fault_input(
			f, field, "%s must have 1 to %zu bytes, not %zu", field, max, len);
	if (!text_is_utf8(text, len))
		return fault_input(f, field, "%s must be UTF-8", field);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];

		if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0))
			return fault_input(f, field,
				"%s must not contain control characters (byte %zu)", field, i + 1);
	}
	return 0;
}

int client_check_credential(const char *text, size_t max, const char *field, struct fault *f)
{
	size_t len = strlen(text);

	if (len == 0 || len > max)
		return fault_input(
			f, field, "%s must have 1 to %zu bytes, not %zu", field, max, len);
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] > 0x7e)
			return fault_input(
				f, field, "%s must be printable ASCII (byte %zu)", field, i + 1);
	}
	return 0;
}

int client_check_email(const char *text, struct fault *f)
{
	char shown[TEXT_EXCERPT_SIZE];
	const char *at, *dot;

	if (client_check_text(text, LIMIT_EMAIL_BYTES, "workspace_email", f) < 0)
		return -1;
	at = strrchr(text, '@');
	dot = at != NULL ? strrchr(at, '.') : NULL;
	if (at == NULL || at == text || at - text > 64 || strchr(text, '@') != at ||
		strpbrk(text, " ,;<>()[]\\\"") != NULL || dot == NULL || dot == at + 1 ||
		dot[1] == '\0' || at[1] == '.' || strstr(at, "..") != NULL)
		return fault_input(f, "workspace_email",
			"workspace_email is '%s': give an address like name@example.com",
			text_excerpt(text, shown));
	return 0;
}

int client_check_redirect(const char *url, struct fault *f)
{
	struct fault flaw = {0};
	char shown[TEXT_EXCERPT_SIZE];

	if (net_url_check(url, NET_URL_REDIRECT, "redirect_uri", &flaw) == 0)
		return 0;
	if (strchr(url, '@') != NULL)
		return fault_input(f, "redirect_uri", "redirect_uri %s", flaw.text);
	return fault_input(
		f, "redirect_uri", "redirect_uri '%s' %s", text_excerpt(url, shown), flaw.text);
}
