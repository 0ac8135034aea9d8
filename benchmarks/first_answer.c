/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long from start to the first answer: first_answer PORT PATH COMMAND…
 *
 * Starts COMMAND, asks http://127.0.0.1:PORT PATH over and over until a 200 comes, prints the
 * milliseconds, and ends COMMAND with SIGTERM. A refused connection is tried again at once, after
 * 0.2 ms.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GIVE_UP_MS 30000

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool answers(unsigned port, const char *path)
{
	const struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons((in_port_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char text[512] = "";
	bool is_good = false;
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return false;
	const int len = snprintf(text, sizeof(text),
		"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
		write(fd, text, (size_t)len) == len) {
		const ssize_t n = read(fd, text, sizeof(text) - 1);

		is_good = n > 12 && memcmp(text, "HTTP/1.1 200", 12) == 0;
	}
	close(fd);
	return is_good;
}

static pid_t start(char *const command[])
{
	const pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execv(command[0], command);
	_exit(127);
}

int main(int argc, char *argv[])
{
	const struct timespec pause = {.tv_nsec = 200000};
	bool is_good = false;

	if (argc < 4) {
		fprintf(stderr, "usage: first_answer PORT PATH COMMAND…\n");
		return 2;
	}
	const unsigned port = (unsigned)strtoul(argv[1], NULL, 10);
	const double begin = now_ms();
	const pid_t pid = start(argv + 3);
	if (pid < 0)
		return 1;
	while (!is_good && now_ms() - begin < GIVE_UP_MS && waitpid(pid, NULL, WNOHANG) == 0) {
		is_good = answers(port, argv[2]);
		if (!is_good)
			nanosleep(&pause, NULL);
	}
	if (is_good)
		printf("%.1f\n", now_ms() - begin);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return is_good ? 0 : 1;
}
