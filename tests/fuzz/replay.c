/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds a fuzz target every file of the folders given, in order of name. Any compiler will do. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#define INPUT_MAX (16 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_file(const char *path, struct buf *ret)
{
	char piece[65536];
	ssize_t n;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while ((n = read(fd, piece, sizeof(piece))) > 0)
		buf_add(ret, piece, (size_t)n);
	close(fd);
	return n == 0 && !buf_failed(ret);
}

static int is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* A target that finds something crashes; that is how it fails. The input is copied to its exact
 * size, so that the address sanitizer sees a read past its end. */
static void replay(const char *path)
{
	AUTO(buf_drop) struct buf input = BUF_INIT(INPUT_MAX);

	if (!read_file(path, &input)) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	uint8_t *exact = malloc(input.len ? input.len : 1);
	for (size_t i = 0; i < input.len; i++)
		exact[i] = (uint8_t)input.data[i];
	(void)LLVMFuzzerTestOneInput(exact, input.len);
	free(exact);
}

static int replay_folder(const char *folder, int count)
{
	struct dirent **entries;
	char path[PATH_MAX];
	const int n = scandir(folder, &entries, is_file, alphasort);

	if (n <= 0) {
		fprintf(stderr, "%s holds no inputs\n", folder);
		exit(EXIT_FAILURE);
	}
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		replay(path);
		printf("ok %d - %s\n", ++count, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return count;
}

int main(int argc, char **argv)
{
	int count = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		count = replay_folder(argv[i], count);
	printf("1..%d\n", count);
	return EXIT_SUCCESS;
}
