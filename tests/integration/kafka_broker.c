/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker of Kafka for the tests: librdkafka's own mock, in a process of its own. Prints its
 * address, then obeys lines of stdin: "down" and "up" (on the same port), "refuse N CODE" (the next
 * N produce requests fail with that code of the protocol).
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <string.h>

#define PRODUCE 0 /* the protocol's number of that request */

static void refuse(rd_kafka_mock_cluster_t *cluster, const char *line)
{
	int n = 0, code = 0;

	if (sscanf(line, "refuse %d %d", &n, &code) != 2)
		return;
	for (int i = 0; i < n; i++)
		rd_kafka_mock_push_request_errors(cluster, PRODUCE, 1, (rd_kafka_resp_err_t)code);
}

int main(void)
{
	char words[200], line[80];
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), words, sizeof(words));
	rd_kafka_mock_cluster_t *cluster = rk ? rd_kafka_mock_cluster_new(rk, 1) : NULL;

	if (!cluster)
		return 1;
	printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "down\n") == 0)
			rd_kafka_mock_broker_set_down(cluster, 1);
		else if (strcmp(line, "up\n") == 0)
			rd_kafka_mock_broker_set_up(cluster, 1);
		else
			refuse(cluster, line);
		printf("done\n");
		fflush(stdout);
	}
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(rk);
	return 0;
}
