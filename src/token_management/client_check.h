/* SPDX-License-Identifier: Apache-2.0 */
/* What the fields of a client may hold, whoever sets them. -1 FAULT_INPUT that names the field. */
#ifndef TOKEN_MANAGEMENT_CLIENT_CHECK_H
#define TOKEN_MANAGEMENT_CLIENT_CHECK_H

#include "base/attr.h"
#include "base/fault.h"

/* Text for people and names: UTF-8 without control characters (C0, DEL, C1). NULL is refused. */
MUST_CHECK int client_check_text(const char *text, size_t max, const char *field, struct fault *f);
/* RFC 6749 appendix A.1 and A.2: visible ASCII characters and blanks. */
MUST_CHECK int client_check_credential(
	const char *text, size_t max, const char *field, struct fault *f);
/* The shape alone: one '@' between a local part and a domain with a dot; no blanks, no controls. */
MUST_CHECK int client_check_email(const char *text, struct fault *f);
/* An exact redirect address (net_url_check); the text shows it unless a password may stand in it.
 */
MUST_CHECK int client_check_redirect(const char *url, struct fault *f);

#endif
