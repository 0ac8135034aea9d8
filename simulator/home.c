/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "simulator/page.h"
#include "simulator/simulator.h"

static void add_number(struct buf *b, const char *name, int64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)n);
	page_add(b, "<tr><td>%s</td><td>%s</td></tr>\n", name, text);
}

void home_page(struct request *r)
{
	const struct world *w = &r->sim->overlay.world;
	struct buf *b = page_open(r, 200, "Simulated Google", NULL);

	buf_add_text(b, "<section class=\"card\"><h1>Simulated Google</h1>\n"
			"<p>This program plays the parts of Google that review-fetcher talks to, "
			"so that it can be tried "
			"and tested without a Google account: the consent page, the token "
			"endpoint, and the three APIs "
			"that lead to the reviews. Nothing here is real, and nothing leaves this "
			"machine.</p>\n"
			"<h2>Its world</h2><table>\n");
	add_number(b, "People who can allow access", w->users);
	add_number(b, "Accounts of each", w->accounts);
	add_number(b, "Locations of each account", w->locations);
	add_number(b,
		w->reviews_exact ? "Reviews of each location" : "Reviews of a location, on average",
		w->reviews);
	buf_add_text(b,
		"</table>\n<h2>What it answers</h2><table>\n"
		"<tr><td><code>GET /o/oauth2/v2/auth</code></td><td>the consent page</td></tr>\n"
		"<tr><td><code>POST /token</code>, <code>/revoke</code></td><td>tokens</td></tr>\n"
		"<tr><td><code>GET /v1/accounts</code></td><td>Account Management</td></tr>\n"
		"<tr><td><code>GET /v1/accounts/…/locations</code></td><td>Business "
		"Information</td></tr>\n"
		"<tr><td><code>GET /v4/accounts/…/locations/…/reviews</code></td><td>reviews and "
		"replies</td></tr>\n"
		"<tr><td><code>GET "
		"/v1/accounts/…/notificationSetting</code></td><td>notifications</td></tr>\n"
		"<tr><td><a "
		"href=\"/.well-known/openid-configuration\">/.well-known/openid-configuration</a></"
		"td>"
		"<td>discovery</td></tr>\n</table>\n"
		"<h2>For tests and for the curious</h2><table>\n"
		"<tr><td><a href=\"/_control\">/_control</a></td><td>every fault and switch, "
		"explained</td></tr>\n"
		"<tr><td><a href=\"/_control/counts\">/_control/counts</a></td><td>what was asked "
		"so far</td></tr>\n"
		"<tr><td><a href=\"/_control/world\">/_control/world</a></td><td>the world in "
		"numbers</td></tr>\n"
		"<tr><td><a href=\"/_control/world/locations\">/_control/world/locations</a></td>"
		"<td>its locations</td></tr>\n</table></section>\n");
	page_close(b);
}
