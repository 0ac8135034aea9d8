/* SPDX-License-Identifier: Apache-2.0 */
/* What the service says about itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/problem.h"
#include "api/route.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "review_fetcher/review_fetcher.h"

#define SERVICE "review-fetcher"

static struct metric resident =
	METRIC_GAUGE("review_fetcher_resident_memory_bytes", "Resident memory of the process.", "");
static struct metric queued =
	METRIC_GAUGE("review_fetcher_worker_queue_depth", "Tasks that wait for a worker.", "");

static struct metric database_up = METRIC_GAUGE("review_fetcher_database_up",
	"1 while the database answers, as of the newest measurement.", "");
static struct metric started = METRIC_GAUGE(
	"process_start_time_seconds", "When the process started, in seconds since 1970.", "");
static struct metric build_info = METRIC_GAUGE("review_fetcher_build_info",
	"Always 1; its label says what runs.", "version=\"" API_VERSION "\"");
/* The rest between two measurements, and how many times what one took it is at least. */
#define MEASURE_REST_MS 5000
#define MEASURE_REST_FACTOR 20

/* ---- memory ---- */

static bool read_text(const char *path, char *ret, size_t size)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	const size_t n = fread(ret, 1, size - 1, file);
	fclose(file);
	ret[n] = '\0';
	return n > 0;
}

static int64_t resident_bytes(void)
{
	char text[128];
	long long total, pages;

	if (!read_text("/proc/self/statm", text, sizeof(text)) ||
		sscanf(text, "%lld %lld", &total, &pages) != 2)
		return 0;
	return pages * sysconf(_SC_PAGESIZE);
}

/* proc(5): field 22 of stat, in ticks since the machine started. */
static int64_t started_s(void)
{
	static _Atomic int64_t known;
	char text[1024];
	long long ticks = 0;
	double up_s = 0.0;

	if (atomic_load(&known) > 0)
		return atomic_load(&known);
	if (read_text("/proc/self/stat", text, sizeof(text)) && strrchr(text, ')')) {
		const char *at = strrchr(text, ')') + 2;
		for (int field = 3; field < 22 && at; field++)
			at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
		ticks = at ? strtoll(at, NULL, 10) : 0;
	}
	if (ticks > 0 && read_text("/proc/uptime", text, sizeof(text)))
		up_s = strtod(text, NULL);
	if (up_s > 0.0)
		atomic_store(&known,
			clock_wall_ms() / 1000 - (int64_t)up_s + ticks / sysconf(_SC_CLK_TCK));
	return atomic_load(&known);
}

