#include "around.h"
#include "error.h"
#include <stdlib.h>
#include <string.h>

int vcr_around_add(struct vcr_around *a, struct vcr_buf *command)
{
	struct vcr_buf *more = realloc(a->command, (a->n + 1) * sizeof *more);
	if (!more)
		return VCR_ENOMEM;
	a->command = more;
	a->command[a->n++] = *command;
	vcr_buf_init(command, command->max);
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* From the recorded one's program on, or from its script: the file's name, then all that is behind it. */
static bool is_it(const struct vcr_buf *recorded, const char *argv, size_t n)
{
	size_t first = n ? strlen(argv) + 1 : 0, rest = n - first;
	for (size_t at = 0; n && at < recorded->len; at += strlen(recorded->data + at) + 1) {
		size_t behind = at + strlen(recorded->data + at) + 1;
		if (recorded->len - behind == rest && (!at || strchr(recorded->data + at, '/')) && !strcmp(base_name(recorded->data + at), base_name(argv)) && !memcmp(recorded->data + behind, argv + first, rest))
			return true;
	}
	return false;
}

bool vcr_around_begins(struct vcr_around *a, const char *argv, size_t n)
{
	for (size_t i = 0; i < a->n; i++)
		if (is_it(&a->command[i], argv, n))
			return a->begun = true;
	return false;
}

void vcr_around_release(struct vcr_around *a)
{
	for (size_t i = 0; i < a->n; i++)
		vcr_buf_release(&a->command[i]);
	free(a->command);
}
