/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/simulator.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "simulator/changes.h"
#include "simulator/id_token.h"

struct tunables tunables(struct simulator *s)
{
	struct tunables copy;

	pthread_mutex_lock(&s->tunables_lock);
	copy = s->tunables_now;
	pthread_mutex_unlock(&s->tunables_lock);
	return copy;
}

void simulator_init(struct simulator *s, const struct world *w)
{
	*s = (struct simulator){.notifications = MAP_INIT};
	overlay_init(&s->overlay, w);
	faults_init(&s->faults);
	grants_init(&s->grants, &s->counts);
	pthread_mutex_init(&s->tunables_lock, NULL);
	pthread_mutex_init(&s->settings_lock, NULL);
	s->id_key = id_key_new();
	s->started_ms = clock_wall_ms();
	s->tunables_now = (struct tunables){.issuer = "https://accounts.google.com",
		.send_iss = true,
		.certs_max_age_sec = 6 * 3600,
		.reply_state = "APPROVED",
		.quota = {.per_minute = -1, .edits_per_minute = -1, .slack_percent = 1}};
}

static int free_text(void *arg, const void *key, size_t len, void *value)
{
	(void)arg, (void)key, (void)len;
	mem_free(value);
	return 0;
}

void simulator_free(struct simulator *s)
{
	grants_free(&s->grants);
	faults_free(&s->faults);
	overlay_free(&s->overlay);
	map_each(&s->notifications, free_text, NULL);
	map_drop(&s->notifications);
	id_key_free(s->id_key);
	journal_close(s->journal);
	pthread_mutex_destroy(&s->tunables_lock);
	pthread_mutex_destroy(&s->settings_lock);
}

int simulator_replay(void *simulator, const json_t *line, struct fault *f)
{
	struct simulator *s = simulator;
	const char *kind = json_text(line, "k"), *account = json_text(line, "account");
	const char *setting = json_text(line, "setting");

	(void)f;
	if (text_equal(kind, "world"))
		world_op_replay(&s->overlay, line);
	else if (text_equal(kind, "notification") && account && setting)
		mem_free(map_put(&s->notifications, account, strlen(account), mem_text(setting)));
	else
		grants_replay(&s->grants, line);
	return 0;
}