/* The limit of our control group (version 2), or 0. */
static int64_t group_limit_bytes(void)
{
	char text[512], path[640];

	if (!read_text("/proc/self/cgroup", text, sizeof(text)) || strncmp(text, "0::", 3) != 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", text + 3);
	if (!read_text(path, text, sizeof(text)))
		return 0;
	return strtoll(text, NULL, 10); /* "max" reads as 0 */
}

static double memory_used_percent(void)
{
	const int64_t machine = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	const int64_t group = group_limit_bytes();
	const int64_t all = group > 0 && group < machine ? group : machine;
	const double percent = all > 0 ? 100.0 * (double)resident_bytes() / (double)all : 0.0;

	return (double)(int64_t)(percent * 100.0 + 0.5) / 100.0;
}

/* ---- answers ---- */

static int get_health(struct request *req, struct fault *f)
{
	const struct api_parts *parts = &req->api->parts;
	const bool has_database = parts->check_database(parts->arg, f) == 0;
	struct json_out out = answer_json(req);

	json_add_text(&out, "status", has_database ? "healthy" : "degraded");
	json_add_text(&out, "service", SERVICE);
	json_add_text(&out, "version", API_VERSION);
	json_add_bool(&out, "kafka_connected",
		parts->kafka_connected != NULL && parts->kafka_connected(parts->arg));
	json_key(&out, "memory_used_percent");
	json_put_double(&out, memory_used_percent());
	json_add_text(&out, "database", has_database ? "connected" : "away");
	json_add_time(&out, "timestamp", clock_wall_ms());
	json_close(&out, '}');
	return 0;
}

static int get_ready(struct request *req, struct fault *f)
{
	const struct api_parts *parts = &req->api->parts;

	if (parts->check_database(parts->arg, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	json_add_text(&out, "status", "ready");
	json_add_text(&out, "service", SERVICE);
	json_close(&out, '}');
	return 0;
}

static int get_deliveries(struct request *req, struct fault *f)
{
	const struct api_parts *parts = &req->api->parts;
	struct json_out out = answer_json(req);

	json_key(&out, "deliveries");
	if (parts->write_deliveries != NULL) {
		if (parts->write_deliveries(parts->arg, &out, f) < 0)
			return -1;
	} else {
		json_open(&out, '[');
		json_close(&out, ']');
	}
	json_close(&out, '}');
	return 0;
}

static int write_metrics(struct request *req)
{
	metric_set(&resident, resident_bytes());
	metric_set(&started, started_s());
	metric_set(&build_info, 1);
	metric_set(&queued, (int64_t)pool_depth(req->api->parts.pool));
	req->answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(&req->answer.body);
	return 0;
}

/* What the database knows is asked for now and then, however many scrape. */
static _Atomic int64_t measure_at_ms;

static int get_metrics(struct request *req, struct fault *f)
{
	const int64_t now_ms = clock_mono_ms();
	int64_t at_ms = atomic_load(&measure_at_ms);

	(void)f;
	if (req->api->parts.measure && now_ms >= at_ms &&
		atomic_compare_exchange_strong(&measure_at_ms, &at_ms, now_ms + MEASURE_REST_MS))
		return REQUEST_TO_WORKER;
	return write_metrics(req);
}

/* Without the database there is still all that the process itself knows. */
static int measure(struct request *req, struct fault *f)
{
	const struct api_parts *parts = &req->api->parts;
	const int64_t began_ms = clock_mono_ms();
	const bool is_up = parts->measure(parts->arg, f) == 0;
	const int64_t now_ms = clock_mono_ms(), rest_ms = (now_ms - began_ms) * MEASURE_REST_FACTOR;

	if (!is_up)
		log_event(LOG_WARN, "metrics.not_measured", F_FAULT(f));
	metric_set(&database_up, is_up);
	atomic_store(
		&measure_at_ms, now_ms + (rest_ms > MEASURE_REST_MS ? rest_ms : MEASURE_REST_MS));
	return write_metrics(req);
}

/* The original's names; its queue in memory is here the queue of requests before the workers. */
static int get_metrics_json(struct request *req, struct fault *f)
{
	struct api *api = req->api;
	int64_t jobs = 0;

	if (request_reviews(req) && jobs_count(request_reviews(req), &jobs, f) < 0)
		return -1;
	struct json_out out = answer_json(req);
	json_key(&out, "deque");
	json_open(&out, '{');
	json_add_int(&out, "enqueued", metric_value(&server_handed_over));
	json_add_int(&out, "dequeued", metric_value(&server_taken_back));
	json_add_int(&out, "rejected", metric_value(&server_rejected));
	json_add_int(&out, "max_size_hit", metric_value(&server_rejected));
	json_add_int(&out, "current_size", (int64_t)pool_depth(api->parts.pool));
	json_add_int(&out, "max_size", api->parts.settings->api_max_connections);
	json_close(&out, '}');
	json_add_int(&out, "jobs_tracked", jobs);
	json_add_time(&out, "timestamp", clock_wall_ms());
	json_close(&out, '}');
	return 0;
}

const struct route health_routes[] = {
	{"GET", "/api/v1/health", 0, ROUTE_WORKER, get_health, NULL, "Whether the service is well"},
	{"GET", "/api/v1/ready", 0, ROUTE_WORKER, get_ready, NULL,
		"200 while requests can be served, 503 while the database is away"},
	{"GET", "/api/v1/deliveries", KEY_ADMIN, ROUTE_WORKER, get_deliveries, NULL,
		"How far Kafka and the webhook are, and the events that were set aside"},
	{"GET", "/metrics", ROUTE_ANY_KEY | ROUTE_OR_LOOPBACK, ROUTE_INLINE, get_metrics, measure,
		"Counters and gauges as Prometheus text"},
	{"GET", "/api/v1/metrics", ROUTE_ANY_KEY | ROUTE_OR_LOOPBACK, ROUTE_WORKER,
		get_metrics_json, NULL, "The request queue in figures"},
	{0},
};
