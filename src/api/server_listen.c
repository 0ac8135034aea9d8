/* SPDX-License-Identifier: Apache-2.0 */
/* The listening socket is ours, so that a failure can say which setting to change. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/server.h"

#define BACKLOG 1024
#define PEM_BYTES_MAX (256 * 1024)

static int explain(const char *host, int64_t port, int error, struct fault *f)
{
	switch (error) {
	case EADDRINUSE:
		return fault_input(f, "API_PORT",
			"%s:%lld is already in use by another program: stop it, or set API_PORT to "
			"a free port",
			host, (long long)port);
	case EADDRNOTAVAIL:
		return fault_input(f, "API_HOST",
			"%s is not an address of this machine: set API_HOST to 127.0.0.1 (this "
			"machine only), "
			"0.0.0.0 (all networks) or one of its addresses",
			host);
	case EACCES:
	case EPERM:
		return fault_input(f, "API_PORT",
			"this user may not listen on %s:%lld: set API_PORT to 1024 or more", host,
			(long long)port);
	default:
		return fault_input(f, "API_HOST",
			"cannot listen on %s:%lld: %s; check API_HOST and API_PORT", host,
			(long long)port, strerror(error));
	}
}

/* The socket, or -errno. */
static int listen_on(const struct addrinfo *at)
{
	const int on = 1, user_timeout_ms = LIMIT_IDLE_MS;
	const int fd =
		socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* Accepted sockets inherit it: a peer that takes nothing for so long is dropped by the
	 * kernel. */
	(void)setsockopt(
		fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
	if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
		const int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static unsigned bound_port(int fd)
{
	struct sockaddr_storage at = {0};
	socklen_t len = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return 0;
	if (at.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
	return ntohs(((struct sockaddr_in *)&at)->sin_port);
}

int server_listen(const char *host, int64_t port, int *ret_fd, unsigned *ret_port, struct fault *f)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct addrinfo *found = NULL;
	char service[8];
	int fd = -EADDRNOTAVAIL;

	snprintf(service, sizeof(service), "%lld", (long long)port);
	const int error = getaddrinfo(host, service, &hints, &found);
	if (error != 0)
		return fault_input(f, "API_HOST",
			"'%.64s' is neither an address nor a name that can be resolved (%s): set "
			"API_HOST to "
			"127.0.0.1, 0.0.0.0, ::1, :: or a name of this machine",
			host, gai_strerror(error));
	for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
		fd = listen_on(at);
	freeaddrinfo(found);
	if (fd < 0)
		return explain(host, port, -fd, f);
	*ret_fd = fd;
	*ret_port = bound_port(fd);
	return 0;
}

int server_read_pem(const char *path, const char *setting, struct buf *ret, struct fault *f)
{
	char piece[4096];
	ssize_t n;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fault_input(f, setting, "cannot read %.128s: %s; set %s to a PEM file", path,
			strerror(errno), setting);
	*ret = BUF_INIT_WIPED(PEM_BYTES_MAX);
	while ((n = read(fd, piece, sizeof(piece))) > 0)
		buf_add(ret, piece, (size_t)n);
	secret_wipe(piece, sizeof(piece));
	close(fd);
	if (n < 0 || buf_failed(ret) || strstr(buf_text(ret), "-----BEGIN ") == NULL)
		return fault_input(
			f, setting, "%.128s is not a PEM file: set %s to one", path, setting);
	return 0;
}

void server_raise_descriptors(size_t wanted)
{
	struct rlimit now;

	if (getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_cur >= wanted)
		return;
	now.rlim_cur = now.rlim_max < wanted ? now.rlim_max : wanted;
	(void)setrlimit(RLIMIT_NOFILE, &now);
}
